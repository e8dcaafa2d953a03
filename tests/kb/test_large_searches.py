"""Organizations of which not every chunk is looked at: what is found is what a look at all would find.

The threshold of the graph is lowered, so that thousands of chunks are very many; above 2,000 words are looked up by
rarity. Texts and vectors are the benchmark's.
"""

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg2
import pytest
from builders import fresh_database
from psycopg2.extensions import connection as Connection
from rich.progress import Progress

from bench.kb.library import Library, Question
from bench.kb.searches import without_bounds
from desk import database
from desk.kb import reconciling
from desk.kb.searching import find
from desk.kb.store import as_text
from desk.settings import settings

SIZES = [3_200, 400, 30]
GRAPH_FROM = 3_000
MODEL = 1
ASKED = 12


class Shelves:
    """Three organizations, the first of which is large."""

    def __init__(self, owner: Connection, library: Library) -> None:
        self.owner = owner
        with Progress(disable=True) as progress:
            self.organizations = [shelf.id for shelf in library.load(owner, progress)]
        self.large, self.middle, self.small = self.organizations
        self.questions = list(library.questions(ASKED))

    def rows(self, statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        with self.owner.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def as_worker(self, organization: UUID, statement: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    def found(self, organization: UUID, question: Question, **more: object) -> list[UUID]:
        with database.transaction(organization) as connection:
            hits = find(
                connection, organization, question.text, MODEL, as_text(question.vector),
                top=10, relevant_only=False, **more,  # type: ignore[arg-type]
            )  # fmt: skip
        return [hit.article_id for hit in hits]

    def nearest(self, by: str, organization: UUID, question: Question, most: int = 80) -> list[bytes]:
        cast = "" if by == "nearest_chunks" else "::halfvec"
        statement = f"select chunk_sha from {by}(%s, 1::smallint, %s{cast}, %s)"
        return [
            bytes(sha)
            for (sha,) in self.as_worker(organization, statement, organization, as_text(question.vector), most)
        ]

    def looks(self, index: str) -> int:
        """How often this index has been read."""
        self.as_worker(self.small, "select pg_stat_force_next_flush()")
        database.close()  # what a session counted is told at its end at the latest
        return self.rows("select idx_scan from pg_stat_user_indexes where indexrelname = %s", index)[0][0]


@pytest.fixture(scope="module")
def made(server) -> Iterator[tuple[Shelves, str]]:
    with fresh_database(server) as name:
        owner = psycopg2.connect(server.url(database=name))
        owner.autocommit = True
        yield Shelves(owner, Library(SIZES)), server.url(user="atum_worker", database=name)
        database.close()
        owner.close()


@pytest.fixture
def shelves(made: tuple[Shelves, str], monkeypatch: pytest.MonkeyPatch, model_dir: object) -> Iterator[Shelves]:
    monkeypatch.setenv("ATUM_DATABASE_URL", made[1])
    settings.cache_clear()
    database.close()
    yield made[0]
    database.close()
    settings.cache_clear()


@pytest.fixture
def graph(shelves: Shelves) -> Shelves:
    """After the hourly look of all three organizations, which made the graph of the large one."""
    if shelves.rows("select graph_from_chunks()") != [(GRAPH_FROM,)]:
        (definition,) = shelves.rows("select pg_get_indexdef('embeddings_near'::regclass)")[0]
        shelves.rows(
            "create or replace function graph_from_chunks() returns bigint language sql immutable parallel safe"
            f" return {GRAPH_FROM}"
        )
        shelves.rows("drop index embeddings_near")  # built at once, it is quicker than vector by vector
        for organization in shelves.organizations:
            with database.transaction(organization) as connection:
                reconciling.reconcile(connection, organization)
        shelves.rows(definition)
    return shelves


def test_the_graph_is_for_who_has_very_many_chunks_and_nobody_says_so(graph: Shelves) -> None:
    assert graph.rows("select organization_id from kb_sizes where in_graph") == [(graph.large,)]
    assert graph.rows("select organization_id, count(*) from embeddings where in_graph group by 1") == [
        (graph.large, 3_200)
    ]
    before = graph.looks("embeddings_near")
    graph.found(graph.middle, graph.questions[0])
    graph.found(graph.small, graph.questions[0])
    assert graph.looks("embeddings_near") == before
    graph.found(graph.large, graph.questions[0])
    assert graph.looks("embeddings_near") > before


def test_what_is_added_to_a_large_organization_is_in_its_graph_at_once(graph: Shelves) -> None:
    question = graph.questions[1]
    (sha,) = graph.rows("select chunk_sha from chunks where organization_id = %s limit 1", graph.large)[0]
    vector = (
        "insert into embeddings (organization_id, model_id, chunk_sha, embedding) values (%s, 1, %s, %s)"
        " returning in_graph"
    )
    with graph.owner.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("delete from embeddings where organization_id = %s and chunk_sha = %s", (graph.large, sha))
        cursor.execute(vector, (graph.large, sha, as_text(question.vector)))
        assert cursor.fetchone() == (True,)
        cursor.execute(vector, (graph.small, sha, as_text(question.vector)))
        assert cursor.fetchone() == (False,)
        cursor.execute("select set_config('app.organization_id', %s, true)", (str(graph.large),))
        cursor.execute(
            "select chunk_sha from nearest_chunks(%s, 1::smallint, %s, 5)", (graph.large, as_text(question.vector))
        )
        assert bytes(cursor.fetchall()[0][0]) == bytes(sha)
        cursor.execute("rollback")


def test_the_graph_finds_what_a_look_at_every_vector_finds(graph: Shelves) -> None:
    shares = []
    for question in graph.questions:
        exact = graph.nearest("nearest_of_all", graph.large, question)
        found = graph.nearest("nearest_chunks", graph.large, question)
        assert len(found) == len(exact) == 80
        shares.append(len(set(found[:10]) & set(exact[:10])) / 10)
    assert sum(shares) / len(shares) >= 0.98
    assert graph.nearest("nearest_chunks", graph.small, graph.questions[0], 10) == graph.nearest(
        "nearest_of_all", graph.small, graph.questions[0], 10
    )


def test_hits_are_those_of_a_look_at_every_chunk(graph: Shelves) -> None:
    for organization, least in ((graph.large, 0.98), (graph.middle, 1.0), (graph.small, 1.0)):
        found = [graph.found(organization, question) for question in graph.questions]
        with without_bounds(graph.owner):
            every = [graph.found(organization, question) for question in graph.questions]
        shares = [len(set(some) & set(all_)) / len(all_) for some, all_ in zip(found, every, strict=True)]
        assert sum(shares) / len(shares) >= least, (organization, shares)


def test_words_are_looked_up_in_their_index_by_the_worker_under_row_level_security(shelves: Shelves) -> None:
    before = shelves.looks("chunks_by_words")
    shelves.found(shelves.large, shelves.questions[0])
    assert shelves.looks("chunks_by_words") > before


def test_without_vectors_the_words_find_a_passage_by_what_it_says(shelves: Shelves) -> None:
    for article, text in shelves.rows(
        "select article_id, text from chunks where organization_id = %s order by chunk_sha limit 10", shelves.large
    ):
        with database.transaction(shelves.large) as connection:
            hits = find(
                connection,
                shelves.large,
                " ".join(text.split()[:20]),
                MODEL,
                None,
                leg="text",
                relevant_only=False,
                top=50,
            )
        assert hits[0].article_id == article
        assert all(hit.coverage > 0 and hit.similarity is None for hit in hits)


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ("status = 'archived'", "status = 'published'"),
        ("visibility = 'internal'", "visibility = 'public'"),
        ("deleted_at = now()", "deleted_at = null"),
    ],
)
def test_what_is_taken_back_is_gone_from_a_large_organization_at_commit(graph: Shelves, change: str, undo: str) -> None:
    question = graph.questions[2]
    first = graph.found(graph.large, question)[0]
    graph.rows("alter table articles disable trigger user")
    try:
        graph.rows(f"update articles set {change} where id = %s", first)
        assert first not in graph.found(graph.large, question)
        graph.rows(f"update articles set {undo} where id = %s", first)
        assert graph.found(graph.large, question)[0] == first
    finally:
        graph.rows("alter table articles enable trigger user")


def test_few_of_a_language_or_category_are_found_among_very_many_others(graph: Shelves) -> None:
    few = [
        row[0]
        for row in graph.rows("select id from articles where organization_id = %s order by id limit 3", graph.large)
    ]
    graph.rows("alter table articles disable trigger user")
    try:
        graph.rows("update articles set language = 'de', category = 'rare' where id = any(%s::uuid[])", few)
        assert sorted(graph.found(graph.large, graph.questions[3], language="de")) == few
        assert sorted(graph.found(graph.large, graph.questions[3], category="rare")) == few
        assert graph.found(graph.large, graph.questions[3], category="none") == []
    finally:
        graph.rows("update articles set language = 'en', category = null where id = any(%s::uuid[])", few)
        graph.rows("alter table articles enable trigger user")


def test_no_way_into_another_organization(graph: Shelves) -> None:
    question = graph.questions[4]
    vector = as_text(question.vector)
    keys = graph.rows("select word_keys from chunks where organization_id = %s limit 1", graph.large)[0][0]
    asks: list[tuple[str, tuple[object, ...]]] = [
        ("select * from chunks_having(%s, %s)", (graph.large, keys)),
        (
            "select * from candidates(%s, 1::smallint, %s, %s, '{public}', null, null, 10)",
            (graph.large, vector, question.text),
        ),
        ("select * from nearest_chunks(%s, 1::smallint, %s, 10)", (graph.large, vector)),
        ("select * from nearest_in_graph(%s, 1::smallint, %s::halfvec, 10)", (graph.large, vector)),
        ("select * from nearest_of_all(%s, 1::smallint, %s::halfvec, 10)", (graph.large, vector)),
        ("select * from kb_sizes where organization_id = %s", (graph.large,)),
    ]
    for statement, parameters in asks:
        assert graph.as_worker(graph.large, statement, *parameters) != [], statement
        assert graph.as_worker(graph.small, statement, *parameters) == [], statement
    with database.transaction() as connection, connection.cursor() as cursor:
        for statement, parameters in asks:
            cursor.execute(statement, parameters)
            assert cursor.fetchall() == [], statement


def test_sizes_are_those_of_the_tables(shelves: Shelves) -> None:
    counted: Callable[[], list[tuple]] = lambda: shelves.rows(  # type: ignore[type-arg]  # noqa: E731
        "select organization_id, chunks, words from kb_sizes except"
        " select organization_id, count(*), sum(words) from chunks group by 1"
    )
    assert counted() == []
    with shelves.owner.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("delete from articles where id in (select article_id from chunks limit 5)")
        cursor.execute("select chunks from kb_sizes except select count(*) from chunks group by organization_id")
        assert cursor.fetchall() == []
        cursor.execute("delete from organizations where id = %s", (shelves.small,))
        cursor.execute("select count(*) from kb_sizes where organization_id = %s", (shelves.small,))
        assert cursor.fetchone() == (0,)
        cursor.execute("rollback")
    assert counted() == []
