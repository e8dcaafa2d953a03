"""The inbox: what an agent, or the queue of tickets that nobody has, has been told."""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import organizations
from desk.errors import NotFound
from desk.sql import statement

USUAL = 50
MOST = 500


def inbox(
    connection: Connection, organization_id: UUID, agent: str | None, *, unread: bool = False, limit: int = USUAL
) -> list[dict[str, Any]]:
    """The newest notifications of an agent (None: the queue), in the caller's transaction of that organization."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        name = "inbox" if agent is not None else "inbox_of_queue"
        what = {"organization_id": organization_id, "agent": agent, "unread": unread, "limit": limit}
        cursor.execute(statement("desk.notices", name), what)
        return [dict(row) for row in cursor.fetchall()]


def mark_read(connection: Connection, notification_id: UUID | str) -> dict[str, Any]:
    """Note that a notification was read; the first time counts. In the caller's transaction of its organization.

    Raises:
        NotFound: there is none, or it has not been delivered yet.
    """
    key = organizations.identifier(notification_id, "notification")
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            """update notifications set read_at = coalesce(read_at, now()) where id = %s and delivered_at is not null
            returning id::text, read_at""",
            (key,),
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no notification {key} in an inbox.")
    return dict(row)
