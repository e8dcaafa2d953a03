"""Arranging for the SLA tests: an office calendar, a policy, tickets moved at chosen instants."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.sla.policies import publish

DAYS = ("mon", "tue", "wed", "thu", "fri")
OFFICE = {"name": "Office", "timezone": "Europe/Berlin", "hours": {day: [["09:00", "17:00"]] for day in DAYS}}
SECONDS = {
    "first_response": {"urgent": 600, "high": 1200, "medium": 2400, "low": 4800},
    "next_response": {"urgent": 600, "high": 1200, "medium": 2400, "low": 4800},
    "resolution": {"urgent": 3600, "high": 7200, "medium": 14400, "low": 28800},
}
POLICY = {
    "name": "Standard",
    "default": True,
    "calendar": OFFICE,
    "targets_in": "seconds",
    "targets": SECONDS,
    "thresholds": [75, 90],
}
LONG_AGO = datetime(2015, 1, 1, tzinfo=UTC)


class Desk:
    """One organization's tickets, written as atum_worker would, at instants of the test's choosing."""

    def __init__(self, connection: Connection, organization_id: UUID) -> None:
        self.connection = connection
        self.id = organization_id

    def run(self, at: datetime | None, statement: str, parameters: Any = ()) -> list[tuple]:
        """A statement in one transaction of the organization, happening at an instant."""
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(
                """select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true),
                          set_config('app.at', %s, true)""",
                (str(self.id), at.isoformat() if at else ""),
            )
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def publish(self, policy: dict[str, Any]) -> None:
        self.run(None, "select 1")
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(
                "select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true)",
                (str(self.id),),
            )
            publish(self.connection, self.id, policy, covers_from=LONG_AGO)

    def ticket(self, at: datetime, **columns: Any) -> UUID:
        columns = {"organization_id": self.id, "subject": "It is dark", "created_at": at, **columns}
        names, holes = ", ".join(columns), ", ".join(["%s"] * len(columns))
        return self.run(at, f"insert into tickets ({names}) values ({holes}) returning id", tuple(columns.values()))[0][
            0
        ]

    def move(self, ticket: UUID, at: datetime, **columns: Any) -> None:
        changes = ", ".join(f"{name} = %s" for name in columns)
        self.run(at, f"update tickets set {changes} where id = %s", (*columns.values(), ticket))

    def say(self, ticket: UUID, at: datetime, who: str, is_public: bool = True) -> None:
        self.run(
            at,
            """insert into ticket_messages (organization_id, ticket_id, author_kind, body, is_public, created_at)
               values (%s, %s, %s, 'words', %s, %s)""",
            (self.id, ticket, who, is_public, at),
        )

    def clock(
        self, ticket: UUID, metric: str = "resolution", cycle: int = 1, at: datetime | None = None
    ) -> dict | None:
        """A clock as `ticket_sla` shows it at an instant; None where there is none."""
        names = "state, due_at, elapsed_seconds, target_seconds, breached, time_to_breach_minutes, percent_used, reason"
        rows = self.run(
            at,
            f"select {names} from ticket_sla where ticket_id = %s and metric = %s and cycle = %s",
            (ticket, metric, cycle),
        )
        return dict(zip(names.split(", "), rows[0], strict=True)) if rows else None

    def crossed(self, ticket: UUID, metric: str = "resolution", cycle: int = 1) -> list[tuple[int, datetime]]:
        return self.run(
            None,
            """select threshold, crossed_at from sla_crossings
                where ticket_id = %s and metric = %s and cycle = %s order by threshold""",
            (ticket, metric, cycle),
        )

    def told(self, ticket: UUID, metric: str = "resolution") -> list[int]:
        """The thresholds of the notifications about a ticket, in the order in which they were written."""
        return [
            row[0]
            for row in self.run(
                None,
                """select threshold from notifications
                    where ticket_id = %s and metric = %s order by created_at, threshold""",
                (ticket, metric),
            )
        ]
