"""One line of the comparison: what is measured, of whom, and what must come out."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from desk.embedded import EmbeddedServer

# What one run found: {who: {measure: value}}. A run of one contender may tell about several, where only figures of the
# same seconds can be compared.
Found = dict[str, dict[str, float]]

# All runs of a row: one per round.
Rounds = list[Found]


@dataclass(frozen=True)
class Measure:
    """A column: `name` as in JSON, `label` above the column, `digits` behind the point."""

    name: str
    label: str
    digits: int = 0


@dataclass(frozen=True)
class Target:
    """What must be reached: a measure of ours, over another's in the same round where `over` names one.

    `at_most` turns the comparison round: less is better. Without `must` it is told, not judged.
    """

    text: str
    of: tuple[str, str]
    must: float | None = None
    aim: float | None = None
    over: tuple[str, str] | None = None
    at_most: bool = False
    digits: int = 2

    def values(self, rounds: Rounds) -> list[float]:
        """The value in each round in which it was measured."""
        found = []
        for one in rounds:
            ours = one.get(self.of[0], {}).get(self.of[1])
            theirs = 1.0 if self.over is None else one.get(self.over[0], {}).get(self.over[1])
            if ours is not None and theirs:
                found.append(ours / theirs)
        return found

    def reached(self, value: float) -> bool:
        """Whether `value` is good enough."""
        if self.must is None:
            return True
        return value <= self.must if self.at_most else value >= self.must


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    `measure(server, contender, scale)` is one run. `long`: it takes so long that it runs in every third round only.
    `base` is whom the table's ratios refer to, in `measures[0]`.
    """

    name: str
    title: str
    contenders: Sequence[str]
    measures: Sequence[Measure]
    measure: Callable[[EmbeddedServer, str, float], Found]
    base: str = "pgbroker"
    targets: Sequence[Target] = ()
    long: bool = False
    on_request: bool = False
    notes: Sequence[str] = field(default=())

    def rounds(self, asked: int) -> int:
        """How often it runs when `asked` rounds are asked for."""
        return max(1, asked // 3) if self.long else asked


def quantile(values: Sequence[float], share: float) -> float:
    """The value under which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def column(rounds: Rounds, who: str, measure: str) -> list[float]:
    """What was measured of `who`, one value a round."""
    return [one[who][measure] for one in rounds if measure in one.get(who, {})]


def everyone(rounds: Rounds) -> list[str]:
    """Who was measured, in the order of the first round."""
    return list(dict.fromkeys(who for one in rounds for who in one))
