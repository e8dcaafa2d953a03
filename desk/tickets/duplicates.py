"""Open tickets that say the same: nearly the same meaning and many of the same words, within some days.

A hint to agents, never an act. Meaning alone would flag every ticket about the same subject, words alone every ticket
from the same form; where both name numbers, one of them must be the same: two orders are two problems.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from desk import database
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import masking, problem_vectors, store, vectors
from desk.tickets.own_words import own_words
from desk.tickets.store import Ticket

DAYS = 7  # between the two tickets
NEWEST = 1_000  # near tickets that are read
MOST = 5  # that are flagged for one ticket
# Cosine and share of words from which a stranger's ticket is the same, and the same customer's.
STRANGERS = (0.85, 0.4)
SAME_REQUESTER = (0.8, 0.35)

_WORD = re.compile(r"[^\W_]{3,}")
_REFERENCE = re.compile(r"\b[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*\b")


@dataclass(frozen=True)
class Duplicate:
    """Another open ticket that may say the same; `similarity` is the texts' cosine, `shared_words` from 0 to 1."""

    ticket_id: UUID
    similarity: float
    shared_words: float
    same_requester: bool


def of(ticket: Ticket) -> list[Duplicate]:
    """Up to `MOST` other open tickets of the organization that may say the same as this one, nearest first.

    Raises:
        ModelUnavailable: the ticket has no vector yet, and there is no model.
    """
    if ticket.status in store.CLOSED or not own_words(ticket.text):
        return []
    text = vectors.text_of(ticket.subject, ticket.body)
    vector = vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, text)
    least = min(STRANGERS[0], SAME_REQUESTER[0])
    with database.transaction(ticket.organization_id) as connection, connection.cursor() as cursor:
        nearest = problem_vectors.near(connection, ticket.organization_id, embedding.model_name(), vector, least)
        near = {one.ticket_id: one for one in nearest[:NEWEST] if one.ticket_id != ticket.id}
        if not near:
            return []
        cursor.execute(
            statement("desk.tickets", "open_problems"),
            {"organization_id": ticket.organization_id, "ticket_id": ticket.id, "ids": list(near), "days": DAYS},
        )
        rows = cursor.fetchall()
    mine = f"{ticket.subject}\n{own_words(ticket.body)}"
    found = []
    for other_id, subject, body, requester, revision in rows:
        if revision != near[other_id].revision:
            continue
        shared = shared_words(mine, f"{subject}\n{own_words(body)}")
        one = Duplicate(
            other_id, near[other_id].similarity, round(shared, 4), is_same_person(ticket.requester, requester)
        )
        if is_duplicate(one):
            found.append(one)
    return sorted(found, key=lambda one: (-one.similarity, one.ticket_id))[:MOST]


def is_duplicate(one: Duplicate) -> bool:
    """Whether meaning and words are near enough. Pure."""
    similarity, shared = SAME_REQUESTER if one.same_requester else STRANGERS
    return one.similarity >= similarity and one.shared_words >= shared


def shared_words(one: str, other: str) -> float:
    """Words of three letters and more that both have, as a share of those that either has; 0 where both name numbers
    and none of them is the same. Pure."""
    references = [set(_REFERENCE.findall(text.lower())) for text in (one, other)]
    if all(references) and not references[0] & references[1]:
        return 0.0
    words = [set(_WORD.findall(text.lower())) for text in (one, other)]
    either = words[0] | words[1]
    return len(words[0] & words[1]) / len(either) if either else 0.0


def is_same_person(one: str | None, other: str | None) -> bool:
    """Whether two requesters are one: the same address, or the same name where one has none. Pure."""
    if not one or not other:
        return False
    addresses = [masking.email_of(name) for name in (one, other)]
    if all(addresses):
        return addresses[0] == addresses[1]
    plain = [" ".join(name.split("<")[0].casefold().split()) for name in (one, other)]
    return bool(plain[0]) and plain[0] == plain[1]
