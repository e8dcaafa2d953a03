"""When schedules are due: against cron's own rules read word by word, and against croniter."""

import random
import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import periodiq
import pytest
from croniter import croniter
from virtual_clock import due, fields_of, random_field, slots_of

from pgbroker.cron import CronSpec, Schedule, zone_named
from pgbroker.errors import ScheduleRefused

MINUTE = timedelta(minutes=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")


def at(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def schedule(text, zone=UTC):
    return Schedule(CronSpec.parse(text), zone)


def slots(found, start, end):
    """Every slot of a schedule in [start, end)."""
    moment = start - MINUTE
    while (moment := found.next(moment)) and moment < end:
        yield moment


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 jan *"), ("@monthly", "0 0 1 * *"), ("@weekly", "0 0 * * sun"),
        ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@hourly", "0 * * * *"), ("  @Daily ", "0 0 * * *"),
        ("0 0 * * mon-FRI", "0 0 * * 1,2,3,4,5"), ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7", "0 0 * * fri-sun"), ("0 0 1 Mar-nov/4 *", "0 0 1 3,7,11 *"),
        ("10-30/10,5 8 * * *", "5,10,20,30 8 * * *"), ("*/25 * * * *", "0,25,50 * * * *"),
        ("0 0 * * */7", "0 0 * * 0"),
    ],
)  # fmt: skip
def test_a_schedule_may_be_written_in_many_ways(text, same):
    first, second = (list(islice(slots(schedule(each), START, at("2030-01-01 00:00")), 100)) for each in (text, same))
    assert first == second
    assert len(first) >= 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 25 * * *", "hour '25' is not within 0-23"), ("60 * * * *", "minute '60' is not within 0-59"),
        ("0 0 0 * *", "day of month '0'"), ("0 0 * 13 *", "month '13'"), ("0 0 * * 8", "day of week '8'"),
        ("0 0 * mon *", "month 'mon'"), ("30-10 * * * *", "'30-10' names nothing"), ("*/0 * * * *", "names nothing"),
        ("0/15 * * * *", "should be 0-59/15 or 0"), ("*-5 * * * *", "cannot be read"),
        ("1,,2 * * * *", "cannot be read"), ("-1 * * * *", "cannot be read"), ("0 0 L * *", "day of month 'L'"),
        ("0 0 * * * *", "needs five fields"),
        ("@reboot", "needs five fields, or is one of @yearly"), ("", "needs five fields"),
    ],
)  # fmt: skip
def test_what_cron_refuses_is_refused_in_one_line_that_says_why(text, reason):
    with pytest.raises(ScheduleRefused) as refused:
        CronSpec.parse(text)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["Europe/Berln", "", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Ber\0lin"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(ScheduleRefused, match="is unknown"):
        zone_named(name)


def test_specs_that_periodiq_made_itself_are_read_as_well():
    start = at("2026-03-01 00:00")
    stock = periodiq.CronSpec.__mro__[-2]
    assert stock.__module__ == "periodiq"
    weekly = Schedule(stock.parse("@weekly"))
    assert weekly.next(start) == at("2026-03-08 00:00")
    assert weekly.next(at("2026-03-07 23:59:59")) == at("2026-03-08 00:00")
    changed = Schedule(stock.parse("0 0 * * *").replace(h=[2], m=[30]), BERLIN)  # its text is gone
    assert changed.next(at("2026-03-28 12:00")) == at("2026-03-29 01:00")
    either = Schedule(stock.parse("0 0 * * *").replace(dom=[13], dow=[5]))
    assert [slot.day for slot in slots(either, start, start + timedelta(days=20))] == [6, 13, 20]


def test_a_day_of_month_and_a_weekday_are_alternatives_unless_one_begins_with_a_star():
    days = {
        text: [slot.day for slot in slots(schedule(text), at("2024-05-01 00:00"), at("2024-06-01 00:00"))]
        for text in ("0 0 13 * 5", "0 0 */2 * 5", "0 0 13 * */5", "0 0 13 * *", "0 0 13,14 * mon")
    }
    assert days == {
        "0 0 13 * 5": [3, 10, 13, 17, 24, 31],
        "0 0 */2 * 5": [3, 17, 31],  # odd days that are Fridays
        "0 0 13 * */5": [],  # a Sunday or a Friday that is the 13th: it was a Monday
        "0 0 13 * *": [13],
        "0 0 13,14 * mon": [6, 13, 14, 20, 27],
    }


def test_the_latest_slot_is_found_within_its_grace():
    hourly = schedule("5 * * * *")
    assert hourly.latest(at("2024-05-01 12:30"), timedelta(hours=1)) == at("2024-05-01 12:05")
    assert hourly.latest(at("2024-05-01 12:30"), timedelta(minutes=10)) is None
    assert hourly.latest(at("2024-05-01 12:05:59")) == at("2024-05-01 12:05")
    assert hourly.latest(at("2024-05-01 12:06:00")) is None


def test_rare_days_are_found_and_impossible_ones_are_not():
    assert schedule("0 0 29 2 *").next(at("2096-03-01 00:00")) == at("2104-02-29 00:00")
    assert schedule("0 0 29 2 */7").next(at("2072-01-01 00:00")) == at("2088-02-29 00:00")
    assert schedule("0 0 29 2 */7").next(at("2088-03-01 00:00")) == at("2128-02-29 00:00")  # forty years
    assert schedule("0 0 29 2 *").latest(at("2103-01-01 00:00"), timedelta(days=366 * 8)) == at("2096-02-29 00:00")
    assert schedule("0 0 30 2 *").next(at("2024-01-01 00:00")) is None
    assert schedule("0 0 31 4,6,9,11 *").next(at("2024-01-01 00:00")) is None


# Berlin's clocks went from 02:00 to 03:00 (01:00 UTC) on 29 March 2026, and on 25 October from 03:00 back to 02:00.
@pytest.mark.parametrize(
    ("text", "in_march", "in_october"),
    [
        ("30 2 * * *", ["01:00"], ["00:30"]),  # in the gap: right after it; repeated: in the first pass
        ("0,30 2 * * *", ["01:00"], ["00:00", "00:30"]),  # two of the gap are one
        ("0 2,3 * * *", ["01:00"], ["00:00", "02:00"]),  # the gap's falls on another
        ("30 1-3 * * *", ["00:30", "01:00", "01:30"], ["00:30", "02:30"]),
        ("*/30 2 * * *", [], ["00:00", "00:30", "01:00", "01:30"]),  # a star: as the clock shows it
        ("30 * * * *", ["00:30", "01:30", "02:30"], ["00:30", "01:30", "02:30"]),
    ],
)
def test_clocks_are_changed(text, in_march, in_october):
    found = schedule(text, BERLIN)
    for day, expected in (("2026-03-29", in_march), ("2026-10-25", in_october)):
        start, end = at(f"{day} 00:00"), at(f"{day} 03:00")
        assert [f"{slot:%H:%M}" for slot in slots(found, start, end)] == expected
        for now in (start + timedelta(minutes=each) for each in range(180)):
            before = [slot for slot in expected if slot <= f"{now:%H:%M}"]
            latest, following = found.latest(now, now - start), found.next(now)
            assert (f"{latest:%H:%M}" if latest else None) == (before[-1] if before else None), now
            if len(before) < len(expected):
                assert f"{following:%H:%M}" == expected[len(before)], now
            else:
                assert following >= end


def test_a_change_of_three_hours_or_more_is_a_correction_and_the_new_clock_is_followed():
    apia, casey = ZoneInfo("Pacific/Apia"), ZoneInfo("Antarctica/Casey")
    # 30 December 2011 was left out: noon of the 29th is followed by noon of the 31st, a day later.
    assert schedule("0 12 * * *", apia).next(at("2011-12-29 12:00", apia)) == at("2011-12-31 12:00", apia)
    # On 14 March 2021 midnight became 21:00 of the 13th: ten at night came twice.
    start = at("2021-03-13 10:00")
    found = [f"{slot:%H:%M}" for slot in slots(schedule("0 22 * * *", casey), start, start + timedelta(hours=5))]
    assert found == ["11:00", "14:00"]


ODD_CLOCKS = [
    ("America/St_Johns", "2010-11-06"),  # at 00:01 back to 23:01 of the day before
    ("America/Nuuk", "2026-03-28"), ("America/Nuuk", "2026-10-24"),  # a gap that ends at midnight
    ("Australia/Lord_Howe", "2026-04-04"), ("Australia/Lord_Howe", "2026-10-03"),  # half an hour
    ("Antarctica/Troll", "2026-03-29"), ("Antarctica/Troll", "2026-10-25"),  # two hours
    ("Antarctica/Casey", "2020-10-03"), ("Antarctica/Casey", "2021-03-13"),  # three hours: a correction
    ("Pacific/Apia", "2011-12-29"),  # a whole day: a correction
    ("Africa/Cairo", "2026-04-23"), ("America/Havana", "2026-11-01"), ("America/New_York", "2026-03-08"),
    ("Europe/Berlin", "2026-10-25"), ("UTC", "2026-03-01"),
]  # fmt: skip


def test_random_schedules_around_changes_of_clocks_are_due_when_cron_runs_them():
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    for name, day in ODD_CLOCKS * 4:
        zone = ZoneInfo(name)
        chances = ((0, 59, 0.1), (0, 23, 0.2), (1, 31, 0.6), (1, 12, 0.9), (0, 7, 0.6))
        fields = [random_field(dice, *chance) for chance in chances]
        found = schedule(" ".join(text for text, _ in fields), zone)
        start = at(f"{day} 00:00") - timedelta(hours=8)
        end = start + timedelta(hours=44)
        (expected,) = slots_of([fields], zone, start, end)
        assert list(slots(found, start, end)) == expected, (str(found), name)
        for _ in range(20):
            now = start + timedelta(seconds=dice.randrange(44 * 3600))
            grace = timedelta(seconds=dice.choice([0, 60, 3600, 36_000]))
            open_ones = [slot for slot in expected if now - grace - MINUTE < slot <= now]
            if now - grace - MINUTE >= start:
                assert found.latest(now, grace) == max(open_ones, default=None), (str(found), name, now, grace)
            later = [slot for slot in expected if slot > now]
            assert not later or found.next(now) == later[0], (str(found), name, now)


def test_every_minute_of_a_year_in_three_zones_is_due_when_cron_runs_it():
    start, end = START, at("2027-01-01 00:00")
    for zone, texts in {
        BERLIN: ("30 2 * * *", "*/17 1-4 * * 0"),
        NEW_YORK: ("15 1,2 * * *", "*/20 * 1,8 3,11 *"),
        UTC: ("7 */5 1-9/4 * 2",),
    }.items():
        expected = slots_of([fields_of(CronSpec.parse(text)) for text in texts], zone, start, end)
        for text, slots_of_cron in zip(texts, expected, strict=True):
            assert list(slots(schedule(text, zone), start, end)) == slots_of_cron, (text, zone)


def test_thousands_of_random_schedules_are_due_when_croniter_says():
    """In UTC: around changes of clocks croniter has rules of its own. It must be told that a day field that begins with
    `*` does not restrict, and takes a range of one number, as 5-5, for all numbers."""
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(2000):
        chances = ((0, 59, 0.3), (0, 23, 0.3), (1, 28, 0.5), (1, 12, 0.6), (0, 6, 0.5))
        text = " ".join(random_field(dice, *chance)[0] for chance in chances)
        now = at("2024-01-01 00:00") + timedelta(seconds=dice.randrange(4 * 366 * 86_400))
        reference = croniter(re.sub(r"\b(\d+)-\1\b(/\d+)?", r"\1", text), now, implement_cron_bug=True)
        expected = [reference.get_next(datetime) for _ in range(3)]
        found, slot = schedule(text), now
        for each in expected:
            slot = found.next(slot)
            assert slot == each, (text, now)
        assert found.latest(slot) == slot
        assert found.latest(slot - timedelta(seconds=1), slot - now) in (None, *expected, found.latest(now, slot - now))


def test_the_reference_reads_single_minutes_as_this_file_does():
    fields = [("0", {0}), ("0", {0}), ("13", {13}), ("*", set(range(1, 13))), ("5", {5})]
    assert due(fields, datetime(2024, 5, 13)) and due(fields, datetime(2024, 5, 10))  # noqa: DTZ001, PT018  local times
