"""What the jobs of one ticket share: found out once, remembered while it serves, and never too long."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from uuid import UUID

import pytest
from waiting import until

from desk import database
from desk.kb import articles, embedding, indexing
from desk.tickets import jobs, problem_vectors, similar, store, vectors
from desk.tickets.once import Once


def test_of_threads_that_ask_at_once_one_finds_out():
    once: Once[str, object] = Once(most=4)
    together, found = Barrier(4), []

    def find() -> object:
        found.append(object())
        return found[-1]

    def ask() -> object:
        together.wait()
        return once.get("a", find)

    with ThreadPoolExecutor(4) as threads:
        answers = [each.result() for each in [threads.submit(ask) for _ in range(4)]]
    assert answers == found * 4


def test_who_asks_while_it_is_found_out_waits_for_it():
    once: Once[str, int] = Once(most=4)
    begun, go_on = Event(), Event()

    def find() -> int:
        begun.set()
        assert go_on.wait(10)
        return 1

    def never() -> int:
        raise AssertionError("found out twice")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(once.get, "a", find)
        assert begun.wait(10)
        second = threads.submit(once.get, "a", never)
        until(second.running)
        assert not second.done()
        go_on.set()
        assert (first.result(10), second.result(10)) == (1, 1)


def test_what_failed_what_does_not_serve_and_what_was_asked_for_long_ago_is_found_out_anew():
    once: Once[str, int] = Once(most=2)

    def fail() -> int:
        raise LookupError("not now")

    with pytest.raises(LookupError):
        once.get("a", fail)
    assert once.get("a", lambda: 1) == 1
    assert once.get("a", lambda: 2, lambda found: found > 1) == 2
    assert [once.get("b", lambda: 3), once.get("a", lambda: 4), once.get("c", lambda: 5)] == [3, 2, 5]
    assert [once.get("a", lambda: 6), once.get("b", lambda: 7)] == [2, 7]


def test_a_search_serves_both_jobs_and_who_comes_again_sees_what_has_changed(model_dir, organization: UUID, ticket):
    def write(body: str) -> None:
        with database.transaction(organization) as connection:
            articles.put(connection, organization, external_id="p", title="Reset a forgotten password", body_md=body)
        indexing.index(organization)

    write("To reset your password open the sign-in page and choose the link below the field.")
    made = ticket("I forgot my password", "How can I sign in again?")
    _, hits, at = jobs.suggestions(organization, made)
    assert jobs._search(organization, made, "draft")[2:] == (jobs._search(organization, made, "other")[2], at)
    write("To reset your password call us, and we will send you a new one by post within a week.")
    _, body, citations = jobs.draft(organization, made)
    assert body is not None
    assert "by post" in body
    assert [each["article_revision"] for each in citations] == [hits[0]["article_revision"] + 1]
    assert jobs.suggestions(organization, made)[1][0]["article_revision"] == hits[0]["article_revision"] + 1


def test_a_search_is_not_shared_when_a_message_sent_since_may_be_about_a_change(
    model_dir, organization: UUID, ticket, monkeypatch
):
    made = ticket("I forgot my password", "How can I sign in again?")
    _, _, at = jobs.suggestions(organization, made)
    monkeypatch.setattr(jobs, "SHARED_SECONDS", 0.0)
    assert jobs._search(organization, made, "draft")[3] > at


def test_a_vector_that_was_written_a_moment_ago_is_seen_once_and_a_later_revision_as_well(
    model_dir, organization: UUID, ticket, ask
):
    made = ticket("The printer prints nothing", "The paper stays white.")

    def near() -> list[tuple[UUID, int]]:
        with database.transaction(organization) as connection:
            read = store.get(connection, organization, made)
        text = vectors.text_of(read.subject, read.body)
        vector = vectors.of_ticket(organization, made, read.revision, text)
        with database.transaction(organization) as connection:
            found = problem_vectors.near(connection, organization, embedding.model_name(), vector, similar.LEAST)
            return [(one.ticket_id, one.revision) for one in found]

    assert [near(), near()] == [[(made, 1)]] * 2
    ask("update tickets set body = 'The paper comes out white.' where id = %s returning id", made)
    assert [near(), near()] == [[(made, 2)]] * 2


def test_what_was_near_keeps_the_revision_that_it_was_compared_by(model_dir, organization: UUID, ticket, ask):
    made = ticket("The printer prints nothing", "The paper stays white.")
    model = embedding.model_name()

    def vector() -> vectors.Vectors:
        with database.transaction(organization) as connection:
            read = store.get(connection, organization, made)
        text = vectors.text_of(read.subject, read.body)
        return vectors.of_ticket(organization, made, read.revision, text)

    asked = vector()
    with database.transaction(organization) as connection:
        before = problem_vectors.near(connection, organization, model, asked, similar.LEAST)
        ask("update tickets set body = 'The paper comes out white.' where id = %s", made)
        vector()
        after = problem_vectors.near(connection, organization, model, asked, similar.LEAST)
        assert [(one.revision, one.similarity > 0.999) for one in before] == [(1, True)]
        assert [(one.revision, one.similarity > 0.999) for one in after] == [(2, False)]


def test_a_vector_that_another_process_is_making_is_waited_for_and_not_made_again(
    model_dir, organization: UUID, ticket, monkeypatch
):
    made = ticket("The printer prints nothing", "The paper stays white.")
    others = embedding.embed(["The vector of the other process."])
    embedded = []

    def embed(texts: list[str]) -> vectors.Vectors:
        embedded.append(texts)
        return others

    monkeypatch.setattr(embedding, "embed", embed)
    with ThreadPoolExecutor(1) as threads, database.transaction(organization) as other:
        vectors._lock(other, made)  # as the other process would
        asked = threads.submit(vectors.of_ticket, organization, made, 1, "The text.")
        until(lambda: _waiting_for_advisory_locks(organization) == 1, "it waits")
        vectors._keep(other, organization, [(made, 1)], others)
        other.commit()
        assert asked.result(10) == pytest.approx(others[0], abs=1e-3)
    assert embedded == []


def test_a_vector_is_made_at_last_though_another_process_never_ends(model_dir, organization: UUID, ticket, monkeypatch):
    made = ticket("The printer prints nothing", "The paper stays white.")
    monkeypatch.setattr(vectors, "PATIENCE", "10ms")
    with database.transaction(organization) as other:
        vectors._lock(other, made)
        found = vectors.of_ticket(organization, made, 1, "The text.")
    assert found == pytest.approx(embedding.embed(["The text."])[0], abs=1e-3)
    with database.transaction(organization) as connection:
        assert vectors._stored(connection, organization, made, 1) is not None


def _waiting_for_advisory_locks(organization: UUID) -> int:
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_locks join pg_database d on d.oid = database"
            " where datname = current_database() and locktype = 'advisory' and not granted"
        )
        (count,) = cursor.fetchone()
    return count
