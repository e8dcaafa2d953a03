"""Idle processes take turns in looking; what comes in without a ring is found within a second all the same."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from math import floor
from threading import Event
from time import monotonic

import dramatiq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workers import until, working

from pgbroker import PostgresBroker, operate
from pgbroker.middleware import Retries
from pgbroker.watch import MOST_WATCHERS, TURN_SECONDS, most_watchers, next_turn

PROCESSES = 3


def turns_of(place: int, watchers: int, since: float, how_many: int) -> Iterator[int]:
    now = since
    for _ in range(how_many):
        pause = next_turn(now, place, watchers)
        assert 0 < pause < (watchers + 0.1) * TURN_SECONDS
        now += pause
        yield round(now / TURN_SECONDS)


@given(st.integers(1, MOST_WATCHERS), st.floats(0, 4e9))
def test_in_every_turn_one_of_them_looks(watchers, since):
    looked = sorted(turn for place in range(watchers) for turn in turns_of(place, watchers, since, how_many=4))
    assert looked == list(range(looked[0], looked[0] + watchers * 4))
    assert looked[0] - floor(since / TURN_SECONDS) in (0, 1, 2)  # the first may be the one that began this moment


@given(st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=1, max_size=8))
def test_whoever_looks_for_others_looks(served):
    """Each counts those that serve at least its own queues; whatever sets they serve, no queue goes without a look."""
    places = []
    for number, queues in enumerate(served):
        peers = [other for other, theirs in enumerate(served) if theirs >= queues]
        places.append((queues, peers.index(number), min(MOST_WATCHERS, len(peers))))
    for turn in range(2 * 60):
        looks = [queues for queues, place, watchers in places if (place - turn) % watchers == 0]
        assert set().union(*served) == set().union(*looks), turn


def test_with_a_short_lease_everybody_looks_for_itself():
    assert most_watchers(15) == MOST_WATCHERS
    assert most_watchers(3) == 1


@pytest.fixture
def crowd(url, request):
    """Several idle workers with one thread each, as so many processes would be; and what ran where, and when. Their
    actor's options may be a parameter."""
    ran, go_on = [], Event()
    with ExitStack() as stack:
        brokers = []
        for number in range(PROCESSES):
            broker = PostgresBroker(url, middleware=[Retries()], results=False)
            stack.callback(broker.close)

            @dramatiq.actor(actor_name="note", broker=broker, **getattr(request, "param", {}))
            def note(waits, number=number):
                ran.append((number, monotonic()))
                if waits:
                    go_on.wait(20)

            stack.enter_context(working(broker, threads=1))
            brokers.append(broker)
        stack.callback(go_on.set)
        yield brokers, ran


def all_take_turns(look, columns=""):
    def watching():
        found = look.rows(f"select {columns} from pgbroker.processes where watches_until > now()")
        return found if len(found) == PROCESSES else None

    return until(watching, "all take turns")


def test_what_comes_without_a_ring_is_found_within_a_second(crowd, look):
    _, ran = crowd
    took = []
    for number in range(5):
        all_take_turns(look)
        look.rows("select pgbroker.enqueue('note', '[false]')")
        sent_at = monotonic()
        until(lambda number=number: len(ran) > number)
        took.append(ran[-1][1] - sent_at)
    assert sorted(took)[2] < TURN_SECONDS + 0.1, took
    assert max(took) < 2 * TURN_SECONDS + 0.5, took  # who is busy leaves a turn to nobody; and this machine is, too


def test_idle_processes_look_once_a_turn_and_beat_once_in_several(crowd, look):
    brokers, _ = crowd
    looks: list[float] = []
    for broker in brokers:
        engine = broker.engine

        def watched(*arguments, told=engine.watched):
            looks.append(monotonic())
            told(*arguments)

        engine.watched = watched
    all_take_turns(look)

    def calm():
        """Six turns. Where this machine stalls, a process goes on by itself for a while: then the next six."""
        beats, since, began = set(), len(looks), monotonic()

        def over():
            beats.update(row["beat_at"] for row in look.rows("select beat_at from pgbroker.processes"))
            return monotonic() - began > 6 * TURN_SECONDS

        until(lambda: len(looks) > since)
        began, since = monotonic(), len(looks)
        until(over)
        # Each would have looked, and beaten, six times by itself.
        return 5 <= len(looks) - since <= 8 and len(beats) <= 2 * PROCESSES

    until(calm, "looks and beats are few in six turns", timeout_seconds=60)


def all_know_and_take_turns(look):
    """Of the one message, that is: who does not take turns looks once a second at least."""

    def known():
        return look.rows(
            """select bool_and(p.watches_until is not null and p.beat_at > q.created_at + interval '3 s') as yes
                 from pgbroker.processes p, dramatiq.queue q having count(*) = %s""",
            PROCESSES,
        ) == [{"yes": True}]

    until(known, "all take turns", timeout_seconds=30)


@pytest.mark.parametrize("crowd", [{}, {"run_at_most": 1}], indirect=True)
def test_a_paused_queue_with_limited_messages_keeps_nobody_looking(crowd, look):
    """Whether their own actor has the limit or the message alone."""
    brokers, ran = crowd
    operate.pause(brokers[0].connections, "default")
    brokers[0].register_actors()
    look.rows("select pgbroker.enqueue('note', '[false]', run_key => 'one')")
    all_know_and_take_turns(look)
    operate.resume(brokers[0].connections, "default")
    until(lambda: ran)


@pytest.mark.parametrize("crowd", [{}, {"run_at_most": 1}], indirect=True)
def test_limited_messages_that_are_due_later_keep_nobody_looking(crowd, look):
    """Retries of tomorrow, say. What comes meanwhile is found, and they are when they are due."""
    brokers, ran = crowd
    brokers[0].register_actors()
    look.rows("select pgbroker.enqueue('note', '[false]', run_key => 'one', delay => '1 day')")
    all_know_and_take_turns(look)
    look.rows("select pgbroker.enqueue('note', '[false]', run_key => 'two')")
    until(lambda: len(ran) == 1)
    soon = "update dramatiq.queue set run_at = now() + interval '3 s' where run_key = 'one' returning run_at"
    due = look.rows(soon)[0]["run_at"]
    until(lambda: len(look.finished) == 2)
    assert timedelta(0) <= look.finished[-1]["started_at"] - due < timedelta(seconds=0.3)


def test_an_idle_process_that_is_taken_for_dead_begins_anew(crowd, look):
    """A look notices it, where there was no beat to do."""
    all_take_turns(look)
    before = {row["process_id"] for row in look.rows("delete from pgbroker.processes returning process_id")}
    assert len(before) == PROCESSES
    assert not before & {row["process_id"] for row in all_take_turns(look, "process_id")}


def test_who_finds_more_than_it_can_take_calls_the_others(crowd, look):
    _, ran = crowd
    all_take_turns(look)
    look.rows("select pgbroker.enqueue_many('note', array_fill('[true]'::jsonb, array[20]))")
    until(lambda: {number for number, _ in ran} == set(range(PROCESSES)), "all of them work")
    first, last = min(at for _, at in ran), max(at for _, at in ran)
    assert last - first < TURN_SECONDS / 2, "they were called, and did not wait for their turns"


def test_a_claim_out_of_idleness_shortens_what_was_promised(crowd, look):
    """Killed at this moment, the process would be missed as soon as any that is at work."""
    brokers, ran = crowd
    all_take_turns(look)
    for broker in brokers:  # so that the claim alone could have done it
        broker.engine.lifeline.hurry = lambda: None
    look.rows("select pgbroker.enqueue('note', '[true]')")
    until(lambda: ran)
    soon = look.rows(
        """select from pgbroker.processes p join dramatiq.queue q using (process_id)
            where p.beat_due_at <= q.started_at + interval '0.81 s'"""
    )
    assert len(soon) == 1
