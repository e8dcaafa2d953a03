"""All that the jobs have found out about a ticket, as one document for people and programs."""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.sql import statement
from desk.tickets import similar, store
from desk.tickets.offers import offering

PARTS = ("triage", "sentiment", "prediction")


def of(connection: Connection, organization_id: UUID, ticket_id: UUID | str) -> dict[str, Any]:
    """The ticket, its triage with evidence, suggestions, draft, sentiment, prediction and possible duplicates, inside
    the caller's transaction of the organization. A part that no job has made yet is None; `current` is false where the
    ticket's text, or a source, has changed since. Instants are aware.

    Raises:
        NotFound: there is no such ticket.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        key = {"organization_id": organization_id, "ticket_id": ticket.id, "revision": ticket.revision}
        cursor.execute(statement("desk.tickets", "findings"), key)
        row: dict[str, Any] = cursor.fetchone()  # type: ignore[assignment]  # one row, whatever there is
    return {
        "ticket": {name: value for name, value in vars(ticket).items() if name not in ("organization_id", "read_at")},
        **{part: row[part] for part in PARTS},
        "suggestions": offering.suggestions(connection, organization_id, ticket.id),
        "draft": offering.draft(connection, organization_id, ticket.id),
        "duplicates": similar.flagged(connection, organization_id, ticket.id),
    }
