"""A process claims ahead of short work, never ahead of long work; and gives back what it took too much of."""

from threading import Event

import dramatiq
from workers import until, work_off, working

from pgbroker.pace import HORIZON_SECONDS, MOST_AHEAD, Pace


def test_no_message_is_held_ahead_of_long_work(broker, look):
    go_on = Event()

    @dramatiq.actor(broker=broker)
    def slow():
        go_on.wait(20)

    for _ in range(20):
        slow.send()
    with working(broker, threads=2):
        until(lambda: look.rows("select from dramatiq.queue where state = 'consumed' having count(*) = 2"))
        go_on.set()
        until(lambda: len(look.finished) == 20)


def test_what_short_work_made_it_take_is_given_back_when_work_gets_long(broker, look):
    go_on, blocked = Event(), Event()

    @dramatiq.actor(broker=broker)
    def short():
        pass

    @dramatiq.actor(broker=broker)
    def long():
        blocked.set()
        go_on.wait(20)

    messages = [short.message() for _ in range(1_500)]
    for place in (700, 701):
        messages[place] = long.message()
    broker.send_many(messages)
    with working(broker, threads=2):
        assert blocked.wait(20)
        until(lambda: look.rows("select from dramatiq.queue where state = 'consumed' having count(*) <= 2"))
        assert broker.engine.counters["recalled"] > 0
        assert not look.dead
        go_on.set()
        until(lambda: len(look.finished) == 1_500)
    assert {row["deliveries"] for row in look.finished} <= {1, 2, 3}


def test_many_short_messages_take_few_claims(broker, look):
    @dramatiq.actor(broker=broker)
    def short():
        pass

    broker.send_many([short.message() for _ in range(3_000)])
    with working(broker, threads=4):
        broker.join("default", timeout=30_000)
        counters = dict(broker.engine.counters)
    assert counters["claimed"] == 3_000
    assert counters["claim_seconds_count"] < 3_000 / 4
    assert counters["finish_seconds_count"] < 3_000


def test_the_pace_follows_and_forgets():
    pace = Pace()
    for tick in range(1_000):
        pace.note(5, tick / 1_000)
    assert abs(pace.ahead(1.0) - 5_000 * HORIZON_SECONDS) < 10
    assert pace.ahead(2.0) == 0
    for tick in range(1_000):
        pace.note(100, 3 + tick / 1_000)
    assert pace.ahead(4.0) == MOST_AHEAD


def test_a_worker_off_its_pace_still_drains(broker, look):
    @dramatiq.actor(broker=broker)
    def short():
        pass

    for _ in range(3):
        broker.send_many([short.message() for _ in range(100)])
        work_off(broker)
    assert len(look.finished) == 300
