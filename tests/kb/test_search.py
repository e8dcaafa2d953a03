"""The right article or none, of one's own organization, as it is now."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import fresh_database
from psycopg2.extensions import connection as Connection

from app.install import MIGRATIONS, install
from desk import database
from desk.errors import InvalidInput, ModelUnavailable
from desk.kb import embedding, searching
from desk.settings import settings
from pgbroker import migrate


@pytest.fixture
def shop(kb):
    """A small help centre."""
    kb.put("delivery", "Delivery times", "Parcels arrive within three working days.\n\n## Abroad\n\nAllow two weeks.")
    kb.put("returns", "Send something back", "Print the label, put it on the box, bring it to any post office.")
    kb.put("e4711", "Messages of the scale", "E4711 means that the battery is nearly empty.")
    kb.put("stock", "Where we keep spare parts", "In the cellar, left of the stairs.", visibility="internal")
    kb.put("llegada", "Plazos de entrega", "Los paquetes llegan en tres días laborables.", language="es")
    kb.index()
    return kb


def test_a_question_in_other_words_finds_its_article_with_the_passage_that_answers(shop):
    hit = shop.search("how can I return a product that I bought")[0]
    assert (hit.external_id, hit.title, hit.revision, hit.category) == ("returns", "Send something back", 1, None)
    assert hit.passage == "Print the label, put it on the box, bring it to any post office."
    assert hit.excerpt in hit.passage
    assert 0.3 < hit.similarity < 1


def test_an_error_code_is_found_by_its_letters(shop):
    assert shop.found("E4711")[0] == "e4711"
    assert shop.found("my scale says e4711")[0] == "e4711"


def test_the_passage_is_of_the_section_that_answers(shop):
    hit = shop.search("when will my parcel be here if I live in another country")[0]
    assert (hit.external_id, hit.heading_path, hit.passage) == ("delivery", ["Abroad"], "Allow two weeks.")


@pytest.mark.parametrize("question", ["who won the world cup", "asdf qwer", "😀", "-- ' \" & | ! ( ) :*", "\\"])
def test_a_question_that_no_article_answers_gets_none(shop, question):
    assert shop.found(question) == []


@pytest.mark.parametrize("question", ["", "  \n", "\x00"])
def test_an_empty_question_is_refused(shop, question):
    with pytest.raises(InvalidInput, match="question is empty"):
        shop.search(question)


def test_a_question_of_ten_thousand_words_is_answered(shop):
    assert shop.found("how do I send a box back " * 2_000) != []


def test_internal_articles_are_for_those_who_ask_for_them(shop):
    assert "stock" not in shop.found("where are the spare parts")
    assert shop.found("where are the spare parts", visibility=("internal",)) == ["stock"]
    assert "stock" in shop.found("where are the spare parts", visibility=("public", "internal"))


def test_a_language_can_be_asked_for_and_its_own_stems_count(shop):
    assert shop.found("paquete", language="es") == ["llegada"]
    assert shop.search("llegaban los paquetes", language="es")[0].coverage > 0.3
    assert shop.found("paquete", language="en") == []


def test_a_language_without_a_text_search_configuration_is_searched_as_it_is_written(kb):
    kb.put("th", "การจัดส่ง", "พัสดุ จะมาถึง ภายในสามวัน", language="th")
    kb.index()
    assert kb.rows("select distinct config::text from chunks") == [("simple",)]
    assert kb.found("พัสดุ", language="th") == ["th"]


def test_another_organization_is_never_searched(shop, other_kb):
    other_kb.put("theirs", "Delivery times", "Ours take a month.")
    other_kb.index()
    assert other_kb.found("how long does delivery take") == ["theirs"]
    assert "theirs" not in shop.found("how long does delivery take", top=100, visibility=("public", "internal"))


def test_an_organizations_rows_stay_hidden_even_where_a_query_asks_for_them_by_id(shop, other_kb):
    with database.transaction(other_kb.organization) as connection:
        assert searching.search(connection, shop.organization, "how long does delivery take") == []
        with connection.cursor() as cursor:
            for table in ("articles", "chunks", "embeddings", "article_index"):
                cursor.execute(f"select count(*) from {table} where organization_id = %s", (shop.organization,))
                assert cursor.fetchone() == (0,), table
            cursor.execute(
                "select count(*) from chunk_similarities(%s, 1::smallint, %s)",
                (shop.organization, "[" + ",".join(["0.1"] * 384) + "]"),
            )
            assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("leg", searching.LEGS)
def test_each_leg_ranks_by_itself(shop, leg):
    hits = shop.search("which label for sending a parcel back by post", leg=leg, relevant_only=False, top=10)
    assert hits[0].external_id == "returns"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("top", [0, 101, -1])
def test_how_many_are_asked_for_has_bounds(shop, top):
    with pytest.raises(InvalidInput, match="top must be from 1 to 100"):
        shop.search("x", top=top)


def test_an_empty_knowledge_base_answers_nothing(kb):
    assert kb.found("anything") == []


def test_without_a_model_the_words_answer_and_the_hit_says_so(shop, monkeypatch, tmp_path):
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(tmp_path / "nowhere"))
    settings.cache_clear()
    embedding.unload()
    started = time.monotonic()
    hit = shop.search("where to print the label")[0]
    assert time.monotonic() - started < 2
    assert (hit.external_id, hit.similarity) == ("returns", None)
    with pytest.raises(ModelUnavailable):
        shop.search("where to print the label", leg="vector")
    monkeypatch.undo()
    settings.cache_clear()


def needs_vector(path: Path) -> bool:
    return "-- requires: vector\n" in path.read_text()


def test_without_pgvector_the_words_answer_and_with_it_the_vectors_follow_by_themselves(
    server, kb, owner: Connection, monkeypatch
):
    with fresh_database(server, "template1") as name, monkeypatch.context() as environment:
        environment.setattr(migrate, "_install", lambda connection, extension: extension != "vector")
        waiting = install(server.url(database=name)).waiting
        assert waiting == {path.name: "vector" for path in MIGRATIONS.glob("*.sql") if needs_vector(path)}
        assert "0005_vectors.sql" in waiting
        environment.undo()
        environment.setenv("ATUM_DATABASE_URL", server.url(user="atum_worker", database=name))
        settings.cache_clear()
        database.close()
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("insert into organizations (name) values ('Acme') returning id")
            kb.organization = cursor.fetchone()[0]
        kb.put("returns", "Send something back", "Print the label, put it on the box.")
        assert kb.index().articles == 1
        assert [(hit.external_id, hit.similarity) for hit in kb.search("print the label")] == [("returns", None)]
        assert install(server.url(database=name)).applied == sorted(waiting)
        outcome = kb.index()
        assert (outcome.articles, outcome.embedded) == (1, 1)
        assert kb.search("how can I return a product that I bought")[0].similarity > 0.3
        database.close()
    settings.cache_clear()


def test_a_hub_that_hangs_does_not_hold_a_search_up(shop, tmp_path):
    """In a process of its own, since this one has its model: no model anywhere, and a hub that never answers."""
    script = (
        "import sys, time; from desk import database; from desk.kb import search\n"
        "started = time.monotonic()\n"
        "with database.transaction(sys.argv[1]) as connection:\n"
        "    print(search(connection, sys.argv[1], 'where to print the label')[0].similarity)\n"
        "assert time.monotonic() - started < 2"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ATUM_EMBED_MODEL_DIR"}
    outcome = subprocess.run(
        [sys.executable, "-c", script, str(shop.organization)],
        env=environment | {"HF_ENDPOINT": "https://10.255.255.1", "FASTEMBED_CACHE_PATH": str(tmp_path / "none")},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.splitlines()[-1] == "None"
