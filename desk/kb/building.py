"""The vectors of a model beside the active one: what is missing is made, then the model is judged and activated.

Promises: killed at any point it goes on where it was, since what is missing stands in the tables; a text that the
model fails on fails alone, five times with growing pauses, and keeps the model from being activated; search reads the
old model until the last vector of the new one is there. No transaction is open while a model works.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

import psycopg2
from psycopg2.extras import Json, execute_values

from desk import database, log, organizations
from desk.errors import ModelUnavailable
from desk.kb import builds, chunking, embedding, indexing, models, questions, store
from desk.kb.embedding import Vectors
from desk.sql import statement

BATCH = 16  # articles read at once
SLICE = 64  # texts embedded between two commits
RUN_SECONDS = 120.0  # then others get their turn
RETRY_SECONDS = 5.0  # after the first failure of a text; three times as long after each further one
KEPT = "complete; not to be activated by itself"
TOLERANCE = 0.01  # how much worse the organization's questions may be answered

logger = log.get(__name__)


@dataclass
class Built:
    """What a run did: texts `embedded` and `failed`; `missing`: vectors that are still to be made. `state` is the
    model's at the end: building, active, held, kept, or gone where it was cancelled."""

    embedded: int = 0
    failed: int = 0
    missing: int = 0
    state: str = "building"


def build(organization_id: UUID | str, model_id: int, run_seconds: float = RUN_SECONDS) -> Built:
    """Make what vectors are missing, for `run_seconds` at the most, and send the message that goes on; when none is
    missing, judge the model by the organization's questions and activate it, hold it, or keep it.

    Raises:
        NotFound: there is no such organization.
        ModelUnavailable: the model is not on this machine. Nothing is counted.
    """
    organization = organizations.identifier(organization_id, "organization")
    name = _name(organization, model_id)
    if name is None:
        return Built(state="gone")
    embedding.dimensions(name)
    outcome = Built()
    ends_at = time.monotonic() + run_seconds
    after = UUID(int=0)
    while time.monotonic() < ends_at:
        articles = _lacking(organization, model_id, after)
        if not articles:
            return _end(organization, model_id, outcome)
        for identifier, title, body_md, shas in articles:
            after = identifier
            texts = {chunk.sha: chunk.embedded for chunk in chunking.split(title, body_md, embedding.token_counts)}
            lacking = {bytes(sha) for sha in shas}
            if not lacking <= texts.keys():
                _chunk_anew(organization, identifier)
            wanted = [(sha, texts[sha]) for sha in lacking & texts.keys()]
            for start in range(0, len(wanted), SLICE):
                _make(organization, model_id, name, dict(wanted[start : start + SLICE]), outcome)
    with database.transaction(organization) as connection:
        builds.send(connection, organization, model_id)
        outcome.missing = _missing(connection, organization, model_id)
    return outcome


def _make(organization: UUID, model_id: int, name: str, texts: Mapping[bytes, str], outcome: Built) -> None:
    """Embed and store; where that fails, by halves, until the text that it fails on is alone."""
    groups = [dict(texts)]
    while groups:
        group = groups.pop()
        try:
            made = embedding.embed_with(name, list(group.values()))
        except Exception as error:
            indexing.raise_if_nobodys_fault(error)
            if len(group) == 1:
                outcome.failed += 1
                _failed(organization, model_id, next(iter(group)), error)
            else:
                items, middle = list(group.items()), len(group) // 2
                groups += [dict(items[middle:]), dict(items[:middle])]
            continue
        outcome.embedded += _keep(organization, model_id, dict(zip(group, made, strict=True)))


def _keep(organization: UUID, model_id: int, made: Mapping[bytes, Vectors]) -> int:
    """Store what still belongs to a chunk, unless the model was cancelled. Returns how many."""
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("select lock_vectors(%s)", (organization,))
        if model_id not in {model.id for model in models.beside(connection)}:
            return 0
        cursor.execute(
            "select distinct chunk_sha from chunks where organization_id = %s and chunk_sha = any(%s)",
            (organization, list(made)),
        )
        wanted = {bytes(sha): made[bytes(sha)] for (sha,) in cursor.fetchall()}
        store.write_vectors(connection, organization, model_id, wanted)
        execute_values(
            cursor,
            "delete from embedding_failures f using (values %s) as made (organization_id, model_id, chunk_sha)"
            " where (f.organization_id, f.model_id, f.chunk_sha)"
            " = (made.organization_id, made.model_id, made.chunk_sha)",
            [(organization, model_id, sha) for sha in made],
            template="(%s::uuid, %s::smallint, %s)",
        )
        return len(wanted)


def _end(organization: UUID, model_id: int, outcome: Built) -> Built:
    """Nothing is to be made now: activate the model, or come back when what failed or is being edited may be done."""
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        outcome.missing = _missing(connection, organization, model_id)
        cursor.execute(
            statement("desk.kb", "build_pauses"),
            {"organization_id": organization, "model_id": model_id, "most": builds.MOST_ATTEMPTS},
        )
        row = cursor.fetchone()
        if row is None:
            outcome.state = "gone"
            return outcome
        outcome.state, activates, pause, dead = row
        if outcome.missing and (pause is not None or dead < outcome.missing):
            builds.send(connection, organization, model_id, max(pause or 0.0, 1.0))
        elif outcome.missing:
            _note(
                connection, organization, model_id, outcome.state, f"{dead} chunks failed {builds.MOST_ATTEMPTS} times"
            )
        if outcome.missing or outcome.state != "building":
            return outcome
        if not activates:
            outcome.state = "kept"
            _note(connection, organization, model_id, "kept", KEPT)
            return outcome
    outcome.state = _activate(organization, model_id)
    return outcome


def _activate(organization: UUID, model_id: int) -> str:
    with database.transaction(organization) as connection:
        asked = questions.read(connection, organization)
        name = models.name_of(connection, model_id)
    if asked.queries:
        before = questions.judge(organization, asked, None)
        after = questions.judge(organization, asked, model_id)
        worse = questions.worse(before, after, TOLERANCE)
        with database.transaction(organization) as connection:
            with connection.cursor() as cursor:
                cursor.execute(
                    "update model_builds set quality = %s where organization_id = %s and model_id = %s",
                    (Json({"model": asdict(after), "active": asdict(before)}), organization, model_id),
                )
            if worse:
                _note(connection, organization, model_id, "held", f"search is worse with it: {worse}")
                logger.warning("model_held", model=name, reason=worse)
                return "held"
    try:
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            # What was said while it was judged holds: cancelled, switched to it or to another, to be kept.
            cursor.execute("select lock_vectors(%s)", (organization,))
            cursor.execute(
                "select activates from model_builds where organization_id = %s and model_id = %s for update",
                (organization, model_id),
            )
            row = cursor.fetchone()
            if row is None:
                return "gone"
            if not row[0]:
                _note(connection, organization, model_id, "kept", KEPT)
                return "kept"
            cursor.execute(
                "update organization_settings set embed_model_id = %s where organization_id = %s",
                (model_id, organization),
            )
    except psycopg2.errors.ObjectNotInPrerequisiteState:  # an edit came between; its vectors are made next
        with database.transaction(organization) as connection:
            builds.send(connection, organization, model_id)
        return "building"
    logger.info("model_activated", model=name)
    return "active"


def _name(organization: UUID, model_id: int) -> str | None:
    with database.transaction(organization) as connection:
        organizations.name_of(connection, organization)
        found = next((model for model in models.beside(connection) if model.id == model_id), None)
    return found.name if found else None


def _lacking(organization: UUID, model_id: int, after: UUID) -> list[tuple[UUID, str, str, list[bytes]]]:
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.kb", "lacking"),
            {"organization_id": organization, "model_id": model_id, "after": after, "batch": BATCH,
             "most": builds.MOST_ATTEMPTS},
        )  # fmt: skip
        return cursor.fetchall()


def _missing(connection: psycopg2.extensions.connection, organization: UUID, model_id: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("select vectors_missing(%s, %s::smallint)", (organization, model_id))
        return cursor.fetchone()[0]  # type: ignore[index]


def _chunk_anew(organization: UUID, article_id: UUID) -> None:
    """Its chunks are not what the chunker makes of it today: the indexing makes them, for every model."""
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "update article_index set state = 'pending', attempts = 0, next_try_at = now(), wanted_at = now()"
            " where organization_id = %s and article_id = %s and state = 'ok'",
            (organization, article_id),
        )


def _failed(organization: UUID, model_id: int, sha: bytes, error: Exception) -> None:
    text = " ".join(f"{type(error).__name__}: {error}".replace("\x00", "").split())[: store.SHOWN_ERROR]
    logger.warning("text_failed", model_id=model_id, chunk=sha.hex()[:12], error=text[:200])
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into embedding_failures as f (organization_id, model_id, chunk_sha, next_try_at, last_error)"
            " values (%(id)s, %(model)s, %(sha)s, now() + make_interval(secs => %(pause)s), %(error)s)"
            " on conflict (organization_id, model_id, chunk_sha) do update set attempts = f.attempts + 1,"
            " next_try_at = now() + make_interval(secs => %(pause)s * power(3, f.attempts)),"
            " last_error = excluded.last_error",
            {"id": organization, "model": model_id, "sha": sha, "pause": RETRY_SECONDS, "error": text},
        )


def _note(connection: psycopg2.extensions.connection, organization: UUID, model_id: int, state: str, note: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "update model_builds set state = %s, note = %s, ended_at = now()"
            " where organization_id = %s and model_id = %s",
            (state, note, organization, model_id),
        )


def unavailable(organization_id: UUID | str, model_id: int, error: ModelUnavailable, after_seconds: float) -> None:
    """Say so where `atum kb models` shows it, and send the message again for later."""
    organization = organizations.identifier(organization_id, "organization")
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "update model_builds set note = %s where organization_id = %s and model_id = %s and state = 'building'",
            (str(error)[: store.SHOWN_ERROR], organization, model_id),
        )
        if cursor.rowcount:
            builds.send(connection, organization, model_id, after_seconds)
