"""What agents told others with the same problem, fit to be told again: public replies of resolved tickets, masked.

Promises: tickets of the organization alone, resolved as of now; the last public reply of each, never an internal note;
without the personal data that `masking` finds, and without the names of everybody on that ticket.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.sql import statement
from desk.tickets.offers import drafting, masking, quoting
from desk.tickets.offers.drafting import Passage, ReplySource
from desk.tickets.own_words import own_words
from desk.tickets.similar import Similar

SAME_PROBLEM = 0.55  # cosine of two problems from which the answer to one may answer the other
MOST = 3  # tickets whose replies are looked at


@dataclass(frozen=True)
class Reply:
    """A reply on a resolved ticket. `text` is masked, `body` as it was written; `problem` the cosine of its ticket's
    problem and the question."""

    ticket_id: UUID
    message_id: UUID
    text: str
    body: str = field(repr=False)
    problem: float


def of(connection: Connection, organization_id: UUID, tickets: list[Similar]) -> Iterator[Reply]:
    """The replies of those of `tickets` that are near enough and resolved, nearest first; none where the organization
    does not want tickets to be quoted (`answers_from_tickets`). They are read in the caller's transaction, and masked
    when they are taken, which may be after it."""
    problems = {one.ticket_id: one.similarity for one in tickets if one.resolved_at and one.similarity >= SAME_PROBLEM}
    if not problems:
        return iter(())
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.offers", "replies"), {"organization_id": organization_id, "ids": list(problems)}
        )
        rows = cursor.fetchall()
    nearest = sorted(rows, key=lambda row: (-problems[row[0]], row[0]))[:MOST]
    return (
        Reply(
            ticket_id, message_id, drafting.answer_of(masking.mask(own_words(body), names)), body, problems[ticket_id]
        )
        for ticket_id, message_id, body, names in nearest
    )


def passages(reply: Reply) -> list[Passage]:
    """What of a reply can be quoted word for word."""
    source = ReplySource(str(reply.ticket_id), str(reply.message_id))
    return [
        passage
        for passage in drafting.passages(reply.text, source, reply.problem)
        if quoting.is_quoted(passage.text, reply.body)
    ]
