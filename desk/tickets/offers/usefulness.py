"""Whether what was offered helped: votes on suggested articles, what became of drafts, tickets that were not sent."""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.sql import statement

GONE_MINUTES = 60  # who has not sent a ticket an hour after something was offered will not


def figures(connection: Connection, organization_id: UUID, days: int = 30, top: int = 20) -> dict[str, Any]:
    """Counts of the last `days`, and under `articles` up to `top` that were voted on, those first that helped least.

    `not_submitted` counts what was offered before a ticket more than an hour ago without a ticket having been sent.
    """
    key = {"organization_id": organization_id, "days": days, "gone_minutes": GONE_MINUTES, "top": top}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.tickets.offers", "usefulness"), key)
        found = dict(cursor.fetchone() or {})
        cursor.execute(statement("desk.tickets.offers", "voted_articles"), key)
        return found | {"days": days, "articles": [dict(row) for row in cursor.fetchall()]}
