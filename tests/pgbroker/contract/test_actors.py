"""Declaring actors and queues, sending to them, and what is refused."""

import asyncio

import dramatiq
import pytest
from dramatiq.errors import ActorNotFound, QueueNotFound
from dramatiq.middleware import AsyncIO
from workers import until, work_off, working


def test_a_sent_message_reaches_its_actor_with_its_arguments(broker, board):
    got = []

    @dramatiq.actor
    def add(x, y=0, *, z=0):
        got.append((x, y, z))

    add.send(1)
    add.send(1, y=2)
    add.send_with_options(args=(1, 2), kwargs={"z": 3})
    broker.enqueue(add.message(4))
    work_off(broker)
    assert sorted(got) == [(1, 0, 0), (1, 2, 0), (1, 2, 3), (4, 0, 0)]
    assert (board.finished, board.waiting, board.held, board.reasons) == (4, 0, 0, [])


def test_an_actor_is_still_a_function(broker, board):
    @dramatiq.actor
    def add(x, y):
        return x + y

    assert add(1, 2) == 3
    assert board.waiting == 0


def test_what_send_returns_is_the_message_that_runs(broker):
    got = []

    @dramatiq.actor
    def note():
        got.append(dramatiq.middleware.CurrentMessage.get_current_message())

    sent = note.send()
    assert (sent.actor_name, sent.queue_name, sent.args, sent.kwargs) == ("note", "default", (), {})
    work_off(broker)
    assert [(m.message_id, m.message_timestamp) for m in got] == [(sent.message_id, sent.message_timestamp)]


def test_an_actor_may_have_another_name_and_queue(broker, ask):
    @dramatiq.actor(actor_name="another", queue_name="elsewhere")
    def note():
        pass

    assert broker.get_actor("another") is note
    note.send()
    assert ask("select queue_name, actor_name from dramatiq.queue") == [("elsewhere", "another")]
    work_off(broker, "elsewhere")


def test_names_are_checked(broker):
    @dramatiq.actor
    def note():
        pass

    with pytest.raises(ActorNotFound):
        broker.get_actor("nobody")
    with pytest.raises(ValueError, match="already"):
        dramatiq.actor(lambda: None, actor_name="note")
    with pytest.raises(ValueError, match="Queue"):
        dramatiq.actor(lambda: None, actor_name="other", queue_name="$ 2")
    with pytest.raises(ValueError, match="undefined"):
        dramatiq.actor(lambda: None, actor_name="other", invented_option=1)


def test_options_of_this_broker_are_known(broker):
    @dramatiq.actor(run_at_most=3, priority=5)
    def note():
        pass

    assert (note.options["run_at_most"], note.priority) == (3, 5)


def test_declaring_a_queue_twice_is_nothing(broker):
    told = []

    class Watch(dramatiq.Middleware):
        def before_declare_queue(self, broker, queue_name):
            told.append(("before", queue_name))

        def after_declare_queue(self, broker, queue_name):
            told.append(("after", queue_name))

        def after_declare_delay_queue(self, broker, queue_name):
            told.append(("delay", queue_name))

    broker.add_middleware(Watch())
    broker.declare_queue("one")
    broker.declare_queue("one")
    assert told == [("before", "one"), ("after", "one")]
    assert broker.get_declared_queues() == {"one"}
    assert broker.get_declared_delay_queues() == set()


def test_a_queue_that_nobody_declared_cannot_be_used(broker):
    for use in (broker.consume, broker.join, broker.flush):
        with pytest.raises(QueueNotFound, match="nowhere"):
            use("nowhere")


def test_an_actor_declared_while_a_worker_runs_is_served(broker, board):
    with working(broker):

        @dramatiq.actor(queue_name="late")
        def note():
            pass

        note.send()
        until(lambda: board.finished == 1)


def test_a_class_can_be_an_actor(broker, board):
    got = []

    class Base(dramatiq.GenericActor):
        class Meta:
            abstract = True
            queue_name = "tasks"
            max_retries = 0

        def perform(self, what):
            got.append((self.kind, what))

    class First(Base):
        kind = "first"

    class Second(Base):
        kind = "second"

    First.send(1)
    Second.send(2)
    assert First.options["max_retries"] == 0
    work_off(broker, "tasks")
    assert sorted(got) == [("first", 1), ("second", 2)]


def test_a_coroutine_can_be_an_actor(make_broker, board):
    broker = make_broker(AsyncIO(), results=True)
    loops = set()

    @dramatiq.actor(store_results=True)
    async def double(x):
        await asyncio.sleep(0.01)
        loops.add(id(asyncio.get_running_loop()))
        return 2 * x

    @dramatiq.actor
    async def fails():
        await asyncio.sleep(0)
        raise ValueError("asynchronously")

    sent = [double.send(x) for x in range(6)]
    fails.send()
    work_off(broker)
    assert [message.get_result() for message in sent] == [0, 2, 4, 6, 8, 10]
    assert len(loops) == 1
    assert (board.finished, board.reasons) == (6, ["rejected"])
