"""Which message runs next: priority, then age; not before it is due."""

import json
import time

import dramatiq
from workers import until, work_off, working

from pgbroker.statements import sql


def test_smaller_priorities_run_first_then_older_ones(broker):
    ran = []

    @dramatiq.actor(broker=broker)
    def note(name):
        ran.append(name)

    for name, priority in (("c1", 10), ("a", -5), ("b", 0), ("c2", 10)):
        note.send_with_options(args=(name,), priority=priority)
    work_off(broker, threads=1)
    assert ran == ["a", "b", "c1", "c2"]


def test_an_actors_priority_is_its_messages_default(broker, look):
    @dramatiq.actor(broker=broker, priority=7)
    def note():
        pass

    note.send()
    note.send_with_options(priority=1)
    assert [row["priority"] for row in look.waiting] == [7, 1]


def test_a_delayed_message_runs_when_it_is_due_and_not_before(broker):
    ran = []

    @dramatiq.actor(broker=broker)
    def note(due):
        ran.append(time.monotonic() - due)

    with working(broker):
        until(lambda: broker.engine.lifeline.holds())  # from then on senders ring
        for delay in (0.3, 0.7, 1.5):
            note.send_with_options(args=(time.monotonic() + delay,), delay=delay * 1000)
        until(lambda: len(ran) == 3)
    assert all(0 <= late < 0.5 for late in ran), ran


def test_who_has_been_idle_for_long_runs_a_delayed_message_when_it_is_due(broker):
    ran = []

    @dramatiq.actor(broker=broker)
    def note(due):
        ran.append(time.monotonic() - due)

    with working(broker):
        for sent in range(1, 4):  # the look of a turn may come just in time
            until(lambda: broker.engine.idle(), "its pauses are as long as they get")
            note.send_with_options(args=(time.monotonic() + 0.3,), delay=300)
            until(lambda sent=sent: len(ran) == sent)
    assert all(0 <= late < 0.35 for late in ran), ran  # a pause is 0.7 seconds at least


def test_one_long_queue_does_not_starve_the_other_of_the_process(broker):
    order = []

    @dramatiq.actor(broker=broker, queue_name="long")
    def many():
        order.append("many")

    @dramatiq.actor(broker=broker, queue_name="short")
    def single():
        order.append("single")

    broker.send_many([many.message() for _ in range(500)])
    single.send()
    work_off(broker, threads=2)
    assert len(order) == 501
    assert order.index("single") < 50


def test_the_next_due_time_is_found_at_every_priority(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    for priority, delay in ((0, 50_000), (5, 20_000), (-3, 90_000)):
        note.send_with_options(priority=priority, delay=delay)
    (_, due_in, unknown, limited) = broker.connections.execute(sql("survey"), {"queues": ["default", "empty"]})[0]
    assert 15 < due_in <= 20
    assert unknown == [["default", -3], ["default", 0], ["default", 5]]
    assert limited == {}
    broker.register_actors()
    broker.connections.execute(sql("note_levels"), {"levels": json.dumps(unknown)})
    (_, due_in) = broker.connections.execute(sql("peek"), {"queues": ["default"], "floors": [None]})[0]
    assert 15 < due_in <= 20
    (_, nothing) = broker.connections.execute(sql("peek"), {"queues": ["empty"], "floors": [None]})[0]
    assert nothing is None
