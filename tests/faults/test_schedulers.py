"""Real `periodiq` processes: killed and suspended at random they make each tick once, and SIGTERM ends them with 0."""

import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from database_clock import DatabaseClock
from workers import until

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTES = 20


@pytest.fixture
def clock(owner):
    return DatabaseClock(owner)


def test_a_real_clock_makes_one_tick_a_minute_at_its_beginning(processes, ask, clock):
    clock.run_from(NOON + timedelta(seconds=52))
    schedulers = [processes.start("periodiq", "jobs") for _ in range(2)]
    until(lambda: ask("select from pgbroker.slots"), "the first tick")
    ((first,),) = ask("select max(slot_at) from pgbroker.slots")
    until(lambda: ask("select from pgbroker.slots where slot_at > %s", first), "the next minute", timeout_seconds=75)
    for scheduler in schedulers:
        scheduler.send_signal(signal.SIGTERM)
    assert [scheduler.wait(10) for scheduler in schedulers] == [0, 0]
    ticks = ask("select slot_at, message_id from pgbroker.slots")
    messages = ask("select message_id from dramatiq.queue where actor_name = 'tick'")
    assert {row[1] for row in ticks} == {row[0] for row in messages}
    assert len(messages) == len(ticks) == len({row[0] for row in ticks})
    (late,) = ask(
        "select extract(epoch from max(sent_at + ahead) - max(slot_at))::float from pgbroker.slots, fake.clock"
    )[0]
    assert 0 <= late < 3
    assert ask("select count(*) from pgbroker.schedulers") == [(0,)]


def test_a_killed_scheduler_that_comes_back_in_the_same_minute_sends_nothing_twice(processes, ask, clock):
    clock.stand(NOON)
    for _ in range(3):
        scheduler = processes.start("periodiq", "ticking")
        until(
            lambda scheduler=scheduler: ask("select from pgbroker.schedulers where pid = %s", scheduler.pid), "a round"
        )
        processes.kill(scheduler)
    assert ask("select count(*) from pgbroker.slots") == ask("select count(*) from dramatiq.queue") == [(3,)]


def test_three_schedulers_killed_and_suspended_at_random_make_each_tick_once(processes, ask, clock):
    """The clock goes on a minute as soon as this minute's ticks are there: none may be missing."""
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)

    def sent(minute):
        due = 3 if minute % 5 == 0 else 2
        at = NOON + timedelta(minutes=minute)
        return len(ask("select from pgbroker.slots where slot_at = %s", at)) == due

    clock.stand(NOON)
    fleet = [processes.start("periodiq", "ticking") for _ in range(3)]
    until(lambda: len(ask("select from pgbroker.schedulers")) == 3, "all three", timeout_seconds=60)
    suspended = None
    for minute in range(MINUTES):
        clock.stand(NOON + timedelta(minutes=minute, seconds=dice.uniform(0, 59)))
        victim = dice.randrange(3)
        until(lambda minute=minute: dice.random() < 0.5 or sent(minute), "a random moment")
        if minute >= MINUTES - 3:
            pass  # time for the dead to be missed
        elif minute % 3 == 1:
            processes.kill(fleet[victim])
            fleet[victim] = processes.start("periodiq", "ticking")
        elif minute % 3 == 2:
            suspended = fleet[victim]
            suspended.send_signal(signal.SIGSTOP)
        until(lambda minute=minute: sent(minute), f"the ticks of minute {minute}")
        if suspended is not None and minute % 3 == 0:
            suspended.send_signal(signal.SIGCONT)
            suspended = None
    alive = sorted((scheduler.pid,) for scheduler in fleet)
    until(lambda: ask("select pid from pgbroker.schedulers order by pid") == alive, "those that live, and no others")
    for scheduler in fleet:
        scheduler.send_signal(dice.choice([signal.SIGTERM, signal.SIGINT]))
    assert [scheduler.wait(20) for scheduler in fleet] == [0, 0, 0]

    assert ask("select count(*) from pgbroker.schedulers") == [(0,)]
    expected = [(name, NOON + timedelta(minutes=each)) for name in ("first", "second") for each in range(MINUTES)]
    expected += [("third", NOON + timedelta(minutes=each)) for each in range(0, MINUTES, 5)]
    assert ask(
        """select actor_name, slot_at from dramatiq.queue full join pgbroker.slots using (message_id, actor_name)
            where message->'options'->>'scheduled_at' is not null order by 1, 2"""
    ) == sorted(expected)
    assert (
        ask("select count(*) from dramatiq.queue") == ask("select count(*) from pgbroker.slots") == [(len(expected),)]
    )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("periodic=cron('0 0 30 2 *')", "Actor wrong: The schedule '0 0 30 2 *' is never due. Correct it."),
        ("periodic=cron('@daily'), zone='Europe/Berln'", "Actor wrong: The zone 'Europe/Berln' is unknown."),
    ],
)
def test_a_wrong_schedule_is_refused_when_the_process_starts(processes, tmp_path: Path, options, line):
    (tmp_path / "wrong_timetable.py").write_text(
        f"import dramatiq\nfrom periodiq import cron\n\n@dramatiq.actor({options})\ndef wrong(): pass\n"
    )
    scheduler = processes.start("periodiq", "ticking", "wrong_timetable", "--path", str(tmp_path))
    assert scheduler.wait(30) == 1
    log = scheduler.log.read_text()
    assert log.count(line) == 1
    assert "Traceback" not in log


def test_P11_sigterm_ends_a_scheduler_with_status_0(processes, ask):
    stock, ours = processes.start("periodiq", "stock_ticking"), processes.start("periodiq", "ticking")
    until(lambda: "Scheduling Actor(tick)" in stock.log.read_text(), "periodiq's own runs")
    until(lambda: ask("select from pgbroker.schedulers"), "ours runs")
    for process in (stock, ours):
        process.send_signal(signal.SIGTERM)
    assert stock.wait(10) == -signal.SIGTERM
    assert ours.wait(10) == 0
    assert "The scheduler stops" in ours.log.read_text()
    assert ask("select from pgbroker.schedulers") == []
