"""What leaves at once, a mail or a post: taken in hand by one message at a time, and what became of it.

No transaction stays open while a server is talked to. In the database each ends once; a mail or a post that left, and
whose worker died before it could say so, leaves again under the same id.
"""

from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import organizations
from desk.errors import NotFound
from desk.notices.mail import Mail
from desk.notices.webhook import Post, body_of
from desk.notices.wording import MOST_LINES, Letter, Line
from desk.sql import statement

NOTHING_TO_TELL = "the tickets were deleted meanwhile"
CLAIM_SECONDS = 300  # longer than any attempt may take; the broker gives a dead worker's message to another much sooner


def take_mail(connection: Connection, organization_id: UUID, dispatch_id: UUID | str, by: UUID | str) -> Mail | None:
    """The mail, in hand of the message `by` from the end of the caller's transaction on.

    None where another message has it or it has left, and where its tickets have been deleted: then it is dropped.

    Raises:
        NotFound: there is none.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        row = _take(cursor, "mail", dispatch_id, by)
        if row is None:
            return None
        which = {"organization_id": organization_id, "id": row["id"], "agent": row["agent"], "limit": MOST_LINES}
        cursor.execute(statement("desk.notices", "letter_head"), which)
        head = cursor.fetchone()
        if head is None or not head["counts"]:
            end(connection, row["id"], by, "dropped", NOTHING_TO_TELL)
            return None
        cursor.execute(statement("desk.notices", "letter_lines"), which)
        found = cursor.fetchall()
    lines = [
        Line(
            line["kind"], line["subject"], line["metric"], line["threshold"], line["priority"], line["due_at"],
            line["ticket_id"], line["status"],
        )
        for line in found
    ]  # fmt: skip
    letter = Letter(head["organization"], head["timezone"], head["now"], head["counts"], lines)
    return Mail(row["id"], row["address"], head["mail_from"], row["created_at"], letter)


def take_post(connection: Connection, organization_id: UUID, dispatch_id: UUID | str, by: UUID | str) -> Post | None:
    """The post, likewise; also dropped where its webhook has been taken out of the settings, or is off.

    Raises:
        NotFound: there is none.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        row = _take(cursor, "webhook", dispatch_id, by)
        if row is None:
            return None
        cursor.execute(statement("desk.notices", "post"), {"organization_id": organization_id, "id": row["id"]})
        notice = cursor.fetchone()
    if notice is None or notice["url"] is None:
        why = NOTHING_TO_TELL if notice is None else "the settings changed meanwhile"
        end(connection, row["id"], by, "dropped", why)
        return None
    return Post(row["id"], row["address"], notice["url"], notice["secret"], body_of(dict(notice)))


def end(connection: Connection, dispatch_id: UUID | str, by: UUID | str, state: str, error: str | None = None) -> bool:
    """Write down what became of what the message `by` has in hand: sent, dead, dropped, or waiting to be tried again.

    False: another message has taken it over meanwhile, and nothing was written.
    """
    with connection.cursor() as cursor:
        what = {"id": dispatch_id, "by": by, "state": state, "error": error}
        cursor.execute(statement("desk.notices", "end"), what)
        return cursor.fetchone() is not None


def _take(cursor: RealDictCursor, channel: str, dispatch_id: UUID | str, by: UUID | str) -> dict | None:
    key = organizations.identifier(dispatch_id, channel)
    cursor.execute(statement("desk.notices", "take"), {"id": key, "by": UUID(str(by)), "claim_seconds": CLAIM_SECONDS})
    row = cursor.fetchone()
    if row is None:
        cursor.execute("select from dispatches where id = %s and channel = %s", (key, channel))
        if cursor.rowcount == 0:
            raise NotFound(f"There is no {channel} {key}.")
    return row
