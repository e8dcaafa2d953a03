"""Callbacks, pipelines and groups."""

import time

import dramatiq
import pytest
from dramatiq.middleware import Callbacks, GroupCallbacks, Pipelines
from dramatiq.rate_limits.backends import StubBackend
from dramatiq.results import ResultMissing
from workers import until, work_off, working

from pgbroker.middleware import Retries


@pytest.fixture
def got():
    return []


@pytest.fixture
def note(broker, got):
    @dramatiq.actor
    def note(*args):
        got.append(args)

    return note


@pytest.fixture
def add(broker):
    @dramatiq.actor(store_results=True)
    def add(x, y):
        return x + y

    return add


# Callbacks


def test_success_calls_one_callback_and_failure_the_other(broker, note, got):
    @dramatiq.actor(max_retries=0)
    def ends(how):
        if how == "badly":
            raise ValueError("no")
        return how

    for how in ("well", "badly"):
        ends.send_with_options(args=(how,), on_success=note, on_failure="note")
    work_off(broker)
    told = {message["args"][0]: outcome for message, outcome in got}
    assert told == {"well": "well", "badly": {"type": "ValueError", "message": "no"}}
    assert {message["actor_name"] for message, _ in got} == {"ends"}


def test_a_retry_calls_nobody_on_success_and_the_end_calls_once(broker, note, got):
    runs = []

    @dramatiq.actor(on_success="note")
    def third_time():
        runs.append(1)
        if len(runs) < 3:
            raise ValueError
        return "done"

    third_time.send()
    work_off(broker)
    assert [outcome for _, outcome in got] == ["done"]


# Pipelines


def test_results_flow_down_a_pipeline(broker, add, note, got):
    pipe = add.message(1, 2) | add.message(10) | note.message("sum")
    assert len(pipe) == 3
    pipe.run()
    work_off(broker)
    assert got == [("sum", 13)]


def test_a_pipeline_gives_its_result_and_those_on_the_way(broker, add):
    pipe = dramatiq.pipeline([add.message(1, 2), add.message(3), add.message(4)])
    with pytest.raises(ResultMissing):
        pipe.get_result()
    pipe.run()
    with working(broker):
        assert pipe.get_result(block=True, timeout=10_000) == 10
    assert list(pipe.get_results()) == [3, 6, 10]
    assert (pipe.completed, pipe.completed_count) == (True, 3)


def test_a_step_may_ignore_the_result_before_it(broker, add, note, got):
    (add.message(1, 2) | note.message_with_options(args=("alone",), pipe_ignore=True)).run()

    @dramatiq.actor(pipe_ignore=True)
    def ignores():
        pass

    (ignores.message() | note.message("after")).run()
    work_off(broker)
    assert sorted(got) == [("after",), ("alone",)]


def test_a_pipeline_waits_where_it_is_told_to(broker, add, got):
    @dramatiq.actor
    def when(total):
        got.append(time.monotonic())

    started = time.monotonic()
    pipe = add.message_with_options(args=(1, 2), delay=200) | when.message_with_options(delay=300)
    pipe.run()
    work_off(broker)
    assert 0.5 <= got[0] - started < 1.5


def test_a_pipeline_is_cut_where_a_step_fails_and_goes_on_where_a_retry_succeeds(broker, note, got, board):
    runs = []

    @dramatiq.actor
    def second_time():
        runs.append(1)
        if len(runs) == 1:
            raise ValueError
        return "at last"

    @dramatiq.actor(max_retries=0)
    def fails():
        raise ValueError

    (second_time.message() | note.message()).run()
    (fails.message() | note.message("never")).run()
    work_off(broker)
    assert got == [("at last",)]
    assert len(board.reasons) == 1


def test_pipelines_join_to_longer_ones(broker, add, note, got):
    (dramatiq.pipeline([add.message(1, 1) | add.message(2), add.message(3)]) | note.message()).run()
    work_off(broker)
    assert got == [(7,)]


# Groups


def test_a_group_gives_all_results_in_its_order(broker, add):
    group = dramatiq.group([add.message(x, x) for x in range(6)])
    assert (len(group), group.completed, group.completed_count) == (6, False, 0)
    group.run()
    with working(broker):
        assert list(group.get_results(block=True, timeout=10_000)) == [0, 2, 4, 6, 8, 10]
    assert (group.completed, group.completed_count) == (True, 6)


def test_groups_hold_groups_and_pipelines_and_can_be_delayed(broker, add):
    inner = dramatiq.group([add.message(1, 1), add.message(2, 2)])
    group = dramatiq.group([inner, add.message(3, 3) | add.message(4), add.message(5, 5)])
    started = time.monotonic()
    group.run(delay=200)
    with working(broker):
        group.wait(timeout=10_000)
    assert time.monotonic() - started > 0.2
    assert list(group.get_results()) == [[2, 4], 10, 10]


@pytest.fixture
def grouped(make_broker):
    return make_broker(
        Callbacks(), Pipelines(), GroupCallbacks(StubBackend()), Retries(max_retries=2, min_backoff=1), results=True
    )


def test_a_group_calls_when_its_last_member_is_done(grouped):
    done, called = [], []

    @dramatiq.actor
    def member(number):
        done.append(number)
        if done.count(number) < 2:
            raise ValueError("once")

    @dramatiq.actor
    def all_done(name):
        called.append((name, len(set(done)), len(done)))

    group = dramatiq.group([*(member.message(n) for n in range(4)), member.message(4) | member.message_with_options(
        args=(5,), pipe_ignore=True)])  # fmt: skip
    group.add_completion_callback(all_done.message("first"))
    group.add_completion_callback(all_done.message("second"))
    group.run()
    with working(grouped):
        until(lambda: len(called) == 2)
        grouped.join("default", timeout=5000)
    assert sorted(called) == [("first", 6, 12), ("second", 6, 12)]


def test_a_group_whose_member_fails_does_not_call(grouped, board):
    called = []

    @dramatiq.actor(max_retries=0)
    def member(number):
        if number == 1:
            raise ValueError

    @dramatiq.actor
    def all_done():
        called.append(1)

    group = dramatiq.group([member.message(n) for n in range(3)])
    group.add_completion_callback(all_done.message())
    group.run()
    work_off(grouped)
    assert (called, board.finished, len(board.reasons)) == ([], 2, 1)


def test_group_callbacks_need_their_middleware(broker, note):
    group = dramatiq.group([note.message()])
    group.add_completion_callback(note.message())
    with pytest.raises(RuntimeError, match="GroupCallbacks"):
        group.run()
