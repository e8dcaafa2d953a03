"""Once an hour the tables are compared with each other; whatever is wrong is put right."""

import json
from pathlib import Path

import pytest
from further_models import write_model
from typer.testing import CliRunner
from workers import work_off

from actors import kb as actors
from app.cli import app
from brokers import broker
from desk import database
from desk.kb import building, builds, reconciling
from desk.settings import settings

SMALL = "local/minilm-128"


@pytest.fixture(autouse=True)
def _released():
    yield
    broker.close()


@pytest.fixture
def parking(kb):
    """Two articles, indexed, with nothing left to do."""
    kb.put("car", "Parking", "Where to leave your car.")
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.index()
    kb.rows("delete from dramatiq.queue")
    return kb


def reconcile(kb) -> reconciling.Reconciled:
    with database.transaction(kb.organization) as connection:
        return reconciling.reconcile(connection, kb.organization)


def test_where_all_is_well_nothing_is_done_and_everything_counted(parking):
    for _ in range(2):
        found = reconcile(parking)
        assert (found.published, found.searchable, found.chunks, found.vectors) == (2, 2, 2, 2)
        assert (found.coverage, found.repaired, found.swept, found.dropped) == (1.0, 0, 0, 0)
    assert parking.messages() == []


@pytest.mark.parametrize(
    "damage",
    [
        "delete from embeddings where ctid in (select ctid from embeddings limit 1)",
        "delete from chunks where article_id = (select id from articles where external_id = 'pay')",
        "delete from article_index where article_id = (select id from articles where external_id = 'pay')",
        "update chunks set article_revision = 7 where article_id = (select id from articles where external_id = 'pay')",
        "update article_index set wanted_revision = 7"
        " where article_id = (select id from articles where external_id = 'pay')",
    ],
    ids=["a vector gone", "chunks gone", "entry gone", "chunks of another revision", "entry of another revision"],
)
def test_what_was_damaged_behind_our_backs_is_found_and_made_anew(parking, damage):
    parking.rows(damage)
    parking.rows("delete from dramatiq.queue")
    assert reconcile(parking).repaired == 1
    assert len(parking.messages()) == 1
    assert parking.index().articles == 1
    found = reconcile(parking)
    assert (found.coverage, found.repaired, found.swept) == (1.0, 0, 0)
    assert parking.found("when does the bill come") == ["pay"]
    parking.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_wrong_number_of_chunks_is_counted_anew(parking):
    before = parking.rows("select chunks, words from kb_sizes")
    parking.rows("update kb_sizes set chunks = 7, words = 0")
    reconcile(parking)
    assert parking.rows("select chunks, words from kb_sizes") == before
    parking.rows("delete from kb_sizes")
    reconcile(parking)
    assert parking.rows("select chunks, words from kb_sizes") == before


def test_chunks_of_an_article_that_was_unpublished_unseen_go(parking):
    parking.rows("alter table articles disable trigger user")
    parking.rows("update articles set status = 'draft' where external_id = 'pay'")
    parking.rows("alter table articles enable trigger user")
    assert parking.found("when does the bill come") == []  # at once, whatever the index says
    assert reconcile(parking).repaired == 1
    parking.index()
    parking.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_vectors_of_no_chunk_and_of_no_model_in_use_are_swept(parking):
    parking.rows("insert into models (name, dimensions, state) values ('gone', 384, 'retired')")
    parking.rows(
        "insert into embeddings (organization_id, model_id, chunk_sha, embedding)"
        " select organization_id, model_id, 'stray', embedding from embeddings limit 1"
    )
    parking.rows(
        "insert into embeddings (organization_id, model_id, chunk_sha, embedding) select organization_id,"
        " (select id from models where name = 'gone'), chunk_sha, embedding from embeddings where chunk_sha <> 'stray'"
    )
    assert reconcile(parking).swept == 3
    assert parking.rows("select count(*) from embeddings") == [(2,)]
    parking.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_model_beside_that_lost_a_vector_is_completed_and_a_replaced_one_goes_after_a_week(parking, model_dir: Path):
    write_model(model_dir, settings().home / "models" / "local--minilm-128", dimensions=128)
    with database.transaction(parking.organization) as connection:
        builds.start(connection, parking.organization, SMALL, builds.check(SMALL))
    model_id = parking.rows("select id from models where name = %s", SMALL)[0][0]
    assert building.build(parking.organization, model_id).state == "active"
    parking.rows("delete from dramatiq.queue")
    parking.rows(
        "delete from embeddings where model_id <> %s and chunk_sha = (select min(chunk_sha) from chunks)", model_id
    )
    reconcile(parking)
    work_off(broker, "kb", seconds=60)
    assert parking.rows("select count(*) from embeddings") == [(4,)]
    assert reconcile(parking).dropped == 0
    parking.rows("update model_builds set replaced_at = now() - interval '8 days'")
    assert reconcile(parking).dropped == 1
    assert parking.rows("select distinct model_id from embeddings") == [(model_id,)]
    assert parking.found("when does the bill come") == ["pay"]


def test_the_tick_looks_at_every_organization(parking, other_kb):
    other_kb.put("pay", "Invoices", "We send no bills.")
    parking.rows("delete from chunks")
    actors.reconcile_kb.send()
    work_off(broker, "kb", seconds=60)
    assert parking.rows("select count(*) from kb_checks") == [(2,)]
    assert parking.found("when does the bill come") == ["pay"]
    assert other_kb.found("when does the bill come") == ["pay"]


def test_a_dead_article_is_a_dead_letter_that_says_why_and_a_retry_tries_it_again(parking):
    parking.rows("""
        create function refuse() returns trigger language plpgsql as $$
        begin raise exception 'cannot take this'; end $$;
        create trigger refuse before insert on chunks for each row when (new.text like '%%arsenic%%')
        execute function refuse()""")
    parking.put("bad", "Bad", "A cup of arsenic.")
    parking.rows("delete from dramatiq.queue")
    for _ in range(5):
        parking.rows("update article_index set next_try_at = now() where state = 'pending'")
        parking.index()
    assert parking.state("bad")[0] == "dead"
    parking.rows("delete from dramatiq.queue where actor_name <> 'index_dead_article'")
    work_off(broker, "kb", seconds=60)
    (letter,) = parking.rows("select actor_name, error from pgbroker.dead_letters")
    assert letter[0] == "index_dead_article"
    assert "The article 'bad' cannot be indexed: RaiseException: cannot take this" in letter[1]
    status = json.loads(CliRunner().invoke(app, ["kb", "status", "--json"]).stdout)[0]
    assert (status["dead"], status["coverage"]) == (1, pytest.approx(2 / 3))
    parking.rows("drop trigger refuse on chunks")
    (article,) = parking.rows("select id from articles where external_id = 'bad'")[0]
    actors.index_dead_article.send(str(parking.organization), str(article))
    work_off(broker, "kb", seconds=60)
    assert parking.state("bad")[0] == "ok"
    parking.assert_vectors_equal_distinct_chunks_of_what_is_published()
