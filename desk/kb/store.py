"""What indexing reads and writes, one short transaction per function. No transaction is open while a model works."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from desk import database, organizations
from desk.kb import models, status
from desk.kb.chunking import Chunk
from desk.kb.embedding import Vectors
from desk.kb.models import Model
from desk.sql import statement

LEASE = timedelta(seconds=60)
MOST_ATTEMPTS = 5
FIRST_PAUSE = timedelta(seconds=5)
SHOWN_ERROR = 500  # characters


@dataclass(frozen=True)
class Run:
    """One run of the indexing of one organization. `id` is what its leases carry: a run with the same id has them."""

    organization_id: UUID
    id: UUID
    model: Model
    beside: tuple[Model, ...]
    has_vectors: bool

    @property
    def key(self) -> dict[str, object]:
        """The parameters that every statement of the run shares."""
        return {"organization_id": self.organization_id, "model_id": self.model.id, "run": self.id}


@dataclass(frozen=True)
class Article:
    """An article as it was read; `revision` is what the swap compares."""

    id: UUID
    revision: int
    title: str
    body_md: str
    language: str
    published: bool
    fresh_from: datetime | None
    """Vectors made before are not reused; None: any is."""


class VectorsMissing(Exception):
    """A vector that was there to be reused is gone: its last chunk went meanwhile."""


class Switched(Exception):
    """The organization's search reads another model now than when the run was opened."""


class Superseded(Exception):
    """The article was changed since it was read (this run takes it again), or another run has it now."""


def take(run: Run, batch: int) -> list[Article]:
    """Up to `batch` stale articles, leased to this run for `LEASE`."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "take"), run.key | {"batch": batch, "lease": LEASE})
        return [Article(*row) for row in cursor.fetchall()]


def renew(run: Run) -> None:
    """Another `LEASE` for what this run still has."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "renew"), run.key | {"lease": LEASE})


def seconds_untouched(run: Run) -> float:
    """How long ago the latest change of what this run has was, in seconds; infinity where it has nothing."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            # Not now(): it is when this transaction began, and a change may have been committed since.
            "select coalesce(extract(epoch from clock_timestamp() - max(wanted_at)), 'infinity')::float8"
            " from article_index where organization_id = %(organization_id)s and taken_by = %(run)s",
            run.key,
        )
        return cursor.fetchone()[0]  # type: ignore[index]


def any_just_done(run: Run, seconds: float) -> bool:
    """Whether something of what this run has was last indexed no longer ago than that."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select exists (select from article_index where organization_id = %(organization_id)s"
            " and taken_by = %(run)s and done_at > clock_timestamp() - make_interval(secs => %(seconds)s))",
            run.key | {"seconds": seconds},
        )
        return cursor.fetchone()[0]  # type: ignore[index]


def release(run: Run) -> None:
    """Give up what this run still has, so that the next one takes it at once."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "release"), run.key)


def made_at(run: Run, shas: Sequence[bytes], model_id: int | None = None) -> dict[bytes, datetime]:
    """Which of these chunks have a vector (of the active model, unless another is named), and since when."""
    if not run.has_vectors or not shas:
        return {}
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select chunk_sha, created_at from embeddings"
            " where organization_id = %(organization_id)s and model_id = %(model_id)s and chunk_sha = any(%(shas)s)",
            run.key | {"shas": list(shas), "model_id": model_id or run.model.id},
        )
        return {bytes(sha): at for sha, at in cursor.fetchall()}


def fail(run: Run, article: Article, error: BaseException) -> None:
    """Count a failed attempt of this article alone."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        text = " ".join(f"{type(error).__name__}: {error}".replace("\x00", "").split())[:SHOWN_ERROR]
        cursor.execute(
            statement("desk.kb", "fail"),
            run.key
            | {
                "article_id": article.id,
                "revision": article.revision,
                "error": text,
                "most": MOST_ATTEMPTS,
                "first_pause": FIRST_PAUSE,
            },
        )


def follow_up(run: Run) -> int:
    """Send the message that what is left needs. Returns how many articles are left, with those of other runs."""
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "follow_up"), run.key)
        return status.left(connection, run.organization_id)


def swap(
    run: Run,
    article: Article,
    chunks: Sequence[Chunk],
    vectors: Mapping[bytes, Vectors],
    others: Mapping[int, Mapping[bytes, Vectors]] | None = None,
) -> None:
    """Put these chunks in the place of the article's old ones, in one transaction, with their vectors of the active
    model and, as far as there are, of the `others` (by model id).

    Raises:
        Switched: the vectors are not those of the model that search reads. Nothing was written.
        Superseded: it is not this run's any more, or was changed since it was read. Nothing was written.
        VectorsMissing: a vector that was to be reused is gone. Nothing was written.
    """
    with database.transaction(run.organization_id) as connection, connection.cursor() as cursor:
        key = run.key | {"article_id": article.id, "revision": article.revision}
        # Swaps of one organization follow each other: no vector that one reuses is swept by another.
        cursor.execute("select lock_vectors(%(organization_id)s)", key)
        if models.active_id(connection) != run.model.id:
            raise Switched
        cursor.execute(
            "select wanted_revision from article_index where organization_id = %(organization_id)s"
            " and article_id = %(article_id)s and taken_by = %(run)s for update",
            key,
        )
        if cursor.fetchone() != (article.revision,):
            raise Superseded
        if run.has_vectors:
            write_vectors(connection, run.organization_id, run.model.id, vectors)
            for model in models.beside(connection):  # as of now: one may have been cancelled
                write_vectors(connection, run.organization_id, model.id, (others or {}).get(model.id, {}))
            _require_vectors(connection, run, chunks)
        cursor.execute(
            "delete from chunks where organization_id = %(organization_id)s and article_id = %(article_id)s"
            " returning chunk_sha",
            key,
        )
        replaced = [sha for (sha,) in cursor.fetchall()]
        _write_chunks(connection, run, article, chunks)
        if run.has_vectors:
            cursor.execute(statement("desk.kb", "sweep_replaced"), key | {"shas": replaced})
        cursor.execute(
            "update article_index set state = 'ok', done_revision = %(revision)s, done_at = clock_timestamp(),"
            " attempts = 0, last_error = null, taken_by = null, fresh_from = null"
            " where organization_id = %(organization_id)s and article_id = %(article_id)s",
            key,
        )


def open_run(organization_id: UUID | str, run_id: UUID) -> Run:
    """A run for this organization.

    Raises:
        NotFound: there is none with this id.
        ModelUnavailable: the vectors here are another model's.
    """
    identifier = organizations.identifier(organization_id, "organization")
    with database.transaction(identifier) as connection:
        organizations.name_of(connection, identifier)
        return Run(
            identifier,
            run_id,
            models.active(connection),
            tuple(models.beside(connection)),
            models.has_vectors(connection),
        )


def write_vectors(
    connection: Connection, organization_id: UUID, model_id: int, vectors: Mapping[bytes, Vectors]
) -> None:
    """Store vectors of chunks (by hash) that this model made, in the place of older ones."""
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            "insert into embeddings (organization_id, model_id, chunk_sha, embedding) values %s"
            " on conflict (organization_id, model_id, chunk_sha)"
            " do update set embedding = excluded.embedding, created_at = clock_timestamp()",
            [(organization_id, model_id, sha, as_text(vector)) for sha, vector in vectors.items()],
            template="(%s, %s, %s, %s::halfvec)",
            page_size=200,
        )


def _require_vectors(connection: Connection, run: Run, chunks: Iterable[Chunk]) -> None:
    shas = {chunk.sha for chunk in chunks}
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from embeddings where organization_id = %(organization_id)s"
            " and model_id = %(model_id)s and chunk_sha = any(%(shas)s)",
            run.key | {"shas": list(shas)},
        )
        if cursor.fetchone() != (len(shas),):
            raise VectorsMissing


def _write_chunks(connection: Connection, run: Run, article: Article, chunks: Sequence[Chunk]) -> None:
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            "insert into chunks (organization_id, article_id, article_revision, ord, heading_path, text, token_count,"
            " chunk_sha, is_navigation, config, tsv, words)"
            " select organization_id, article_id, revision, ord, path, text, tokens, sha, navigation, config,"
            " tsv, chunk_words(tsv) from (values %s) as given"
            " (organization_id, article_id, revision, ord, path, text, tokens, sha, navigation, title, language),"
            " search_config(language) as config, chunk_tsv(config, title, path, text) as tsv",
            [
                (
                    run.organization_id, article.id, article.revision, ord, list(chunk.heading_path), chunk.text,
                    chunk.tokens, chunk.sha, chunk.navigation, article.title, article.language,
                )
                for ord, chunk in enumerate(chunks)
            ],
            template="(%s, %s, %s, %s, %s::text[], %s, %s, %s, %s, %s, %s)",
            page_size=200,
        )  # fmt: skip


def as_text(vector: Vectors) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"
