"""Tickets with the same problem, resolved ones first, and what helped then.

Promises: tickets of the organization alone, each as it reads now, never the one that is asked about; nothing where
nothing is near. Problem and answer are embedded apart: an answer that mentions a word does not make its problem
similar. Only public answers of agents count, no internal notes. Vectors are of the configured model, as triage's are.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor, execute_values

from desk import database, organizations
from desk.errors import InvalidInput
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import problem_vectors, store, vectors
from desk.tickets.own_words import own_words
from desk.tickets.problem_vectors import Near

NEWEST = 20_000  # resolved tickets that are indexed
CHUNK = 50  # near tickets that are read at once, at first; then twice as many each time
BATCH = 64  # embedded between two commits
RUN_SECONDS = 120.0  # then the message is sent again
LEAST = 0.45  # cosine of two problems below which they are not the same
MOST = 50


@dataclass(frozen=True)
class Similar:
    """A ticket with a similar problem. `similarity` is the cosine of the problems; `resolution` the last public answer,
    None where there was none or it is not indexed yet; `helps` the cosine of the question and that answer."""

    ticket_id: UUID
    subject: str
    status: str
    resolved_at: datetime | None
    similarity: float
    resolution: str | None
    helps: float | None


def to_ticket(
    organization_id: UUID | str, ticket_id: UUID | str, *, top: int = 5, answered_only: bool = False
) -> list[Similar]:
    """Up to `top` tickets with the problem of this one, resolved ones first, nearest first within each;
    `answered_only`: of resolved ones whose answer is indexed (`index`), which stay quick to find among many others.

    Raises:
        NotFound: there is no such ticket.
        InvalidInput: `top` is not from 1 to 50.
        ModelUnavailable: there is no model.
    """
    organization = organizations.identifier(organization_id, "organization")
    with database.transaction(organization) as connection:
        ticket = store.get(connection, organization, ticket_id)
    vector = vectors.of_ticket(organization, ticket.id, ticket.revision, vectors.text_of(ticket.subject, ticket.body))
    with database.transaction(organization) as connection:
        return nearest(connection, organization, vector, top=top, itself=ticket.id, answered_only=answered_only)


def to_text(organization_id: UUID | str, text: str, *, top: int = 5, answered_only: bool = False) -> list[Similar]:
    """As `to_ticket`, for a problem that is no ticket yet.

    Raises:
        InvalidInput: the text is empty, or `top` is not from 1 to 50.
        ModelUnavailable: there is no model.
    """
    words = text.replace("\x00", " ").strip()
    if not words:
        raise InvalidInput("The problem is empty: say what is the matter.")
    organization = organizations.identifier(organization_id, "organization")
    vector = embedding.embed([words[: vectors.LONGEST]])[0]
    with database.transaction(organization) as connection:
        return nearest(connection, organization, vector, top=top, answered_only=answered_only)


def nearest(
    connection: Connection,
    organization: UUID,
    vector: vectors.Vectors,
    *,
    top: int,
    itself: UUID | None = None,
    answered_only: bool = False,
) -> list[Similar]:
    """As `to_ticket`, for a problem whose vector is there, in the caller's transaction; never the ticket `itself`.

    Raises:
        InvalidInput: `top` is not from 1 to 50.
    """
    if not 1 <= top <= MOST:
        raise InvalidInput(f"top must be from 1 to {MOST}, not {top}.")
    model = embedding.model_name()
    found: list[Similar] = []
    near = problem_vectors.near(connection, organization, model, vector, LEAST, answered_only)
    others, size = (one for one in near if one.ticket_id != itself), CHUNK
    # The nearest are read first, and no more than it takes: when `top` are resolved, all others are further off.
    while chunk := list(islice(others, size)):
        found += _as_they_are(connection, organization, model, chunk, vector, answered_only)
        if sum(one.resolved_at is not None for one in found) >= top:
            break
        size *= 2
    return sorted(found, key=lambda one: (one.resolved_at is None, -one.similarity, one.ticket_id))[:top]


def flagged(connection: Connection, organization_id: UUID, ticket_id: UUID | str) -> list[dict[str, Any]]:
    """Tickets that were flagged as possible duplicates of this one, older or newer, open ones first.

    Raises:
        NotFound: there is no such ticket.
    """
    ticket = store.get(connection, organization_id, ticket_id)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        key = {"organization_id": organization_id, "ticket_id": ticket.id}
        cursor.execute(statement("desk.tickets", "duplicates"), key)
        return [dict(row) for row in cursor.fetchall()]


def index(organization_id: UUID | str, run_seconds: float = RUN_SECONDS) -> tuple[int, bool]:
    """Embed problems and answers of resolved tickets that are not embedded as they are now. Returns how many tickets
    were done, and whether some may be left. Each batch is kept: what was done stays, whatever comes after.

    Raises:
        NotFound: there is no such organization.
        ModelUnavailable: there is no model.
    """
    organization = organizations.identifier(organization_id, "organization")
    with database.transaction(organization) as connection:
        organizations.name_of(connection, organization)
    done, ends_at = 0, time.monotonic() + run_seconds
    while time.monotonic() < ends_at:
        rows = _unindexed(organization)
        if not rows:
            return done, False
        problems = [(row[0], row[1], vectors.text_of(row[2], row[3])) for row in rows if row[4]]
        answers = [(row[0], row[5], row[7], own_words(row[6]) or row[6].strip()) for row in rows if row[5] is not None]
        made = embedding.embed(
            [text[: vectors.LONGEST] for text in [one[2] for one in problems] + [one[3] for one in answers]]
        )
        vectors.keep(organization, [(ticket, revision) for ticket, revision, _ in problems], made[: len(problems)])
        _keep(organization, answers, made[len(problems) :])
        done += len(rows)
    return done, True


def unindexed(connection: Connection, organization_id: UUID) -> bool:
    """Whether a resolved ticket waits to be embedded."""
    return bool(_rows(connection, organization_id, 1))


def send(connection: Connection, organization_id: UUID, delay_seconds: float = 0) -> None:
    """Send the message that embeds them; one that waits already is not doubled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pgbroker.enqueue('index_tickets', args => jsonb_build_array(%(id)s::uuid), queue => 'tickets',"
            " delay => make_interval(secs => %(delay)s), unique_key => %(key)s, tenant => %(id)s::uuid::text)",
            {
                "id": organization_id,
                "delay": delay_seconds,
                "key": f"index_tickets{':later' if delay_seconds else ''}:{organization_id}",
            },
        )


def _as_they_are(
    connection: Connection,
    organization: UUID,
    model: str,
    near: list[Near],
    vector: vectors.Vectors,
    answered_only: bool,
) -> list[Similar]:
    """Those of `near` that are there still and say what they said."""
    by_id = {one.ticket_id: one for one in near}
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "similar"),
            {"organization_id": organization, "model": model, "ids": list(by_id), "answered_only": answered_only},
        )
        rows = cursor.fetchall()
    return [
        Similar(
            ticket_id,
            subject,
            status,
            resolved_at,
            by_id[ticket_id].similarity,
            answer,
            float(vectors.unpack(packed, 1)[0] @ vector) if packed else None,
        )
        for ticket_id, subject, status, resolved_at, answer, packed, revision in rows
        if revision == by_id[ticket_id].revision
    ]


def _unindexed(organization: UUID) -> list[tuple[UUID, int, str, str, bool, int | None, str, str]]:
    with database.transaction(organization) as connection:
        return _rows(connection, organization, BATCH)


def _rows(
    connection: Connection, organization: UUID, batch: int
) -> list[tuple[UUID, int, str, str, bool, int | None, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "unindexed"),
            {"organization_id": organization, "model": embedding.model_name(), "newest": NEWEST, "batch": batch},
        )
        return cursor.fetchall()


def _keep(organization: UUID, answers: list[tuple[UUID, int, str, str]], made: vectors.Vectors) -> None:
    values = [
        (organization, ticket, embedding.model_name(), seq, text, vectors.pack(vector), md5)
        for (ticket, seq, md5, text), vector in zip(answers, made, strict=True)
    ]
    values.sort(key=lambda value: value[1])  # two workers lock the same rows in the same order
    if values:
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            execute_values(cursor, statement("desk.tickets", "keep_resolution"), values, page_size=BATCH)
