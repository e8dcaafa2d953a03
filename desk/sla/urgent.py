"""What is due next: the clocks of an organization that breach first, or have breached and still run."""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.errors import InvalidInput
from desk.sql import statement

USUAL = 50
MOST = 1_000


def urgent(connection: Connection, organization_id: UUID | str, limit: int = USUAL) -> list[dict[str, Any]]:
    """The `limit` most urgent running clocks, the earliest deadline first, with their tickets' subject and assignee.

    `time_to_breach_minutes` by the wall clock and `business_minutes_left` by the calendar are those of this moment;
    negative: late. In the caller's transaction of that organization.

    Raises:
        InvalidInput: `limit` is not 1 to 1,000.
    """
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit: {limit} is not between 1 and {MOST:,}.")
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.sla", "urgent"), {"organization_id": organization_id, "limit": limit})
        return [dict(row) for row in cursor.fetchall()]
