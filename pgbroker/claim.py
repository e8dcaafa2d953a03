"""When to look into which queue, and how to take what is there.

Promises: priority first, then age; where a queue has more than can be taken, its tenants take turns. A queue that was
found empty is looked at again after 2 ms, then less and less often down to once a second, and in time for its next due
message; processes that are idle take turns in looking (see `watch`). The cost of a claim follows what it takes, not
what lies in the table: what is due later is not walked past, and where dead rows are kept by somebody's old snapshot, a
floor under the due times keeps claims from walking over them again.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from pgbroker.connections import Line, rows
from pgbroker.statements import sql

SHORTEST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 1.0
LONGEST_LIMITED_PAUSE_SECONDS = 0.25  # a limit may be lifted by a finish in another process, which rings for nobody
MOST_KEYS = 50  # run keys that one claim looks at
AGE_CLAIMS_OF_ONE_TENANT = 3

# A message whose sender takes longer than this to commit is found by the next survey, which begins at the bottom.
FLOOR_MARGIN = timedelta(seconds=10)
SECONDS_BETWEEN_SURVEYS = 0.9  # less than the longest pause: an idle process does nothing else
SURVEYS_SHARE = 0.01  # of the time, where they are slow
LONGEST_TURN_SECONDS = 0.05  # of an idle process; where a survey takes longer, each looks down to its floors instead


class Survey(NamedTuple):
    """What `pgbroker.outlook` says of some queues."""

    now: datetime  # by the database's clock
    due_in: float | None  # seconds until something is due; None where nothing waits
    levels: list[tuple[str, int]]  # priorities in use that nobody noted yet
    limited: dict[str, tuple[bool, float | None]]  # where messages with a run key wait: as for `_Queue.limits_seen`


def note_levels(line: Line, survey: Survey) -> None:
    """Write down priorities that no actor declares, so that claims probe them. Raises PgBrokerError."""
    if survey.levels:
        line.execute(sql("note_levels"), {"levels": json.dumps(survey.levels)})


@dataclass
class _Queue:
    """What is known of one queue."""

    look_at: float = 0.0
    pause_seconds: float = SHORTEST_PAUSE_SECONDS
    promising: bool = True  # something may be due: claim without a peek
    called: bool = False  # somebody said so since the last look began
    crowded: bool = False  # the last claim took all that it could: tenants take turns
    age_claims: int = 0  # how many claims go by age before the next turn: where one tenant was alone
    limited: bool = False  # messages with a run key may wait
    kept_waiting: bool = False  # one that is due did at the last look
    always_limited: bool = False  # an actor of this process sends them
    last_tenant: str = ""
    last_key: str = ""
    limited_due_at: float = float("inf")  # when the next with a run key is due, on the monotonic clock
    limited_turn: bool = True  # whether a single slot goes to one with a run key, of two that are equally urgent
    floor: datetime | None = None  # nothing that is due before it waits
    level_floors: dict[int, datetime] = field(default_factory=dict)

    def raise_floor(self, level: int, run_at: datetime) -> None:
        """A claim by age took what was due at `run_at`: at this level nothing older waits."""
        floor = run_at - FLOOR_MARGIN
        if self.level_floors.get(level, floor) <= floor:
            self.level_floors[level] = floor

    def limits_seen(self, is_due: bool, due_in: float | None) -> None:
        """Whether a message with a run key is due, and in how many seconds the next one is; None: there is no next."""
        self.kept_waiting = is_due
        self.limited_due_at = float("inf") if due_in is None else monotonic() + due_in

    def emptied(self, now: datetime) -> None:
        """Nothing that is due waits, `now` by the database's clock."""
        self.floor, self.level_floors = now - FLOOR_MARGIN, {}


class Claims:
    """The queues of one process. `line` is for claims alone. Not for two threads at once, but for `look_now` and the
    like, which the caller's lock guards together with `wanted` and `next_look`."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._queues: dict[str, _Queue] = {}
        self._survey_at = 0.0
        self._survey_seconds = 0.0  # how long the last one took
        self._rest_until = 0.0  # somebody else looks until then

    def add(self, queue_name: str, *, limited: bool) -> None:
        """Look into this queue as well; `limited`: messages with a run key may come."""
        self._queues.setdefault(queue_name, _Queue(limited=limited, always_limited=limited))

    def names(self) -> list[str]:
        """The queues, sorted."""
        return sorted(self._queues)

    def look_now(self, queue_names: Iterable[str], *, from_the_bottom: bool = False) -> None:
        """Something may have come into these queues; `from_the_bottom`: something that is older than their floors."""
        for name in self._queues.keys() & set(queue_names):
            queue = self._queues[name]
            queue.look_at, queue.promising, queue.called = 0.0, True, True
            if from_the_bottom:
                queue.floor, queue.level_floors = None, {}

    def put_off(self, seconds: float) -> None:
        """Look into no queue for some time."""
        for queue in self._queues.values():
            queue.look_at = monotonic() + seconds

    def next_look(self) -> float:
        """When to look next, on the monotonic clock."""
        return min((queue.look_at for queue in self._queues.values()), default=float("inf"))

    def wanted(self, now: float, room: int) -> dict[str, int]:
        """How many messages to take from which queue, `room` in all; empty when it is not the time."""
        if not any(queue.look_at <= now for queue in self._queues.values()):
            return {}
        # Those that would be looked at soon anyway come along: one statement instead of two.
        names = [name for name, queue in self._queues.items() if queue.look_at <= now + queue.pause_seconds / 2]
        random.shuffle(names)  # who gets the odd slot
        share, odd = divmod(room, len(names))
        limits = {name: share + (position < odd) for position, name in enumerate(names)}
        for name in names:
            self._queues[name].called = False
        return {name: limit for name, limit in limits.items() if limit}

    def resting(self) -> bool:
        """Whether nothing has come for so long that the next look can wait for the process's turn."""
        return self._survey_seconds < LONGEST_TURN_SECONDS and all(
            queue.pause_seconds >= LONGEST_PAUSE_SECONDS and not (queue.promising or queue.kept_waiting)
            for queue in self._queues.values()
        )

    def watched(self, survey: Survey, took_seconds: float, rest_seconds: float) -> None:
        """Somebody else has surveyed all queues in so many seconds and does so again within `rest_seconds`."""
        self._learn(survey, took_seconds)
        self._rest_until = monotonic() + rest_seconds
        self._found_nothing(self._queues, survey.due_in)

    def crowded(self) -> list[str]:
        """Queues that had more than was taken."""
        return [name for name, queue in self._queues.items() if queue.crowded]

    def take(self, wanted: dict[str, int], process_id: str, due_seconds: float | None = None) -> list[tuple[Any, ...]]:
        """Claim for `process_id`; rows as `sql/claim.sql` returns them. Where it has promised its next beat for much
        later, `due_seconds` says when it will beat after all. Raises PgBrokerError."""
        found: list[tuple[Any, ...]] = []
        surveyed = monotonic() >= self._survey_at
        due_in = self._survey() if surveyed else None
        for name in [name for name in wanted if self._queues[name].limited]:
            limited = self._take_limited(name, wanted[name], process_id)
            found += limited
            wanted = wanted | {name: wanted[name] - len(limited)}
        wanted = {name: limit for name, limit in wanted.items() if limit}
        if not any(self._queues[name].promising for name in wanted):
            if not surveyed:
                due_in = self._peek(wanted)
            if due_in is None or due_in > 0:
                self._found_nothing(wanted, due_in)
                return found
        together = {}
        for name, limit in wanted.items():
            if self._queues[name].crowded and not self._queues[name].age_claims:
                found += self._take_by_turns(name, limit, process_id)
            else:
                together[name] = limit
        if together:
            taken = self._take_by_age(together, process_id, due_seconds)
            # What a ring announced may be due within the pause that follows.
            if not taken and (due_in := self._peek(together)) is not None and due_in > 0:
                self._found_nothing(together, due_in)
            found += taken
        return found

    def _take_by_age(self, wanted: dict[str, int], process_id: str, due_seconds: float | None) -> list[tuple[Any, ...]]:
        queues = {name: self._queues[name] for name in wanted}
        levels = [(name, level, floor) for name, queue in queues.items() for level, floor in queue.level_floors.items()]
        found = self._line.execute(
            sql("claim"),
            {
                "queues": list(wanted),
                "limits": list(wanted.values()),
                "floors": [queue.floor for queue in queues.values()],
                "level_queues": [name for name, _, _ in levels],
                "level_priorities": [level for _, level, _ in levels],
                "level_floors": [floor for _, _, floor in levels],
                "process_id": process_id,
                "due_seconds": due_seconds,
            },
        )
        counts: Counter[str] = Counter()
        for row in found:
            counts[row[1]] += 1
            queues[row[1]].raise_floor(row[-3], row[-2])
        for name, limit in wanted.items():
            self._looked(queues[name], counts[name], limit)
        for row in found[-1:]:
            for name, queue in queues.items():
                if counts[name] < wanted[name]:
                    queue.emptied(row[9])
        return found

    def _take_by_turns(self, name: str, limit: int, process_id: str) -> list[tuple[Any, ...]]:
        queue = self._queues[name]
        found = self._line.execute(
            sql("claim_turns"),
            {"queue_name": name, "how_many": limit, "after": queue.last_tenant, "process_id": process_id},
        )
        tenants = {row[8] for row in found}
        if tenants:
            queue.last_tenant = max((tenant <= queue.last_tenant, tenant) for tenant in tenants)[1]
        # One message is always of one tenant: that says nothing about others.
        queue.age_claims = AGE_CLAIMS_OF_ONE_TENANT if len(tenants) == 1 and limit > 1 else 0
        queue.crowded = len(found) >= limit
        queue.look_at, queue.promising = 0.0, True  # if there was less than that, the next claim goes by age
        return found

    def _take_limited(self, name: str, limit: int, process_id: str) -> list[tuple[Any, ...]]:
        """Claim messages with run keys, at most half of `limit` where others of the same priority wait as well."""
        queue = self._queues[name]
        share = limit // 2
        if limit == 1:
            share, queue.limited_turn = int(queue.limited_turn), not queue.limited_turn
        with self._line.transaction() as connection:
            keys = rows(
                connection, sql("limited_lock"), {"queue_name": name, "after": queue.last_key, "most_keys": MOST_KEYS}
            )
            _, _, is_due, due_in, queue.last_key = keys[0] if keys else (None, None, False, None, "")
            queue.limits_seen(is_due, due_in)
            locked = [key for key, is_locked, _, _, _ in keys if is_locked]
            if not locked:
                return []
            return rows(
                connection,
                sql("limited_claim"),
                {
                    "queue_name": name,
                    "run_keys": locked,
                    "how_many": limit,
                    "share": share,
                    "floor": queue.floor,
                    "level_priorities": list(queue.level_floors),
                    "level_floors": list(queue.level_floors.values()),
                    "process_id": process_id,
                },
            )

    def _survey(self) -> float | None:
        """Look into all queues from the bottom; seconds until something is due, None where nothing waits."""
        began = monotonic()
        survey = Survey(*self._line.execute(sql("survey"), {"queues": list(self._queues)})[0])
        note_levels(self._line, survey)
        self._learn(survey, monotonic() - began)
        return survey.due_in

    def _learn(self, survey: Survey, took_seconds: float) -> None:
        self._survey_seconds = took_seconds
        self._survey_at = monotonic() - took_seconds + max(SECONDS_BETWEEN_SURVEYS, took_seconds / SURVEYS_SHARE)
        for name, queue in self._queues.items():
            queue.limited = queue.always_limited or name in survey.limited
            queue.limits_seen(*survey.limited.get(name, (False, None)))
            queue.floor, queue.level_floors = None, {}
            if survey.due_in is None or survey.due_in > 0:
                queue.emptied(survey.now)

    def _peek(self, wanted: Iterable[str]) -> float | None:
        """As `_survey`, of some queues, and no further down than their floors."""
        queues = {name: self._queues[name] for name in wanted}
        floors = [queue.floor for queue in queues.values()]
        now, due_in = self._line.execute(sql("peek"), {"queues": list(queues), "floors": floors})[0]
        if due_in is None or due_in > 0:
            for queue in queues.values():
                queue.emptied(now)
        return None if due_in is None else float(due_in)

    def _found_nothing(self, wanted: Iterable[str], due_in: float | None) -> None:
        now = monotonic()
        for name in wanted:
            queue = self._queues[name]
            self._pause(queue, now)
            if due_in is not None and now + due_in < queue.look_at:
                queue.look_at, queue.promising = now + max(0.0005, due_in), True
            if queue.called:
                queue.look_at, queue.promising = 0.0, True

    def _looked(self, queue: _Queue, found: int, limit: int) -> None:
        """When to look at a queue again, after `found` of at most `limit` messages were there."""
        queue.crowded = found >= limit
        queue.age_claims = max(0, queue.age_claims - 1)
        if found:
            queue.pause_seconds = SHORTEST_PAUSE_SECONDS / 2  # before it is doubled
        self._pause(queue, monotonic())
        if queue.crowded or queue.called:
            queue.look_at, queue.promising = 0.0, True

    def _pause(self, queue: _Queue, now: float) -> None:
        """Look at a queue again after a pause, longer each time; after the longest, no sooner than nobody else does."""
        longest = LONGEST_LIMITED_PAUSE_SECONDS if queue.kept_waiting else LONGEST_PAUSE_SECONDS
        queue.pause_seconds = min(longest, queue.pause_seconds * 2)
        queue.look_at = now + queue.pause_seconds * random.uniform(0.7, 1.0)  # noqa: S311  jitter
        if queue.pause_seconds >= LONGEST_PAUSE_SECONDS:
            queue.look_at = max(queue.look_at, self._rest_until)
        if queue.limited_due_at > now:
            queue.look_at = min(queue.look_at, queue.limited_due_at + 0.0005)
        queue.promising = False
