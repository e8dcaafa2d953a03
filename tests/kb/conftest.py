"""A knowledge base on the test's own database, with the real model."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from builders import new_organization
from psycopg2.extensions import connection as Connection

from desk import database
from desk.kb import Hit, articles, embedding, indexing, search
from desk.kb.indexing import Indexed


class KnowledgeBase:
    """One organization's articles, and a look behind row-level security at what was made of them."""

    def __init__(self, owner: Connection, organization: UUID) -> None:
        self.owner = owner
        self.organization = organization

    def put(self, external_id: str, title: str, body_md: str = "", **more: Any) -> UUID:
        with database.transaction(self.organization) as connection:
            return articles.put(
                connection, self.organization, external_id=external_id, title=title, body_md=body_md, **more
            )

    def delete(self, external_id: str) -> None:
        with database.transaction(self.organization) as connection:
            articles.delete(connection, self.organization, external_id)

    def index(self) -> Indexed:
        return indexing.index(self.organization)

    def search(self, text: str, **more: Any) -> list[Hit]:
        with database.transaction(self.organization) as connection:
            return search(connection, self.organization, text, **more)

    def found(self, text: str, **more: Any) -> list[str]:
        return [hit.external_id for hit in self.search(text, **more)]

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.owner.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def messages(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select queue_name, message -> 'args', unique_key from dramatiq.queue"
            " where actor_name = 'index_articles' and state = 'queued' order by seq"
        )

    def state(self, external_id: str) -> tuple[Any, ...]:
        return self.rows(
            "select i.state, i.attempts, i.wanted_revision, i.done_revision from article_index i"
            " join articles a on a.id = i.article_id where a.external_id = %s",
            external_id,
        )[0]

    def assert_vectors_equal_distinct_chunks_of_what_is_published(self) -> None:
        assert (
            self.rows("""
            (select organization_id, chunk_sha from embeddings
             except select c.organization_id, c.chunk_sha from chunks c join articles a on a.id = c.article_id
              where a.status = 'published' and a.deleted_at is null and c.article_revision = a.revision)
            union all
            (select organization_id, chunk_sha from chunks except select organization_id, chunk_sha from embeddings)
            """)
            == []
        )
        assert (
            self.rows("""
            select external_id from articles a where status = 'published' and deleted_at is null
               and not exists (select from chunks c where c.article_id = a.id)""")
            == []
        )


@pytest.fixture
def kb(database_name: str, owner: Connection, organization: UUID, model_dir: object) -> KnowledgeBase:
    """The knowledge base of Acme."""
    return KnowledgeBase(owner, organization)


@pytest.fixture
def other_kb(kb: KnowledgeBase, owner: Connection) -> KnowledgeBase:
    """The knowledge base of another organization in the same database."""
    return KnowledgeBase(owner, new_organization(owner, "Other"))


@pytest.fixture
def embedded_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes through the model from now on."""
    texts: list[str] = []
    real = embedding.embed

    def listening(given: Sequence[str]) -> embedding.Vectors:
        texts.extend(given)
        return real(given)

    monkeypatch.setattr(embedding, "embed", listening)
    return texts
