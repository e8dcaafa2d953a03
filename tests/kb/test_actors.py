"""The actors, run by a real worker on the messages that the triggers sent."""

import pytest
from workers import until, work_off, working

from actors import kb as actors
from brokers import broker
from desk import database
from desk.kb import embedding
from desk.settings import settings


@pytest.fixture(autouse=True)
def _released():
    yield
    broker.close()


def test_what_is_put_is_found_once_a_worker_has_run(kb, other_kb):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    other_kb.put("pay", "Invoices", "We send no bills.")
    work_off(broker, "kb", seconds=60)
    assert kb.found("when does the bill come") == ["pay"]
    assert other_kb.found("when does the bill come") == ["pay"]
    assert kb.rows("select count(*) from pgbroker.finished where actor_name = 'index_articles'") == [(2,)]


def test_the_same_message_a_hundred_times_does_the_work_once(kb, embedded_texts):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    for _ in range(100):
        actors.index_articles.send(str(kb.organization))
    work_off(broker, "kb", seconds=60)
    assert embedded_texts == ["Invoices\nWe send the bill on the first of each month."]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_reembed_makes_every_vector_anew(kb):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.index()
    made = kb.rows("select created_at from embeddings")[0][0]
    actors.reembed.send(str(kb.organization))
    work_off(broker, "kb", seconds=60)
    assert kb.rows("select count(*) from embeddings where created_at > %s", made) == [(1,)]
    assert kb.state("pay")[0] == "ok"


def test_without_a_model_the_message_comes_back_later_and_no_retry_is_counted(kb, monkeypatch, tmp_path):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(tmp_path / "nowhere"))
    settings.cache_clear()
    embedding.unload()
    with working(broker, queues={"kb"}):
        until(
            lambda: kb.rows("select 1 from pgbroker.finished where actor_name = 'index_articles'"),
            "the first message to end",
        )
    assert kb.rows(
        "select unique_key, retries, run_at > now() + interval '30 s' from dramatiq.queue where state = 'queued'"
    ) == [(f"index_articles:later:{kb.organization}", 0, True)]
    assert kb.state("pay")[:2] == ("pending", 0)
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize("identifier", ["00000000-0000-0000-0000-000000000000", "acme", ""])
def test_an_organization_that_does_not_exist_is_a_dead_letter_at_once(kb, identifier):
    actors.index_articles.send(identifier)
    actors.reembed.send(identifier)
    work_off(broker, "kb", seconds=60)
    assert kb.rows("select distinct retries, reason from pgbroker.dead_letters") == [(0, "thrown")]
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from pgbroker.dead_letters")
        assert cursor.fetchone() == (2,)


def test_the_tick_sends_what_has_lost_its_message(kb):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.rows("delete from dramatiq.queue")
    kb.rows("update article_index set next_try_at = now() - interval '3 minutes'")
    actors.resume_indexing.send()
    work_off(broker, "kb", seconds=60)
    assert kb.found("when does the bill come") == ["pay"]
