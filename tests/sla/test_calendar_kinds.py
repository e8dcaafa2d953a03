"""Business time where many kinds of hours meet: night shifts over a change of clocks, breaks, dates of their own, leap
days, public holidays of a region, years. `Calendar` against the minute counter, and SQL against `Calendar`.

`pytest --hypothesis-show-statistics` tells how often each kind occurs.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import count, pairwise
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from minute_counter import DAYS, in_minutes, open_minutes, public
from psycopg2.extras import Json

from desk.sla.calendar import Calendar
from desk.sla.periods import write_periods

# A zone, whose public holidays, and a day near which something happens: clocks change, a leap day, the turn of a year.
PLACES = [
    ("Europe/Berlin", {"country": "DE", "region": "BY"}, "2024-03-31"),
    ("Europe/Berlin", {"country": "DE", "region": "BE"}, "2024-10-27"),
    ("America/New_York", {"country": "US", "region": "TX"}, "2024-03-10"),
    ("America/New_York", {"country": "US"}, "2024-11-03"),
    ("Australia/Lord_Howe", {"country": "AU", "region": "NSW"}, "2024-04-07"),
    ("Australia/Lord_Howe", {"country": "AU", "region": "NSW"}, "2024-10-06"),
    ("America/Sao_Paulo", {"country": "BR"}, "2018-11-04"),
    ("Asia/Kolkata", {"country": "IN", "region": "MH"}, "2024-02-29"),
    ("Europe/Lisbon", {"country": "PT"}, "2023-12-31"),
    ("America/Anchorage", {"country": "US", "region": "AK"}, "2028-02-29"),
]
SHIFTS = (
    [["09:00", "17:00"]],
    [["08:00", "12:15"], ["12:45", "18:30"]],
    [["22:00", "06:00"]],
    [["00:30", "03:30"], ["22:30", "00:15"]],
    [["00:00", "24:00"]],
    [["01:15", "02:45"]],
)
RANGES = (*SHIFTS, [], [["02:00", "02:30"]], [["23:00", "03:00"]])
_versions = count(1)


@st.composite
def calendars(draw) -> tuple[dict, date]:
    """A calendar that is open most days, and the day near which something happens."""
    zone, region, day = draw(st.sampled_from(PLACES))
    near = date.fromisoformat(day)
    days = st.integers(-2, 2).map(lambda offset: (near + timedelta(days=offset)).isoformat())
    closed = draw(st.sets(st.sampled_from(DAYS), max_size=2))
    shift = draw(st.sampled_from(SHIFTS))
    definition = {
        "timezone": zone,
        "hours": {name: shift for name in DAYS if name not in closed},
        "holidays": draw(st.lists(days, max_size=1)),
        "date_hours": draw(st.dictionaries(days, st.sampled_from(RANGES), max_size=2)),
        "breaks": draw(st.dictionaries(days, st.sampled_from(RANGES[5:]), max_size=2)),
    }
    if draw(st.booleans()):
        definition["holidays_of"] = region
    return definition, near


def tell(definition: dict, start: datetime, end: datetime) -> None:
    """Which kinds of hours lie between two instants."""
    zone = ZoneInfo(definition["timezone"])
    offsets = [(start + timedelta(hours=hour)).astimezone(zone).utcoffset()
               for hour in range(int((end - start) / timedelta(hours=1)) + 1)]  # fmt: skip
    changes = {"forward" if b > a else "back" for a, b in pairwise(offsets) if a != b}
    night = any(in_minutes(b) <= in_minutes(a) for ranges in definition["hours"].values() for a, b in ranges)
    for change in changes:
        event(f"clocks go {change}{', night shift' if night else ''}")
    days = {start.astimezone(zone).date() + timedelta(days=n) for n in range((end - start).days + 2)}
    for kind in ("holidays", "date_hours", "breaks"):
        if any(day.isoformat() in definition[kind] for day in days):
            event(kind)
    if any(day in public(definition, day.year) for day in days):
        event("public holidays")
    if any((day.month, day.day) == (2, 29) for day in days):
        event("leap day")
    if len({day.year for day in days}) > 1:
        event(f"{len({day.year for day in days})} years")


@settings(max_examples=100, deadline=None, print_blob=True)
@given(calendars(), st.integers(-2500, -500), st.integers(1000, 4000), st.integers(1, 1500))
def test_every_minute_counts_as_it_should(calendar, offset: int, minutes: int, wanted: int):
    definition, near = calendar
    start = datetime(near.year, near.month, near.day, 12, tzinfo=UTC) + timedelta(minutes=offset)
    tell(definition, start, start + timedelta(minutes=minutes))
    counted = open_minutes(definition, start, minutes)
    found = Calendar.from_dict(definition)
    assert found.elapsed(start, start + timedelta(minutes=minutes)) == 60 * len(counted)
    if len(counted) >= wanted:
        assert found.add(start, 60 * wanted) == counted[wanted - 1] + timedelta(minutes=1)


@settings(max_examples=6, deadline=None, print_blob=True)
@given(calendars(), st.integers(-100, 100), st.integers(370, 1100))
def test_years_count_as_their_quarters_of_an_hour(calendar, hours: int, days: int):
    definition, near = calendar
    start = datetime(near.year, near.month, near.day, tzinfo=UTC) - timedelta(hours=hours)
    tell(definition, start, start + timedelta(days=days))
    counted = open_minutes(definition, start, days * 96, step=15)
    found = Calendar.from_dict(definition)
    assert found.elapsed(start, start + timedelta(days=days)) == 900 * len(counted)
    assert found.add(start, 900 * len(counted)) == counted[-1] + timedelta(minutes=15)


@settings(max_examples=40, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calendars(), st.data())
def test_sql_counts_every_kind_alike(owner, organization, calendar, data):
    definition, near = calendar
    begin = datetime(near.year, near.month, near.day, tzinfo=UTC) - timedelta(days=5)
    limit = begin + timedelta(days=500)
    found = Calendar.from_dict(definition)
    durations = st.builds(
        timedelta,
        days=st.sampled_from([*range(10), 60, 400]),
        seconds=st.integers(0, 86_399),
        microseconds=st.sampled_from([0, 0, 1, 999_999]),
    )
    with owner.cursor() as cursor:
        cursor.execute("insert into calendars (organization_id, name) values (%s, 'Any') on conflict do nothing",
                       (organization,))  # fmt: skip
        cursor.execute(
            """insert into calendar_versions
                      (organization_id, calendar_id, version, definition, covered_from, covered_to)
               select organization_id, id, %s, %s, %s, %s from calendars where organization_id = %s returning id""",
            (next(_versions), Json(definition), begin, limit, organization),
        )
        (version,) = cursor.fetchone()
        write_periods(cursor, organization, version, found, begin, limit)
        for _ in range(5):
            start, end = sorted(begin + data.draw(durations) for _ in range(2))
            seconds = data.draw(durations) / timedelta(seconds=1)
            tell(definition, start, end)
            cursor.execute(
                "select business_elapsed(%(v)s, %(a)s, %(b)s), business_add(%(v)s, %(a)s, %(s)s::numeric)",
                {"v": version, "a": start, "b": end, "s": seconds},
            )
            due = found.add(start, seconds)
            elapsed, instant = cursor.fetchone()
            assert (float(elapsed), instant) == (found.elapsed(start, end), due if due and due <= limit else None)
