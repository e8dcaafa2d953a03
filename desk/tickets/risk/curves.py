"""Survival curves of comparable tickets, for organizations with little history: Kaplan–Meier, shrunk. Pure.

Of comparable tickets that were still open after the time that a ticket has been open, the share that stayed open
beyond its target. Comparable: all, then same priority, then same category as well, then same assignee as well; each
level leans on the wider one with the weight of some tickets, so that two odd tickets prove nothing. Newer tickets
weigh more, and all curves are made as much steeper or flatter as the newest weeks were, beside what the curve of all
expected of them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from desk.tickets.risk.prediction import Asked, Spell

# Whom a ticket is compared with, and the weight, in tickets, with which each leans on the one before.
LEVELS = {
    "all": 1e-9,
    "same_priority": 10,
    "same_priority_and_category": 20,
    "same_priority_category_and_assignee": 40,
}
HALF_LIFE_SECONDS = 60 * 86_400  # of a ticket's weight; by its start, so that long lives do not outweigh short ones
NEWEST_SECONDS = 28 * 86_400
PACE_SHRINKAGE = 10  # closed tickets: the weight of the belief that the newest weeks are as the others

_Key = tuple[str | None, ...]


class Curves:
    """A curve for each group of comparable tickets."""

    def __init__(self, spells: Sequence[Spell]) -> None:
        newest = max((spell.started_at for spell in spells), default=0.0)
        groups: dict[_Key, list[Spell]] = {}
        for spell in spells:
            for key in _levels(spell):
                groups.setdefault(key, []).append(spell)
        self._curves = {key: _Curve(group, newest) for key, group in groups.items()}
        self._pace = _pace(self._curves[()], spells) if spells else 1.0

    def late(self, asked: Sequence[Asked], open_tickets: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `risk.Model` has it."""
        answers = [self._late(each) for each in asked]
        return np.array([probability for probability, _ in answers]), [basis for _, basis in answers]

    def _late(self, asked: Asked) -> tuple[float, dict[str, Any]]:
        basis: dict[str, Any] = {"method": "curves", "pace": round(self._pace, 3)}
        probability = 0.0
        for (level, leans), key in zip(LEVELS.items(), _levels(asked), strict=False):
            curve = self._curves.get(key)
            tickets = curve.at_risk(asked.elapsed_seconds) if curve else 0.0
            share = curve.beyond(asked.target_seconds, asked.elapsed_seconds) ** self._pace if curve else 0.0
            probability = (tickets * share + leans * probability) / (tickets + leans)
            basis[level] = {"tickets": round(tickets, 1), "late": round(tickets * share, 1)}
        return probability, basis


def _levels(of: Spell | Asked) -> list[_Key]:
    """The groups it belongs to, the widest first; what is not known makes no group."""
    keys: list[_Key] = [(), (of.priority,)]
    if of.category is not None:
        keys.append((of.priority, of.category))
        if of.assignee is not None:
            keys.append((of.priority, of.category, of.assignee))
    return keys


class _Curve:
    def __init__(self, spells: Sequence[Spell], newest: float) -> None:
        since = np.array([spell.since_seconds for spell in spells])
        until = np.maximum(
            [spell.seconds for spell in spells], since + 1e-6
        )  # closed at once: it was open for a moment
        closed = np.array([spell.closed for spell in spells])
        weights = np.exp2(-(newest - np.array([spell.started_at for spell in spells])) / HALF_LIFE_SECONDS)
        self._since, self._began = _running_sum(since, weights)
        self._until, self._ended = _running_sum(until, weights)
        times = np.unique(until[closed])
        done = np.array([weights[closed & (until == time)].sum() for time in times])
        waiting = _until(self._since, self._began, times, "left") - _until(self._until, self._ended, times, "left")
        staying = np.clip(1 - done / np.maximum(waiting, 1e-12), 1e-12, 1)
        self._times, self._log_open = times, np.cumsum(np.log(staying))
        self._expected = np.cumsum(done / np.maximum(waiting, 1e-12))

    def at_risk(self, seconds: float) -> float:
        """The weight of the tickets that were open after `seconds`."""
        at = np.array([seconds])
        began = _until(self._since, self._began, at, "right")
        return max(0.0, float((began - _until(self._until, self._ended, at, "right"))[0]))

    def beyond(self, seconds: float, since: float) -> float:
        """The share that was open after `seconds` of those that were open after `since`."""
        at = _until(self._times, self._log_open, np.array([seconds, since]), "right")
        return float(np.exp(at[0] - at[1]))

    def expected(self, since: np.ndarray, until: np.ndarray) -> float:
        """How many tickets are closed, where each is there to be closed from `since` to `until`."""
        reached = _until(self._times, self._expected, until, "right")
        return float((reached - _until(self._times, self._expected, since, "right")).sum())


def _pace(curve: "_Curve", spells: Sequence[Spell]) -> float:
    """How many tickets were closed in the newest weeks, per one that the curve expected."""
    began, ended = (np.array([getattr(spell, name) for spell in spells]) for name in ("began_at", "ended_at"))
    since, until = (np.array([getattr(spell, name) for spell in spells]) for name in ("since_seconds", "seconds"))
    newest_began = ended.max() - NEWEST_SECONDS
    there = ended > newest_began
    outside = np.clip((newest_began - began) / np.maximum(ended - began, 1e-9), 0, 1)
    since = since + outside * (until - since)
    closed = sum(spell.closed for spell, counts in zip(spells, there, strict=True) if counts)
    return (closed + PACE_SHRINKAGE) / (curve.expected(since[there], until[there]) + PACE_SHRINKAGE)


def _running_sum(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(values, kind="stable")
    return values[order], np.cumsum(weights[order])


def _until(values: np.ndarray, sums: np.ndarray, at: np.ndarray, side: str) -> np.ndarray:
    """The running sum of those before `at` (left), or before and at it (right)."""
    place = np.searchsorted(values, at, side=side)  # type: ignore[call-overload]  # "left" or "right"
    return np.where(place > 0, sums[place - 1] if len(sums) else 0.0, 0.0)
