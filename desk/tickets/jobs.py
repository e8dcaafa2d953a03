"""What each ticket job finds out, before anything is written: models run here, outside the transaction that writes.

Each raises `NotFound` for a ticket that does not exist, `ModelUnavailable` where it needs the model and there is none.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk import database, language_model, log, organizations
from desk.errors import ModelUnavailable
from desk.kb import Hit, embedding, search
from desk.language_model import LanguageModelFailed
from desk.sql import statement
from desk.tickets import duplicates, similar, store, vectors
from desk.tickets.duplicates import Duplicate
from desk.tickets.mood import sentiment
from desk.tickets.mood.sentiment import Sentiment
from desk.tickets.offers import drafting, masking, passage_vectors, quoting, replies, wording
from desk.tickets.offers.checking import NotUsable
from desk.tickets.offers.wording import Citations
from desk.tickets.once import Once
from desk.tickets.own_words import own_words
from desk.tickets.store import Ticket
from desk.tickets.triage import categories, examples, explaining, rule_versions, triage_models
from desk.tickets.triage import triaging as rules
from desk.tickets.triage.explaining import Explanation
from desk.tickets.triage.triaging import Triage
from desk.tickets.vectors import Vectors

ASKED = 1_000  # characters of a ticket that are searched for
CITED = "cited passages"  # how a draft is made, and an explanation below
EVIDENCE = "evidence"
LEAST_WORDS = 3  # of a message, to be read and answered
REPLIES_OF = 10  # similar tickets among which resolved ones are looked for

SEARCHES = 256  # that a process remembers
# A search serves both jobs of a ticket, each once: who comes again wants to know what has changed. Less than the pause
# before `offer_again`, so that what it sends never sees a search from before the change.
SHARED_SECONDS = 5.0

logger = log.get(__name__)


@dataclass(frozen=True)
class _Searched:
    """The articles that a search found, when (by the database's clock, by this process's), and the jobs that had it."""

    hits: list[Hit]
    at: datetime
    clock: float
    had_by: set[str] = field(default_factory=set)

    def serves(self, job: str) -> bool:
        return job not in self.had_by and time.monotonic() - self.clock < SHARED_SECONDS


_searches: Once[tuple[UUID, UUID, int, str], _Searched] = Once(SEARCHES)


def triage(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, Triage, str]:
    """The ticket, what triage found about it, and the name of the model that it used."""
    with _reading(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)
        active = triage_models.active_versions(connection, ticket.organization_id)
        own_rules = rule_versions.newest(connection, ticket.organization_id)
        with connection.cursor() as cursor:
            cursor.execute(
                "select triage_applies_above, suggest_from from organization_settings where organization_id = %s",
                (ticket.organization_id,),
            )
            applies_above, suggest_from = cursor.fetchone() or (None, rules.SUGGEST_FROM)
    if not ticket.text.strip():
        return ticket, Triage("abstained", "the ticket has no text", "none"), embedding.model_name()
    known = examples.of(ticket.organization_id, active)
    text = _text(ticket)
    vector = vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, text)
    triaged = partial(
        rules.triage, text, vector, known, applies_above, suggest_from, requester=ticket.requester, rules=own_rules
    )
    found = triaged()
    if rules.may_be_described(found):
        found = triaged(described=categories.described(ticket.organization_id))
    if found.category and not _in_use(ticket.organization_id, "category", found.category):
        found = rules.withdraw(found, f"the likeliest category, {found.category}, is not in use any more")
    # Of a stored model: those of the rules have no confidence, and are nobody's labels.
    if found.intent_confidence is not None and not _in_use(ticket.organization_id, "intent", str(found.intent)):
        found = rules.withdraw_intent(found)
    return ticket, found, embedding.model_name()


def suggestions(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, list[dict[str, Any]], datetime]:
    """The ticket, up to three public articles for it, the best first, and when they were searched."""
    ticket, _, hits, searched_at = _search(organization_id, ticket_id, "suggestions")
    return ticket, [suggestion(hit) for hit in hits], searched_at


def suggestion(hit: Hit) -> dict[str, Any]:
    """What of a hit is offered: the article as it was found, its heading, some words of it."""
    return {
        "article_id": hit.article_id,
        "article_revision": hit.revision,
        "heading": _heading(hit),
        "excerpt": hit.excerpt,
        "score": float(hit.score),
    }


def draft(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, str | None, list[dict[str, Any]]]:
    """The ticket, a draft of a reply to it (None where nothing is relevant) and the draft's citations."""
    ticket, wanted, hits, _ = _search(organization_id, ticket_id, "draft")
    if not wanted:
        return ticket, None, []
    problem = vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, _text(ticket))
    with _reading(organization_id) as connection:
        name = organizations.name_of(connection, organization_id)
        chunks = _chunks(connection, ticket.organization_id, hits)
        resolved = similar.nearest(
            connection, ticket.organization_id, problem, top=REPLIES_OF, itself=ticket.id, answered_only=True
        )
        answers = replies.of(connection, ticket.organization_id, resolved)
    found = [
        passage
        for hit in hits
        for passage in drafting.passages(
            hit.passage,
            drafting.Source(str(hit.article_id), hit.revision, hit.title, _heading(hit), chunks.get(hit.article_id)),
        )
        if quoting.is_quoted(passage.text, hit.passage)
    ]
    for reply in answers:
        found += replies.passages(reply)
    if not found:
        return ticket, None, []
    chosen = drafting.choose(found, passage_vectors.of([passage.text for passage in found]), _vector(ticket, wanted))
    if not chosen:
        return ticket, None, []
    return ticket, *drafting.compose(chosen, ticket.requester, name)


def word(ticket: Ticket, body: str | None, citations: Citations) -> tuple[str | None, Citations, str]:
    """A draft in a language model's words where the organization wants that: body, citations and the method.

    Whatever goes wrong with the model, the draft stays as it was, and the method says why.
    """
    if not body or not wording.to_word(citations) or not _wants(ticket.organization_id, "draft"):
        return body, citations, CITED
    with _reading(ticket.organization_id) as connection:
        name = organizations.name_of(connection, ticket.organization_id)
        wanted = _masked(ticket, _unanswered(connection, ticket))
    try:
        answer = language_model.ask(wording.SYSTEM, wording.question(wanted, citations), wording.SCHEMA)
        body, citations = wording.letter(answer, citations, ticket.requester, name)
    except (LanguageModelFailed, NotUsable) as error:
        logger.warning("language_model_not_used", job="draft", reason=str(error))
        return body, citations, f"{CITED}; {language_model.name()} was not used: {error}"
    return body, citations, f"{CITED}, worded by {language_model.name()}"


def explanation(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, Explanation | None]:
    """The ticket and why triage gives it its category, by a language model where the organization wants that; None
    where triage gives none to the ticket as it is now."""
    with _reading(organization_id) as connection, connection.cursor() as cursor:
        ticket = store.get(connection, organization_id, ticket_id)
        key = {"organization_id": ticket.organization_id, "ticket_id": ticket.id, "revision": ticket.revision}
        cursor.execute(statement("desk.tickets", "explained"), key)
        row = cursor.fetchone()
    if row is None:
        return ticket, None
    category, confidence, evidence, labels = row
    labels = sorted({category, *labels})
    plain = explaining.plain(category, confidence, evidence)
    if not _wants(ticket.organization_id, "triage"):
        return ticket, Explanation(category, None, plain, EVIDENCE)
    said = _masked(ticket, question(ticket))
    try:
        answer = language_model.ask(
            explaining.SYSTEM,
            explaining.question(said, category, confidence, evidence, labels),
            explaining.schema(labels),
        )
        opinion, text = explaining.read(answer, said, plain, labels)
    except (LanguageModelFailed, NotUsable) as error:
        logger.warning("language_model_not_used", job="triage", reason=str(error))
        method = f"{EVIDENCE}; {language_model.name()} was not used: {error}"
        return ticket, Explanation(category, None, plain, method)
    return ticket, Explanation(category, opinion, text, f"{EVIDENCE}, worded by {language_model.name()}")


def mood(organization_id: UUID | str, ticket_id: UUID | str) -> tuple[Ticket, Sentiment, int | None]:
    """The ticket, its sentiment, and the number of the customer's message that it was read from: the last one that has
    words of its own; None: from the ticket's own text."""
    with _reading(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)
        said = _last_said(connection, ticket)
    text, message_seq = said or (ticket.text, None)

    def vector_of(words: str) -> Vectors | None:
        try:
            if said is None:  # triage has its vector, or will have it from here
                return vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, _text(ticket))
            return embedding.embed([words[: vectors.LONGEST]])[0]
        except ModelUnavailable:  # moods are read without a model, too
            return None

    return ticket, sentiment.read(text, ticket.language, vector_of), message_seq


def same(ticket: Ticket) -> list[Duplicate] | None:
    """Other open tickets that may say the same; None where the organization does not want to know, or nobody can tell
    without a model."""
    with database.transaction(ticket.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select duplicates from organization_settings where organization_id = %s", (ticket.organization_id,)
        )
        row = cursor.fetchone()
    if not row or not row[0]:
        return None
    try:
        return duplicates.of(ticket)
    except ModelUnavailable as error:
        logger.warning("no_duplicates_without_a_model", reason=str(error))
        return None


def question(ticket: Ticket) -> str:
    """What is searched for: the subject and the customer's own words; "" where there are none."""
    return asked(ticket.subject, ticket.body)


def asked(subject: str, body: str) -> str:
    """As `question`, of what is no ticket yet."""
    return f"{subject}\n\n{own_words(body)}".replace("\x00", " ").strip()[:ASKED]


def _search(organization_id: UUID | str, ticket_id: UUID | str, job: str) -> tuple[Ticket, str, list[Hit], datetime]:
    """The ticket, what is to be answered, the articles that may, and when they were searched: now, or a moment ago for
    the other job of the ticket."""
    with _reading(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute("select clock_timestamp()")
        (searched_at,) = cursor.fetchone()
        ticket = store.get(connection, organization_id, ticket_id)
        wanted = _unanswered(connection, ticket)
    if not wanted:
        return ticket, wanted, [], searched_at
    key = (ticket.organization_id, ticket.id, ticket.revision, wanted)
    found = _searches.get(key, lambda: _searched(ticket, wanted, searched_at), lambda found: found.serves(job))
    found.had_by.add(job)
    return ticket, wanted, found.hits, found.at


def _searched(ticket: Ticket, wanted: str, at: datetime) -> _Searched:
    clock = time.monotonic()
    known: Vectors | None = None
    with suppress(ModelUnavailable):  # outside the transaction that searches
        known = _vector(ticket, wanted)

    def embed(model: str, texts: list[str]) -> Vectors:
        if known is None or model != embedding.model_name():
            return embedding.embed_with(model, texts)
        return known[None, :]

    with _reading(ticket.organization_id) as connection:
        return _Searched(search(connection, ticket.organization_id, wanted, top=3, embed=embed), at, clock)


def _vector(ticket: Ticket, wanted: str) -> Vectors:
    """The vector of what is to be answered: the ticket's own, unless the customer has said something since."""
    if wanted == question(ticket):
        return vectors.of_ticket(ticket.organization_id, ticket.id, ticket.revision, _text(ticket))
    return embedding.embed([wanted])[0]


def _text(ticket: Ticket) -> str:
    return vectors.text_of(ticket.subject, ticket.body)


def _in_use(organization_id: UUID, what: Literal["category", "intent"], label: str) -> bool:
    """Whether people still use this label: a model may have learnt it from tickets that are labelled anew since."""
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets", f"{what}_in_use"), {"organization_id": organization_id, what: label})
        return bool(cursor.fetchone()[0])  # type: ignore[index]  # one row


def _unanswered(connection: Connection, ticket: Ticket) -> str:
    """What is to be answered: what the customer said last, below the subject; "" where there are no words."""
    said = _last_said(connection, ticket)
    return asked(ticket.subject, said[0]) if said else question(ticket)


def _last_said(connection: Connection, ticket: Ticket) -> tuple[str, int] | None:
    """The customer's last message that has words of its own, and its number; None where there is none."""
    with connection.cursor() as cursor:
        key = {"organization_id": ticket.organization_id, "ticket_id": ticket.id}
        cursor.execute(statement("desk.tickets", "last_said"), key)
        return next(((body, seq) for seq, body in cursor.fetchall() if _says_something(body)), None)


def _chunks(connection: Connection, organization_id: UUID, hits: list[Hit]) -> dict[UUID, int]:
    """Which chunk of its article each hit's passage is; none where the article was indexed anew meanwhile."""
    if not hits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "chunks_of_passages"),
            {
                "organization_id": organization_id,
                "articles": [hit.article_id for hit in hits],
                "passages": [hit.passage for hit in hits],
            },
        )
        return dict(cursor.fetchall())


def _wants(organization_id: UUID, what: str) -> bool:
    """Whether there is a language model and the organization lets it do `what`."""
    if not language_model.is_configured():
        return False
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select %s = any(llm) from organization_settings where organization_id = %s", (what, organization_id)
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _masked(ticket: Ticket, words: str) -> str:
    """What of a ticket's words may leave the house: those without personal data."""
    return masking.mask(words, [name for name in (ticket.requester, ticket.assignee) if name])


def _says_something(body: str) -> bool:
    """Whether a message has words of its own in which something could be: "ok" and a signature have none."""
    return len(own_words(body).split()) >= LEAST_WORDS


def _reading(organization_id: UUID | str) -> Any:
    return database.transaction(organizations.identifier(organization_id, "organization"))


def _heading(hit: Hit) -> str:
    return " › ".join(hit.heading_path)
