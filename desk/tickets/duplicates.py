"""Open tickets that say the same: nearly the same meaning and many of the same words, within some days.

A hint to agents, never an act. Meaning alone would flag every ticket about the same subject, words alone every ticket
from the same form; where both name numbers, one of them must be the same: two orders are two problems.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from uuid import UUID

from desk import database
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import problem_vectors, store, vectors
from desk.tickets.offers import masking
from desk.tickets.own_words import own_words
from desk.tickets.problem_vectors import Near
from desk.tickets.store import Ticket

DAYS = 7  # between the two tickets
NEAREST = 250  # near tickets that are read: after so many that say something else, those further off do as well
CHUNK = 50  # of them at once, at first; then twice as many each time
REMEMBERED = 2_000  # tickets' words by the process
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
        others, size = islice((one for one in nearest if one.ticket_id != ticket.id), NEAREST), CHUNK
        found: list[Duplicate] = []
        while len(found) < MOST and (chunk := list(islice(others, size))):  # all that follow are further off
            near = {one.ticket_id: one for one in chunk}
            cursor.execute(
                statement("desk.tickets", "open_problems"),
                {"organization_id": ticket.organization_id, "ticket_id": ticket.id, "ids": list(near), "days": DAYS},
            )
            found += _duplicates(ticket, near, cursor.fetchall())
            size *= 2
    return sorted(found, key=lambda one: (-one.similarity, one.ticket_id))[:MOST]


def _duplicates(
    ticket: Ticket, near: dict[UUID, Near], rows: list[tuple[UUID, str, str, str | None, int]]
) -> list[Duplicate]:
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
    return found


def is_duplicate(one: Duplicate) -> bool:
    """Whether meaning and words are near enough. Pure."""
    similarity, shared = SAME_REQUESTER if one.same_requester else STRANGERS
    return one.similarity >= similarity and one.shared_words >= shared


def shared_words(one: str, other: str) -> float:
    """Words of three letters and more that both have, as a share of those that either has; 0 where both name numbers
    and none of them is the same. Pure."""
    (references, words), (other_references, other_words) = _said(one), _said(other)
    if references and other_references and references.isdisjoint(other_references):
        return 0.0
    either = words | other_words
    return len(words & other_words) / len(either) if either else 0.0


@lru_cache(maxsize=REMEMBERED)
def _said(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The numbers that a text names, and its words."""
    text = text.lower()
    return frozenset(_REFERENCE.findall(text)), frozenset(_WORD.findall(text))


def is_same_person(one: str | None, other: str | None) -> bool:
    """Whether two requesters are one: the same address, or the same name where one has none. Pure."""
    if not one or not other:
        return False
    addresses = [masking.email_of(name) for name in (one, other)]
    if all(addresses):
        return addresses[0] == addresses[1]
    plain = [" ".join(name.split("<")[0].casefold().split()) for name in (one, other)]
    return bool(plain[0]) and plain[0] == plain[1]
