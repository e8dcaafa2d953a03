"""How likely a running clock is to breach: the words, and when there is no number to give. Pure.

A ticket's life is a row of spells: in each its priority, category and assignee stayed the same. What a ticket was
while it waited counts for that time, not what it had become when it was closed: a ticket that is raised to urgent
because it is late says nothing of those that were urgent from the start. Tickets that are still open count for the
time that they have stood.

Times are seconds of the clock's calendar, pauses taken out; instants (`…_at`) are seconds since 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

LEAST_HISTORY = 50  # closed tickets
LEAST_AS_OLD = 10  # of them, those that were open as long as this one is


@dataclass(frozen=True)
class Spell:
    """From `since_seconds` to `seconds` of a ticket's clock; `closed`: it ended there. By default a whole life."""

    priority: str
    category: str | None
    seconds: float
    assignee: str | None = None
    since_seconds: float = 0.0
    closed: bool = True
    started_at: float = 0.0  # the ticket's clock
    began_at: float = 0.0  # this spell
    ended_at: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A running clock."""

    priority: str
    category: str | None
    elapsed_seconds: float
    target_seconds: float
    assignee: str | None = None
    started_at: float = 0.0


@dataclass(frozen=True)
class Prediction:
    """`probability` is None for the `reason` given; `basis` tells what it rests on."""

    probability: float | None
    reason: str | None = None
    basis: dict[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """What has learnt from spells."""

    def late(self, asked: Sequence[Asked], open_tickets: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The probability that each stays open beyond its target, given the time so far and how many tickets of the
        organization are open, and what that rests on."""


class History:
    """An organization's spells, with the model that learnt from them; no model below `LEAST_HISTORY` closed tickets."""

    def __init__(self, spells: Sequence[Spell], model: Model | None) -> None:
        self._closed_after = np.sort([spell.seconds for spell in spells if spell.closed])
        self._model = model

    @property
    def closed_tickets(self) -> int:
        """How many of the spells ended with the ticket."""
        return len(self._closed_after)

    def predict(self, asked: Sequence[Asked], open_tickets: int = 0) -> list[Prediction]:
        """A prediction for each clock, in their order; `open_tickets`: how many the organization has at this moment."""
        found = [self._without_model(each) for each in asked]
        open_ones = [i for i, each in enumerate(found) if each is None]
        if open_ones and self._model is not None:
            said, bases = self._model.late([asked[i] for i in open_ones], open_tickets)
            for i, probability, basis in zip(open_ones, said, bases, strict=True):
                found[i] = Prediction(round(float(probability), 4), None, self._basis(asked[i]) | basis)
        return [each for each in found if each is not None]

    def _without_model(self, asked: Asked) -> Prediction | None:
        basis = self._basis(asked)
        if asked.elapsed_seconds >= asked.target_seconds:
            return Prediction(1.0, None, basis | {"already": "breached"})
        if self._model is None:
            reason = f"insufficient history: {self.closed_tickets} closed tickets, {LEAST_HISTORY} are needed"
            return Prediction(None, reason, basis)
        if basis["open_as_long"] < LEAST_AS_OLD:
            reason = (
                f"insufficient history: {basis['open_as_long']} closed tickets were open this long, "
                f"{LEAST_AS_OLD} are needed"
            )
            return Prediction(None, reason, basis)
        return None

    def _basis(self, asked: Asked) -> dict[str, Any]:
        as_long = self.closed_tickets - int(np.searchsorted(self._closed_after, asked.elapsed_seconds, side="right"))
        return {
            "closed_tickets": self.closed_tickets,
            "open_as_long": as_long,
            "elapsed_seconds": round(asked.elapsed_seconds, 3),
            "target_seconds": round(asked.target_seconds, 3),
        }
