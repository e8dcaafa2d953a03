"""What fails runs again: how often, when, and what becomes of it in the end. Ours and Dramatiq's own middleware."""

import time
from itertools import pairwise

import dramatiq
import pytest
from dramatiq.middleware import CurrentMessage, Middleware
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import StubBackend
from workers import until, work_off, working

from pgbroker.middleware import Retries


@pytest.fixture(params=[Retries, dramatiq.middleware.Retries], ids=["ours", "dramatiq's"])
def broker(request, make_broker):
    return make_broker(CurrentMessage(), request.param(max_retries=3, min_backoff=1, max_backoff=20))


def counting(times, error=ValueError):
    """A function that fails so many times, and the list of when it ran."""
    runs = []

    def fails():
        runs.append(time.monotonic())
        if len(runs) <= times:
            raise error("as arranged")

    return fails, runs


def test_what_fails_runs_again_until_it_succeeds(broker, board):
    fails, runs = counting(2)
    dramatiq.actor(fails).send()
    work_off(broker)
    assert (len(runs), board.finished, board.reasons) == (3, 1, [])


def limited(max_retries):
    return {} if max_retries is None else {"max_retries": max_retries}


@pytest.mark.parametrize(
    ("of_actor", "of_message", "runs_expected"), [(None, None, 4), (1, None, 2), (1, 2, 3), (0, None, 1)]
)
def test_retries_are_limited_by_message_then_actor_then_broker(broker, board, of_actor, of_message, runs_expected):
    fails, runs = counting(100)
    dramatiq.actor(fails, **limited(of_actor)).send_with_options(**limited(of_message))
    work_off(broker)
    assert (len(runs), board.finished, len(board.reasons)) == (runs_expected, 0, 1)


def test_without_a_limit_they_go_on(broker, board):
    fails, runs = counting(8)
    dramatiq.actor(fails, max_retries=None).send()
    work_off(broker)
    assert (len(runs), board.finished) == (9, 1)


def test_the_backoff_lies_between_its_bounds(broker):
    fails, runs = counting(2)
    dramatiq.actor(fails, min_backoff=300, max_backoff=300).send()
    work_off(broker)
    pauses = [after - before for before, after in pairwise(runs)]
    assert all(0.14 < pause < 2.0 for pause in pauses), pauses  # Dramatiq's own may halve it


def test_an_actor_may_say_when(broker):
    runs = []

    @dramatiq.actor(min_backoff=60_000, max_backoff=60_000)
    def later():
        runs.append(time.monotonic())
        if len(runs) == 1:
            raise dramatiq.Retry("later", delay=200)

    later.send()
    work_off(broker)
    assert 0.2 <= runs[1] - runs[0] < 2


def test_what_an_actor_throws_is_not_tried_again(broker, board):
    fails, runs = counting(1, KeyError)
    dramatiq.actor(fails, throws=(KeyError, TypeError)).send()
    work_off(broker)
    assert (len(runs), len(board.reasons)) == (1, 1)


def test_a_predicate_decides_in_place_of_the_limit(broker, board):
    asked = []

    def retry_when(retries, exception):
        asked.append((retries, type(exception)))
        return retries < 5

    fails, runs = counting(100)
    dramatiq.actor(fails, max_retries=1, retry_when=retry_when).send()
    work_off(broker)
    assert asked == [(retries, ValueError) for retries in range(6)]
    assert (len(runs), len(board.reasons)) == (6, 1)


def test_an_actor_is_told_when_retries_are_exhausted(broker, board):
    told = []

    @dramatiq.actor
    def told_of(message, counts):
        told.append((message["actor_name"], message["args"], counts))

    @dramatiq.actor(max_retries=1, on_retry_exhausted="told_of")
    def fails(x):
        raise ValueError

    fails.send(7)
    work_off(broker)
    ((actor_name, args, counts),) = told
    assert (actor_name, list(args), counts) == ("fails", [7], {"retries": 1, "max_retries": 1})
    assert (board.finished, len(board.reasons)) == (1, 1)


def test_a_message_remembers_its_failures(broker):
    seen = []

    @dramatiq.actor
    def second_time():
        options = CurrentMessage.get_current_message().options
        seen.append((options.get("retries"), "as arranged" in options.get("traceback", "")))
        if len(seen) == 1:
            raise ValueError("as arranged")

    second_time.send_with_options(colour="green")
    work_off(broker)
    assert seen == [(None, False), (1, True)]


def test_it_keeps_arguments_options_and_id_over_retries(broker):
    seen = []

    @dramatiq.actor
    def third_time(x, y):
        message = CurrentMessage.get_current_message()
        seen.append((message.message_id, message.message_timestamp, x, y, message.options["colour"]))
        if len(seen) < 3:
            raise ValueError

    third_time.send_with_options(args=(1,), kwargs={"y": {"ü": [None, 1.5]}}, colour="green")
    work_off(broker)
    assert len(seen) == 3
    assert seen.count(seen[0]) == 3
    assert seen[0][2:] == (1, {"ü": [None, 1.5]}, "green")


def test_hooks_learn_the_exception(broker):
    seen = []

    class Watch(Middleware):
        def after_process_message(self, broker, message, *, result=None, exception=None):
            seen.append((result, type(exception)))

    fails, _ = counting(1)
    broker.add_middleware(Watch())
    dramatiq.actor(fails).send()
    work_off(broker)
    assert seen == [(None, ValueError), (None, type(None))]


def test_a_rate_limit_is_a_retry_like_any_other(broker, board):
    """An actor over its limit fails with RateLimitExceeded and comes again."""
    limiter = ConcurrentRateLimiter(StubBackend(), "one at a time", limit=1)
    running, most = [], []

    @dramatiq.actor(max_retries=None)
    def alone():
        with limiter.acquire():
            running.append(1)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()

    for _ in range(5):
        alone.send()
    work_off(broker, threads=4)
    assert (board.finished, set(most), len(most)) == (5, {1}, 5)


def test_a_failure_in_one_message_hurts_no_other(broker, board):
    @dramatiq.actor(max_retries=0)
    def odd(number):
        if number % 2:
            raise ValueError

    for number in range(20):
        odd.send(number)
    with working(broker, threads=3):
        until(lambda: board.finished == 10 and len(board.reasons) == 10)
