"""When schedules are due: against a reference that knows nothing of periodiq."""

import random
from datetime import UTC, datetime, timedelta

import dramatiq
import pytest
from periodiq import cron

from pgbroker.cron import latest_slot, matches, next_slot
from pgbroker.errors import ScheduleRefused
from pgbroker.scheduler import Scheduler


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("spec", ["@weekly", "0 0 * * 0", "0 0 * * 7", "0 0 * * sun"])
def test_p01_sunday_is_sunday_however_it_is_written(spec):
    assert next_slot(cron(spec), at("2024-05-01 12:00")) == at("2024-05-05 00:00")
    assert matches(cron(spec), at("2024-05-05 00:00"))
    assert not matches(cron(spec), at("2024-05-06 00:00"))


def test_p02_the_first_slot_of_another_day_is_not_missed():
    assert next_slot(cron("30 9-17 * * 1"), at("2024-05-07 10:00")) == at("2024-05-13 09:30")
    assert next_slot(cron("*/5 * * * 7"), at("2024-05-05 10:01")) == at("2024-05-05 10:05")


def test_a_day_of_month_and_a_weekday_are_alternatives_unless_one_is_a_star():
    assert matches(cron("0 0 13 * 5"), at("2024-05-13 00:00"))  # a Monday
    assert matches(cron("0 0 13 * 5"), at("2024-05-10 00:00"))  # a Friday
    assert not matches(cron("0 0 */2 * 5"), at("2024-05-10 00:00"))  # `*/2` is a star: the 10th is even
    assert matches(cron("0 0 */2 * 5"), at("2024-05-17 00:00"))


def test_the_latest_slot_is_found_within_its_grace():
    hourly = cron("5 * * * *")
    assert latest_slot(hourly, at("2024-05-01 12:30"), timedelta(hours=1)) == at("2024-05-01 12:05")
    assert latest_slot(hourly, at("2024-05-01 12:30"), timedelta(minutes=10)) is None
    assert latest_slot(hourly, at("2024-05-01 12:05:59"), timedelta(0)) == at("2024-05-01 12:05")


def test_29_february_is_found_across_a_century():
    assert next_slot(cron("0 0 29 2 *"), at("2096-03-01 00:00")) == at("2104-02-29 00:00")
    assert next_slot(cron("0 0 30 2 *"), at("2024-01-01 00:00")) is None


def test_a_schedule_that_is_never_due_is_refused_in_one_line(broker, caplog):
    @dramatiq.actor(broker=broker, periodic=cron("0 0 31 2 *"))
    def never():
        pass

    with pytest.raises(SystemExit):
        Scheduler([never])
    assert "The schedule 0 0 31 2 * of never is never due." in caplog.text
    scheduler = Scheduler.__new__(Scheduler)
    scheduler.actors = [never]
    with pytest.raises(ScheduleRefused):
        scheduler.check()


def due(moment, fields):
    """cron(5) read word by word."""
    (_, minutes), (_, hours), (dom, days), (_, months), (dow, weekdays) = fields
    day, weekday = moment.day in days, (moment.weekday() + 1) % 7 in weekdays
    either = not dom.startswith("*") and not dow.startswith("*")
    fits = day or weekday if either else day and weekday
    return moment.minute in minutes and moment.hour in hours and moment.month in months and fits


def test_random_schedules_are_due_when_a_brute_force_reading_of_cron_5_says():
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)

    def field(low, high):
        kind = dice.random()
        if kind < 0.4:
            return "*", set(range(low, high + 1))
        if kind < 0.6:
            step = dice.randint(2, 7)
            return f"*/{step}", set(range(low, high + 1, step))
        first = dice.randint(low, high)
        last = dice.randint(first, high)
        return (f"{first}-{last}", set(range(first, last + 1))) if kind < 0.8 else (str(first), {first})

    for _ in range(60):
        fields = [field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)]
        spec = cron(" ".join(text for text, _ in fields))
        now = at("2024-01-01 00:00") + timedelta(minutes=dice.randrange(366 * 1440))
        slot = next_slot(spec, now)

        moment = now.replace(second=0) + timedelta(minutes=1)
        while not due(moment, fields) and moment < now + timedelta(days=20):
            moment += timedelta(minutes=1)
        if due(moment, fields):
            assert slot == moment, (str(spec), now)
        else:
            assert slot is None or slot >= moment, (str(spec), now)
