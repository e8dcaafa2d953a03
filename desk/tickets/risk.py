"""How likely a ticket is to breach its resolution target, from the organization's own closed tickets.

Pure: of comparable tickets that were still open after the time that this one has been open, the share that stayed open
beyond the target. Comparable: same priority and category, then same priority, then all; each level leans on the wider
one with the weight of `SHRINKAGE` tickets, so that two odd tickets prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_HISTORY = 50  # closed tickets
LEAST_AS_OLD = 10  # of them, those that were open as long as this one is
SHRINKAGE = 10


@dataclass(frozen=True)
class Closed:
    """One closed ticket of the organization: how long it was open, in seconds of the clock's calendar."""

    priority: str
    category: str | None
    open_seconds: float


@dataclass(frozen=True)
class Prediction:
    """`probability` is None for the `reason` given; `basis` tells what it rests on."""

    probability: float | None
    reason: str | None = None
    basis: dict[str, Any] = field(default_factory=dict)


def predict(
    history: Sequence[Closed], priority: str, category: str | None, elapsed_seconds: float, target_seconds: float
) -> Prediction:
    """The probability that a ticket open for `elapsed_seconds` stays open beyond `target_seconds`."""
    basis: dict[str, Any] = {"closed_tickets": len(history), "elapsed_seconds": round(elapsed_seconds, 3)}
    basis["target_seconds"] = round(target_seconds, 3)
    if elapsed_seconds >= target_seconds:
        return Prediction(1.0, None, basis | {"already": "breached"})
    if len(history) < LEAST_HISTORY:
        return Prediction(
            None, f"insufficient history: {len(history)} closed tickets, {LEAST_HISTORY} are needed", basis
        )
    as_old = [closed for closed in history if closed.open_seconds > elapsed_seconds]
    basis["open_as_long"] = len(as_old)
    if len(as_old) < LEAST_AS_OLD:
        reason = f"insufficient history: {len(as_old)} closed tickets were open this long, {LEAST_AS_OLD} are needed"
        return Prediction(None, reason, basis)
    same_priority = [closed for closed in as_old if closed.priority == priority]
    same_both = [closed for closed in same_priority if category is not None and closed.category == category]
    probability = _late(as_old, target_seconds) / len(as_old)
    for name, group in (("same_priority", same_priority), ("same_priority_and_category", same_both)):
        late = _late(group, target_seconds)
        basis[name] = {"tickets": len(group), "late": late}
        probability = (late + SHRINKAGE * probability) / (len(group) + SHRINKAGE)
    return Prediction(round(probability, 4), None, basis)


def _late(group: Sequence[Closed], target_seconds: float) -> int:
    return sum(closed.open_seconds > target_seconds for closed in group)
