"""The scheduler: each tick once, the missed one late, in one transaction with its slot."""

import signal
from threading import Thread

import dramatiq
import pytest
from periodiq import cron
from workers import until, work_off

from pgbroker.errors import DatabaseAway
from pgbroker.scheduler import Scheduler


@pytest.fixture(autouse=True)
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def sweep(broker):
    @dramatiq.actor(broker=broker, periodic=cron("* * * * *"))
    def sweep():
        sweep.ran.append(1)

    sweep.ran = []
    return sweep


def test_p03_p07_any_number_of_schedulers_and_restarts_send_a_tick_once(broker, sweep, look):
    schedulers = [Scheduler([sweep]) for _ in range(4)]
    threads = [Thread(target=scheduler.send_due) for scheduler in schedulers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Scheduler([sweep]).send_due()
    slots = look.rows("select * from pgbroker.slots")
    assert len(slots) == len(look.waiting) <= 2  # two when a minute ended in between
    assert {row["message_id"] for row in slots} == {row["message_id"] for row in look.waiting}


def test_p04_the_latest_missed_tick_is_sent_and_only_that(broker, look):
    @dramatiq.actor(broker=broker, periodic=cron("0 * * * *"), grace_seconds=7200)
    def hourly():
        pass

    @dramatiq.actor(broker=broker, periodic=cron("0 0 1 1 *"), grace_seconds=60)
    def yearly():
        pass

    Scheduler([hourly, yearly]).send_due()
    (slot,) = look.rows("select *, slot_at = date_trunc('hour', now()) as this_hour from pgbroker.slots")
    assert (slot["actor_name"], slot["this_hour"]) == ("hourly", True)
    assert len(look.waiting) == 1


def test_a_slot_without_its_message_does_not_exist(broker, sweep, look, monkeypatch):
    def fails(message, *, delay=None):
        raise DatabaseAway("cut off")

    scheduler = Scheduler([sweep])
    monkeypatch.setattr(broker, "enqueue", fails)
    with pytest.raises(DatabaseAway):
        scheduler.send_due()
    assert look.rows("select * from pgbroker.slots") == []
    monkeypatch.undo()
    scheduler.send_due()
    assert len(look.waiting) == 1


def test_p06_one_actor_that_cannot_be_sent_does_not_stop_the_others(broker, sweep, look):
    @dramatiq.actor(broker=broker, periodic=cron("* * * * *"), priority=2**40)
    def broken():
        pass

    with pytest.raises(Exception, match="priority"):
        Scheduler([broken, sweep]).send_due()
    assert [row["actor_name"] for row in look.waiting] == ["sweep"]


def test_p08_a_tick_that_waited_for_long_runs(broker, sweep, look):
    Scheduler([sweep]).send_due()
    long_ago = '"2020-01-01T00:00:00+00:00"'
    look.rows("update dramatiq.queue set message = jsonb_set(message, '{options,scheduled_at}', %s)", long_ago)
    work_off(broker)
    assert sweep.ran == [1]


def test_p10_when_the_clock_is_set_back_no_tick_is_sent_again(broker, sweep, look):
    look.rows(
        """insert into pgbroker.slots values ('sweep', date_trunc('minute', now()) + interval '3 minutes', now(),
           gen_random_uuid())"""
    )
    Scheduler([sweep]).send_due()
    assert look.waiting == []


def test_old_slots_are_forgotten_but_not_the_last_of_an_actor(broker, sweep, look):
    look.rows(
        """insert into pgbroker.slots select name, now() - days * interval '1 day', now(), gen_random_uuid()
           from unnest(array['sweep', 'retired']) name, unnest(array[10, 20]) days"""
    )
    Scheduler([sweep]).send_due()
    kept = look.rows("select actor_name, slot_at < now() - interval '1 day' as old from pgbroker.slots order by 1, 2")
    assert [(row["actor_name"], row["old"]) for row in kept] == [("retired", True), ("sweep", False)]


def test_p05_p11_the_loop_ends_when_it_is_told_to(broker, sweep, look):
    scheduler = Scheduler([sweep])
    thread = Thread(target=scheduler.loop)
    thread.start()
    until(lambda: look.waiting)
    scheduler.stop()
    thread.join(5)
    assert not thread.is_alive()
