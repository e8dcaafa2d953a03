"""One line of the table: what was measured, and what it must and should be."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Line:
    """`values` are in `unit`, one a round; the median is judged. `at_least`: more is better. Without `must` it is told,
    not judged."""

    name: str
    text: str
    unit: str
    values: Sequence[float]
    must: float | None = None
    aim: float | None = None
    at_least: bool = False
    digits: int = 2

    @property
    def measured(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def verdict(self) -> str:
        """aim, must, missed; empty where nothing is asked for."""
        if self.must is None:
            return ""
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (self.measured >= bound if self.at_least else self.measured <= bound):
                return name
        return "missed"

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "measured": self.measured, "values": list(self.values), "unit": self.unit, "must": self.must,
            "aim": self.aim, "at_least": self.at_least, "verdict": self.verdict,
        }  # fmt: skip
