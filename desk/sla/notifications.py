"""Delivering a notification: into the inbox of whom it is for, and on the ways out that are wanted, once."""

from dataclasses import dataclass
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.errors import InvalidInput, NotFound
from desk.notices.plan import Way, ways_out
from desk.sql import statement


@dataclass(frozen=True)
class Delivered:
    """A notification that its recipient can see now. `again`: it had been delivered before; nobody is told twice.

    `ways`: how many mails and posts are to follow.
    """

    kind: str
    recipient: str | None
    ticket_id: str | None
    metric: str | None
    threshold: int | None
    again: bool
    ways: int = 0


def deliver(connection: Connection, notification_id: UUID | str) -> Delivered:
    """Deliver a notification, in the caller's transaction of its organization.

    It is in the inbox when that commits, whatever becomes of its mails and posts: those have messages of their own,
    sent in the same transaction, the first time.

    Raises:
        NotFound: it does not exist, or its ticket was deleted since.
        InvalidInput: the id is none.
    """
    try:
        key = UUID(str(notification_id))
    except ValueError:
        raise InvalidInput(f"notification_id: {notification_id!r} is no id.") from None
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.notices", "deliverable"), {"id": key})
        notice = cursor.fetchone()
        if notice is None:
            raise NotFound(f"There is no notification {key}; its ticket may have been deleted.")
        cursor.execute(
            """update notifications set attempts = attempts + 1, delivered_at = coalesce(delivered_at, happening_at())
                where id = %s""",
            (key,),
        )
        ways = [] if notice["again"] else ways_out(notice, notice["at"])
        if ways:
            planned = {"id": key, "gather_seconds": notice["gather_seconds"], "ways": Json([_row(way) for way in ways])}
            cursor.execute(statement("desk.notices", "plan"), planned)
    told = {name: notice[name] for name in ("kind", "recipient", "ticket_id", "metric", "threshold", "again")}
    return Delivered(**told, ways=len(ways))


def _row(way: Way) -> dict[str, str | None]:
    return {
        "channel": way.channel,
        "address": way.address,
        "agent": way.agent,
        "held_until": way.held_until.isoformat() if way.held_until else None,
        "dispatch_id": str(way.dispatch_id) if way.dispatch_id else None,
    }
