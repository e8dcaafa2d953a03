"""What is offered for a ticket, as it stands: suggestions with their votes, the draft and what became of it.

Each call works inside the caller's transaction of the organization, and raises `NotFound` for a ticket that is not its.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import organizations
from desk.errors import InvalidInput, NotFound, Outdated
from desk.sql import statement
from desk.tickets import store

OUTCOMES = ("used", "edited", "discarded")
LONGEST_NAME = 500  # characters of who voted or decided
MOST = 200  # tickets that are looked at again in one go, for each of the two jobs
DAYS = 14  # age of a ticket up to which articles are looked for again after none was found
PAUSE_SECONDS = 60  # before the next go, where there are more


def again(connection: Connection, organization_id: UUID) -> int:
    """Send the jobs of open tickets for which the articles may offer something else by now. Where there may be more, a
    message for a later go is sent as well. Returns how many messages were asked for."""
    with connection.cursor() as cursor:
        key = {"organization_id": organization_id, "most": MOST, "days": DAYS}
        cursor.execute(statement("desk.tickets.offers", "offer_again"), key)
        (sent,) = cursor.fetchone()  # type: ignore[misc]  # an aggregate has one row
        if sent >= MOST:
            cursor.execute(
                "select pgbroker.enqueue('offer_again', args => jsonb_build_array(%(id)s::uuid), queue => 'tickets',"
                " delay => make_interval(secs => %(pause)s), unique_key => 'offer_again:later:' || %(id)s::uuid,"
                " tenant => %(id)s::uuid::text)",
                {"id": organization_id, "pause": PAUSE_SECONDS},
            )
    return sent


def suggestions(connection: Connection, organization_id: UUID, ticket_id: UUID | str) -> dict[str, Any]:
    """The articles suggested for a ticket, best first; `made_at` is None where nobody has looked yet.

    `current` is false where an article, or the ticket, has changed since and is looked at again.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    key = {"organization_id": organization_id, "ticket_id": ticket.id}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            "select made_at, ticket_revision, articles from suggestion_runs"
            " where organization_id = %(organization_id)s and ticket_id = %(ticket_id)s",
            key,
        )
        run = cursor.fetchone() or {"made_at": None, "ticket_revision": None, "articles": 0}
        cursor.execute(statement("desk.tickets.offers", "suggestions"), key)
        found = [dict(row) for row in cursor.fetchall()]
    return {
        "ticket_id": ticket.id,
        "made_at": run["made_at"],
        "current": run["ticket_revision"] == ticket.revision
        and len(found) == run["articles"]  # one that was hidden or deleted is left out
        and all(row["current"] for row in found),
        "articles": found,
    }


def vote(
    connection: Connection,
    organization_id: UUID,
    ticket_id: UUID | str,
    article_id: UUID | str,
    *,
    voter: str,
    helpful: bool,
    article_revision: int | None = None,
) -> int:
    """Keep whether a suggested article helped; a second vote of the same voter replaces the first. Returns the revision
    that was voted on; `article_revision` names an earlier one that the voter saw.

    Raises:
        NotFound: there is no such ticket, or that article (in that revision) was not suggested for it.
        InvalidInput: the voter has no name, or one that cannot be stored.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    values = {
        "organization_id": organization_id,
        "ticket_id": ticket.id,
        "article_id": organizations.identifier(article_id, "article"),
        "article_revision": article_revision,
        "voter": _name("voter", voter),
        "helpful": helpful,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.offers", "keep_vote"), values)
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"The article {article_id} is not suggested for this ticket, or not in that revision.")
    return row[0]


def draft(connection: Connection, organization_id: UUID, ticket_id: UUID | str) -> dict[str, Any]:
    """The draft for a ticket: `body` with `citations`, or the `reason` why there is none.

    `current` is false where a source or the ticket has changed since. `outcome` is what an agent did with it, None
    where nobody has decided. `made_at` is None where no draft was tried yet.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        key = {"organization_id": organization_id, "ticket_id": ticket.id}
        cursor.execute(statement("desk.tickets.offers", "draft"), key)
        row = cursor.fetchone()
    if row is None:
        return {"ticket_id": ticket.id, "body": None, "citations": [], "reason": "not tried yet", "made_at": None}
    found = dict(row)
    revision, stale = found.pop("revision"), found.pop("stale")
    return {"ticket_id": ticket.id, "current": revision == ticket.revision and not stale} | found


def decide(
    connection: Connection,
    organization_id: UUID,
    ticket_id: UUID | str,
    *,
    outcome: str,
    agent: str,
    made_at: datetime | None = None,
) -> None:
    """Keep what an agent did with the draft of a ticket; one that was decided on is not made anew.

    `made_at` is that of the draft which the agent saw; None: whichever there is.

    Raises:
        NotFound: there is no such ticket, or no draft for it.
        Outdated: the draft made at `made_at` has been replaced.
        InvalidInput: `outcome` is none of `OUTCOMES`, or the agent has no name.
    """
    store.check_choice("outcome", outcome, OUTCOMES)
    ticket = store.get(connection, organization_id, ticket_id)
    values = {
        "organization_id": organization_id,
        "ticket_id": ticket.id,
        "outcome": outcome,
        "agent": _name("agent", agent),
        "made_at": made_at,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.offers", "keep_draft_outcome"), values)
        if cursor.rowcount:
            return
    now = draft(connection, organization_id, ticket.id)["made_at"]
    if made_at is None or now is None or now == made_at:
        raise NotFound(f"There is no draft for the ticket {ticket.id}.")
    raise Outdated(
        f"The draft of {made_at.isoformat()} was replaced by that of {now.isoformat()}. Read it and decide anew."
    )


def _name(field: str, value: str) -> str:
    store.check_text(field, value, LONGEST_NAME)
    if not value.strip():
        raise InvalidInput(f"{field} must not be empty")
    return value.strip()
