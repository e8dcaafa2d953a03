"""From the queue to the actor: order, delays, the hooks and their order, what is skipped, what cannot be run."""

import time
from threading import Event
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.errors import QueueJoinTimeout
from dramatiq.middleware import CurrentMessage, MiddlewareError, SkipMessage
from workers import until, work_off, working

from pgbroker.middleware import Retries

HOOKS = ("enqueue", "process_message", "skip_message", "delay_message", "ack", "nack")


class Watch(dramatiq.Middleware):
    """Notes which hooks of messages are called. A named one tells its name as well."""

    def __init__(self, told, name=None):
        self._told, self._name = told, name

    def __getattribute__(self, attribute):
        when, _, hook = attribute.partition("_")
        if when in ("before", "after") and hook in HOOKS:
            return lambda *_, **__: self._told.append(attribute if self._name is None else (self._name, attribute))
        return super().__getattribute__(attribute)


# Order and time


def test_smaller_priorities_run_first_and_equal_ones_by_age(broker):
    ran = []

    @dramatiq.actor(priority=10)
    def low(number):
        ran.append(("low", number))

    @dramatiq.actor(priority=0)
    def high(number):
        ran.append(("high", number))

    for number in range(8):
        low.send(number)
    for number in range(8):
        high.send(number)
    work_off(broker, threads=1)
    assert ran == [("high", n) for n in range(8)] + [("low", n) for n in range(8)]


def test_a_messages_own_priority_wins(broker):
    ran = []

    @dramatiq.actor(priority=5)
    def note(name):
        ran.append(name)

    note.send("actor's")
    note.send_with_options(args=("own",), priority=1)
    note.send_with_options(args=("last",), priority=9)
    work_off(broker, threads=1)
    assert ran == ["own", "actor's", "last"]


def test_delayed_messages_run_when_they_are_due_independently_of_each_other(broker):
    late = {}

    @dramatiq.actor
    def note(name, due):
        late[name] = time.monotonic() - due

    with working(broker):
        until(lambda: broker.engine.lifeline.holds())
        now = time.monotonic()
        note.send_with_options(args=("second", now + 0.5), delay=500)
        note.send_with_options(args=("first", now + 0.2), delay=200)
        note.send_with_options(args=("never", 0), delay=3_600_000)
        note.send_with_options(args=("at once", now), delay=0)
        until(lambda: len(late) == 3)
    assert list(late) == ["at once", "first", "second"]
    assert all(0 <= seconds < 1.0 for seconds in late.values()), late


# Hooks


def test_the_hooks_of_a_message_that_succeeds(broker):
    told = []

    @dramatiq.actor
    def note():
        told.append("runs")

    broker.add_middleware(Watch(told))
    note.send()
    work_off(broker)
    assert told == [
        "before_enqueue", "after_enqueue", "before_process_message", "runs", "after_process_message", "before_ack",
        "after_ack",
    ]  # fmt: skip


def test_the_hooks_of_a_message_that_is_retried_and_fails(broker):
    told = []

    @dramatiq.actor(max_retries=1)
    def fails():
        told.append("runs")
        raise ValueError

    broker.add_middleware(Watch(told))
    fails.send()
    work_off(broker)
    attempt = ["before_process_message", "runs", "after_process_message"]
    assert told == [
        "before_enqueue", "after_enqueue",
        *attempt, "before_enqueue", "after_enqueue", "before_ack", "after_ack",
        *attempt, "before_nack", "after_nack",
    ]  # fmt: skip


@pytest.mark.parametrize("failed", [False, True])
def test_a_skipped_message_is_not_run_and_is_rejected_only_where_it_failed(broker, board, failed):
    told = []

    class Skip(dramatiq.Middleware):
        def before_process_message(self, broker, message):
            if failed:
                message.fail()
            raise SkipMessage("not today")

    @dramatiq.actor
    def note():
        told.append("runs")

    broker.add_middleware(Watch(told))
    broker.add_middleware(Skip())
    note.send()
    work_off(broker)
    end = ["before_nack", "after_nack"] if failed else ["before_ack", "after_ack"]
    assert told[2:] == ["before_process_message", "after_skip_message", *end]
    assert (board.finished, len(board.reasons)) == ((0, 1) if failed else (1, 0))


def test_hooks_before_run_down_the_list_and_those_after_up(make_broker):
    told = []
    broker = make_broker(Watch(told, 1), Watch(told, 2))
    broker.add_middleware(Watch(told, 0), before=Watch)

    @dramatiq.actor
    def note():
        pass

    note.send()
    work_off(broker)
    orders = {}
    for name, hook in told:
        orders.setdefault(hook, []).append(name)
    for hook, names in orders.items():
        assert names == ([0, 1, 2] if hook.startswith("before") else [2, 1, 0]), hook


def test_a_broken_hook_stops_nothing(broker, board):
    class Broken(dramatiq.Middleware):
        def before_enqueue(self, broker, message, delay):
            raise RuntimeError("broken on purpose")

        before_process_message = after_enqueue = before_enqueue

        def after_process_message(self, broker, message, *, result=None, exception=None):
            raise RuntimeError("broken on purpose")

        def after_ack(self, broker, message):
            raise RuntimeError("broken on purpose")

    @dramatiq.actor
    def note():
        pass

    broker.add_middleware(Broken())
    note.send()
    with pytest.raises(TypeError):
        note.send_with_options(args=3)
    work_off(broker)
    assert board.finished == 1


def test_a_hook_may_refuse_a_message_to_its_sender(broker, board):
    class Refused(MiddlewareError):
        pass

    class Refuse(dramatiq.Middleware):
        def before_enqueue(self, broker, message, delay):
            raise Refused

    @dramatiq.actor
    def note():
        pass

    broker.add_middleware(Refuse())
    with pytest.raises(Refused):
        note.send()
    with pytest.raises(Refused):
        broker.send_many([note.message()])
    assert board.waiting == 0


def test_hooks_learn_the_delay_and_may_change_the_message(broker, ask):
    delays = []

    class Mark(dramatiq.Middleware):
        def before_enqueue(self, broker, message, delay):
            delays.append(delay)
            message.options["mark"] = "here"

    @dramatiq.actor
    def note():
        pass

    broker.add_middleware(Mark())
    note.send_with_options(delay=60_000)
    broker.send_many([note.message()])
    assert delays == [60_000, None]
    assert ask("select distinct message #>> '{options,mark}' from dramatiq.queue") == [("here",)]


def test_the_hooks_of_a_worker(broker):
    told = []

    class Tell(dramatiq.Middleware):
        def before_worker_boot(self, broker, worker):
            told.append("before_worker_boot")

        def after_worker_boot(self, broker, worker):
            told.append("after_worker_boot")

        def before_worker_shutdown(self, broker, worker):
            told.append("before_worker_shutdown")

        def after_worker_shutdown(self, broker, worker):
            told.append("after_worker_shutdown")

        def after_consumer_thread_boot(self, broker, thread):
            told.append("consumer")

        def before_consumer_thread_shutdown(self, broker, thread):
            told.append("consumer ends")

        def after_worker_thread_boot(self, broker, thread):
            told.append("thread")

        def before_worker_thread_shutdown(self, broker, thread):
            told.append("thread ends")

    broker.declare_queue("default")
    broker.add_middleware(Tell())
    with working(broker, threads=2):
        until(lambda: told.count("thread") == 2 and told.count("consumer") == 1)
    assert told[0] == "before_worker_boot"
    assert sorted(told[1:5]) == ["after_worker_boot", "consumer", "thread", "thread"]
    assert told[5] == "before_worker_shutdown"
    assert told[6:] == ["thread ends", "thread ends", "consumer ends", "after_worker_shutdown"]


def test_an_actor_can_ask_which_message_it_works_on(broker):
    got = []

    @dramatiq.actor
    def note():
        message = CurrentMessage.get_current_message()
        got.append((message.message_id, message.options["colour"]))

    message = note.send_with_options(colour="green")
    assert CurrentMessage.get_current_message() is None
    work_off(broker)
    assert got == [(message.message_id, "green")]


# What cannot be run


def test_a_message_for_an_actor_that_nobody_declared_is_a_dead_letter(broker, board):
    broker.declare_queue("default")
    broker.enqueue(dramatiq.Message("default", "nobody", (), {}, {}))
    work_off(broker)
    assert board.reasons == ["unknown actor"]


def test_a_row_that_is_no_message_is_a_dead_letter_and_the_next_one_runs(broker, board, ask):
    @dramatiq.actor
    def note():
        pass

    ask("insert into dramatiq.queue (message_id, message) values (%s, '[1]')", str(uuid4()))
    note.send()
    work_off(broker)
    assert (board.reasons, board.finished) == (["not a message"], 1)


def test_wrong_arguments_are_a_failure_like_any_other(make_broker, board):
    broker = make_broker(Retries(max_retries=1, min_backoff=1))

    @dramatiq.actor
    def note(x):
        raise AssertionError("must not run")

    note.send(1, 2, 3)
    work_off(broker)
    assert board.reasons == ["retries exhausted"]


# A worker's life


def test_a_paused_worker_starts_nothing_until_it_resumes(broker, board, monkeypatch):
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.01)

    @dramatiq.actor
    def note():
        pass

    with working(broker) as worker:
        until(lambda: broker.engine.lifeline.holds())
        worker.pause()
        note.send()
        time.sleep(0.3)  # nothing is the thing to see
        assert board.finished == 0
        worker.resume()
        until(lambda: board.finished == 1)


def test_a_worker_can_be_started_again(broker, board):
    @dramatiq.actor
    def note():
        pass

    for turn in (1, 2):
        note.send()
        work_off(broker)
        assert board.finished == turn


def test_a_worker_that_stops_lets_running_messages_end_and_gives_back_the_rest(broker, board, ask):
    began, go_on = Event(), Event()

    @dramatiq.actor
    def slow():
        began.set()
        go_on.wait(10)

    for _ in range(4):
        slow.send()
    with working(broker, threads=1):
        assert began.wait(10)
        go_on.set()
    assert board.finished >= 1
    assert (board.finished + board.waiting, board.held) == (4, 0)
    assert ask("select distinct retries from dramatiq.queue") in ([], [(0,)])


def test_a_worker_serves_only_the_queues_it_is_told_to(broker, board):
    @dramatiq.actor(queue_name="mine")
    def mine():
        pass

    @dramatiq.actor(queue_name="theirs")
    def theirs():
        pass

    theirs.send()
    mine.send()
    with working(broker, queues={"mine"}):
        until(lambda: board.finished == 1)
    assert board.waiting == 1


# Looking after it


def test_join_waits_for_delayed_messages_and_retries_or_says_that_time_is_up(broker):
    runs = []

    @dramatiq.actor
    def second_time():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError

    second_time.send_with_options(delay=200)
    with pytest.raises(QueueJoinTimeout):
        broker.join("default", timeout=20)
    with working(broker):
        broker.join("default", timeout=10_000)
    assert len(runs) == 2


def test_flush_empties_one_queue_and_flush_all_every_one(broker, board):
    @dramatiq.actor(queue_name="one")
    def one():
        pass

    @dramatiq.actor(queue_name="two")
    def two():
        pass

    for _ in range(2):
        one.send_with_options(delay=60_000)
        two.send()
    broker.flush("one")
    assert board.waiting == 2
    one.send()
    broker.flush_all()
    assert board.waiting == 0
    broker.join("one", timeout=100)


def test_a_closed_broker_may_be_used_again(broker, board):
    @dramatiq.actor
    def note():
        pass

    note.send()
    broker.close()
    broker.close()
    note.send()
    assert board.waiting == 2
