"""Vectors of tickets: packed as bytes, stored per ticket and model, made where they are missing.

Works on a Postgres without pgvector. A vector that was made twice is stored once. The one transaction in which a model
runs is that of a single ticket, which holds nothing but the lock that keeps other processes from the same work.

A vector counts while its revision is the ticket's own. One vector of a ticket serves all its jobs: `text_of` says what
it is the vector of.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import UUID

import numpy as np
import psycopg2
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from desk import database
from desk.errors import ModelUnavailable
from desk.kb import embedding
from desk.sql import statement
from desk.tickets.once import Once
from desk.tickets.own_words import own_words

Vectors = NDArray[np.float32]

BATCH = 256  # tickets between two short transactions
LONGEST = 4_000  # characters that are given to the model, which reads some 1,000 of them
LOOKED_AT = 8_000  # characters of a body among which the customer's own words are looked for
REMEMBERED = 1_000  # vectors of single tickets by the process: 2 MB
PATIENCE = "5s"  # of waiting for another process to make a vector: it takes some 25 ms

_known: Once[tuple[UUID, UUID, str, int], Vectors] = Once(REMEMBERED)


def pack(vector: Vectors) -> bytes:
    """A vector as the column holds it: float16, little-endian."""
    return np.asarray(vector, dtype="<f2").tobytes()


def unpack(packed: bytes | memoryview, count: int) -> Vectors:
    """`count` vectors from their bytes one after the other, as float32 of length 1."""
    found = np.frombuffer(packed, dtype="<f2").astype(np.float32).reshape(count, -1)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def text_of(subject: str, body: str) -> str:
    """What of a ticket is embedded: the subject and the customer's own words; the body as it is where none are left."""
    body = body[:LOOKED_AT]
    return f"{subject}\n\n{own_words(body) or body}".strip()[:LONGEST]


def of_ticket(organization_id: UUID, ticket_id: UUID, revision: int, text: str) -> Vectors:
    """The vector of one ticket, stored or made now (and stored by `keep`). `text` is what `text_of` says. Ask outside a
    transaction: other threads may be at it."""
    key = (organization_id, ticket_id, embedding.model_name(), revision)
    return _known.get(key, lambda: _stored_or_made(organization_id, ticket_id, revision, text))


def _stored_or_made(organization_id: UUID, ticket_id: UUID, revision: int, text: str) -> Vectors:
    with suppress(ModelUnavailable):  # a stored vector does not need it
        embedding.warm_up()  # which may take seconds, here rather than under the lock
    try:
        # Jobs of one ticket in two processes would both embed it, and a burst would cost twice the work.
        with database.transaction(organization_id) as connection:
            _lock(connection, ticket_id)
            stored = _stored(connection, organization_id, ticket_id, revision)
            if stored is None:
                stored = embedding.embed([text])[0]
                _keep(connection, organization_id, [(ticket_id, revision)], stored[None, :])
    except psycopg2.errors.LockNotAvailable:  # the other process is stopped, or very slow
        stored = embedding.embed([text])[0]
        keep(organization_id, [(ticket_id, revision)], stored[None, :])
    return stored


def _stored(connection: Connection, organization_id: UUID, ticket_id: UUID, revision: int) -> Vectors | None:
    with connection.cursor() as cursor:
        cursor.execute(
            """select vector from ticket_embeddings
                where organization_id = %s and ticket_id = %s and model = %s and revision = %s""",
            (organization_id, ticket_id, embedding.model_name(), revision),
        )
        row = cursor.fetchone()
    return unpack(row[0], 1)[0] if row else None


def _lock(connection: Connection, ticket_id: UUID) -> None:
    """Wait until no other transaction makes this ticket's vector, PATIENCE at the most."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select set_config('lock_timeout', %s, true),"
            " pg_advisory_xact_lock(hashtextextended('ticket vector ' || %s, 0))",
            (PATIENCE, str(ticket_id)),
        )


def embed_missing(
    organization_id: UUID, *, newest: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Make the vectors that the `newest` labelled tickets lack; how many.

    `on_progress` gets how many are done and how many there are in all. What was stored stays, whatever comes after.

    Raises:
        ModelUnavailable: there is no model.
    """
    missing = list(_missing(organization_id, newest))
    on_progress(0, len(missing))
    for start in range(0, len(missing), BATCH):
        batch = missing[start : start + BATCH]
        found = embedding.embed([text_of(subject, body) for *_, subject, body in batch])
        keep(organization_id, [(ticket_id, revision) for ticket_id, revision, *_ in batch], found)
        on_progress(start + len(batch), len(missing))
    return len(missing)


def _missing(organization_id: UUID, newest: int) -> Iterator[tuple[UUID, int, str, str]]:
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "missing_vectors"),
            {
                "organization_id": organization_id,
                "model": embedding.model_name(),
                "newest": newest,
                "longest": LOOKED_AT,
            },
        )
        yield from cursor.fetchall()


def keep(organization_id: UUID, tickets: list[tuple[UUID, int]], found: Vectors) -> None:
    """Store the vectors of tickets, given as (id, revision)."""
    if tickets:
        with database.transaction(organization_id) as connection:
            _keep(connection, organization_id, tickets, found)


def _keep(connection: Connection, organization_id: UUID, tickets: list[tuple[UUID, int]], found: Vectors) -> None:
    model = embedding.model_name()
    values = [
        (organization_id, ticket_id, model, revision, pack(vector))
        for (ticket_id, revision), vector in zip(tickets, found, strict=True)
    ]
    values.sort(key=lambda value: value[1])  # two workers lock the same rows in the same order
    with connection.cursor() as cursor:
        execute_values(cursor, statement("desk.tickets", "store_vectors"), values, page_size=BATCH)
