"""What becomes of a message: done, again, dead, given back. Each is written once."""

import time
from threading import Event

import dramatiq
import pytest
from dramatiq.middleware import AgeLimit, Middleware, Retries, Shutdown, ShutdownNotifications
from workers import until, work_off, working

from pgbroker import PostgresBroker


def test_a_failing_message_is_tried_again_and_ends_as_a_dead_letter_with_every_error(broker, look):
    runs = []

    @dramatiq.actor(broker=broker, max_retries=2, min_backoff=1)
    def fails():
        runs.append(1)
        raise ValueError(f"number {len(runs)}")

    fails.send()
    work_off(broker)
    (letter,) = look.dead
    assert len(runs) == 3
    assert (letter["reason"], letter["error"]) == ("retries exhausted", "ValueError: number 3")
    assert [(entry["event"], entry["error"]) for entry in letter["history"]] == [
        ("retried", "ValueError: number 1"),
        ("retried", "ValueError: number 2"),
        ("failed", "ValueError: number 3"),
    ]
    assert (letter["retries"], letter["deliveries"]) == (2, 3)
    assert "in fails" in letter["traceback"]
    assert look.waiting == look.finished == []


def test_a_retry_that_succeeds_is_done_once(broker, look):
    runs = []

    @dramatiq.actor(broker=broker, min_backoff=1)
    def second_time():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError

    second_time.send()
    work_off(broker)
    (row,) = look.finished
    assert (row["retries"], row["deliveries"], look.dead) == (1, 2, [])


def test_what_an_actor_throws_is_dead_at_once(broker, look):
    @dramatiq.actor(broker=broker, throws=(LookupError,))
    def asks():
        raise KeyError("no such ticket")

    asks.send()
    work_off(broker)
    (letter,) = look.dead
    assert (letter["reason"], letter["retries"]) == ("thrown", 0)


def test_an_error_and_options_that_postgres_cannot_hold_are_stored_nearly(broker, look):
    @dramatiq.actor(broker=broker, max_retries=1, min_backoff=1)
    def fails():
        dramatiq.middleware.CurrentMessage.get_current_message().options["odd"] = {1, 2}
        raise ValueError("nul \0, surrogate \ud800")

    fails.send()
    work_off(broker)
    (letter,) = look.dead
    assert letter["error"] == "ValueError: nul ␀, surrogate ?"
    assert letter["message"]["options"]["odd"] == "{1, 2}"


def test_history_and_traceback_stay_bounded(broker, look):
    @dramatiq.actor(broker=broker, max_retries=60, min_backoff=1, max_backoff=1)
    def fails():
        raise ValueError("x" * 1_000_000)

    fails.send()
    work_off(broker, seconds=60)
    (letter,) = look.dead
    assert letter["retries"] == 60
    assert len(letter["history"]) == 50
    assert len(str(letter["history"])) < 50_000
    assert len(letter["traceback"]) <= 20_000
    assert len(letter["error"]) <= 2_000
    assert len(letter["message"]["options"]["traceback"]) <= 5_000


def test_an_unknown_actor_is_a_dead_letter_with_that_reason(broker, look):
    broker.declare_queue("default")
    broker.enqueue(dramatiq.Message("default", "nobody", (), {}, {}))
    work_off(broker)
    (letter,) = look.dead
    assert (letter["reason"], letter["actor_name"]) == ("unknown actor", "nobody")


@pytest.mark.parametrize(
    "junk",
    [
        "null",
        "7",
        '"text"',
        "[]",
        "{}",
        '{"actor_name": "note", "args": 7, "kwargs": {}, "options": {}}',
        '{"actor_name": "note", "args": "abc", "kwargs": {}, "options": {}, "queue_name": "default"}',
        '{"actor_name": "note", "args": [], "kwargs": [], "options": {}, "queue_name": "default"}',
        '{"actor_name": ["note"], "args": [], "kwargs": {}, "options": {}, "queue_name": "default"}',
        '{"actor_name": "note", "args": [], "kwargs": {}, "options": null, "queue_name": "default"}',
        '{"actor_name": "note", "args": [], "kwargs": {}, "options": {}, "queue_name": "default", "x": 1}',
        '{"actor_name": "note", "args": [], "kwargs": {}, "options": {}, "queue_name": "d", "message_timestamp": "x"}',
    ],
)
def test_a_row_that_is_no_message_is_a_dead_letter_and_the_next_runs(broker, look, junk):
    ran = []

    @dramatiq.actor(broker=broker)
    def note():
        ran.append(1)

    look.rows("insert into dramatiq.queue (message_id, message) values (gen_random_uuid(), %s)", junk)
    note.send()
    work_off(broker)
    assert [letter["reason"] for letter in look.dead] == ["not a message"]
    assert ran == [1]


def test_a_row_without_message_is_a_dead_letter(broker, look):
    broker.declare_queue("default")
    look.rows("insert into dramatiq.queue (message_id) values (gen_random_uuid())")
    work_off(broker)
    assert [letter["reason"] for letter in look.dead] == ["not a message"]


def test_a_row_that_names_another_queue_or_an_eta_runs_where_it_lies(broker, look):
    ran = []

    @dramatiq.actor(broker=broker)
    def note():
        ran.append(1)

    look.rows(
        """insert into dramatiq.queue (message_id, message) values (gen_random_uuid(),
           '{"actor_name": "note", "args": [], "kwargs": {}, "queue_name": "other.DQ",
             "options": {"eta": 99999999999999}}')"""
    )
    work_off(broker)
    assert ran == [1]


def test_an_exception_that_no_middleware_decided_about_is_never_done(url, look):
    class Broken(Retries):
        def after_process_message(self, *args, **kwargs):
            raise RuntimeError("the hook itself is broken")

    broker = PostgresBroker(url, middleware=[Broken()], results=False)

    @dramatiq.actor(broker=broker)
    def fails():
        raise ValueError("once")

    fails.send()
    with working(broker):
        until(lambda: look.rows("select from dramatiq.queue where retries = 1 and state = 'queued'"))
    assert look.finished == look.dead == []


def test_without_retries_a_failure_is_a_dead_letter_not_done(url, look):
    broker = PostgresBroker(url, middleware=[], results=False)

    @dramatiq.actor(broker=broker)
    def fails():
        raise ValueError("once")

    fails.send()
    work_off(broker)
    assert [letter["error"] for letter in look.dead] == ["ValueError: once"]


def test_dramatiqs_own_retries_work_as_well(url, look):
    broker = PostgresBroker(url, middleware=[Retries(max_retries=1, min_backoff=1)], results=False)
    runs = []

    @dramatiq.actor(broker=broker)
    def fails():
        runs.append(1)
        raise ValueError("again")

    fails.send()
    work_off(broker)
    assert len(runs) == 2
    assert len(look.dead) == 1


def test_a_message_that_is_too_old_says_so(url, look):
    broker = PostgresBroker(url, middleware=[AgeLimit(max_age=1)], results=False)

    @dramatiq.actor(broker=broker)
    def note():
        raise AssertionError("must not run")

    broker.enqueue(dramatiq.Message("default", "note", (), {}, {}, message_timestamp=1))
    work_off(broker)
    assert [letter["reason"] for letter in look.dead] == ["too old"]


def test_retry_with_a_delay_waits_that_long_by_the_databases_clock(broker, look):
    @dramatiq.actor(broker=broker)
    def later():
        raise dramatiq.Retry(delay=60_000)

    later.send()
    with working(broker):
        until(lambda: look.rows("select from dramatiq.queue where state = 'queued' and run_at > now() + '50 s'"))


def test_d09_a_retry_without_delay_runs_at_once(broker):
    runs = []

    @dramatiq.actor(broker=broker, max_retries=30)
    def again():
        runs.append(time.monotonic())
        if len(runs) < 20:
            raise dramatiq.Retry(delay=0)

    again.send()
    with working(broker):
        until(lambda: len(runs) == 20, timeout_seconds=5)


def test_a_shutdown_gives_an_interrupted_message_back_without_counting_a_retry(url, look):
    from pgbroker.middleware import Retries

    broker = PostgresBroker(url, middleware=[ShutdownNotifications(notify_shutdown=True), Retries()], results=False)
    began = Event()

    @dramatiq.actor(broker=broker)
    def long():
        began.set()
        try:
            for _ in range(1000):
                time.sleep(0.01)
        except Shutdown:
            raise

    long.send()
    with working(broker):
        assert began.wait(10)
    (row,) = look.waiting
    assert (row["state"], row["retries"]) == ("queued", 0)
    assert [entry["event"] for entry in row["history"]] == ["released"]


def test_a_worker_that_stops_gives_back_what_it_had_not_started(broker, look):
    began, go_on = Event(), Event()

    @dramatiq.actor(broker=broker)
    def slow():
        began.set()
        go_on.wait(10)

    for _ in range(5):
        slow.send()
    with working(broker, threads=1) as worker:
        assert began.wait(10)
        for consumer in worker.consumers.values():
            until(lambda consumer=consumer: consumer.consumer)
        broker.emit_before("worker_shutdown", worker)
        go_on.set()
        until(lambda: len(look.finished) == 1)
    assert [row["state"] for row in look.waiting] == ["queued"] * 4
    assert all(row["retries"] == 0 and row["lease_token"] is None for row in look.waiting)
    assert look.rows("select * from pgbroker.processes") == []


def test_no_process_claims_more_than_it_can_start(broker, look):
    go_on = Event()

    @dramatiq.actor(broker=broker, queue_name="one")
    def one():
        go_on.wait(10)

    @dramatiq.actor(broker=broker, queue_name="two")
    def two():
        go_on.wait(10)

    broker.send_many([one.message() for _ in range(50)] + [two.message() for _ in range(50)])
    with working(broker, threads=3):
        until(lambda: len(look.rows("select from dramatiq.queue where state = 'consumed'")) == 3)
        time.sleep(0.3)
        assert len(look.rows("select from dramatiq.queue where state = 'consumed'")) == 3
        go_on.set()
        broker.join("one", timeout=20_000)
        broker.join("two", timeout=20_000)


def test_d04_a_message_claimed_through_an_earlier_consumer_is_finished_through_the_next(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    note.send()
    first = broker.consume("default", prefetch=1, timeout=5000)
    message = next(first)
    first.close()
    second = broker.consume("default", prefetch=1, timeout=5000)
    second.ack(message)
    assert len(look.finished) == 1


def test_hooks_see_ack_and_nack(broker):
    seen = []

    class Watch(Middleware):
        def after_ack(self, broker, message):
            seen.append(("ack", message.actor_name))

        def after_nack(self, broker, message):
            seen.append(("nack", message.actor_name))

    broker.add_middleware(Watch())

    @dramatiq.actor(broker=broker)
    def good():
        pass

    @dramatiq.actor(broker=broker, max_retries=0)
    def bad():
        raise ValueError

    good.send()
    bad.send()
    work_off(broker)
    assert sorted(seen) == [("ack", "good"), ("nack", "bad")]
