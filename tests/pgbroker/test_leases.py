"""Leases: what a process loses when it falls silent, and what it may still do then."""

from threading import Event

import dramatiq
import pytest
from workers import until, work_off, working

from pgbroker import DatabaseAway
from pgbroker.lease import MOST_DEATHS, YOUNG_SECONDS
from pgbroker.leased import LeasedMessage
from pgbroker.statements import sql


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker)
    def note():
        note.ran.append(1)

    note.ran = []
    return note


def rescue(broker):
    """What was rescued; not the processes that it was rescued from."""
    rescued = broker.connections.execute(sql("rescue"), {"young_seconds": YOUNG_SECONDS, "most_deaths": MOST_DEATHS})
    return [row for row in rescued if row[0] is not None]


def abandon(look, beat="1 hour", backend="null", started="1 minute"):
    """Make every message of the queue look as if a process held it that beat so long ago."""
    (process,) = look.rows(
        """insert into pgbroker.processes (process_id, host, pid, beat_at, backend_pid, lease_seconds)
           values (gen_random_uuid(), 'gone', 1, now() - %s::interval, """
        + backend
        + ", 0.1) returning process_id",
        beat,
    )
    look.rows(
        """update dramatiq.queue set state = 'consumed', process_id = %s, lease_token = gen_random_uuid(),
           started_at = now() - %s::interval""",
        process["process_id"],
        started,
    )


def test_a_message_of_a_silent_process_waits_again(broker, note, look):
    note.send()
    abandon(look)
    assert len(rescue(broker)) == 1
    (row,) = look.waiting
    assert (row["state"], row["lease_token"], row["retries"]) == ("queued", None, 0)
    assert [entry["event"] for entry in row["history"]] == ["rescued"]
    assert look.rows("select * from pgbroker.processes") == []


@pytest.fixture
def lease_of_5_s(look):
    """Give every process such a lease, on a server that has been up for longer: only then does anybody rescue."""
    until(lambda: look.rows("select from pg_postmaster_start_time() s where s < now() - interval '6 s'"))
    return lambda: look.rows("update pgbroker.processes set lease_seconds = 5")


def test_a_stalled_process_keeps_its_messages_while_its_connection_lives(broker, note, look, lease_of_5_s):
    note.send()
    abandon(look, beat="2 s", backend="pg_backend_pid()")
    lease_of_5_s()
    assert rescue(broker) == []


def test_a_dead_process_loses_its_messages_before_its_lease_ends(broker, note, look, lease_of_5_s):
    note.send()
    abandon(look, beat="2 s", backend="2147483647")
    lease_of_5_s()
    assert len(rescue(broker)) == 1


def test_a_process_that_beats_keeps_its_messages_without_the_connection_it_named(broker, note, look, lease_of_5_s):
    note.send()
    abandon(look, beat="0 s", backend="2147483647")
    lease_of_5_s()
    assert rescue(broker) == []


def test_d11_a_long_job_of_a_living_process_is_not_taken_away(broker, note, look, lease_of_5_s):
    note.send()
    abandon(look, beat="0 s", started="10 hours")
    lease_of_5_s()
    assert rescue(broker) == []


def test_a_message_whose_process_has_no_row_is_rescued(broker, note, look):
    note.send()
    abandon(look)
    look.rows("delete from pgbroker.processes")
    assert len(rescue(broker)) == 1


def test_what_a_worker_claimed_just_before_it_died_waits_again_as_soon(broker, note, look):
    """A claim so young is left alone by the rescue that finds its process dead; nobody would have looked for 10 s."""
    died = """
        with gone as (
            insert into pgbroker.processes (process_id, host, pid, beat_at, beat_due_at, backend_pid, lease_seconds)
            values (gen_random_uuid(), 'gone', 1, now() - interval '0.8 s', now(), 2147483647, 1) returning process_id)
        insert into dramatiq.queue (message_id, state, process_id, lease_token, started_at, message)
        select gen_random_uuid(), 'consumed', process_id, gen_random_uuid(), now() + interval '0.4 s',
               '{"actor_name": "note", "args": [], "kwargs": {}, "options": {}}' from gone"""
    with working(broker):
        until(lambda: look.rows("select from pgbroker.processes"))
        for number in range(1, 4):
            look.rows(died)
            until(lambda number=number: len(note.ran) == number, "it ran again", timeout_seconds=4)


def test_d13_a_message_that_killed_its_worker_too_often_is_a_dead_letter(broker, note, look):
    note.send()
    for _ in range(MOST_DEATHS):
        abandon(look)
        rescue(broker)
    assert look.waiting == []
    (letter,) = look.dead
    assert letter["reason"] == "killed its worker"
    assert [entry["event"] for entry in letter["history"]] == ["rescued"] * MOST_DEATHS


def test_d07_a_late_finish_changes_nothing_and_is_counted(broker, look):
    began, go_on = Event(), Event()

    @dramatiq.actor(broker=broker)
    def slow():
        began.set()
        go_on.wait(10)

    slow.send()
    with working(broker):
        assert began.wait(10)
        look.rows("update dramatiq.queue set lease_token = gen_random_uuid()")
        go_on.set()
        until(lambda: broker.engine.counters["finish_late"] == 1)
    assert [row["state"] for row in look.waiting] == ["consumed"]
    assert look.finished == []


def test_a_process_that_was_taken_for_dead_begins_anew_and_does_not_start_what_it_held(broker, note, look):
    consumer = broker.consume("default", prefetch=2, timeout=5000)
    note.send()
    message = next(consumer)
    first = broker.engine.lifeline.process_id
    look.rows("delete from pgbroker.processes")
    until(lambda: broker.engine.lifeline.process_id != first and broker.engine.lifeline.holds())
    assert isinstance(message, LeasedMessage)
    with pytest.raises(dramatiq.middleware.SkipMessage):
        broker.emit_before("process_message", message)
    broker.emit_after("skip_message", message)
    consumer.ack(message)
    assert look.finished == []


def test_a_process_that_cannot_beat_takes_no_more_work(broker, note, look):
    consumer = broker.consume("default", prefetch=2, timeout=200)
    lifeline = broker.engine.lifeline
    until(lifeline.holds)
    lifeline._beaten_at -= 0.9 * 15
    lifeline.stop(sign_off=False)
    lifeline._beaten_at -= 0.9 * 15
    note.send()
    assert next(consumer) is None


def test_a_claim_whose_answer_was_lost_is_given_back(broker, note, look):
    consumer = broker.consume("default", prefetch=4, timeout=200)
    until(broker.engine.lifeline.holds)
    note.send()
    look.rows(
        """update dramatiq.queue set state = 'consumed', lease_token = gen_random_uuid(), started_at = now(),
           process_id = %s""",
        broker.engine.lifeline.process_id,
    )
    assert next(consumer) is None
    broker.engine._claim_failed(DatabaseAway("the answer did not come"))
    message = until(lambda: next(consumer))
    assert message.actor_name == "note"
    assert [entry["event"] for entry in look.waiting[0]["history"]] == ["released"]


def test_d19_a_connection_that_drops_under_a_running_job_makes_nothing_run_twice(broker, look):
    began, go_on = Event(), Event()
    runs = []

    @dramatiq.actor(broker=broker)
    def slow():
        runs.append(1)
        began.set()
        go_on.wait(10)

    slow.send()
    with working(broker):
        assert began.wait(10)
        look.rows(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like 'pgbroker:%%'"
        )
        (row,) = look.rows("select beat_at from pgbroker.processes")
        until(lambda: look.rows("select from pgbroker.processes where beat_at > %s + interval '2 s'", row["beat_at"]))
        go_on.set()
        until(lambda: len(look.finished) == 1)
    assert runs == [1]


def test_d12_times_are_right_in_any_time_zone(broker, note, look, server, database_name):
    look.rows(f"alter role atum_worker in database \"{database_name}\" set timezone = 'America/New_York'")
    note.send()
    (row,) = look.rows("select abs(extract(epoch from now() - mtime)) < 60 as right from dramatiq.queue")
    assert row["right"]


def test_d25_there_is_no_delay_queue(broker, note):
    assert broker.get_declared_delay_queues() == set()
    assert broker.get_declared_queues() == {"default"}


def test_d33_join_flush_and_flush_all_work(broker, note, look):
    note.send()
    with pytest.raises(dramatiq.errors.QueueJoinTimeout):
        broker.join("default", timeout=50)
    broker.flush("default")
    broker.join("default", timeout=50)
    note.send()
    broker.flush_all()
    assert look.waiting == []
    with pytest.raises(dramatiq.errors.QueueNotFound):
        broker.join("nowhere")


def test_only_one_message_that_two_deaths_make_suspect_runs_in_a_process(broker, look):
    """Who is there alone when the process dies is the killer; the others wait for their own turn."""
    at_once, most, ran = [], [], []

    @dramatiq.actor(broker=broker)
    def suspect(number):
        at_once.append(number)
        most.append(len(at_once))
        until(lambda: look.rows("select from dramatiq.queue where state = 'queued'") or len(ran) == 2)
        at_once.remove(number)
        ran.append(number)

    for number in range(3):
        suspect.send(number)
    look.rows("update dramatiq.queue set deaths = 2")
    work_off(broker)
    assert sorted(ran) == [0, 1, 2]
    assert max(most) == 1
    assert {row["retries"] for row in look.finished} == {0}
