"""The share of promises that were kept, per metric and priority."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.sql import statement

COLUMNS = ("metric", "priority", "clocks", "met", "breached", "open", "share_met")


def report(connection: Connection, organization_id: UUID | str, since: datetime | None = None) -> list[dict[str, Any]]:
    """One row per metric and priority, of clocks that started at `since` or later; `share_met` is None before any is
    decided. In the caller's transaction of that organization.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.sla", "report"), {"organization_id": organization_id, "since": since})
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in cursor.fetchall()]
    return [{**row, "share_met": None if row["share_met"] is None else float(row["share_met"])} for row in rows]
