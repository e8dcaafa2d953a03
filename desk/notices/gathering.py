"""Gathering the mails of one recipient: what waits becomes one mail, so that a burst is told once.

A burst is what crosses at once, as when a desk opens; a mail server that is away makes one as well: while a mail to a
recipient cannot leave, whatever else comes for the same one waits, and leaves as one mail behind it.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.sql import statement

PATIENCE_SECONDS = 600  # for the rest of a burst; then what is there is told
AGAIN_SECONDS = 5
AGAIN_WHILE_FAILING_SECONDS = 60
FORGET_SECONDS = 3_600  # a mail that was not tried for so long holds up nobody: its message may have been discarded


@dataclass(frozen=True)
class Gathered:
    """What became of a recipient's waiting deliveries: `later` says why they wait on, `told` are in a mail now."""

    later: Literal["a mail before it cannot leave", "more is on the way"] | None = None
    mail_id: UUID | None = None
    told: int = 0
    dropped: int = 0


def gather(connection: Connection, organization_id: UUID, address: str, agent: str | None) -> Gathered:
    """Make one mail of what waits for an agent (None: the queue) at an address, in the caller's transaction of that
    organization, and send the message that carries it; or look again later."""
    who = {"organization_id": organization_id, "address": address, "agent": agent}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            statement("desk.notices", "waiting"),
            who | {"patience_seconds": PATIENCE_SECONDS, "forget_seconds": FORGET_SECONDS},
        )
        waiting = cursor.fetchone()
        assert waiting is not None
        if not waiting["ready"]:
            return Gathered()
        if waiting["failing"] or waiting["on_the_way"]:
            seconds = AGAIN_WHILE_FAILING_SECONDS if waiting["failing"] else AGAIN_SECONDS
            cursor.execute(statement("desk.notices", "gather_later"), who | {"seconds": seconds})
            return Gathered("a mail before it cannot leave" if waiting["failing"] else "more is on the way")
        cursor.execute(statement("desk.notices", "gather"), who)
        found = cursor.fetchone()
        assert found is not None
    return Gathered(None, found["id"], found["told"], found["dropped"])
