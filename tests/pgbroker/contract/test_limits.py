"""Age limits, time limits, shutdown: what Dramatiq does to a message that is too old or takes too long."""

import time
from threading import Event

import dramatiq
import pytest
from dramatiq.middleware import CurrentMessage, Shutdown, ShutdownNotifications, TimeLimit, TimeLimitExceeded
from workers import work_off, working

from pgbroker.middleware import Retries


def sleep_in_python(seconds):
    """An interrupt is raised between two steps of Python, so long sleeps are many short ones."""
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        time.sleep(0.005)


def test_a_message_over_its_age_limit_is_not_run(broker, board):
    ran = []

    @dramatiq.actor(max_age=1000)
    def note(name):
        ran.append(name)

    broker.enqueue(note.message("old").copy(message_timestamp=int(time.time() * 1000) - 2000))
    note.send("new")
    work_off(broker)
    assert (ran, board.reasons, board.finished) == (["new"], ["too old"], 1)


@pytest.fixture
def timed(make_broker):
    broker = make_broker(TimeLimit(time_limit=60_000, interval=20), Retries(max_retries=1, min_backoff=1))
    broker.emit_after("process_boot")  # as the command line does: it starts the clock
    return broker


def test_an_actor_that_takes_too_long_is_interrupted_and_tried_again(timed, board):
    runs = []

    @dramatiq.actor(time_limit=60)
    def slow():
        runs.append(1)
        if len(runs) == 1:
            sleep_in_python(10)

    slow.send()
    work_off(timed)
    assert (len(runs), board.finished, board.reasons) == (2, 1, [])


def test_an_actor_that_always_takes_too_long_is_a_dead_letter(timed, board, ask):
    runs = []

    @dramatiq.actor
    def slow():
        runs.append(1)
        sleep_in_python(10)

    slow.send_with_options(time_limit=60)
    work_off(timed)
    assert (len(runs), board.reasons) == (2, ["retries exhausted"])
    ((error,),) = ask("select error from pgbroker.dead_letters")
    assert "TimeLimitExceeded" in error


def test_an_actor_may_handle_its_time_limit_and_the_thread_goes_on(timed, board):
    @dramatiq.actor(time_limit=60)
    def slow():
        with pytest.raises(TimeLimitExceeded):
            sleep_in_python(10)

    @dramatiq.actor
    def quick():
        pass

    slow.send()
    quick.send()
    work_off(timed, threads=1)
    assert board.finished == 2


@pytest.fixture
def notified(make_broker):
    return make_broker(ShutdownNotifications(), CurrentMessage(), Retries(max_retries=0))


def test_an_interrupted_message_waits_again_and_no_retry_is_counted(notified, board, ask):
    began = Event()

    @dramatiq.actor(notify_shutdown=True)
    def long():
        began.set()
        sleep_in_python(20)

    message = long.send()
    with working(notified):
        assert began.wait(10)
    assert (board.waiting, board.held, board.reasons) == (1, 0, [])
    ((retries, at_once, options),) = ask("select retries, run_at <= now(), message -> 'options' from dramatiq.queue")
    assert (retries, at_once, options) == (0, True, {})

    runs = []
    long.fn = lambda: runs.append(CurrentMessage.get_current_message().message_id)
    work_off(notified)
    assert runs == [message.message_id]


def test_an_actor_that_did_not_ask_for_it_is_not_interrupted(notified, board):
    began, ends = Event(), []

    @dramatiq.actor
    def long():
        began.set()
        sleep_in_python(0.2)
        ends.append(1)

    long.send()
    with working(notified):
        assert began.wait(10)
    assert (ends, board.finished) == ([1], 1)


def test_an_actor_may_handle_the_shutdown_and_is_done(notified, board):
    began = Event()

    @dramatiq.actor(notify_shutdown=True)
    def long():
        began.set()
        try:
            sleep_in_python(20)
        except Shutdown:
            return

    long.send()
    with working(notified):
        assert began.wait(10)
    assert (board.finished, board.waiting) == (1, 0)
