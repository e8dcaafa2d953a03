"""A process claims ahead of short work, never ahead of long work; and gives back what it took too much of."""

from collections import deque
from threading import Event, Thread
from time import monotonic
from uuid import uuid4

import dramatiq
from workers import until, work_off, working

from pgbroker import DatabaseAway
from pgbroker.encoding import message_of
from pgbroker.engine import RECALL_SECONDS
from pgbroker.finish import Finisher
from pgbroker.leased import Lease, LeasedMessage, Release
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


def test_what_could_not_be_given_back_is_given_back_later(broker, look, monkeypatch):
    """Nobody claims meanwhile, all threads are busy; and the beat goes on, so that nobody rescues it either."""
    go_on, blocked, refused = Event(), Event(), []

    @dramatiq.actor(broker=broker)
    def short():
        pass

    @dramatiq.actor(broker=broker)
    def long():
        blocked.set()
        go_on.wait(30)

    def away_twice(finisher, finishes, finish=Finisher.finish):
        if blocked.is_set() and len(refused) < 2 and isinstance(finishes[0][1], Release):
            refused.append(len(finishes))
            raise DatabaseAway("for a moment")
        finish(finisher, finishes)

    monkeypatch.setattr(Finisher, "finish", away_twice)
    messages = [short.message() for _ in range(1_500)]
    for place in (700, 701):
        messages[place] = long.message()
    broker.send_many(messages)
    with working(broker, threads=2):
        assert blocked.wait(20)
        until(lambda: len(refused) == 2, "it could not be given back", timeout_seconds=20)
        only_long = "select from dramatiq.queue where state = 'consumed' having count(*) <= 2"
        until(lambda: look.rows(only_long), "it waits again", timeout_seconds=10)
        go_on.set()
        until(lambda: len(look.finished) == 1_500)


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


class Interrupted(deque):
    """Calls `interrupt` once, in the middle of being walked or emptied."""

    def __iter__(self):
        for message in super().__iter__():
            yield message
            self._once()

    def popleft(self):
        message = super().popleft()
        self._once()
        return message

    def _once(self):
        interrupt, self.interrupt = self.interrupt, lambda: None
        interrupt()


def test_a_message_that_is_taken_during_a_recall_is_handed_out_once(broker):
    """Its thread takes from the inbox without the engine's lock, while the lookout gives back what waited too long."""
    broker.declare_queue("default")
    engine = broker.start_engine(2)
    engine.add_queue("default")
    text = '{"actor_name": "note", "args": [], "kwargs": {}, "options": {}}'
    messages = [
        LeasedMessage(
            message_of(text, str(uuid4()), "default"),
            Lease(str(uuid4()), "", 1, 0, 0, False, False, monotonic() - age, (0, 0)),
            engine,
        )
        for age in (2 * RECALL_SECONDS, 0, 0, 0, 0)
    ]
    taken = []
    with engine._lock:
        engine._held.update({message.lease.token: message for message in messages})
        engine._recall_at = 0.0
        inbox = engine._inboxes["default"]
        inbox.messages = Interrupted(messages)

        def take():
            thread = Thread(target=lambda: taken.append(engine.take("default", 5)))
            thread.start()
            thread.join(0.5)

        inbox.messages.interrupt = take
        engine._recall()
    until(lambda: taken)
    while inbox.messages:
        taken.append(engine.take("default", 0))
    assert sorted(map(id, taken)) == sorted(map(id, messages[1:]))
