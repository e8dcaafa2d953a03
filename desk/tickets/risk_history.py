"""Reads what `risk.predict` needs: the ticket's resolution clock and the organization's closed tickets."""

from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.sql import statement
from desk.tickets import store
from desk.tickets.risk import Closed, Prediction, predict

NEWEST = 5_000  # closed tickets that count


def of_ticket(connection: Connection, organization_id: UUID | str, ticket_id: UUID | str) -> Prediction:
    """The prediction for one ticket, now; without a running clock a prediction that says so.

    Raises:
        NotFound: this organization has no such ticket.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    key = {"organization_id": ticket.organization_id, "ticket_id": ticket.id}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.tickets", "clock"), key)
        clock = cursor.fetchone()
    if clock is None:
        return Prediction(None, "no running clock: none has started")
    if clock["stopped"]:
        return Prediction(None, f"no running clock: it has stopped, {clock['state']}")
    if clock["state"] == "paused":
        return Prediction(None, "no running clock: it is paused")
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "closed_tickets"),
            {**key, "calendar_version_id": clock["calendar_version_id"], "newest": NEWEST},
        )
        history = [Closed(*row) for row in cursor.fetchall()]
    return predict(history, ticket.priority, ticket.category, clock["elapsed_seconds"], clock["target_seconds"])
