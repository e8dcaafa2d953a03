"""Pause, resume, cancel: on queues that real workers serve."""

from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

import dramatiq
import psycopg2
import pytest
from dramatiq.middleware import SkipMessage
from workers import until, working

from pgbroker import PostgresBroker, UnknownMessage, dead_letters, operate
from pgbroker.errors import Cancelled
from pgbroker.lease import MOST_DEATHS
from pgbroker.statements import sql


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker, queue_name="notes")
    def note(number):
        note.ran.append(number)

    note.ran = []
    return note


@pytest.fixture
def witness(broker):
    """Runs on another queue."""

    @dramatiq.actor(broker=broker, queue_name="witness")
    def witness():
        pass

    return witness


@pytest.fixture
def slow(broker):
    """Runs until it is told to stop, in steps that an interrupt can end."""

    @dramatiq.actor(broker=broker, queue_name="notes")
    def slow(number, *, stubborn=False):
        slow.began.set()
        try:
            while not slow.go_on.wait(0.01):
                pass
        except Cancelled:
            slow.interrupted.append(number)
            if stubborn:
                raise ValueError("not now") from None
            raise

    slow.began, slow.go_on, slow.interrupted = Event(), Event(), []
    return slow


# Pause


def test_nobody_claims_from_a_paused_queue_until_it_is_resumed(broker, note, witness, look):
    operate.pause(broker.connections, "notes")
    note.send(1)
    with working(broker):
        witness.send()
        until(lambda: look.finished, "the witness has run")
        assert (note.ran, [row["deliveries"] for row in look.waiting]) == ([], [0])
        operate.resume(broker.connections, "notes")
        until(lambda: note.ran == [1])


def test_a_queue_stays_paused_whoever_is_restarted(broker, url):
    before = datetime.now(UTC) - timedelta(minutes=1)
    operate.pause(broker.connections, "notes")
    since = operate.paused(broker.connections)["notes"]
    assert before < since < datetime.now(UTC) + timedelta(minutes=1)
    broker.close()
    other = PostgresBroker(url)
    try:
        operate.pause(other.connections, "notes")
        assert operate.paused(other.connections) == {"notes": since}
        operate.resume(other.connections, "notes")
        operate.resume(other.connections, "never paused")
        assert operate.paused(other.connections) == {}
    finally:
        other.close()


def test_what_runs_when_its_queue_is_paused_ends_in_peace(broker, slow, look):
    slow.send(1)
    with working(broker):
        assert slow.began.wait(10)
        operate.pause(broker.connections, "notes")
        slow.go_on.set()
        until(lambda: look.finished)


# Cancel


def test_one_that_waits_is_a_dead_letter_at_once_and_its_key_is_free(broker, note, look):
    first = note.send_with_options(args=(1,), unique_key="ticket 1", delay=60_000)
    assert operate.cancel(broker.connections, [first.message_id]) == {first.message_id: "cancelled"}
    (letter,) = look.dead
    assert (str(letter["message_id"]), letter["reason"], letter["message"]["args"]) == (
        first.message_id, "cancelled", [1],
    )  # fmt: skip
    assert [entry["event"] for entry in letter["history"]] == ["cancelled"]
    assert look.waiting == []
    assert note.send_with_options(args=(2,), unique_key="ticket 1").message_id != first.message_id


def test_one_that_runs_is_interrupted_and_its_thread_goes_on(broker, slow, note, look):
    running = slow.send(1)
    with working(broker, threads=1):
        assert slow.began.wait(10)
        assert operate.cancel(broker.connections, [running.message_id]) == {running.message_id: "asked its worker"}
        until(lambda: look.dead)
        note.send(2)
        until(lambda: note.ran == [2])
    assert slow.interrupted == [1]
    assert [(str(letter["message_id"]), letter["reason"]) for letter in look.dead] == [
        (running.message_id, "cancelled")
    ]
    assert look.waiting == []


def test_one_whose_actor_turns_the_interrupt_into_a_failure_does_not_run_again(broker, slow, look):
    running = slow.send_with_options(args=(1,), kwargs={"stubborn": True}, min_backoff=60_000)
    with working(broker):
        assert slow.began.wait(10)
        operate.cancel(broker.connections, [running.message_id])
        until(lambda: look.dead)
    assert [letter["reason"] for letter in look.dead] == ["cancelled"]
    assert slow.interrupted == [1]


def test_one_that_its_worker_holds_and_has_not_begun_never_begins(broker, note, look):
    consumer = broker.consume("notes", prefetch=1, timeout=5_000)
    message = note.send(1)
    held = next(consumer)
    operate.cancel(broker.connections, [message.message_id])
    until(lambda: held.cancel_asked, "the beat has told")
    with pytest.raises(SkipMessage):
        broker.emit_before("process_message", held)
    broker.emit_after("skip_message", held)
    consumer.ack(held)
    assert [letter["reason"] for letter in look.dead] == ["cancelled"]
    assert note.ran == []


def test_one_whose_worker_dies_before_its_beat_is_a_dead_letter_too(broker, note, look):
    message = note.send(1)
    look.rows(
        """update dramatiq.queue set state = 'consumed', process_id = gen_random_uuid(),
           lease_token = gen_random_uuid(), started_at = now() - interval '1 minute'"""
    )
    assert operate.cancel(broker.connections, [message.message_id]) == {message.message_id: "asked its worker"}
    broker.connections.execute(sql("rescue"), {"young_seconds": 0.5, "most_deaths": MOST_DEATHS})
    assert [row["state"] for row in look.waiting] == ["queued"]
    with working(broker):
        until(lambda: look.dead)
    assert (note.ran, look.dead[0]["reason"]) == ([], "cancelled")


def test_one_that_is_being_claimed_at_this_moment_is_running(broker, note, look, url):
    message = note.send(1)
    claimer, answers = psycopg2.connect(url), []
    try:
        with claimer.cursor() as cursor:
            cursor.execute("update dramatiq.queue set state = 'consumed', lease_token = gen_random_uuid()")
        asking = Thread(target=lambda: answers.append(operate.cancel(broker.connections, [message.message_id])))
        asking.start()
        until(lambda: look.rows("select from pg_locks where not granted"), "it waits for the claim")
        claimer.commit()
        asking.join(10)
    finally:
        claimer.close()
    assert answers == [{message.message_id: "asked its worker"}]
    assert [row["cancel_at"] is not None for row in look.waiting] == [True]


@pytest.mark.parametrize("where", ["is finished", "is a dead letter", "is unknown", "is no message id"])
def test_an_id_that_neither_waits_nor_runs_is_one_clear_line_and_nothing_happens(broker, note, look, where):
    good, wrong = note.send(1), note.send(2).message_id
    if where == "is finished":
        look.rows(
            """with gone as (delete from dramatiq.queue where message_id = %s returning *)
               insert into pgbroker.finished (message_id, queue_name, message, created_at, deliveries, retries, history)
               select message_id, queue_name, message, created_at, 1, 0, history from gone""",
            wrong,
        )
    elif where == "is a dead letter":
        operate.cancel(broker.connections, [wrong])
    else:
        wrong = str(uuid4()) if where == "is unknown" else "nonsense"
    with pytest.raises(UnknownMessage, match=f"{wrong}.*{where}") as raised:
        operate.cancel(broker.connections, [good.message_id, wrong])
    assert "\n" not in str(raised.value)
    assert good.message_id in [str(row["message_id"]) for row in look.waiting]


def test_a_cancelled_message_can_be_sent_again_and_cancelled_again(broker, note, look):
    message = note.send(1)
    for _ in range(2):
        operate.cancel(broker.connections, [message.message_id])
        assert dead_letters.retry(broker.connections, [message.message_id]) == [message.message_id]
    with working(broker):
        until(lambda: note.ran == [1])
