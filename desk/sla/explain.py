"""Why a ticket is due when it is: every stretch of its clocks, open, closed or paused, with its reason."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.errors import NotFound
from desk.sql import statement


@dataclass(frozen=True)
class Stretch:
    """A stretch of a clock's life. `kind`: open (it counts), closed (outside hours) or paused. Seconds are real."""

    kind: str
    since: datetime
    until: datetime
    seconds: float
    reason: str


@dataclass(frozen=True)
class Explanation:
    """A clock as the view ticket_sla has it, whose calendar counts, what it crossed, and its stretches in order."""

    clock: dict[str, Any]
    calendar: str
    crossings: list[dict[str, Any]]
    stretches: list[Stretch]


def explain(connection: Connection, ticket_id: UUID | str) -> list[Explanation]:
    """Every clock of a ticket; [] when no policy holds for it. In the caller's transaction of its organization.

    Raises:
        NotFound: no such ticket, or another organization's.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute("select coalesce(nullif(current_setting('app.at', true), '')::timestamptz, "
                       "statement_timestamp()) as now from tickets where id = %s", (ticket_id,))  # fmt: skip
        found = cursor.fetchone()
        if found is None:
            raise NotFound(f"There is no ticket {ticket_id}.")
        cursor.execute(
            """select s.*, c.name || ' version ' || v.version as calendar
                 from ticket_sla s
                 left join calendar_versions v on v.id = s.calendar_version_id
                 left join calendars c on c.id = v.calendar_id
                where s.ticket_id = %s order by s.started_at, s.metric, s.cycle""",
            (ticket_id,),
        )
        clocks = [dict(row) for row in cursor.fetchall()]
        cursor.execute(
            """select metric, cycle, threshold, crossed_at, seen_at from sla_crossings
                where ticket_id = %s order by crossed_at, threshold""",
            (ticket_id,),
        )
        crossings = [dict(row) for row in cursor.fetchall()]
        cursor.execute(statement("desk.sla", "explain_spans"), {"ticket_id": ticket_id, "now": found["now"]})
        spans = [dict(row) for row in cursor.fetchall()]
    explanations = []
    for clock in clocks:
        calendar = clock.pop("calendar") or "24×7"
        key = (clock["metric"], clock["cycle"])
        explanations.append(
            Explanation(
                clock,
                calendar,
                [
                    {name: crossing[name] for name in ("threshold", "crossed_at", "seen_at")}
                    for crossing in crossings
                    if (crossing["metric"], crossing["cycle"]) == key
                ],
                [_stretch(span, calendar) for span in spans if (span["metric"], span["cycle"]) == key],
            )
        )
    return explanations


def _stretch(span: dict[str, Any], calendar: str) -> Stretch:
    reasons = {
        "open": f"running, {calendar}",
        "closed": f"outside the hours of {calendar}",
        "paused": f"status {span['status']}",
    }
    seconds = (span["until"] - span["since"]).total_seconds()
    return Stretch(span["kind"], span["since"], span["until"], seconds, reasons[span["kind"]])
