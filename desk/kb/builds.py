"""Models beside the active one: begun, listed, switched to, given up. `building` makes their vectors.

Promises: search reads the active model's vectors until all of the other's are there; a switch and a way back are one
update each, which the database refuses where a vector is missing; edits are embedded for every model that is listed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection as Connection

from desk import database
from desk.errors import InvalidInput, ModelUnavailable, NotFound
from desk.kb import embedding, models
from desk.sql import statement

MOST_ATTEMPTS = 5  # of a text that a model fails on
LATE_PRIORITY = 100  # behind every edit


@dataclass(frozen=True)
class ModelState:
    """A model of an organization's and its vectors, counted in the tables. `state`: active, building, held (complete,
    but search was worse with it), kept (complete: `use` switches to it at once).

    `per_second`: vectors made in the last two minutes; `seconds_left` from that, None where nothing moves.
    """

    name: str
    dimensions: int
    state: str
    chunks: int
    vectors: int
    failed: int
    per_second: float
    started_at: datetime | None
    ended_at: datetime | None
    note: str | None
    quality: dict[str, Any] | None

    @property
    def coverage(self) -> float:
        """Share of the distinct chunks that have a vector; 1 where there is none."""
        return self.vectors / self.chunks if self.chunks else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Until the last vector is made, at the pace of the last two minutes."""
        missing = self.chunks - self.vectors
        return missing / self.per_second if missing and self.per_second else None


def listed(connection: Connection, organization_id: UUID) -> list[ModelState]:
    """The active model, then those beside it; `connection` is inside a transaction of the organization."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.kb", "models" if models.has_vectors(connection) else "models_without_vectors"),
            {"organization_id": organization_id, "most": MOST_ATTEMPTS},
        )
        return [ModelState(*row) for row in cursor.fetchall()]


def start(connection: Connection, organization_id: UUID, name: str, dimensions: int, *, activate: bool = True) -> None:
    """Have every chunk embedded by the model `name` beside the active one, and the model activated then if search is
    not worse with it. Goes on where it was if that has begun before. Sends the message in this transaction.

    `dimensions`: of its vectors, as `embedding.dimensions` found them.

    Raises:
        InvalidInput: it is the active model already, or there is no pgvector.
        ModelUnavailable: under this name vectors of another size are known.
    """
    if not models.has_vectors(connection):
        raise InvalidInput("This database has no pgvector: install it and run `atum init`.")
    with connection.cursor() as cursor:
        cursor.execute("select lock_vectors(%s)", (organization_id,))  # what ends now switches before, or sees this
        cursor.execute(
            "insert into models (name, dimensions, state) values (%s, %s, 'retired') on conflict (name) do nothing",
            (name, dimensions),
        )
        cursor.execute("select id, dimensions from models where name = %s", (name,))
        model_id, known = cursor.fetchone()  # type: ignore[misc]  # it is there now
        if known != dimensions:
            raise ModelUnavailable(
                f"The model {name} is known with {known} numbers a text, its files here make {dimensions}."
            )
        if models.active_id(connection) == model_id:
            raise InvalidInput(f"{name} is the active model already.")
        cursor.execute(
            "insert into model_builds (organization_id, model_id, activates) values (%s, %s, %s)"
            " on conflict (organization_id, model_id) do update set state = 'building', activates = excluded.activates,"
            " started_at = now(), ended_at = null, replaced_at = null, note = null, quality = null",
            (organization_id, model_id, activate),
        )
        cursor.execute(
            "delete from embedding_failures where organization_id = %s and model_id = %s", (organization_id, model_id)
        )
    send(connection, organization_id, model_id)


def use(connection: Connection, organization_id: UUID, name: str) -> None:
    """Let search read the vectors of `name` from this transaction's commit on. The model that was active stays at hand;
    one that is being built is kept when it is complete, not switched to: this is the last word.

    Raises:
        NotFound: this organization has no such model.
        InvalidInput: its vectors are not complete.
    """
    model_id = _known(connection, organization_id, name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select lock_vectors(%s)", (organization_id,))
            cursor.execute(
                "update organization_settings set embed_model_id = %s where organization_id = %s",
                (model_id, organization_id),
            )
            cursor.execute(
                "update model_builds set activates = false where organization_id = %s and state = 'building'",
                (organization_id,),
            )
    except psycopg2.errors.ObjectNotInPrerequisiteState as error:
        reason = error.diag.message_primary
        raise InvalidInput(f"{reason}: search stays as it is. `atum kb reindex --model {name}` makes them.") from None


def cancel(connection: Connection, organization_id: UUID, name: str) -> None:
    """Give a model beside the active one up, with its vectors.

    Raises:
        NotFound: this organization has no such model.
        InvalidInput: it is the active one.
    """
    model_id = _known(connection, organization_id, name)
    if models.active_id(connection) == model_id:
        raise InvalidInput(f"{name} is the active model. Switch to another first: `atum kb use NAME`.")
    drop(connection, organization_id, model_id)


def drop(connection: Connection, organization_id: UUID, model_id: int) -> None:
    """Forget a model that is not active: its entry, its failures and its vectors."""
    with connection.cursor() as cursor:
        cursor.execute("select lock_vectors(%s)", (organization_id,))
        for table in ("model_builds", "embedding_failures", "embeddings"):
            cursor.execute(
                f"delete from {table} where organization_id = %s and model_id = %s",  # noqa: S608  names of ours
                (organization_id, model_id),
            )


def send(connection: Connection, organization_id: UUID, model_id: int, delay_seconds: float = 0) -> None:
    """Send the message that makes the vectors, or more of them; one that waits already is not doubled."""
    later = ":later" if delay_seconds else ""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pgbroker.enqueue('build_model', args => jsonb_build_array(%(id)s::uuid, %(model)s::int),"
            " queue => 'kb', priority => %(priority)s, delay => make_interval(secs => %(delay)s),"
            " unique_key => %(key)s, tenant => %(id)s::uuid::text)",
            {
                "id": organization_id,
                "model": model_id,
                "priority": LATE_PRIORITY,
                "delay": delay_seconds,
                "key": f"build_model{later}:{organization_id}:{model_id}",
            },
        )


def send_where_incomplete(organization_id: UUID) -> int:
    """Send the message of each model beside the active one that lacks vectors which can be made. Returns how many."""
    with database.transaction(organization_id) as connection:
        return send_incomplete(connection, organization_id) if models.has_vectors(connection) else 0


def send_incomplete(connection: Connection, organization_id: UUID) -> int:
    """As `send_where_incomplete`, in a transaction of the caller's, where there is pgvector."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.kb", "incomplete_models"), {"organization_id": organization_id, "most": MOST_ATTEMPTS}
        )
        lacking = [model_id for (model_id,) in cursor.fetchall()]
    for model_id in lacking:
        send(connection, organization_id, model_id)
    return len(lacking)


def check(name: str) -> int:
    """Run the model `name` once. Returns how many numbers its vectors have.

    Raises:
        ModelUnavailable: it is not on this machine, damaged, or reads less than a chunk.
    """
    return embedding.dimensions(name)


def _known(connection: Connection, organization_id: UUID, name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from models m where name = %s and (id = chosen_model(%s) or exists (select from model_builds b"
            " where b.organization_id = %s and b.model_id = m.id))",
            (name.replace("\x00", ""), organization_id, organization_id),
        )
        row = cursor.fetchone()
    if row is None:
        there = ", ".join(one.name for one in listed(connection, organization_id))
        raise NotFound(f"There are no vectors of a model {name[:200]!r} here. There are those of: {there}.")
    return row[0]
