"""The share of promises that were kept, per metric and whatever else one asks by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.errors import InvalidInput
from desk.sql import statement

BY = ("priority", "agent", "category", "week")
FIGURES = ("clocks", "met", "breached", "open", "share_met", "share_met_with_pauses")


def columns(by: Sequence[str]) -> tuple[str, ...]:
    """The keys of the rows of a report by these."""
    return ("metric", *(name for name in BY if name in by), *FIGURES)


def report(
    connection: Connection,
    organization_id: UUID | str,
    since: datetime | None = None,
    by: Sequence[str] = ("priority",),
) -> list[dict[str, Any]]:
    """One row per metric and each value of `by`, of clocks that started at `since` or later. In the caller's
    transaction of that organization.

    `agent` and `category` are the ticket's now, `week` is the Monday (in the organization's zone) of the week in which
    the clock started. `share_met` and `share_met_with_pauses` are None before any clock is decided; the second counts
    the time in which clocks stood as used.

    Raises:
        InvalidInput: it cannot be grouped so.
    """
    if unknown := [name for name in by if name not in BY]:
        raise InvalidInput(f"by: {unknown[0]!r} is unknown; known are {', '.join(BY)}.")
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            statement("desk.sla", "report"), {"organization_id": organization_id, "since": since, "by": list(by)}
        )
        return [{name: row[name] for name in columns(by)} for row in cursor.fetchall()]
