"""The end of what has been kept long enough, in small batches, each a transaction of its own.

Per organization and by its settings: finished messages, mails and posts that have ended, ticket events,
notifications, audit rows, hourly figures. For everybody: ticks, worker processes and sweeps long gone, finished
messages of no organization. Dead letters stay until a person retries or discards them.
"""

from dataclasses import dataclass
from uuid import UUID

from desk import database
from desk.sql import statement

BATCH = 5_000  # rows of one transaction: a fraction of a second of locks


@dataclass(frozen=True)
class Cleaned:
    """How many rows went, by what they were."""

    finished_messages: int
    ticket_events: int
    audit_rows: int
    deliveries: int = 0
    notifications: int = 0
    deflections: int = 0
    snapshots: int = 0


@dataclass(frozen=True)
class Swept:
    """How many rows of no organization went."""

    finished_messages: int
    ticks: int
    processes: int
    sweeps: int


def clean_up(organization_id: UUID) -> Cleaned:
    """Delete what `organization_settings` no longer wants kept. Stopped half-way, the rest goes at the next run."""
    return Cleaned(
        _delete("clean_finished", organization_id),
        _delete("clean_events", organization_id),
        _delete("clean_audit", organization_id),
        _delete("clean_dispatches", organization_id) + _delete("clean_dropped", organization_id),
        _delete("clean_notifications", organization_id),
        _delete("clean_deflections", organization_id),
        _delete("clean_snapshots", organization_id),
    )


def clean_up_shared() -> Swept:
    """Delete what belongs to no organization."""
    return Swept(
        _delete("clean_untenanted"), _delete("clean_slots"), _delete("clean_processes"), _delete("clean_sweeps")
    )


def _delete(name: str, organization_id: UUID | None = None) -> int:
    """Run one deletion until it finds less than a batch; how many rows it deleted."""
    total = 0
    while True:
        with database.transaction(organization_id) as connection, connection.cursor() as cursor:
            key = {"organization_id": organization_id, "tenant": str(organization_id), "batch": BATCH}
            cursor.execute(statement("desk.upkeep", name), key)
            deleted = cursor.rowcount
        total += deleted
        if deleted < BATCH:
            return total
