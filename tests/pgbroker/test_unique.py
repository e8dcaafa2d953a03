"""unique_key: at most one message waits under it; what runs already does not count."""

from threading import Event
from types import SimpleNamespace

import dramatiq
import psycopg2
import pytest
from workers import until, working

from pgbroker.engine import _restore_keys


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker)
    def note(number):
        note.began.set()
        note.go_on.wait(10)
        note.ran.append(number)

    note.ran, note.began, note.go_on = [], Event(), Event()
    return note


def test_a_second_send_is_the_first(note, look):
    first = note.send_with_options(args=(1,), unique_key="ticket 1")
    second = note.send_with_options(args=(2,), unique_key="ticket 1")
    other = note.send_with_options(args=(3,), unique_key="ticket 2")
    assert second.message_id == first.message_id != other.message_id
    assert [row["message"]["args"] for row in look.waiting] == [[1], [3]]


def test_send_many_knows_keys_within_its_own_messages(broker, note, look):
    sent = broker.send_many([note.message_with_options(args=(number,), unique_key="same") for number in range(3)])
    assert len(look.waiting) == 1
    assert len({message.message_id for message in sent}) == 1


def test_a_message_that_runs_does_not_stop_the_next(broker, note, look):
    first = note.send_with_options(args=(1,), unique_key="ticket 1")
    with working(broker):
        assert note.began.wait(10)
        second = note.send_with_options(args=(2,), unique_key="ticket 1")
        assert second.message_id != first.message_id
        note.go_on.set()
        until(lambda: sorted(note.ran) == [1, 2])  # both run now, in any order
    assert look.finished[0]["message"]["options"]["unique_key"] == "ticket 1"


def test_a_retry_does_not_collide_with_the_next_that_waits(broker, look):
    first_began, second_sent = Event(), Event()
    runs = []

    @dramatiq.actor(broker=broker, min_backoff=1)
    def job(number):
        runs.append(number)
        if runs == [1]:
            first_began.set()
            assert second_sent.wait(10)
            raise ValueError("once")

    job.send_with_options(args=(1,), unique_key="ticket 1")
    with working(broker, threads=1):
        assert first_began.wait(10)
        job.send_with_options(args=(2,), unique_key="ticket 1")
        second_sent.set()
        until(lambda: len(look.finished) == 2)
    assert sorted(runs) == [1, 1, 2]


def test_sql_and_python_share_the_keys(note, look):
    first = note.send_with_options(args=(1,), unique_key="ticket 1")
    (row,) = look.rows(
        "select pgbroker.enqueue('note', '[2]', queue => 'default', unique_key => 'ticket 1')::text as id"
    )
    assert row["id"] == first.message_id


@pytest.mark.parametrize("sender", ["python", "sql"])
def test_a_message_that_an_open_transaction_counts_on_is_not_claimed_before_it_commits(sender, broker, note, look, url):
    first = note.send_with_options(args=(1,), unique_key="ticket 1")
    note.go_on.set()
    other = psycopg2.connect(url)
    try:
        if sender == "python":
            with broker.enlist(other):
                assert note.send_with_options(args=(2,), unique_key="ticket 1").message_id == first.message_id
        else:
            with other.cursor() as cursor:
                cursor.execute("select pgbroker.enqueue('note', '[2]', queue => 'default', unique_key => 'ticket 1')")
        with working(broker):
            note.send(3)
            until(lambda: note.ran, "the witness, which was sent later, has run")
            assert note.ran == [3], "a run that began now would not see what the open transaction writes"
            other.commit()
            until(lambda: note.ran == [3, 1], "the message has run after the commit")
    finally:
        other.close()


def test_a_message_that_was_claimed_and_not_begun_has_its_key_again(broker, look):
    """A worker used to short work claims ahead, and gives back what it cannot begin."""
    began, go_on = Event(), Event()

    @dramatiq.actor(broker=broker)
    def short(number):
        if number == 700:
            began.set()
            go_on.wait(20)

    broker.send_many(
        [short.message_with_options(args=(number,), unique_key=f"ticket {number}") for number in range(1_500)]
    )
    with working(broker, threads=1):
        assert began.wait(20)
        until(lambda: look.rows("select from dramatiq.queue where state = 'consumed' having count(*) = 1"))
        assert broker.engine.counters["recalled"] > 0
        until(lambda: not look.rows("select from dramatiq.queue where state = 'queued' and unique_key is null"))
        waiting = {row["unique_key"]: str(row["message_id"]) for row in look.waiting if row["state"] == "queued"}
        for key in list(waiting)[:3]:
            assert short.send_with_options(args=(0,), unique_key=key).message_id == waiting[key]
        go_on.set()
        until(lambda: len(look.finished) == 1_500)


@pytest.mark.parametrize("state", ["sent", "being sent"])
def test_a_key_that_somebody_took_meanwhile_is_left_to_him(broker, note, look, url, state):
    first = note.send_with_options(args=(1,), unique_key="ticket 1")
    look.rows("update dramatiq.queue set unique_key = null")
    somebody = psycopg2.connect(url)
    try:
        with broker.enlist(somebody):
            second = note.send_with_options(args=(2,), unique_key="ticket 1")
        if state == "sent":
            somebody.commit()
        given_back = SimpleNamespace(message_id=first.message_id, options=first.options)
        _restore_keys(broker.connections, [given_back])
        somebody.commit()
    finally:
        somebody.close()
    assert {str(row["message_id"]): row["unique_key"] for row in look.waiting} == {
        first.message_id: None,
        second.message_id: "ticket 1",
    }
