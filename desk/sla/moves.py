"""Moving the clocks of open tickets to what was published: asked for with the publication, done by a job.

Promises: what is left of a move is what is still to be done, so a job that was killed goes on, two of them share, and
no ticket is moved twice. Batches are short transactions; a ticket that somebody is changing is left for later, and
waited for at the end.
"""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import database
from desk.errors import InvalidInput, NotFound
from desk.sql import statement

BATCH = 500  # tickets of one transaction: some hundred milliseconds in which their agents may have to wait


def request(connection: Connection, organization_id: UUID | str) -> UUID:
    """Ask that every open ticket of the organization moves to the newest versions; the job's message is sent with it.
    In the caller's transaction of that organization. Returns the move's id."""
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.sla", "request_move"), {"organization_id": organization_id})
        row = cursor.fetchone()
    assert row is not None
    return UUID(str(row[0]))


def run(organization_id: UUID | str, move_id: UUID | str, batch_size: int = BATCH) -> int:
    """Move what is left, each batch in a transaction of its own; how many tickets this call moved.

    Raises:
        InvalidInput: the id is none.
        NotFound: this organization has asked for no such move.
    """
    try:
        key = UUID(str(move_id))
    except ValueError:
        raise InvalidInput(f"move_id: {move_id!r} is no id.") from None
    moved, waits = 0, False
    while True:
        with database.transaction(organization_id) as connection, connection.cursor() as cursor:
            cursor.execute(
                "select set_config('jit', 'off', true), sla_move_batch(%s, %s, %s)", (key, batch_size, waits)
            )
            row = cursor.fetchone()
            batch = row[1] if row else 0
            if not batch and waits:
                cursor.execute(statement("desk.sla", "finish_move"), {"move_id": key})
                if cursor.fetchone() is None:
                    raise NotFound(f"There is no move {key}.")
                return moved
        moved, waits = moved + batch, not batch


def progress(connection: Connection, organization_id: UUID | str) -> list[dict[str, Any]]:
    """The moves of an organization, newest first: requested_at, tickets, left, finished_at (None while it runs)."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.sla", "moves"), {"organization_id": organization_id})
        return [dict(row) for row in cursor.fetchall()]
