"""Open periods of calendars, worked out ahead for SQL. Run nightly; clocks that lacked a deadline get theirs then."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from desk.sla.calendar import Calendar
from desk.sql import statement

HISTORY_YEARS = 10  # a ticket that is imported may be old
AHEAD = timedelta(days=2 * 365 + 31)


def write_periods(
    cursor: Cursor,
    organization_id: UUID | str,
    version_id: UUID | str,
    calendar: Calendar,
    start: datetime,
    end: datetime,
    open_seconds_before: int = 0,
) -> int:
    """Write the open periods between two instants (whole seconds); how many there were."""
    rows = []
    for opens_at, closes_at in calendar.periods(start, end):
        rows.append((organization_id, version_id, opens_at, closes_at, open_seconds_before))
        open_seconds_before += int((closes_at - opens_at).total_seconds())
    execute_values(
        cursor,
        """insert into calendar_periods
               (organization_id, calendar_version_id, opens_at, closes_at, open_seconds_before) values %s""",
        rows,
        page_size=1000,
    )
    return len(rows)


def extend(connection: Connection, organization_id: UUID | str, until: datetime | None = None) -> int:
    """Work out the calendars of an organization until `until` (default: `AHEAD` from now); how many periods are new.

    In the caller's transaction of that organization. Covers the newest version of each calendar and those on which
    clocks still run; safe to run twice and by two at once.
    """
    until = (until or datetime.now(UTC) + AHEAD).replace(hour=0, minute=0, second=0, microsecond=0)
    written = 0
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.sla", "calendars_to_extend"), {"organization_id": organization_id, "until": until}
        )
        for version_id, definition, covered_to, open_seconds in cursor.fetchall():
            calendar = Calendar.from_dict(definition)
            written += write_periods(cursor, organization_id, version_id, calendar, covered_to, until, open_seconds)
            cursor.execute("update calendar_versions set covered_to = %s where id = %s", (until, version_id))
            cursor.execute(statement("desk.sla", "aim_again"), {"calendar_version_id": version_id})
    return written
