"""What an organization has published, and taking back a calendar that nothing uses."""

from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.errors import InUse, NotFound
from desk.sql import statement


def calendars(connection: Connection, organization_id: UUID | str) -> list[dict[str, Any]]:
    """The calendars by name: newest version, time zone, its definition, how many current policies name it, and how many
    clocks run or stand by any of its versions. In the caller's transaction of that organization."""
    return _rows(connection, "calendars", organization_id)


def policies(connection: Connection, organization_id: UUID | str) -> list[dict[str, Any]]:
    """The policies in the order in which they are asked, newest versions, retired ones last; targets in seconds of
    business time. In the caller's transaction of that organization."""
    return _rows(connection, "policies", organization_id)


def delete_calendar(connection: Connection, organization_id: UUID | str, name: str) -> None:
    """Delete a calendar, and write so into the audit log. In the caller's transaction of that organization, which waits
    for whoever publishes there.

    Raises:
        NotFound: the organization has no such calendar.
        InUse: a current policy names it, or clocks count by it or have counted by it; one line that says which.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended('sla publish ' || %s, 0))", (str(organization_id),)
        )
        cursor.execute(
            statement("desk.sla", "calendar_uses"), {"organization_id": organization_id, "name": name.strip()}
        )
        row = cursor.fetchone()
        if row is None:
            known = ", ".join(found["name"] for found in calendars(connection, organization_id)) or "none"
            raise NotFound(f"There is no calendar {name!r}. There are: {known}.")
        calendar_id, by_policies, live, done = row
        if by_policies:
            named = " and ".join(repr(policy) for policy in by_policies)
            word = "policy" if len(by_policies) == 1 else "policies"
            raise InUse(
                f"Calendar {name!r} is in use: {word} {named} counts by it. Publish it with another, or retire it."
            )
        if live:
            raise InUse(f"Calendar {name!r} is in use: {_clocks(live)} of open tickets count by it.")
        if done:
            raise InUse(f"Calendar {name!r} is in use: it explains {_clocks(done)} of the past.")
        try:
            cursor.execute(statement("desk.sla", "delete_calendar"), {"calendar_id": calendar_id})
            cursor.execute("set constraints all immediate")
        except psycopg2.errors.ForeignKeyViolation:  # taken into use since we looked
            raise InUse(f"Calendar {name!r} is in use: clocks have just begun to count by it.") from None


def _clocks(count: int) -> str:
    return "1 clock" if count == 1 else f"{count:,} clocks"


def _rows(connection: Connection, name: str, organization_id: UUID | str) -> list[dict[str, Any]]:
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.sla", name), {"organization_id": organization_id})
        return [dict(row) for row in cursor.fetchall()]
