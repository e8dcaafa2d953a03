"""What was wrong in periodiq 0.14, by the numbers of our list: each shown on periodiq itself, then cured.

P11's signals, and real processes, are in tests/faults/test_schedulers.py.
"""

import importlib.util
import os
import signal
from datetime import UTC, datetime, timedelta
from queue import Queue
from threading import Thread
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import dramatiq
import pendulum
import pytest
from database_clock import DatabaseClock
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import SkipMessage
from periodiq import cron
from workers import until, work_off

from pgbroker.cron import CronSpec, Schedule
from pgbroker.scheduler import Scheduler, schedulers, schedules

MINUTE = timedelta(minutes=1)
TEN = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)  # a Monday


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(autouse=True)
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(owner):
    clock = DatabaseClock(owner)
    clock.stand(TEN)
    return clock


@pytest.fixture
def declare(broker):
    def declare(name, spec, **options):
        return dramatiq.actor(lambda: ran.append(name), broker=broker, actor_name=name, periodic=cron(spec), **options)

    ran = declare.ran = []
    return declare


@pytest.fixture
def names(look):
    """The actors of the messages that wait."""
    return lambda: [row["actor_name"] for row in look.waiting]


class Stock:
    """periodiq as it comes, in a module of its own: `pgbroker.middleware.Ticks` changes the one that others import. Its
    clock stands where `at` says, and it neither sleeps nor sets an alarm."""

    def __init__(self):
        found = importlib.util.find_spec("periodiq")
        self.module = importlib.util.module_from_spec(found)
        found.loader.exec_module(self.module)
        self.at = TEN
        self.module.pendulum = SimpleNamespace(now=lambda: pendulum.instance(self.at), parse=pendulum.parse)
        self.module.sleep = self.module.alarm = lambda seconds: None
        self.module.signal = lambda number, handler: None
        self.broker = StubBroker(middleware=[self.module.PeriodiqMiddleware()])

    def declare(self, name, spec):
        return dramatiq.actor(lambda: None, broker=self.broker, actor_name=name, periodic=self.module.cron(spec))

    def start(self, *actors):
        """What the process does when it starts, and in each wake-up."""
        scheduler = self.module.Scheduler(actors)
        scheduler.schedule()
        return scheduler

    @property
    def sent(self):
        return [dramatiq.Message.decode(data).actor_name for data in self.broker.queues["default"].queue]


@pytest.fixture
def stock():
    return Stock()


def test_P01_sunday_is_sunday_however_it_is_written(stock):
    sunday, monday = at("2024-05-05 00:00"), at("2024-05-06 00:00")
    for text in ("@weekly", "0 0 * * 0", "0 0 * * 7", "0 0 * * sun"):
        assert stock.module.cron(text).validate(sunday) is (text == "0 0 * * 7")
        assert Schedule(CronSpec.parse(text)).next(at("2024-05-01 12:00")) == sunday
        assert Schedule(CronSpec.parse(text)).latest(monday, 7 * 24 * 60 * MINUTE) == sunday
        assert Schedule(CronSpec.parse(text)).latest(monday) is None


def test_P02_the_first_slot_of_another_day_is_not_missed(stock):
    for text, now, slot, stocks in (
        ("30 9-17 * * 1", "2024-05-07 10:00", "2024-05-13 09:30", "2024-05-13 10:30"),
        ("*/5 * * * 7", "2024-05-05 10:01", "2024-05-05 10:05", "2024-05-12 10:05"),
    ):
        assert stock.module.cron(text).next_valid_date(pendulum.instance(at(now))) == at(stocks)
        assert Schedule(CronSpec.parse(text)).next(at(now)) == at(slot)


def test_P03_a_restart_within_the_minute_sends_nothing_again(stock, clock, declare, names):
    for _ in range(2):
        stock.start(stock.declare("tick", "* * * * *") if not stock.broker.actors else stock.broker.get_actor("tick"))
    assert stock.sent == ["tick", "tick"]

    tick = declare("tick", "* * * * *")
    for second in (1, 30, 56, 59.9):
        clock.stand(TEN + timedelta(seconds=second))
        Scheduler([tick]).send_due()
    assert names() == ["tick"]


def test_P04_the_latest_missed_tick_is_sent_and_only_that(stock, clock, declare, names, look):
    hourly = stock.declare("hourly", "0 * * * *")
    stock.at = TEN + MINUTE
    stock.start(hourly)
    assert stock.sent == []

    hourly, quarter = declare("hourly", "0 * * * *", grace_seconds=1800), declare("quarter", "*/15 * * * *")
    clock.stand(TEN + 31 * MINUTE)
    Scheduler([hourly, quarter]).send_due()
    assert names() == ["quarter"]  # of half past; ten o'clock's is out of the grace of the other
    clock.stand(TEN + 89 * MINUTE)
    Scheduler([hourly, quarter]).send_due()
    assert names() == ["quarter", "hourly", "quarter"]
    found = look.rows("select actor_name, slot_at from pgbroker.slots order by slot_at")
    assert [(row["actor_name"], row["slot_at"]) for row in found] == [
        ("quarter", TEN + 30 * MINUTE), ("hourly", TEN + 60 * MINUTE), ("quarter", TEN + 75 * MINUTE),
    ]  # fmt: skip


def test_P05_a_signal_cannot_lock_the_process_up(stock, clock, declare, names):
    scheduler = stock.module.Scheduler([stock.declare("tick", "* * * * *")])
    assert isinstance(scheduler.alarm_q, Queue)
    with scheduler.alarm_q.mutex:  # as `get` holds it, in the thread that the signal interrupts
        handler = Thread(target=scheduler.signal_handler, daemon=True)
        handler.start()
        handler.join(0.2)
        assert handler.is_alive(), "the handler waits for what it has interrupted"
    handler.join(5)

    scheduler = Scheduler([declare("tick", "* * * * *")])

    def many_signals():
        until(names, "the first tick")
        for _ in range(200):
            os.kill(os.getpid(), signal.SIGTERM)

    thread = Thread(target=many_signals)
    thread.start()
    scheduler.loop()  # in the main thread, which signals interrupt
    thread.join(10)
    assert names() == ["tick"]


def test_P06_one_actor_that_cannot_be_sent_does_not_stop_the_others(stock, clock, declare, names):
    class Broken(StubBroker):
        def enqueue(self, message, *, delay=None):
            if message.actor_name == "broken":
                raise dramatiq.errors.ConnectionError("away")
            return super().enqueue(message, delay=delay)

    stock.broker = Broken(middleware=[stock.module.PeriodiqMiddleware()])
    with pytest.raises(dramatiq.errors.ConnectionError):
        stock.start(stock.declare("broken", "* * * * *"), stock.declare("sweep", "* * * * *"))
    assert stock.sent == []

    broken = declare("broken", "* * * * *", priority=2**40)
    scheduler = Scheduler([broken, declare("sweep", "* * * * *")])
    scheduler.send_due()
    assert names() == ["sweep"]
    broken.priority = 0  # it is tried again with each round, as long as its grace lasts
    clock.stand(TEN + timedelta(seconds=20))
    scheduler.send_due()
    assert names() == ["sweep", "broken"]


def test_P07_any_number_of_schedulers_send_a_tick_once(stock, clock, declare, names, look):
    tick = stock.declare("tick", "* * * * *")
    for _ in range(2):
        stock.start(tick)
    assert stock.sent == ["tick", "tick"]

    actors = [declare(name, "* * * * *") for name in ("one", "two", "three")]
    for minute in range(5):
        clock.stand(TEN + minute * MINUTE)
        threads = [Thread(target=scheduler.send_due) for scheduler in [Scheduler(actors) for _ in range(4)]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(names()) == sorted(["one", "two", "three"] * 5)
    slots = look.rows("select message_id from pgbroker.slots")
    assert {row["message_id"] for row in slots} == {row["message_id"] for row in look.waiting}


def test_P08_a_tick_that_waited_for_long_runs(stock, broker, declare, look):
    message = stock.declare("sweep", "* * * * *").message_with_options(scheduled_at=str(TEN))
    stock.at = TEN + timedelta(seconds=31)
    with pytest.raises(SkipMessage):
        stock.broker.middleware[-1].before_process_message(stock.broker, message)

    Scheduler([declare("sweep", "* * * * *")]).send_due()
    long_ago = '"2020-01-01T00:00:00+00:00"'
    look.rows("update dramatiq.queue set message = jsonb_set(message, '{options,scheduled_at}', %s)", long_ago)
    work_off(broker)
    assert declare.ran == ["sweep"]


def test_P09_a_day_with_a_change_of_clocks_has_one_slot_as_every_other(stock, clock, declare, look):
    paris = ZoneInfo("Europe/Paris")
    spec = stock.module.cron("30 2 * * *")
    october = [at("2026-10-25 00:30"), at("2026-10-25 01:30")]
    assert [spec.validate(each.astimezone(paris)) for each in october] == [True, True]
    march = [at("2026-03-28 23:00") + minute * MINUTE for minute in range(24 * 60)]
    assert not any(spec.validate(each.astimezone(paris)) for each in march)

    scheduler = Scheduler([declare("nightly", "30 2 * * *", zone="Europe/Paris")])
    for day in (at("2026-03-29 00:00"), at("2026-10-25 00:00")):
        for quarter in range(16):
            clock.stand(day + quarter * 15 * MINUTE)
            scheduler.send_due()
    found = look.rows("select slot_at from pgbroker.slots order by slot_at")
    assert [row["slot_at"] for row in found] == [at("2026-03-29 01:00"), at("2026-10-25 00:30")]
    assert len(look.waiting) == 2


def test_P10_a_clock_that_is_set_makes_no_tick_twice_and_stops_none(stock, clock, declare, look):
    tick = stock.declare("tick", "* * * * *")
    for stock.at in (TEN, TEN + MINUTE, TEN):
        stock.start(tick)
    assert stock.sent == ["tick"] * 3

    scheduler = Scheduler([declare("tick", "* * * * *")])

    def sent():
        found = look.rows("select slot_at from pgbroker.slots order by slot_at")
        assert len(found) == len(look.waiting)
        return [row["slot_at"] for row in found]

    def pass_through(*minutes):
        for minute in minutes:
            clock.stand(TEN + minute * MINUTE)
            scheduler.send_due()

    pass_through(0, 1, 0, -170, -1, 1)  # back: nothing until it has caught up
    assert sent() == [TEN, TEN + MINUTE]
    pass_through(2, 90)  # ahead: the latest
    assert sent() == [TEN + minute * MINUTE for minute in (0, 1, 2, 90)]
    pass_through(5000, 91, 92)  # days ahead, by mistake: it goes on with what is right
    assert sent() == [TEN + minute * MINUTE for minute in (0, 1, 2, 90, 91, 92, 5000)]
    pass_through(4999, 5000, 5001)  # and again nothing twice
    assert sent() == [TEN + minute * MINUTE for minute in (0, 1, 2, 90, 91, 92, 4999, 5000, 5001)]
    assert [row["late_seconds"] for row in schedules(scheduler.broker.connections)] == [0]


def test_P11_who_lives_and_what_is_late_stands_in_the_database(clock, broker, declare):
    scheduler = Scheduler([declare("tick", "* * * * *"), declare("nightly", "30 2 * * *", zone="Europe/Berlin")])
    thread = Thread(target=scheduler.loop)
    thread.start()
    (found,) = until(lambda: schedulers(broker.connections), "the scheduler is there")
    assert found["pid"] == os.getpid()
    assert found["started_at"] == TEN
    assert found["beat_seconds_ago"] == 0
    until(lambda: schedules(broker.connections), "the timetable is there")
    clock.stand(TEN + timedelta(seconds=61))
    assert schedules(broker.connections) == [
        {"actor": "nightly", "schedule": "30 2 * * *", "zone": "Europe/Berlin", "last_slot_at": None,
         "due_at": at("2026-05-05 00:30"), "late_seconds": 0},
        {"actor": "tick", "schedule": "* * * * *", "zone": "UTC", "last_slot_at": TEN, "due_at": TEN + MINUTE,
         "late_seconds": 1},
    ]  # fmt: skip
    scheduler.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert schedulers(broker.connections) == []
    assert {row["actor"]: row["late_seconds"] for row in schedules(broker.connections)} == {"nightly": 0, "tick": 1}
