"""The end of what has been kept long enough: finished messages and, kept longer, dead letters.

Nothing calls this by itself but a broker that was told how long to keep them. In batches, each a short transaction of
its own that waits for nobody, so that a million rows go while workers work, and any number of processes may prune at
once.
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
    """How many rows went, and whether some of that age are left."""

    finished: int
    dead: int
    more: bool


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
    finished = _Heap("prune_finished", finished_older_than, batch)
    dead = _Heap("prune_dead", dead_older_than, batch)
    for heap in (finished, dead):
        while heap.more:
            heap.prune(connections)
    return Pruned(finished.gone, dead.gone, False)


def prune_batch(
    connections: Executes,
    *,
    finished_older_than: timedelta | None = None,
    dead_older_than: timedelta | None = None,
    batch: int = BATCH,
) -> Pruned:
    """As `prune`, but one statement for each of the two, `batch` rows at the most."""
    finished = _Heap("prune_finished", finished_older_than, batch)
    dead = _Heap("prune_dead", dead_older_than, batch)
    for heap in (finished, dead):
        if heap.more:
            heap.prune(connections)
    return Pruned(finished.gone, dead.gone, finished.more or dead.more)


class _Heap:
    """One table's rows, of which those older than `age` go."""

    def __init__(self, statement: str, age: timedelta | None, batch: int) -> None:
        if age is not None and age < timedelta(0):
            raise ValueError(f"an age must not be negative, but it is {age}")
        if batch < 1:
            raise ValueError(f"a batch must have at least one row, not {batch}")
        self._statement = statement
        self._age = age
        self._batch = batch
        self._floor: datetime | None = None  # dead index entries below it are not walked again
        self.gone = 0
        self.more = age is not None

    def prune(self, connections: Executes) -> None:
        """Delete a batch, the oldest first."""
        ((count, newest),) = connections.execute(
            sql(self._statement), {"age": self._age, "floor": self._floor, "batch": self._batch}
        )
        self.gone += count
        self.more = count == self._batch
        self._floor = newest
