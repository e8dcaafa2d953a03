"""Delivering a notification: into the inbox of whom it is for, once."""

from dataclasses import dataclass
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.errors import InvalidInput, NotFound


@dataclass(frozen=True)
class Delivered:
    """A notification that its recipient can see now. `again`: it had been delivered before; nobody is told twice."""

    kind: str
    recipient: str | None
    ticket_id: str | None
    metric: str | None
    threshold: int | None
    again: bool


def deliver(connection: Connection, notification_id: UUID | str) -> Delivered:
    """Deliver a notification, in the caller's transaction of its organization.

    Raises:
        NotFound: it does not exist, or its ticket was deleted since.
        InvalidInput: the id is none.
    """
    try:
        key = UUID(str(notification_id))
    except ValueError:
        raise InvalidInput(f"notification_id: {notification_id!r} is no id.") from None
    with connection.cursor() as cursor:
        cursor.execute("select delivered_at is not null from notifications where id = %s for no key update", (key,))
        row = cursor.fetchone()
        if row is None:
            raise NotFound(f"There is no notification {key}; its ticket may have been deleted.")
        cursor.execute(
            """update notifications set attempts = attempts + 1, delivered_at = coalesce(delivered_at, happening_at())
                where id = %s
            returning kind, recipient, ticket_id::text, metric, threshold""",
            (key,),
        )
        found = cursor.fetchone()
    assert found is not None
    kind, recipient, ticket_id, metric, threshold = found
    return Delivered(kind, recipient, ticket_id, metric, threshold, again=row[0])
