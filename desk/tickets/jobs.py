"""What each ticket job finds out, before anything is written. Models run here, outside any transaction.

Each raises `NotFound` for a ticket that does not exist, `ModelUnavailable` where it needs the model and there is none.
"""

from typing import Any
from uuid import UUID

from desk import database, organizations
from desk.errors import ModelUnavailable
from desk.kb import Hit, embedding, search
from desk.tickets import drafting, examples, sentiment, store, vectors
from desk.tickets import triage as rules
from desk.tickets.own_words import own_words
from desk.tickets.sentiment import Sentiment
from desk.tickets.store import Ticket
from desk.tickets.triage import Triage

ASKED = 1_000  # characters of a ticket that are searched for


def triage(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, Triage, str]:
    """The ticket, what triage found about it, and the name of the model that it used."""
    with _reading(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)
        with connection.cursor() as cursor:
            cursor.execute(
                "select triage_applies_above from organization_settings where organization_id = %s",
                (ticket.organization_id,),
            )
            (applies_above,) = cursor.fetchone() or (None,)
    if not ticket.text.strip():
        return ticket, Triage("abstained", "the ticket has no text", "none"), embedding.model_name()
    known = examples.of(ticket.organization_id)
    vector = vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, ticket.text)
    return ticket, rules.triage(ticket.text, vector, known, applies_above), embedding.model_name()


def suggestions(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, list[dict[str, Any]]]:
    """The ticket and up to three public articles for it, the best first."""
    ticket, hits = _search(organization_id, ticket_id)
    return ticket, [
        {
            "article_id": hit.article_id,
            "article_revision": hit.revision,
            "heading": _heading(hit),
            "excerpt": hit.excerpt,
            "score": float(hit.score),
        }
        for hit in hits
    ]


def draft(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, str | None, list[dict[str, Any]]]:
    """The ticket, a draft of a reply to it (None where nothing is relevant) and the draft's citations."""
    ticket, hits = _search(organization_id, ticket_id)
    found = [
        passage
        for hit in hits
        for passage in drafting.passages(
            hit.passage, drafting.Source(str(hit.article_id), hit.revision, hit.title, _heading(hit))
        )
    ]
    if not found:
        return ticket, None, []
    embedded = embedding.embed([question(ticket), *(passage.text for passage in found)])
    chosen = drafting.choose(found, embedded[1:], embedded[0])
    if not chosen:
        return ticket, None, []
    with _reading(organization_id) as connection:
        name = organizations.name_of(connection, organization_id)
    return ticket, *drafting.compose(chosen, ticket.requester, name)


def mood(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, Sentiment]:
    """The ticket and its sentiment."""
    with _reading(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)

    def vector_of(words: str) -> vectors.Vectors | None:
        try:
            if words == ticket.text:  # as most tickets: triage has its vector, or will have it from here
                return vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, words)
            return embedding.embed([words[: vectors.LONGEST]])[0]
        except ModelUnavailable:  # moods are read without a model, too
            return None

    return ticket, sentiment.read(ticket.text, ticket.language, vector_of)


def question(ticket: Ticket) -> str:
    """What is searched for: the subject and the customer's own words."""
    return f"{ticket.subject}\n\n{own_words(ticket.body)}".strip()[:ASKED]


def _search(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, list[Hit]]:
    with _reading(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)
        return ticket, search(connection, ticket.organization_id, question(ticket), top=3)


def _reading(organization_id: UUID | str) -> Any:
    return database.transaction(organizations.identifier(organization_id, "organization"))


def _heading(hit: Hit) -> str:
    return " › ".join(hit.heading_path)
