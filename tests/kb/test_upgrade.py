"""A database with articles and vectors of before models stood side by side."""

import shutil
from pathlib import Path

import psycopg2
from builders import fresh_database, new_organization

from app import install as installing
from desk import database
from desk.kb import builds, search
from desk.settings import settings


def test_vectors_of_before_are_read_after_the_upgrade_and_nothing_is_embedded_again(
    server, kb, embedded_texts, monkeypatch, tmp_path: Path
):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.index()
    vector = kb.rows("select chunk_sha, embedding::text from embeddings")[0]
    before = tmp_path / "before"
    before.mkdir()
    for path in installing.MIGRATIONS.glob("*.sql"):
        if path.name < "0040":
            shutil.copy(path, before)
    with fresh_database(server, "template1") as name:
        with monkeypatch.context() as older:
            older.setattr(installing, "MIGRATIONS", before)
            installing.install(server.url(database=name))
        owner = psycopg2.connect(server.url(database=name))
        owner.autocommit = True
        organization = new_organization(owner, "Acme")
        with owner.cursor() as cursor:
            cursor.execute(
                "insert into articles (organization_id, external_id, title, body_md) values"
                " (%s, 'pay', 'Invoices', 'We send the bill on the first of each month.') returning id",
                (organization,),
            )
            (article,) = cursor.fetchone()
            cursor.execute(
                "insert into chunks select %s, %s, 0, '{}', 'We send the bill on the first of each month.', 15, %s, 1,"
                " false, 'english', to_tsvector('english', 'send bill'), 2",
                (organization, article, vector[0]),
            )
            cursor.execute(
                "insert into embeddings (organization_id, model_id, chunk_sha, embedding) values (%s, 1, %s, %s)",
                (organization, *vector),
            )
            cursor.execute("update article_index set state = 'ok', done_revision = 1, done_at = now()")
            owner.cursor().execute("insert into models (name, dimensions, state) values ('old', 384, 'building')")
        assert "0041_vectors_of_any_size.sql" in installing.install(server.url(database=name)).applied
        monkeypatch.setenv("ATUM_DATABASE_URL", server.url(user="atum_worker", database=name))
        settings.cache_clear()
        database.close()
        embedded_texts.clear()
        with database.transaction(organization) as connection:
            (hit,) = search(connection, organization, "when does the bill come")
            assert hit.similarity is not None
            assert hit.coverage > 0
            assert [(one.state, one.coverage) for one in builds.listed(connection, organization)] == [("active", 1.0)]
        assert embedded_texts == ["when does the bill come"]
        with owner.cursor() as cursor:
            cursor.execute("select chunks, words from kb_sizes")
            assert cursor.fetchall() == [(1, 2)]
        owner.close()
        database.close()
