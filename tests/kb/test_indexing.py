"""A change is found, once, whatever happens on the way."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg2
import pytest
from waiting import until

from desk import database
from desk.errors import ModelUnavailable, NotFound
from desk.kb import articles, chunking, embedding, importing, indexing, status, store
from desk.kb.sources import Reading
from desk.settings import settings


def page(sections: int, changed: int | None = None) -> str:
    texts = [f"Number {n}{' was changed' if n == changed else ''}: what to do about it." for n in range(sections)]
    return "\n\n".join(f"## Part {n}\n\n{text}" for n, text in enumerate(texts))


def make_stale(run: store.Run) -> None:
    with database.transaction(run.organization_id) as connection:
        indexing.make_stale(connection, run.organization_id)


@pytest.mark.parametrize("work", [store.renew, store.release, make_stale])
def test_an_import_of_what_a_worker_has_and_the_worker_lock_it_in_one_order(kb, owner, work):
    """An import names them as a, m, z; by their ids they are z, m, a."""
    for number, name in enumerate("zma"):
        kb.rows(
            "insert into articles (id, organization_id, external_id, title, body_md)"
            " values (%s, %s, %s, 'Title', 'Text.')",
            UUID(int=number), kb.organization, name,
        )  # fmt: skip
    run = store.open_run(kb.organization, uuid4())
    assert len(store.take(run, 16)) == 3
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    editing = psycopg2.connect(owner.dsn)
    reading = Reading([articles.Article(external_id=name, title="Title", body_md="New.") for name in "amz"])
    with editing.cursor() as cursor, ThreadPoolExecutor(2) as pool:
        cursor.execute(
            "select from article_index where article_id = %s for update",  # both get as far as here
            (UUID(int=1),),
        )
        try:
            working = [pool.submit(work, run), pool.submit(importing.put, kb.organization, reading)]
            until(lambda: kb.rows(waiting) == [(2,)], "both wait")
        finally:
            editing.close()
        for each in working:
            each.result()


def test_an_article_is_found_after_a_run_and_everything_adds_up(kb):
    kb.put("phone", "Change your phone number", "Open your profile and enter the new number.")
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    outcome = kb.index()
    assert (outcome.articles, outcome.embedded, outcome.reused, outcome.failed, outcome.left) == (2, 2, 0, 0, 0)
    assert kb.found("I have another mobile now") == ["phone"]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_new_text_takes_the_place_of_the_old_one(kb):
    kb.put("a", "Delivery", "Parcels go out by bicycle.")
    kb.index()
    kb.put("a", "Delivery", "Parcels go out by aeroplane.")
    kb.index()
    assert [(hit.passage, hit.revision) for hit in kb.search("how are parcels delivered")] == [
        ("Parcels go out by aeroplane.", 2)
    ]
    assert kb.state("a") == ("ok", 0, 2, 2)
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_of_an_edited_article_only_the_changed_chunks_are_embedded(kb, embedded_texts):
    kb.put("long", "Long", page(50))
    assert kb.index().embedded == 50
    embedded_texts.clear()
    kb.put("long", "Long", page(50, changed=17))
    outcome = kb.index()
    assert (outcome.embedded, outcome.reused) == (1, 49)
    assert [text for text in embedded_texts if "was changed" in text] == embedded_texts
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_the_same_chunk_in_two_articles_is_embedded_once_and_outlives_one_of_them(kb):
    kb.put("a", "Contact", "Call us at noon.")
    kb.put("b", "Contact", "Call us at noon.")
    assert kb.index().embedded == 1
    kb.delete("a")
    kb.index()
    assert kb.found("call at noon") == ["b"]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_an_organization_never_uses_anothers_vectors(kb, other_kb):
    kb.put("a", "Contact", "Call us at noon.")
    other_kb.put("a", "Contact", "Call us at noon.")
    assert (kb.index().embedded, other_kb.index().embedded) == (1, 1)
    assert kb.rows("select count(*), count(distinct organization_id) from embeddings") == [(2, 2)]


def test_an_edit_while_the_old_text_is_being_embedded_wins(kb, monkeypatch):
    kb.put("a", "Delivery", "By bicycle.")
    real = embedding.embed

    def edited_meanwhile(texts):
        vectors = real(texts)
        monkeypatch.setattr(embedding, "embed", real)
        kb.put("a", "Delivery", "By aeroplane.")
        return vectors

    monkeypatch.setattr(embedding, "embed", edited_meanwhile)
    assert kb.index().left == 0
    assert [hit.passage for hit in kb.search("delivery")] == ["By aeroplane."]
    assert kb.state("a") == ("ok", 0, 2, 2)
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_what_did_not_change_while_it_was_being_embedded_is_not_embedded_again(kb, embedded_texts, monkeypatch):
    kb.put("a", "Delivery", page(5))
    listening = embedding.embed
    edits = iter(range(3))

    def edited_meanwhile(texts):
        vectors = listening(texts)
        for number in edits:
            kb.put("a", "Delivery", f"{page(5)}\n\n## News\n\nEdited {number} times.")
            break
        return vectors

    monkeypatch.setattr(embedding, "embed", edited_meanwhile)
    outcome = kb.index()
    assert (outcome.articles, outcome.left) == (1, 0)
    assert {text: count for text, count in Counter(embedded_texts).items() if count > 1} == {}
    assert kb.state("a") == ("ok", 0, 4, 4)
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_an_article_saved_a_hundred_times_is_embedded_twice_at_the_most(kb, embedded_texts):
    stop = threading.Event()

    def keep_indexing() -> None:
        while not stop.is_set():
            kb.index()

    workers = [threading.Thread(target=keep_indexing) for _ in range(3)]
    for worker in workers:
        worker.start()
    for number in range(100):
        kb.put("a", "Delivery", f"{page(5)}\n\n## News\n\nEdited {number} times.")
    stop.set()
    for worker in workers:
        worker.join()
    database.close()
    kb.index()
    assert {text: count for text, count in Counter(embedded_texts).items() if count > 2} == {}
    assert kb.state("a") == ("ok", 0, 100, 100)
    assert [hit.passage for hit in kb.search("news: how many times edited")] == ["Edited 99 times."]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_run_leaves_alone_what_another_run_has_until_its_lease_is_over(kb):
    kb.put("a", "A", "Text.")
    kb.rows("delete from dramatiq.queue")
    other = store.open_run(kb.organization, uuid4())
    assert len(store.take(other, 16)) == 1
    outcome = kb.index()
    assert (outcome.articles, outcome.left) == (0, 1)
    assert kb.messages() == []  # the other run sees to it
    kb.rows("update article_index set next_try_at = now()")
    assert kb.index().articles == 1


def test_a_run_that_lost_its_lease_writes_nothing(kb):
    kb.put("a", "A", "Text.")
    slow = store.open_run(kb.organization, uuid4())
    (article,) = store.take(slow, 16)
    kb.rows("update article_index set next_try_at = now()")  # its minute is over
    kb.index()
    chunks = chunking.split(article.title, "Something else.", embedding.token_counts)
    with pytest.raises(store.Superseded):
        store.swap(slow, article, chunks, {})
    assert [hit.passage for hit in kb.search("text")] == ["Text."]


POISON = """
    create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'cannot take this'; end $$;
    create trigger refuse before insert on chunks for each row when (new.text like '%%arsenic%%')
    execute function refuse();
"""


def test_a_bad_article_in_a_batch_of_32_fails_alone_and_dies_after_five_attempts(kb):
    kb.rows(POISON)
    for number in range(31):
        kb.put(f"good-{number:02}", f"Good {number}", f"It is about the number {number}.")
    kb.put("bad", "Bad", "A cup of arsenic.")
    outcome = kb.index()
    assert (outcome.articles, outcome.failed, outcome.left) == (31, 1, 1)
    assert kb.state("bad")[:2] == ("pending", 1)
    for attempt in range(2, 6):
        assert kb.index().articles == 0  # it has its pause
        kb.rows("update article_index set next_try_at = now() where state = 'pending'")
        kb.index()
        assert kb.state("bad")[1] == attempt
    assert kb.state("bad")[0] == "dead"
    assert kb.index().left == 0
    with database.transaction(kb.organization) as connection:
        found = status.status(connection, kb.organization)
    assert (found.published, found.searchable, found.pending, found.dead) == (32, 31, 0, 1)
    assert [(failure.external_id, failure.dead) for failure in found.failures] == [("bad", True)]
    assert "cannot take this" in found.failures[0].error
    kb.put("bad", "Bad", "A cup of tea.")
    assert kb.index().articles == 1
    assert kb.state("bad")[:2] == ("ok", 0)
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_the_pause_after_a_failure_grows(kb):
    kb.rows(POISON)
    kb.put("bad", "Bad", "A cup of arsenic.")
    pauses = []
    for _ in range(4):
        kb.index()
        pauses += kb.rows("select extract(epoch from next_try_at - now())::float from article_index")[0]
        kb.rows("update article_index set next_try_at = now()")
    assert all(later > 1.5 * earlier for earlier, later in pairwise(pauses))
    assert 3.5 < pauses[0] < 6.5


def test_a_short_pause_does_not_wait_for_the_end_of_a_long_one(kb):
    kb.rows(POISON)
    kb.put("bad", "Bad", "A cup of arsenic.")
    for _ in range(4):
        kb.rows("update article_index set next_try_at = now() where state = 'pending'")
        kb.index()
    kb.rows("delete from dramatiq.queue where run_at < now() + interval '60 seconds'")
    assert len(kb.messages()) == 1, "the long pause has its message"
    kb.put("also bad", "Also bad", "More arsenic.")
    kb.index()
    assert kb.rows(
        "select count(*) from dramatiq.queue where actor_name = 'index_articles' and state = 'queued'"
        "   and run_at between now() + interval '2 seconds' and now() + interval '8 seconds'"
    ) == [(1,)]


def test_a_text_that_the_model_fails_on_does_not_take_its_batch_with_it(kb, monkeypatch):
    real = embedding.embed

    def failing(texts):
        if any("arsenic" in text for text in texts):
            raise RuntimeError("the session crashed")
        return real(texts)

    monkeypatch.setattr(embedding, "embed", failing)
    kb.put("good", "Good", "A cup of tea.")
    kb.put("bad", "Bad", "A cup of arsenic.")
    outcome = kb.index()
    assert (outcome.articles, outcome.failed) == (1, 1)
    assert kb.state("good")[0] == "ok"
    assert kb.rows("select last_error from article_index where state = 'pending'") == [
        ("RuntimeError: the session crashed",)
    ]


def test_what_is_unpublished_or_deleted_is_not_found_from_the_commit_on(kb):
    for name in ("draft", "archived", "deleted", "kept"):
        kb.put(name, f"Parking {name}", "Where to leave your car.")
    kb.index()
    assert len(kb.found("parking my car", top=4)) == 4
    kb.put("draft", "Parking draft", "Where to leave your car.", status="draft")
    kb.put("archived", "Parking archived", "Where to leave your car.", status="archived")
    kb.delete("deleted")
    assert kb.found("parking my car", top=4) == ["kept"]
    kb.index()
    assert kb.rows("select count(distinct article_id) from chunks") == [(1,)]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()
    kb.put("deleted", "Parking deleted", "Where to leave your car.")
    kb.index()
    assert set(kb.found("parking my car", top=4)) == {"kept", "deleted"}


def test_reembedding_makes_every_vector_anew_and_search_is_never_dark(kb, embedded_texts, monkeypatch):
    for number in range(3):
        kb.put(f"a{number}", f"Parking {number}", "Where to leave your car.")
    kb.index()
    before = kb.rows("select min(created_at) from embeddings")[0][0]
    embedded_texts.clear()
    with database.transaction(kb.organization) as connection:
        assert indexing.make_stale(connection, kb.organization) == 3
    assert len(kb.messages()) == 1
    assert len(kb.found("parking my car")) == 3
    monkeypatch.setattr(indexing, "BATCH", 1)
    indexing.index(kb.organization, run_seconds=0.0001)  # cut off after the first: the rest goes on where it was
    outcome = kb.index()
    assert outcome.left == 0
    assert kb.rows("select count(*) from embeddings where created_at <= %s", before) == [(0,)]
    assert {text for text in embedded_texts if text.startswith("Parking")} == {
        f"Parking {number}\nWhere to leave your car." for number in range(3)
    }
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


KILLED = """
import sys, time
from uuid import UUID
from desk.kb import indexing, store
def swap(*arguments):
    print("embedded", flush=True)
    time.sleep(60)
store.swap = swap
indexing.index(sys.argv[1], run_id=UUID(sys.argv[2]))
"""


def test_a_worker_killed_between_embedding_and_commit_leaves_nothing_and_the_next_does_the_work(kb):
    kb.put("a", "Delivery", "By bicycle.")
    message_id = uuid4()
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(kb.organization), str(message_id)], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "embedded\n"
        os.kill(worker.pid, signal.SIGKILL)
    assert kb.rows("select count(*) from chunks") == kb.rows("select count(*) from embeddings") == [(0,)]
    outcome = kb.index()
    assert (outcome.articles, outcome.left) == (0, 1)  # to others its lease still stands
    assert indexing.index(kb.organization, run_id=message_id).articles == 1
    assert kb.found("how do you deliver") == ["a"]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_vector_that_vanished_before_it_could_be_reused_is_made_again(kb, monkeypatch):
    kb.put("a", "Contact", "Call us at noon.")
    kb.index()
    kb.put("b", "Contact", "Call us at noon.")
    real = store.made_at

    def then_gone(run, shas):
        there = real(run, shas)
        kb.rows("delete from embeddings")
        return there

    monkeypatch.setattr(store, "made_at", then_gone)
    kb.index()
    assert kb.state("b")[0] == "ok"
    assert kb.rows("select count(*) from embeddings") == [(1,)]


@pytest.mark.parametrize("vector", ["[" + ",".join(["0"] * 384) + "]", "[" + ",".join(["1"] * 384) + "]"])
def test_the_table_itself_refuses_a_vector_that_is_not_of_length_one(kb, vector):
    with pytest.raises(psycopg2.errors.CheckViolation):
        kb.rows(
            "insert into embeddings (organization_id, model_id, chunk_sha, embedding)"
            " select %s, id, 'x', %s::halfvec from models where state = 'active'",
            kb.organization,
            vector,
        )


def test_without_a_model_no_attempt_is_counted(kb, monkeypatch, tmp_path):
    kb.put("a", "A", "Text.")
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(tmp_path / "nowhere"))
    settings.cache_clear()
    embedding.unload()
    try:
        with pytest.raises(ModelUnavailable):
            kb.index()
        assert kb.state("a")[:2] == ("pending", 0)
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_process_with_another_model_than_the_vectors_were_made_with_says_so(kb, monkeypatch):
    kb.put("a", "A", "Text.")
    kb.index()
    monkeypatch.setattr(embedding, "model_name", lambda: "BAAI/bge-small-en-v1.5")
    with pytest.raises(ModelUnavailable, match="are sentence-transformers/all-MiniLM-L6-v2's, but ATUM_EMBED_MODEL is"):
        kb.index()


def test_before_the_first_vector_the_configured_model_is_the_active_one(kb, monkeypatch):
    kb.put("a", "A", "Text.")
    monkeypatch.setattr(embedding, "model_name", lambda: "BAAI/bge-small-en-v1.5")
    assert kb.index().articles == 1
    assert kb.rows("select name from models where state = 'active'") == [("BAAI/bge-small-en-v1.5",)]
    assert kb.rows("select count(*) from article_index") == [(1,)]


def test_an_article_that_lost_its_message_gets_another(kb, other_kb):
    kb.put("a", "A", "Text.")
    other_kb.put("b", "B", "Text.")
    kb.rows("delete from dramatiq.queue")
    assert indexing.send_overdue() == 0  # it is only just due
    kb.rows("update article_index set next_try_at = now() - interval '3 minutes'")
    assert indexing.send_overdue() == 2
    assert indexing.send_overdue() == 2
    assert sorted(args for _, args, _ in kb.messages()) == sorted(
        [[str(kb.organization)], [str(other_kb.organization)]]
    )


def test_an_organization_that_does_not_exist_is_named(kb):
    with pytest.raises(NotFound, match="no organization with the id 00000000"):
        indexing.index("00000000-0000-0000-0000-000000000000")
    with pytest.raises(NotFound, match="not a UUID"):
        indexing.index("acme")
