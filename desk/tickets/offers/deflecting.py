"""What is offered to who is about to send a ticket: public articles, and an answer that ended the same problem.

Nothing of the question is kept: a count that something was shown, and later whether it was clicked and whether a ticket
was sent all the same. An answer from a ticket is told only where nothing personal had to be masked in it, and where the
public articles know every word with a capital, as names have; never in a script without capitals, where nobody can
tell.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk import database, log, organizations
from desk.errors import InvalidInput, ModelUnavailable, NotFound
from desk.kb import search
from desk.sql import statement
from desk.tickets import jobs, similar
from desk.tickets.offers import masking, replies

MOST_ARTICLES = 3
SAME_PROBLEM = 0.65  # cosine from which a stranger is told what helped somebody else
EVENTS = ("clicked", "submitted")

logger = log.get(__name__)


@dataclass(frozen=True)
class Offer:
    """`id` names the count that a click and a ticket are added to. `answers`: {"text", "similarity"}, at most one."""

    id: UUID
    articles: list[dict[str, Any]]
    answers: list[dict[str, Any]]


def offer(organization_id: UUID, subject: str, body: str) -> Offer:
    """Up to three public articles and an answer for what somebody is about to ask; empty lists where nothing fits.

    Raises:
        InvalidInput: there is no question: nothing but spaces, quotes or logs.
    """
    asked = jobs.asked(subject, body)
    if not asked:
        raise InvalidInput("There is no question: say what is the matter.")
    with database.transaction(organization_id) as connection:
        hits = search(connection, organization_id, asked, top=MOST_ARTICLES)
    articles = [
        jobs.suggestion(hit) | {"external_id": hit.external_id, "title": hit.title, "category": hit.category}
        for hit in hits
    ]
    answers = _answers(organization_id, asked)
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into deflections (organization_id, articles, answers) values (%s, %s, %s) returning id",
            (organization_id, len(articles), len(answers)),
        )
        (made,) = cursor.fetchone()  # type: ignore[misc]  # "returning" returns
    return Offer(made, articles, answers)


def note(connection: Connection, organization_id: UUID, offer_id: UUID | str, event: str) -> None:
    """Add to the count that the offer was clicked or that a ticket was submitted; the first time counts.

    Raises:
        NotFound: there is no such offer.
        InvalidInput: `event` is none of `EVENTS`.
    """
    if event not in EVENTS:
        raise InvalidInput(f"event {event[:40]!r} is none of {', '.join(EVENTS)}")
    key = {"organization_id": organization_id, "id": organizations.identifier(offer_id, "offer"), "event": event}
    with connection.cursor() as cursor:
        cursor.execute(
            """update deflections
                  set clicked_at = case when %(event)s = 'clicked' then coalesce(clicked_at, now()) else clicked_at end,
                      submitted_at = case when %(event)s = 'submitted' then coalesce(submitted_at, now())
                                          else submitted_at end
                where organization_id = %(organization_id)s and id = %(id)s""",
            key,
        )
        if cursor.rowcount == 0:
            raise NotFound(f"There is no offer with the id {key['id']}.")


def _answers(organization_id: UUID, asked: str) -> list[dict[str, Any]]:
    """The answer that ended the most similar problem, if it is near enough and nobody can be known by it."""
    try:
        resolved = similar.to_text(organization_id, asked, top=jobs.REPLIES_OF, answered_only=True)
    except ModelUnavailable as error:
        logger.warning("no_answers_without_a_model", reason=str(error))
        return []
    near = [one for one in resolved if one.similarity >= SAME_PROBLEM]
    with database.transaction(organization_id) as connection:
        found = replies.of(connection, organization_id, near)
    for reply in found:
        said = "\n\n".join(passage.text for passage in replies.passages(reply))
        if not said or masking.is_masked(said) or not masking.has_capitals(said):
            continue
        if not _unknown(organization_id, masking.capitalized(said)):
            return [{"text": said, "similarity": round(reply.problem, 4)}]
    return []


def _unknown(organization_id: UUID, words: list[str]) -> list[str]:
    """Those of `words` that stand in no public article of the organization, small words like "the" left out."""
    if not words:
        return []
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        key = {"organization_id": organization_id, "words": words}
        cursor.execute(statement("desk.tickets.offers", "unknown_words"), key)
        return [word for (word,) in cursor.fetchall()]
