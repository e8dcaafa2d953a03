"""The end of what has been kept long enough: finished messages and, kept longer, dead letters.

In batches, each a short transaction of its own that waits for nobody: a million rows go while workers work, and any
number of processes may prune at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from pgbroker.statements import sql

BATCH = 5_000  # rows of one statement: a few hundredths of a second


class Executes(Protocol):
    """A broker's `connections`, or one line of them."""

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own."""


@dataclass(frozen=True)
class Pruned:
    """How many rows went."""

    finished: int
    dead: int


def prune(
    connections: Executes,
    *,
    finished_older_than: timedelta | None = None,
    dead_older_than: timedelta | None = None,
    batch: int = BATCH,
) -> Pruned:
    """Delete all finished messages and dead letters that ended longer ago than this; None: keep them.

    Rows that somebody else is deleting or retrying at the moment are left to them.
    """
    retention = Retention(finished_older_than=finished_older_than, dead_older_than=dead_older_than, batch=batch)
    while retention.prune_batch(connections):
        pass
    return retention.pruned


class Retention:
    """`prune`, a batch at a time, for whoever has other things to do between two batches."""

    def __init__(
        self,
        *,
        finished_older_than: timedelta | None = None,
        dead_older_than: timedelta | None = None,
        batch: int = BATCH,
    ) -> None:
        if batch < 1:
            raise ValueError(f"a batch must have at least one row, not {batch}")
        self._finished = _Heap("prune_finished", finished_older_than, batch)
        self._dead = _Heap("prune_dead", dead_older_than, batch)

    def prune_batch(self, connections: Executes) -> bool:
        """Delete at most a batch of each of the two; whether more of that age may be left."""
        return any([self._finished.prune_batch(connections), self._dead.prune_batch(connections)])

    @property
    def pruned(self) -> Pruned:
        """What went so far."""
        return Pruned(self._finished.gone, self._dead.gone)


class _Heap:
    """One table's rows, of which those older than `age` go, the oldest first."""

    def __init__(self, statement: str, age: timedelta | None, batch: int) -> None:
        if age is not None and age < timedelta(0):
            raise ValueError(f"an age must not be negative, but it is {age}")
        self._statement = statement
        self._age = age
        self._batch = batch
        self._floor: datetime | None = None  # no batch walks over what the batches before it have deleted
        self.gone = 0

    def prune_batch(self, connections: Executes) -> bool:
        if self._age is None:
            return False
        ((count, newest),) = connections.execute(
            sql(self._statement), {"age": self._age, "floor": self._floor, "batch": self._batch}
        )
        self.gone += count
        more = bool(count == self._batch)
        self._floor = newest if more else None
        return more
