"""The scheduler: each tick once, the missed one late, in one transaction with its slot."""

import random
import signal
import time
from bisect import bisect
from datetime import UTC, datetime, timedelta
from threading import Thread
from zoneinfo import ZoneInfo

import dramatiq
import pytest
from builders import admin
from database_clock import DatabaseClock
from dramatiq.middleware import Middleware
from periodiq import cron
from virtual_clock import fields_of, slots_of
from workers import until, work_off

from pgbroker import scheduler as scheduler_module
from pgbroker.errors import DatabaseAway
from pgbroker.middleware import Ticks
from pgbroker.scheduler import Scheduler, schedulers, schedules

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(owner):
    clock = DatabaseClock(owner)
    clock.stand(NOON)
    return clock


@pytest.fixture
def declare(broker):
    """Declare a periodic actor that notes its runs."""

    def declare(name, spec, **options):
        def ran():
            actor.ran.append(1)

        actor = dramatiq.actor(ran, broker=broker, actor_name=name, periodic=cron(spec), **options)
        actor.ran = []
        return actor

    return declare


@pytest.fixture
def sweep(declare):
    return declare("sweep", "* * * * *")


@pytest.fixture
def sent(look):
    """The slots that were sent, as {actor: [slot, …]}."""

    def sent():
        found = {}
        for row in look.rows("select actor_name, slot_at from pgbroker.slots order by actor_name, slot_at"):
            found.setdefault(row["actor_name"], []).append(row["slot_at"])
        return found

    return sent


def test_a_slot_without_its_message_does_not_exist(broker, sweep, look, monkeypatch):
    def fails(message, *, delay=None):
        raise DatabaseAway("cut off")

    scheduler = Scheduler([sweep])
    monkeypatch.setattr(broker, "enqueue", fails)
    with pytest.raises(DatabaseAway):
        scheduler.send_due()
    assert look.rows("select from pgbroker.slots") == look.rows("select from pgbroker.schedules") == []
    monkeypatch.undo()
    scheduler.send_due()
    assert len(look.waiting) == 1


def test_the_next_round_is_at_the_next_slot_and_never_far_off(broker, clock, sweep, declare):
    class Slow(Middleware):
        def after_enqueue(self, broker, message, delay):
            time.sleep(0.2)  # what a round takes is not slept as well

    broker.add_middleware(Slow())
    clock.stand(NOON + timedelta(seconds=50))
    assert 9 < Scheduler([sweep, declare("yearly", "@yearly")]).send_due() <= 9.802
    clock.stand(NOON + timedelta(seconds=61))
    assert Scheduler([sweep]).send_due() == scheduler_module.LONGEST_SLEEP_SECONDS


def test_ticks_of_a_worker_that_is_away_wait_one_by_one_or_as_one(broker, clock, declare, look):
    each = declare("each", "* * * * *")
    one = declare("one", "* * * * *", pile_up=False)
    scheduler = Scheduler([each, one])
    for minute in range(5):
        clock.stand(NOON + minute * MINUTE)
        scheduler.send_due()
    assert [row["actor_name"] for row in look.waiting] == ["each", "one", "each", "each", "each", "each"]
    slots = look.rows("select actor_name, message_id from pgbroker.slots")
    assert len(slots) == 10
    assert {row["message_id"] for row in slots} == {row["message_id"] for row in look.waiting}  # who carries the slot
    clock.run_from(datetime.now(UTC))  # for workers: the messages were inserted by the real clock
    work_off(broker)
    assert (len(each.ran), len(one.ran)) == (5, 1)
    Scheduler([one]).send_due()
    assert [row["actor_name"] for row in look.waiting] == ["one"]


def test_a_schedule_is_read_in_its_zone(url, clock, sent):
    from pgbroker import PostgresBroker

    broker = PostgresBroker(url, middleware=[Ticks(zone="America/New_York")], results=False)
    for name, options in {"new_york": {}, "berlin": {"zone": "Europe/Berlin"}, "utc": {"zone": "UTC"}}.items():
        dramatiq.actor(lambda: None, broker=broker, actor_name=name, periodic=cron("0 8 * * *"), **options)
    later = dramatiq.actor(lambda: None, broker=broker, actor_name="later")
    later.options["periodic"] = cron("0 8 * * *")  # as a timetable does that is apart from the actors
    scheduler = Scheduler(broker.actors.values())
    for hour in range(24):
        clock.stand(NOON + timedelta(hours=hour))
        scheduler.send_due()
    broker.close()
    assert {name: [f"{slot.astimezone(UTC):%H:%M}" for slot in slots] for name, slots in sent().items()} == {
        "new_york": ["12:00"], "berlin": ["06:00"], "utc": ["08:00"], "later": ["12:00"],
    }  # fmt: skip
    assert {row["actor"]: row["zone"] for row in schedules(broker.connections)}["later"] == "America/New_York"
    broker.close()


@pytest.mark.parametrize(
    ("spec", "options", "line"),
    [
        ("0 0 30 2 *", {}, "Actor wrong: The schedule '0 0 30 2 *' is never due. Correct it."),
        ("@daily", {"zone": "Europe/Berln"}, "Actor wrong: The zone 'Europe/Berln' is unknown. Use a name of the"),
        ("@daily", {"grace_seconds": -1}, "Actor wrong: Its grace_seconds must be 0 to"),
    ],
)
def test_what_would_never_run_is_refused_in_one_line(declare, caplog, spec, options, line):
    with pytest.raises(SystemExit) as stop:
        Scheduler([declare("right", "@daily"), declare("wrong", spec, **options)])
    assert stop.value.code == 1
    (record,) = caplog.records
    assert line in record.getMessage()


def test_a_tick_that_cannot_be_sent_is_told_once_and_sent_when_it_can_be(broker, clock, sweep, declare, look, caplog):
    broken = declare("broken", "0 * * * *", priority=2**40)
    scheduler = Scheduler([broken, sweep])
    for minute in range(3):
        clock.stand(NOON + minute * MINUTE)
        scheduler.send_due()
    assert [row["actor_name"] for row in look.waiting] == ["sweep"] * 3
    assert caplog.text.count("The tick of broken at 2026-05-04 12:00:00+00:00 cannot be sent") == 1
    late = {row["actor"]: (row["due_at"], row["late_seconds"]) for row in schedules(broker.connections)}
    assert late == {"broken": (NOON, 120), "sweep": (NOON + 3 * MINUTE, 0)}
    broken.priority = 0
    scheduler.send_due()
    assert [row["actor_name"] for row in look.waiting] == ["sweep"] * 3 + ["broken"]
    assert {row["actor"]: row["late_seconds"] for row in schedules(broker.connections)} == {"broken": 0, "sweep": 0}


def test_an_actor_for_which_the_database_fails_comes_last_the_next_time(
    broker, clock, sweep, declare, look, monkeypatch
):
    def fails_for_one(message, *, delay=None):
        if message.actor_name == "stuck":
            raise DatabaseAway("canceling statement due to lock timeout")
        return send(message, delay=delay)

    send = broker.enqueue
    monkeypatch.setattr(broker, "enqueue", fails_for_one)
    scheduler = Scheduler([declare("stuck", "* * * * *"), sweep])
    for _ in range(2):
        with pytest.raises(DatabaseAway):
            scheduler.send_due()
    assert [row["actor_name"] for row in look.waiting] == ["sweep"]


@pytest.mark.parametrize("minutes", [-1, 31])
def test_a_scheduler_that_is_suspended_before_it_sends_looks_at_the_clock_again(clock, declare, look, minutes):
    scheduler = Scheduler([declare("hourly", "0 * * * *", grace_seconds=1800)])
    (entry,) = scheduler._timetable.values()
    clock.stand(NOON + minutes * MINUTE)
    scheduler._send_latest(entry, NOON)  # it read the clock before
    assert look.waiting == look.rows("select from pgbroker.slots") == []
    clock.stand(NOON + 30 * MINUTE)
    Scheduler([entry.actor]).send_due()
    assert len(look.waiting) == 1


def test_a_scheduler_that_is_suspended_while_it_sends_does_not_hold_up_the_others(
    broker, clock, sweep, look, monkeypatch, owner, url
):
    """The other one is a connection that has taken the slot and says no more."""
    import psycopg2

    from pgbroker.statements import sql

    monkeypatch.setattr(scheduler_module, "HOLD_SECONDS", 0.5)
    with psycopg2.connect(url).cursor() as suspended:
        suspended.execute(
            sql("take_slot"),
            {"actor_name": "sweep", "schedule": "* * * * *", "zone": "UTC", "slot_at": NOON, "due_at": NOON + MINUTE,
             "open_seconds": 60, "hold_ms": 500, "message_id": "00000000-0000-0000-0000-000000000001"},
        )  # fmt: skip
        assert suspended.fetchone() == (NOON,)
        Scheduler([sweep]).send_due()
        assert [row["message_id"] for row in look.rows("select message_id from pgbroker.slots")] == [
            row["message_id"] for row in look.waiting
        ]
        with pytest.raises(psycopg2.Error):
            suspended.execute("commit")


def test_an_outage_is_told_once_and_then_the_latest_missed_tick_is_sent(
    server, database_name, clock, sweep, declare, sent, caplog, monkeypatch
):
    monkeypatch.setattr(scheduler_module, "LONGEST_SLEEP_SECONDS", 0.1)  # the clock does not stand still usually
    caplog.set_level("INFO")
    hourly = declare("hourly", "0 * * * *", grace_seconds=1800)
    scheduler = Scheduler([sweep, hourly])
    thread = Thread(target=scheduler.loop)
    thread.start()
    until(lambda: len(sent()) == 2, "the first ticks")
    with admin(server) as cursor:
        cursor.execute(f"alter database {database_name} allow_connections false")
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s and usename = 'atum_worker'",
            (database_name,),
        )
        until(lambda: "The scheduler waits for the database" in caplog.text, "the line", timeout_seconds=40)
        clock.stand(NOON + 100 * MINUTE)
        cursor.execute(f"alter database {database_name} allow_connections true")
    until(lambda: len(sent()["sweep"]) == 2, "the tick after the outage")
    scheduler.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert sent() == {"sweep": [NOON, NOON + 100 * MINUTE], "hourly": [NOON]}  # 13:00 is out of its grace
    assert caplog.text.count("waits for the database") == 1
    assert caplog.text.count("The scheduler goes on") == 1


def test_schedulers_that_are_gone_are_missed_and_what_they_had_is_no_longer_due(broker, clock, sweep, declare, look):
    retired = declare("retired", "* * * * *")
    old, new = Scheduler([sweep, retired]), Scheduler([sweep])
    old.send_due()
    new.send_due()
    assert len(schedulers(broker.connections)) == 2
    clock.stand(NOON + MINUTE)
    new.send_due()
    assert {row["actor"]: row["late_seconds"] for row in schedules(broker.connections)} == {"sweep": 0, "retired": 0}
    assert sorted(row["beat_seconds_ago"] for row in schedulers(broker.connections)) == [0, 60]
    clock.stand(NOON + 3 * MINUTE)
    assert schedulers(broker.connections) == []
    late = {row["actor"]: row["late_seconds"] for row in schedules(broker.connections)}
    assert late == {"sweep": 60, "retired": 120}
    new.send_due()
    assert len(schedulers(broker.connections)) == len(look.rows("select from pgbroker.schedulers")) == 1
    assert [row["actor"] for row in schedules(broker.connections)] == ["sweep"]
    clock.stand(NOON + 10 * MINUTE)
    assert [row["late_seconds"] for row in schedules(broker.connections)] == [360]  # nobody sends: it grows
    old.send_due()  # it was only cut off
    assert len(schedulers(broker.connections)) == 1
    assert [row["actor"] for row in schedules(broker.connections)] == ["retired", "sweep"]


def test_who_believes_a_slot_unsent_that_another_has_sent_does_not_make_it_late(broker, clock, sweep):
    slow = Scheduler([sweep])
    Scheduler([sweep]).send_due()
    slow._beat(NOON - timedelta(seconds=1))  # it has read the clock and was held up
    assert [row["due_at"] for row in schedules(broker.connections)] == [NOON + MINUTE]


def test_old_slots_are_forgotten_but_not_the_last_of_an_actor(broker, sweep, look):
    look.rows(
        """insert into pgbroker.slots select name, now() - days * interval '1 day', now(), gen_random_uuid()
           from unnest(array['sweep', 'retired']) name, unnest(array[-10, 10, 20]) days
           where name = 'sweep' or days > 0"""
    )
    Scheduler([sweep]).send_due()
    kept = look.rows(
        "select actor_name, extract(epoch from now() - slot_at)::int / 86400 as days from pgbroker.slots order by 1, 2"
    )
    assert [(row["actor_name"], row["days"]) for row in kept] == [("retired", 10), ("sweep", 0)]


class Killed(BaseException):
    """A scheduler ends in the middle of sending."""


class Killing(Middleware):
    """Kills whoever sends when it is told to: before the message is inserted, or between that and the commit."""

    moment = None

    def before_enqueue(self, broker, message, delay):
        self._at("before")

    def after_enqueue(self, broker, message, delay):
        self._at("after")

    def _at(self, moment):
        if self.moment == moment:
            self.moment = None
            raise Killed


def test_a_year_of_kills_downtime_and_clock_steps_sends_each_slot_once(broker, clock, declare, look, monkeypatch):
    """A year passes in the database. Whenever a scheduler looks, the latest slot of each actor must be sent that is
    within its grace and not before its last one, and no other; twice never. The slots are those of cron's own way
    through the year."""
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    monkeypatch.setattr(scheduler_module, "KEEP_SLOTS_DAYS", 1000)
    killing = Killing()
    broker.add_middleware(killing)
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    timetable = {
        "Europe/Berlin": [("30 2 * * *", 3600), ("0 0 1 * *", 6 * 3600)],
        "America/New_York": [("15 1,2 * * 0,3", 1800), ("*/20 1-2 * 3,11 sun", 0)],
        "UTC": [("0 12 * * 1-5", 86_400)],
    }
    actors, due, graces = [], {}, {}
    for zone, rows in timetable.items():
        schedules = [fields_of(cron(spec)) for spec, _ in rows]
        found = slots_of(schedules, ZoneInfo(zone), start - timedelta(days=2), end + timedelta(days=22))
        for (spec, grace_seconds), slots in zip(rows, found, strict=True):
            actor = declare(f"{zone} {spec}", spec, zone=zone, grace_seconds=grace_seconds)
            actors.append(actor)
            due[actor.actor_name] = slots
            graces[actor.actor_name] = timedelta(seconds=grace_seconds)
    moments = sorted({slot for slots in due.values() for slot in slots if start <= slot < end})

    fleet = [Scheduler(actors) for _ in range(3)]
    expected = {name: set() for name in due}
    last = {}
    now, faults = start, {"kill": 0, "dies sending": 0, "down": 0, "back": 0, "wrong by days": 0}
    while True:
        later = next((slot for slot in moments if slot > now), None)
        if later is None:
            break
        now = later + timedelta(seconds=dice.choice([0, 0, 1, 59, 200]))
        fault = dice.random()
        if fault < 0.03:
            faults["down"] += 1
            now += timedelta(seconds=dice.expovariate(1 / 40_000))
        elif fault < 0.06:
            faults["back"] += 1
            now -= timedelta(minutes=dice.uniform(1, 175))
        looks = [now]
        if dice.random() < 0.012:
            faults["wrong by days"] += 1
            looks = [now + timedelta(days=dice.randint(1, 20)), now]
        for now in looks:
            clock.stand(now)
            if dice.random() < 0.1:
                faults["kill"] += 1
                fleet[dice.randrange(3)] = Scheduler(actors)
            if dice.random() < 0.1:
                killing.moment = dice.choice(["before", "after"])
                try:
                    fleet[0].send_due()
                except Killed:
                    faults["dies sending"] += 1
                    fleet[0] = Scheduler(actors)
                killing.moment = None
            for scheduler in dice.sample(fleet, dice.choice([1, 1, 1, 2, 3])):
                scheduler.send_due()
            for name, slots in due.items():
                slot = slots[bisect(slots, now) - 1]
                if not timedelta(0) <= now - slot < graces[name] + MINUTE:
                    continue
                if name not in last or last[name] < slot or last[name] > now + timedelta(hours=3):
                    last[name] = slot
                    expected[name].add(slot)

    print(faults, {name: f"{len(expected[name])} of {len(slots)}" for name, slots in due.items()})
    assert min(faults.values()) > 0
    assert sum(map(len, expected.values())) > 0.8 * sum(map(len, due.values()))
    found = look.rows(
        """select s.actor_name, s.slot_at, q.message from pgbroker.slots s
             full join dramatiq.queue q using (message_id) order by 1, 2"""
    )
    assert all(row["slot_at"] and row["message"]["actor_name"] == row["actor_name"] for row in found)
    assert all(datetime.fromisoformat(row["message"]["options"]["scheduled_at"]) == row["slot_at"] for row in found)
    assert [(row["actor_name"], row["slot_at"]) for row in found] == sorted(
        (name, slot) for name, slots in expected.items() for slot in slots
    )
