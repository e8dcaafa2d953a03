"""Stale articles to searchable ones: take, chunk, embed what is new, swap.

Promises: an article is searchable as it was or as it is, never half; a vector is made once per distinct chunk; a bad
article fails alone, with a pause that grows and a dead end after five attempts; a model that is not there is nobody's
failure. Late, repeated and reordered messages are harmless: the rows of `article_index` say what is to be done.

No transaction is open while the model works. Killed at any point, a run leaves leases: its message, delivered again,
goes on with them at once, anybody else within a minute.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from desk import database, log, organizations
from desk.errors import DatabaseUnavailable, InvalidInput, ModelUnavailable
from desk.kb import builds, chunking, embedding, store
from desk.kb.chunking import Chunk
from desk.kb.embedding import BadVector, Vectors
from desk.kb.models import Model
from desk.kb.store import Article, Run, Superseded, Switched, VectorsMissing
from desk.sql import statement

BATCH = 16  # articles taken at once
PART_CHARACTERS = 100_000  # of articles that are embedded together
SLICE = 64  # chunks embedded between two renewals of the lease, a few seconds' work
RUN_SECONDS = 120.0  # then others get their turn; what is left has a message of its own
OVERDUE = timedelta(minutes=2)  # due for so long, an article has lost its message
MODEL_PAUSE_SECONDS = 60  # between two looks for a model that is not there
QUIET_SECONDS = 0.3  # that an article which was saved while it was embedded must have been left alone
LONGEST_UNREST_SECONDS = 2.0  # after which it is embedded all the same

logger = log.get(__name__)


# Vectors of articles that were edited while they were made: most of their chunks are as they were.
Spare = dict[bytes, Vectors]


@dataclass
class Indexed:
    """What a run did, in articles and chunks; `left`: articles that are still to be done."""

    articles: int = 0
    embedded: int = 0
    reused: int = 0
    failed: int = 0
    left: int = 0


def index(organization_id: UUID | str, run_id: UUID | None = None, run_seconds: float = RUN_SECONDS) -> Indexed:
    """Bring what is stale of this organization up to date, and send the message that what is left needs.

    `run_id` is the message's id: delivered again after its worker was killed, it goes on with what it had at once.

    Raises:
        NotFound: there is no such organization.
        ModelUnavailable: there is no model, or the wrong one. No attempt is counted.
        DatabaseUnavailable: the database went away; leases end by themselves.
    """
    embedding.warm_up()  # its tokenizer counts, whichever model the organization stands on
    run = store.open_run(organization_id, run_id or uuid4())
    outcome = Indexed()
    spare: Spare = {}
    ends_at = time.monotonic() + run_seconds
    try:
        while time.monotonic() < ends_at:
            taken = store.take(run, BATCH)
            if not taken:
                break
            if store.any_just_done(run, QUIET_SECONDS):  # the first of many saves is searchable, the others wait
                _wait_for_quiet(run)
                continue
            for part in _parts(taken):
                if time.monotonic() < ends_at:
                    store.renew(run)
                    if _index(run, part, spare, outcome):
                        _wait_for_quiet(run)
    except Switched:
        logger.info("model_switched_meanwhile", organization=str(run.organization_id))  # the next run has the new one
    finally:
        with suppress(DatabaseUnavailable, psycopg2.Error):  # leases end by themselves, too
            store.release(run)
    outcome.left = store.follow_up(run)
    builds.send_where_incomplete(run.organization_id)
    return outcome


def try_again_later(organization_id: UUID, after_seconds: int = MODEL_PAUSE_SECONDS) -> None:
    """Send the message again after a pause: for a worker that has no model now."""
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select pgbroker.enqueue('index_articles', args => jsonb_build_array(%(id)s::uuid), queue => 'kb',"
            " delay => make_interval(secs => %(seconds)s), unique_key => 'index_articles:later:' || %(id)s::uuid,"
            " tenant => %(id)s::uuid::text)",
            {"id": organization_id, "seconds": after_seconds},
        )


def send_overdue(due_for: timedelta = OVERDUE) -> int:
    """Send the message of each organization of which an article has been due for that long. Returns how many."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select send_overdue_indexing(%s)", (due_for,))
        return cursor.fetchone()[0]  # type: ignore[index]


def index_dead(organization_id: UUID | str, article_id: UUID | str) -> None:
    """Try a dead article once more. Nothing is done where it is not dead any more: it was edited, or retried.

    Raises:
        InvalidInput: it fails again; the message has the article's name and what is wrong.
        NotFound, ModelUnavailable: as `index`.
    """
    organization = organizations.identifier(organization_id, "organization")
    article = organizations.identifier(article_id, "article")
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            # Its attempts stay: at the next failure it is dead again, and no further message is sent.
            "update article_index set state = 'pending', next_try_at = now(), taken_by = null"
            " where organization_id = %s and article_id = %s and state = 'dead'",
            (organization, article),
        )
    index(organization)
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select a.external_id, i.last_error from article_index i"
            " join articles a on a.organization_id = i.organization_id and a.id = i.article_id"
            " where i.organization_id = %s and i.article_id = %s and i.state = 'dead'",
            (organization, article),
        )
        row = cursor.fetchone()
    if row:
        raise InvalidInput(
            f"The article {row[0]!r} cannot be indexed: {row[1]}. Edit it, or retry when that is mended."
        )


def make_stale(connection: Connection, organization_id: UUID) -> int:
    """Have every article of this organization chunked and embedded anew; search keeps the old until the new is there.

    Sends the message that does it. Returns how many articles there are. Done twice, it starts over.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "make_stale"), {"organization_id": organization_id})
        return cursor.rowcount


def _parts(taken: Sequence[Article]) -> list[list[Article]]:
    """The batch in parts of which each is a few seconds' work, unless one article alone is more."""
    parts: list[list[Article]] = []
    size = 0
    for article in taken:
        size += len(article.body_md)
        if not parts or size > PART_CHARACTERS:
            parts.append([])
            size = len(article.body_md)
        parts[-1].append(article)
    return parts


def _wait_for_quiet(run: Run) -> None:
    """Who saves every second word would have each of them embedded: wait until nobody saves what this run has."""
    ends_at = time.monotonic() + LONGEST_UNREST_SECONDS
    while time.monotonic() < ends_at and (still := QUIET_SECONDS - store.seconds_untouched(run)) > 0:
        time.sleep(still)


def _index(run: Run, taken: Sequence[Article], spare: Spare, outcome: Indexed) -> bool:
    """Whether one of them was saved meanwhile and is to be taken again."""
    superseded = False
    parts: dict[UUID, list[Chunk]] = {}
    for article in taken:
        try:
            parts[article.id] = _chunks(article)
        except Exception as error:
            raise_if_nobodys_fault(error)
            _failed(run, article, error, outcome)
    taken = [article for article in taken if article.id in parts]
    vectors = _vectors(run, [(article, parts[article.id]) for article in taken], spare, outcome)
    others = _vectors_beside(run, [parts[identifier] for identifier in vectors])
    for article in taken:
        made = vectors.get(article.id)
        if made is not None:
            shas = {chunk.sha for chunk in parts[article.id]}
            beside = {model: {sha: found[sha] for sha in shas & found.keys()} for model, found in others.items()}
            superseded |= not _finish(run, article, parts[article.id], made, beside, spare, outcome)
    return superseded


def _chunks(article: Article) -> list[Chunk]:
    """What of the article is to be searchable: nothing of a draft or of a deleted one."""
    if not article.published:
        return []
    return chunking.split(article.title, article.body_md, embedding.token_counts)


def _vectors(
    run: Run, wanted: Sequence[tuple[Article, list[Chunk]]], spare: Spare, outcome: Indexed
) -> dict[UUID, Mapping[bytes, Vectors]]:
    """The new vectors of each article: all in one go, where that fails by halves. Those that failed are left out."""
    if not run.has_vectors:
        return {article.id: {} for article, _ in wanted}
    there = store.made_at(run, [chunk.sha for _, chunks in wanted for chunk in chunks])
    missing: dict[UUID, dict[bytes, str]] = {}
    for article, chunks in wanted:
        missing[article.id] = {
            chunk.sha: chunk.embedded
            for chunk in chunks
            if chunk.sha not in there or (article.fresh_from and there[chunk.sha] < article.fresh_from)
        }
        outcome.reused += len(chunks) - len(missing[article.id])
    made: dict[UUID, Mapping[bytes, Vectors]] = {}
    known = dict(spare)
    groups = [list(wanted)]
    while groups:
        group = groups.pop()
        texts = {sha: text for article, _ in group for sha, text in missing[article.id].items() if sha not in known}
        try:
            known |= _embed(run, run.model, texts)
        except Exception as error:
            raise_if_nobodys_fault(error)
            if len(group) == 1:
                _failed(run, group[0][0], error, outcome)
            else:
                logger.warning("batch_failed", articles=len(group), error=str(error)[:200])
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
            continue
        outcome.embedded += len(texts)
        made |= {article.id: {sha: known[sha] for sha in missing[article.id]} for article, _ in group}
    return made


def _vectors_beside(run: Run, wanted: Sequence[list[Chunk]]) -> dict[int, dict[bytes, Vectors]]:
    """The vectors that the models beside the active one lack, as far as they can be made: a text that one of them fails
    on, or a model that is not here, must not keep an edit from being found. `building` makes the others."""
    made: dict[int, dict[bytes, Vectors]] = {}
    for model in run.beside if run.has_vectors else ():
        texts = {chunk.sha: chunk.embedded for chunks in wanted for chunk in chunks}
        there = store.made_at(run, list(texts), model.id)
        try:
            made[model.id] = _embed(run, model, {sha: text for sha, text in texts.items() if sha not in there})
        except ModelUnavailable as error:
            logger.warning("model_beside_unavailable", model=model.name, reason=str(error)[:200])
        except Exception as error:
            raise_if_nobodys_fault(error)
            logger.warning("model_beside_failed", model=model.name, error=str(error)[:200])
    return made


def _embed(run: Run, model: Model, texts: Mapping[bytes, str]) -> dict[bytes, Vectors]:
    shas = list(texts)
    made: dict[bytes, Vectors] = {}
    for start in range(0, len(shas), SLICE):
        if start:
            store.renew(run)
        part = shas[start : start + SLICE]
        made.update(zip(part, embedding.embed_with(model.name, [texts[sha] for sha in part]), strict=True))
    return made


def _finish(
    run: Run,
    article: Article,
    chunks: list[Chunk],
    vectors: Mapping[bytes, Vectors],
    beside: Mapping[int, Mapping[bytes, Vectors]],
    spare: Spare,
    outcome: Indexed,
) -> bool:
    """False where the article was changed since it was read: nothing was written then."""
    try:
        try:
            store.swap(run, article, chunks, vectors, beside)
        except VectorsMissing:
            vectors = _embed(run, run.model, {chunk.sha: chunk.embedded for chunk in chunks})
            store.swap(run, article, chunks, vectors, beside)
        outcome.articles += 1
        for sha in vectors:
            spare.pop(sha, None)
    except Superseded:
        spare.update(vectors)
        logger.debug("article_superseded", article=str(article.id), revision=article.revision)
        return False
    except Exception as error:
        raise_if_nobodys_fault(error)
        _failed(run, article, error, outcome)
    return True


def _failed(run: Run, article: Article, error: Exception, outcome: Indexed) -> None:
    outcome.failed += 1
    logger.warning("article_failed", article=str(article.id), title=article.title[:80], error=str(error)[:200])
    store.fail(run, article, error)


def raise_if_nobodys_fault(error: Exception) -> None:
    """Errors of the model and of the connection end the run, for the message to retry; others are the article's."""
    ours = (ModelUnavailable, DatabaseUnavailable, Switched, psycopg2.OperationalError, psycopg2.InterfaceError)
    # The one operational error that the data causes: a text that is too long for an index.
    # And of a model that works on everything else, a vector that is none is its text's.
    if isinstance(error, ours) and not isinstance(error, psycopg2.errors.ProgramLimitExceeded | BadVector):
        raise error
