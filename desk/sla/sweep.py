"""The sweep: record what clocks have crossed, once, and tell it.

Promises: each crossing is recorded once by its primary key, with its notification and the message that delivers it, in
one transaction per batch; any number of sweeps at once share the work; a sweep that was missed for a day or killed
half-way is caught up by the next. Cost follows the crossings, not the open tickets.

Fails: with the first error of the database, after it has swept the organizations that can be swept.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil
from time import monotonic
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.sql import statement

BATCH_SIZE = 1000  # clocks of one transaction: locks are held for some hundred milliseconds at the most
CLOCKS_PER_HELPER = 5_000  # what one worker records in about a second is not worth another's start
MOST_HELPERS = 7

# jit would compile this statement for longer than it runs.
_AS_ORGANIZATION = """
    select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true),
           set_config('jit', 'off', true)"""


@dataclass(frozen=True)
class Sweep:
    """What a sweep found and did. Counts are of all organizations."""

    processed: int
    """Clocks that run."""
    skipped_null_sla: int
    """Accepted, open tickets without a clock: no policy matches them."""
    skipped_paused: int
    """Clocks that stand still."""
    crossings: int = 0
    """Thresholds that this sweep recorded."""
    seconds_late_p50: float | None = None
    """Median of the seconds between crossing and sweep; None without crossings."""
    seconds_late_p99: float | None = None

    def __str__(self) -> str:
        return (
            f"SLA Worker Summary: processed={self.processed}, "
            f"skipped_null_sla={self.skipped_null_sla}, skipped_paused={self.skipped_paused}"
        )


def sweep(connection: Connection, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> Sweep:
    """Record every crossing of every organization until `now` (default: the database's clock, anew for each batch).

    Commits after each batch, and what the caller had open on `connection`. What was found is kept in `sla_sweeps`.
    """
    began = monotonic()
    late = record(connection, now, batch_size)
    with connection, connection.cursor() as cursor:
        cursor.execute("select running, without_clock, paused from sla_census()")
        running, without_clock, paused = cursor.fetchone() or (0, 0, 0)
        found = Sweep(running, without_clock, paused, len(late), _quantile(late, 0.5), _quantile(late, 0.99))
        cursor.execute(statement("desk.sla", "keep_sweep"), {"seconds": monotonic() - began, **asdict(found)})
    return found


def record(connection: Connection, now: datetime | None = None, batch_size: int = BATCH_SIZE) -> list[float]:
    """A sweep's work without its summary, for whoever helps with a burst: how late each crossing was that this call
    recorded, in seconds. Any number of these share the clocks; each goes on until it finds none that is free."""
    late: list[float] = []
    failure: Exception | None = None
    with connection, connection.cursor() as cursor:
        cursor.execute("select sla_organizations_due(coalesce(%s, now()))", (now,))
        due: list[UUID] = [row[0] for row in cursor.fetchall()]
    for organization_id in due:
        try:
            while True:
                claimed, seconds = _batch(connection, organization_id, now, batch_size)
                late += seconds
                if claimed == 0 or not seconds:  # nothing is left, or nothing moves
                    break
        except Exception as error:
            failure = failure or error  # the others must not wait for this one
    if failure is not None:
        raise failure
    return late


def recount(connection: Connection) -> None:
    """Count the summary's figures anew: they are kept by triggers, which somebody may have switched off for a while."""
    with connection.cursor() as cursor:
        cursor.execute("select sla_recount()")


def helpers_wanted(connection: Connection, now: datetime | None = None) -> int:
    """How many more should `record` at the same time: none in a usual minute, some when a burst crosses at once."""
    with connection, connection.cursor() as cursor:
        most = CLOCKS_PER_HELPER * (MOST_HELPERS + 1)
        cursor.execute("select sla_backlog(coalesce(%s, now()), %s)", (now, most))
        (clocks,) = cursor.fetchone() or (0,)
    return min(MOST_HELPERS, max(0, clocks - 1) // CLOCKS_PER_HELPER)


def _batch(
    connection: Connection, organization_id: UUID, now: datetime | None, batch_size: int
) -> tuple[int, list[float]]:
    """One transaction: how many clocks were in hand, and how late each recorded crossing was, in seconds."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_AS_ORGANIZATION, (str(organization_id),))
        cursor.execute(statement("desk.sla", "sweep"), {"now": now, "batch_size": batch_size})
        rows = cursor.fetchall()
    claimed = rows[0][0] if rows else 0
    return claimed, [(seen - crossed).total_seconds() for _, crossed, seen in rows if crossed is not None]


def _quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of the values do not exceed."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]
