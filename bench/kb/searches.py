"""Search without the question's embedding: 100,000 chunks of 200 organizations, and one of very many chunks."""

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import numpy as np
import psutil
from psycopg2.extensions import connection as Connection
from rich.progress import Progress

from app.install import install
from bench.kb.library import Library, Question, Shelf, skewed
from bench.kb.line import Line
from bench.place import connected, fresh
from desk.embedded import EmbeddedServer
from desk.kb import reconciling
from desk.kb.searching import find
from desk.kb.store import as_text

ORGANIZATIONS, CHUNKS = 200, 100_000
VERY_MANY = 40_000
QUESTIONS = 100  # a round
COMPARED = 25  # with a look at every chunk, which takes long
MODEL = 1
SERVER_SETTINGS = "set maintenance_work_mem = '512MB'"


def measure(server: EmbeddedServer, scale: float, rounds: int, progress: Progress) -> Iterator[Line]:
    """The lines of this row: organizations of each size, then the graph of one with very many chunks."""
    with _library(server, skewed(ORGANIZATIONS, round(CHUNKS * scale)), progress) as (connection, shelves, questions):
        _make_graph(connection, shelves)
        groups = (("smallest", shelves[-20:]), ("middle", shelves[90:110]), ("largest", shelves[:1]))
        task = progress.add_task("searching", total=len(groups))
        for name, group in groups:
            rows = [_searched(connection, group, questions) for _ in range(rounds + 1)][1:]  # the first only warms up
            size = f"{min(shelf.chunks for shelf in group):,}"
            yield _percentile(f"{name}_p50_ms", f"p50, {name} organizations ({size} chunks)", rows, 50)
            yield _percentile(f"{name}_p95_ms", f"p95, {name} organizations", rows, 95, must=30, aim=15)
            text = f"of it CPU of the database, {name} organizations"
            yield Line(f"{name}_cpu_ms", text, "ms", [row["cpu"] for row in rows], digits=1)
            progress.advance(task)
        everybody = [_searched(connection, shelves, questions * 2) for _ in range(rounds)]
        yield _percentile(
            "all_p95_ms", f"p95, all {len(shelves)} organizations in turn", everybody, 95, must=30, aim=15
        )
        for name, shelf, must, aim in (("smallest", shelves[-1], 1, None), ("largest", shelves[0], 0.98, 0.99)):
            text = f"recall@10 against every chunk, {name} organization"
            share = _recall(connection, shelf, questions[:COMPARED])
            yield Line(f"{name}_recall", text, "", [share], must, aim, at_least=True, digits=3)
        progress.remove_task(task)
    with _library(server, [round(VERY_MANY * scale)], progress) as (connection, shelves, questions):
        compared = [_searched(connection, shelves, questions) for _ in range(rounds + 1)][1:]
        if not _make_graph(connection, shelves):
            return  # at this scale nobody has very many
        by_graph = [_searched(connection, shelves, questions) for _ in range(rounds + 1)][1:]
        size = f"{shelves[0].chunks:,}"
        yield _percentile("graph_p95_ms", f"p95, an organization of {size} chunks, by the graph", by_graph, 95)
        yield _percentile("compared_p95_ms", "the same, every vector compared", compared, 95)
        share = _recall(connection, shelves[0], questions[:COMPARED])
        yield Line("graph_recall", "recall@10 of it", "", [share], 0.98, 0.99, at_least=True, digits=3)


@contextmanager
def without_bounds(connection: Connection) -> Iterator[None]:
    """Within the block search looks every word up and measures every chunk. `connection` is a superuser's."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_get_functiondef('candidates'::regproc)")
        (definition,) = cursor.fetchone() or ("",)
        lifted = re.sub(r"(few\s+constant bigint := )\d+", r"\g<1>1000000", definition)
        lifted = re.sub(r"(most_each\s+constant bigint := )[^;]+", r"\g<1>1000000", lifted)
        assert lifted.count("1000000") == 2, "the function has other bounds by now"
        cursor.execute(lifted)
        try:
            yield
        finally:
            cursor.execute(definition)


@contextmanager
def _library(
    server: EmbeddedServer, sizes: list[int], progress: Progress
) -> Iterator[tuple[Connection, list[Shelf], list[Question]]]:
    with fresh(server) as place:
        install(place.url)
        with closing(connected(place.url)) as connection:
            library = Library(sizes)
            shelves = library.load(connection, progress)
            yield connection, shelves, list(library.questions(QUESTIONS))


def _searched(connection: Connection, shelves: list[Shelf], questions: list[Question]) -> dict[str, Any]:
    """Milliseconds of each question and the mean CPU of the database, questions and organizations in turn."""
    backend = psutil.Process(connection.info.backend_pid)
    took = []
    before = backend.cpu_times()
    for number, question in enumerate(questions):
        shelf = shelves[number % len(shelves)]
        with _worker(connection, shelf.id):
            began = time.perf_counter()
            find(connection, shelf.id, question.text, MODEL, as_text(question.vector), relevant_only=False)
            took.append((time.perf_counter() - began) * 1000)
    after = backend.cpu_times()
    return {"took": took, "cpu": (after.user + after.system - before.user - before.system) * 1000 / len(questions)}


def _percentile(
    name: str, text: str, rows: list[dict[str, Any]], percent: int, must: float | None = None, aim: float | None = None
) -> Line:
    return Line(name, text, "ms", [float(np.percentile(row["took"], percent)) for row in rows], must, aim, digits=1)


def _recall(connection: Connection, shelf: Shelf, questions: list[Question]) -> float:
    """The share of the ten best articles that a look at every chunk finds and search finds, too."""
    found = [_best(connection, shelf.id, question) for question in questions]
    with without_bounds(connection):
        every = [_best(connection, shelf.id, question) for question in questions]
    return float(np.mean([len(some & all_) / len(all_) for some, all_ in zip(found, every, strict=True)]))


def _best(connection: Connection, organization: UUID, question: Question) -> set[UUID]:
    with _worker(connection, organization):
        hits = find(
            connection, organization, question.text, MODEL, as_text(question.vector), top=10, relevant_only=False
        )
    return {hit.article_id for hit in hits}


def _make_graph(connection: Connection, shelves: list[Shelf]) -> int:
    """The hourly looks, as often as they take; the index is built at once, since vector by vector takes minutes.

    Returns how many organizations are in it.
    """
    with connection.cursor() as cursor:
        cursor.execute("select pg_get_indexdef('embeddings_near'::regclass)")
        (definition,) = cursor.fetchone() or ("",)
        cursor.execute("drop index embeddings_near")
        for shelf in shelves:
            added = 1
            while added:
                with _worker(connection, shelf.id, commits=True):
                    cursor.execute("select grow_graph(%s, %s)", (shelf.id, reconciling.GRAPH_BATCH))
                    (added,) = cursor.fetchone() or (0,)
        cursor.execute(SERVER_SETTINGS)
        cursor.execute(definition)
        cursor.execute("vacuum (analyze) embeddings")
        cursor.execute("select count(*) from kb_sizes where in_graph")
        return (cursor.fetchone() or (0,))[0]


@contextmanager
def _worker(connection: Connection, organization: UUID, commits: bool = False) -> Iterator[None]:
    """A transaction as desk.database opens it."""
    with connection.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute(
            "select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true)",
            (str(organization),),
        )
        yield
        cursor.execute("commit" if commits else "rollback")
