"""When tickets get done: a discrete-time hazard, for organizations with some hundred closed tickets. Pure.

Time on the clock is cut into steps; of the tickets that enter a step a share is closed in it, the step's hazard. A
logistic regression gives it by step, priority, category, assignee, hour and weekday of the start, and by how many
tickets are open at that moment beside the usual. To stay open beyond a target is to get through all steps until then,
so every target and every time already used is answered by one model, and tickets that are still open teach what they
have shown so far.

The newer a step was in real time, the more it weighs; at last the level of all hazards is set so that the newest
weeks come out as they were. Values that are rare or new have no effect of their own: they are as the rest is.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit
from threadpoolctl import threadpool_limits

from desk.tickets import scikit_learn
from desk.tickets.risk.prediction import Asked, Spell

LEAST_HISTORY = 250  # closed tickets
LEAST_TIMES = 50  # different ones: where all take the same time there are no steps
MOST_STEPS = 24
CLOSED_IN_A_STEP = 20
LEAST_OF_A_VALUE = 10  # tickets with a category or an assignee for it to have an effect of its own
MOST_VALUES = 200  # of a column
CROWD_LEVELS = (0.5, 0.75, 0.9)  # quantiles of the load, beside the usual, above which hazards may be others
USUAL_SECONDS = 14 * 86_400  # whose mean is the usual load
PHASES = 3  # of a ticket's life, in which a priority may mean different things
HALF_LIFE_SECONDS = 90 * 86_400
NEWEST_SECONDS = 14 * 86_400
LEAST_NEWEST = 100  # tickets closed in the newest time that set the level
LEVEL_DEVIATION = 1.0  # log-odds: how far the level is expected to lie off, before the newest time is asked
LOOSENESS = 0.15  # how far effects may be from nothing: the variance that the regression believes in

_DAY = 86_400.0


class Hazard:
    """Fitted to an organization's spells, which tell what was known at `now`, in seconds since 1970.

    There are at least `LEAST_HISTORY` closed tickets, closed after at least `LEAST_TIMES` different times.
    """

    def __init__(self, spells: Sequence[Spell], now: float) -> None:
        ends = np.array([spell.seconds for spell in spells if spell.closed])
        steps = int(np.clip(len(ends) // CLOSED_IN_A_STEP, 1, MOST_STEPS))
        # The last step is of those that stayed open longer than any that was closed.
        longest = max(spell.seconds for spell in spells)
        self._edges = np.unique([0.0, *np.quantile(ends, np.linspace(0, 1, steps + 1)[1:]), longest])
        self._began = np.sort([spell.began_at for spell in spells])
        # What is open now is not over: it stands until further notice.
        self._ended = np.sort([spell.ended_at for spell in spells if spell.closed or spell.ended_at < now])
        self._values = [_frequent(spells, read) for read in _COLUMNS]
        which, step, closed, exposed, at = self._rows(spells)
        crowd = np.log((self._load(at) + 1) / (self._usual_load(at) + 1))
        self._usual_now = float(self._usual_load(np.array([now]))[0])
        self._crowd_levels = np.unique(np.quantile(crowd[closed], CROWD_LEVELS))
        self._least_crowd, self._most_crowd = np.quantile(crowd[closed], [0.01, 0.99])
        features = self._features(spells, which, step, crowd)
        weights = exposed * np.exp2(-np.maximum(now - at, 0) / HALF_LIFE_SECONDS)
        with threadpool_limits(limits=1):
            self._model = scikit_learn.module("linear_model").LogisticRegression(C=LOOSENESS, max_iter=500, tol=1e-3)
            self._model.fit(features, closed, sample_weight=weights)
            self._level = _level(self._model.decision_function(features), closed, exposed, at, now)

    def late(self, asked: Sequence[Asked], open_tickets: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `risk.Model` has it; the load is taken to stay what it is."""
        steps = len(self._edges) - 1
        which, step = np.repeat(np.arange(len(asked)), steps), np.tile(np.arange(steps), len(asked))
        crowd = np.log((open_tickets + 1) / (self._usual_now + 1))
        # Of a load at which none was ever closed nothing is known.
        crowd = float(np.clip(crowd, self._least_crowd, self._most_crowd))
        features = self._features(asked, which, step, np.full(len(which), crowd))
        with threadpool_limits(limits=1):
            hazard = expit(self._model.decision_function(features) + self._level).reshape(len(asked), steps)
        elapsed = np.array([each.elapsed_seconds for each in asked])[:, None]
        target = np.array([each.target_seconds for each in asked])[:, None]
        below, above = self._edges[:-1], np.append(self._edges[1:-1], np.inf)  # the last goes on as it was
        overlap = np.clip(np.minimum(target, above) - np.maximum(elapsed, below), 0, None)
        stays = np.exp((overlap / np.diff(self._edges) * np.log1p(-np.clip(hazard, 0, 1 - 1e-9))).sum(axis=1))
        basis = {"method": "hazard", "open_tickets": open_tickets, "steps": steps}
        return stays, [dict(basis) for _ in asked]

    def _rows(self, spells: Sequence[Spell]) -> tuple[np.ndarray, ...]:
        """One row per spell and step that it touches: which spell, which step, whether it was closed in it, how much of
        the step it was there to be closed in, and at which instant."""
        since = np.array([spell.since_seconds for spell in spells])
        until = np.array([spell.seconds for spell in spells])
        last = len(self._edges) - 2
        first_step = np.clip(np.searchsorted(self._edges, since, side="right") - 1, 0, last)
        last_step = np.clip(np.searchsorted(self._edges, until, side="left") - 1, first_step, last)
        counts = last_step - first_step + 1
        which = np.repeat(np.arange(len(spells)), counts)
        step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + first_step[which]
        closed = np.array([spell.closed for spell in spells])[which] & (step == last_step[which])
        below, above = self._edges[step], self._edges[step + 1]
        there = np.minimum(until[which], above) - np.maximum(since[which], below)
        exposed = np.where(closed, 1.0, np.clip(there / (above - below), 0, 1))
        began = np.array([spell.began_at for spell in spells])[which]
        ended = np.array([spell.ended_at for spell in spells])[which]
        share = (np.maximum(below, since[which]) - since[which]) / np.maximum(until - since, 1e-9)[which]
        return which, step, closed, exposed, began + np.clip(share, 0, 1) * (ended - began)

    def _load(self, at: np.ndarray) -> np.ndarray:
        """How many tickets were open at each instant."""
        began = np.searchsorted(self._began, at, side="right")
        return (began - np.searchsorted(self._ended, at, side="right")).astype(float)

    def _usual_load(self, at: np.ndarray) -> np.ndarray:
        """The mean load of the time before each instant: what slows a desk down is more than it is used to."""
        first, last = self._began[0], max(at.max(), self._began[0] + 1)
        moments = np.linspace(first, last, int(np.clip((last - first) / (6 * 3600), 2, 10_000)))
        so_far = np.append(0.0, np.cumsum(self._load(moments)))
        places = np.arange(len(moments)) + 1
        since = np.searchsorted(moments, moments - USUAL_SECONDS)
        return np.interp(at, moments, (so_far[places] - so_far[since]) / (places - since))

    def _features(
        self, tickets: Sequence[Spell] | Sequence[Asked], which: np.ndarray, step: np.ndarray, crowd: np.ndarray
    ) -> sparse.csr_matrix:
        steps = len(self._edges) - 1
        parts = [_one_hot(step, steps)]
        for values, read in zip(self._values, _COLUMNS, strict=True):
            place = np.array([values.get(read(ticket), -1) for ticket in tickets], dtype=int)[which]
            parts.append(_one_hot(place, len(values)))
            if read is _COLUMNS[0]:
                phase = step * PHASES // steps
                parts.append(_one_hot(np.where(place < 0, -1, place * PHASES + phase), len(values) * PHASES))
        parts.append(sparse.csr_matrix(np.column_stack([crowd, (crowd[:, None] > self._crowd_levels).astype(float)])))
        return sparse.hstack(parts).tocsr()


_Read = Callable[[Any], Any]
_COLUMNS: tuple[_Read, ...] = (
    lambda ticket: ticket.priority,
    lambda ticket: ticket.category,
    lambda ticket: ticket.assignee,
    lambda ticket: int(ticket.started_at % _DAY // (3 * 3600)),  # three hours of UTC
    lambda ticket: int(ticket.started_at // _DAY) % 7,
)


def _frequent(spells: Sequence[Spell], read: _Read) -> dict[Any, int]:
    """The values that occur often enough, each with its place."""
    counts = Counter(value for spell in spells if (value := read(spell)) is not None)
    kept = [value for value, count in counts.most_common(MOST_VALUES) if count >= LEAST_OF_A_VALUE]
    return {value: place for place, value in enumerate(kept)}


def _one_hot(place: np.ndarray, width: int) -> sparse.csr_matrix:
    """A one at each row's place; none where it is negative."""
    rows = np.flatnonzero(place >= 0)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, place[rows])), shape=(len(place), max(width, 1)))


def _level(log_odds: np.ndarray, closed: np.ndarray, exposed: np.ndarray, at: np.ndarray, now: float) -> float:
    """By how much all log-odds are to move so that the newest time comes out as it was."""
    newest = at > now - NEWEST_SECONDS
    if closed[newest].sum() < LEAST_NEWEST:
        order = np.argsort(-at)
        enough = np.searchsorted(np.cumsum(closed[order]), LEAST_NEWEST) + 1
        newest = np.zeros(len(at), dtype=bool)
        newest[order[:enough]] = True
    moved = 0.0
    for _ in range(30):  # Newton's method in one dimension; the prior keeps it from running away
        chance = expit(log_odds[newest] + moved)
        slope = (exposed[newest] * (closed[newest] - chance)).sum() - moved / LEVEL_DEVIATION**2
        bend = (exposed[newest] * chance * (1 - chance)).sum() + 1 / LEVEL_DEVIATION**2
        moved += float(np.clip(slope / bend, -1, 1))
        if abs(slope / bend) < 1e-6:
            break
    return moved
