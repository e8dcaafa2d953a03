"""`Calendar` against a counter that looks at every single minute of the wall clock."""

from datetime import UTC, date, datetime, timedelta
from time import perf_counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from minute_counter import DAYS, open_minutes

from desk.errors import InvalidInput
from desk.sla.calendar import Calendar
from desk.sla.public_holidays import public_holidays

OFFICE = {"timezone": "Europe/Berlin", "hours": {day: [["09:00", "17:00"]] for day in DAYS[:5]}}

# A zone and a moment near which its clocks change: by an hour both ways, by half an hour, at midnight, at a minute past
# midnight, by a whole day.
CHANGES = [
    ("Europe/Berlin", "2024-03-31"),
    ("Europe/Berlin", "2024-10-27"),
    ("America/New_York", "2025-03-09"),
    ("America/New_York", "2025-11-02"),
    ("Australia/Lord_Howe", "2024-04-07"),
    ("Australia/Lord_Howe", "2024-10-06"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/St_Johns", "2010-11-07"),
    ("America/St_Johns", "2011-03-13"),
    ("Asia/Beirut", "2024-03-31"),
    ("Africa/Casablanca", "2024-03-10"),
    ("Pacific/Apia", "2011-12-30"),
    ("Asia/Kathmandu", "2024-02-29"),
    ("UTC", "2024-12-31"),
]


@st.composite
def range_lists(draw) -> list:
    def clock(last: int) -> str:
        minute = draw(st.one_of(st.integers(0, last), st.sampled_from([0, 60, 90, 120, 150, 180, 1380])))
        return f"{minute // 60:02}:{minute % 60:02}"

    return [[clock(1439), clock(1440)] for _ in range(draw(st.integers(0, 2)))]


@st.composite
def situations(draw) -> tuple[dict, datetime, int]:
    """A calendar, a whole minute within two days of a change of its clocks, and a number of minutes from there."""
    zone, change = draw(st.sampled_from(CHANGES))
    near = date.fromisoformat(change)
    days = st.integers(-3, 3).map(lambda offset: (near + timedelta(days=offset)).isoformat())
    calendar = {
        "timezone": zone,
        "hours": draw(st.dictionaries(st.sampled_from(DAYS), range_lists())),
        "holidays": draw(st.lists(days, max_size=2)),
        "date_hours": draw(st.dictionaries(days, range_lists(), max_size=2)),
        "breaks": draw(st.dictionaries(days, range_lists(), max_size=2)),
    }
    start = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(minutes=draw(st.integers(-2880, 2880)))
    return calendar, start, draw(st.integers(0, 4000))


@settings(max_examples=150, deadline=None, print_blob=True)
@given(situations())
@example(({"timezone": "America/St_Johns", "hours": {"sat": [["23:00", "00:30"]]}},
          datetime(2010, 11, 7, 1, 0, tzinfo=UTC), 600))  # fmt: skip
def test_elapsed_counts_exactly_the_open_minutes(situation):
    definition, start, minutes = situation
    calendar = Calendar.from_dict(definition)
    counted = open_minutes(definition, start, minutes)
    assert calendar.elapsed(start, start + timedelta(minutes=minutes)) == len(counted) * 60


@settings(max_examples=150, deadline=None, print_blob=True)
@given(situations(), st.integers(1, 1500))
def test_add_finds_the_end_of_the_nth_open_minute(situation, wanted: int):
    definition, start, _ = situation
    counted = open_minutes(definition, start, 6000)
    due = Calendar.from_dict(definition).add(start, wanted * 60)
    if len(counted) >= wanted:
        assert due == counted[wanted - 1] + timedelta(minutes=1)
    else:
        assert due is None or due > start + timedelta(minutes=6000)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(situations(), st.floats(0.001, 3e6), st.integers(0, 59_999_999))
def test_add_and_elapsed_undo_each_other_to_the_microsecond(situation, seconds: float, microseconds: int):
    definition, start, _ = situation
    start += timedelta(microseconds=microseconds)
    calendar = Calendar.from_dict(definition)
    due = calendar.add(start, seconds)
    if due is not None:
        assert calendar.elapsed(start, due) == round(seconds, 6)
        assert calendar.elapsed(start, due - timedelta(microseconds=1)) < round(seconds, 6), "not the earliest instant"


@settings(max_examples=100, deadline=None, print_blob=True)
@given(situations())
def test_periods_are_the_open_minutes_in_order_and_apart(situation):
    definition, start, minutes = situation
    end = start + timedelta(minutes=minutes)
    periods = list(Calendar.from_dict(definition).periods(start, end))
    assert sum(((closes - opens).total_seconds() for opens, closes in periods), 0.0) == 60 * len(
        open_minutes(definition, start, minutes)
    )
    edges = [edge for period in periods for edge in period]
    assert edges == sorted(set(edges)), "they touch or overlap"
    assert not edges or (start <= edges[0] and edges[-1] <= end)


@pytest.mark.parametrize("never", [
    {"timezone": "UTC", "hours": {}},
    {"timezone": "UTC", "hours": {"mon": []}},
    {"timezone": "UTC", "hours": {}, "date_hours": {"2024-06-03": [["09:00", "10:00"]]}},
])  # fmt: skip
def test_a_calendar_that_never_opens_again_gives_no_deadline_and_comes_back(never):
    began = perf_counter()
    assert Calendar.from_dict(never).add(datetime(2024, 7, 1, tzinfo=UTC), 60) is None
    assert perf_counter() - began < 1


def test_a_date_of_its_own_opens_a_calendar_without_a_week():
    calendar = Calendar.from_dict({"timezone": "UTC", "hours": {}, "date_hours": {"2024-12-31": [["22:00", "02:00"]]}})
    assert calendar.add(datetime(2024, 7, 1, tzinfo=UTC), 3 * 3600) == datetime(2025, 1, 1, 1, tzinfo=UTC)


def test_twenty_years_of_business_time_are_exact_and_fast():
    calendar = Calendar.from_dict(OFFICE)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    began = perf_counter()
    due = calendar.add(start, 20 * 260 * 8 * 3600)
    assert due is not None
    assert calendar.elapsed(start, due) == 20 * 260 * 8 * 3600
    assert perf_counter() - began < 2
    assert calendar.add(start, 1e15) is None


def test_shared_moments_of_overlapping_ranges_count_once():
    calendar = Calendar.from_dict({"timezone": "UTC", "hours": {"mon": [["09:00", "12:00"], ["10:00", "14:00"]]}})
    assert calendar.elapsed(datetime(2024, 6, 3, tzinfo=UTC), datetime(2024, 6, 4, tzinfo=UTC)) == 5 * 3600


@pytest.mark.parametrize(("field", "change"), [
    ("timezone", {"timezone": "Europe/Atlantis"}),
    ("timezone", {"timezone": "../etc/passwd"}),
    ("timezone", {"timezone": 7}),
    ("timezone", {"timezone": "Europe"}),
    ("hours", {"hours": {"funday": [["09:00", "17:00"]]}}),
    ("hours", {"hours": [["09:00", "17:00"]]}),
    ("hours.mon", {"hours": {"mon": [["09:00", "25:00"]]}}),
    ("hours.mon", {"hours": {"mon": [["9am", "17:00"]]}}),
    ("hours.mon", {"hours": {"mon": [["24:00", "17:00"]]}}),
    ("hours.mon", {"hours": {"mon": ["09:00", "17:00"]}}),
    ("hours.mon", {"hours": {"mon": 5}}),
    ("holidays", {"holidays": ["2024-02-30"]}),
    ("holidays", {"holidays": "2024-02-28"}),
    ("date_hours", {"date_hours": {"tomorrow": []}}),
    ("date_hours.2024-02-29", {"date_hours": {"2024-02-29": [["09:00"]]}}),
    ("breaks", {"breaks": ["2024-02-29"]}),
    ("date_hours", {"date_hours": {"9999-12-31": [["22:00", "02:00"]]}}),
])  # fmt: skip
def test_a_calendar_that_cannot_be_used_is_refused_by_the_name_of_its_field(field: str, change: dict):
    with pytest.raises(InvalidInput, match=rf"^{field}: |^{field} ") as refusal:
        Calendar.from_dict({**OFFICE, **change})
    assert "\n" not in str(refusal.value)


def test_a_calendar_without_zone_is_refused():
    with pytest.raises(InvalidInput, match="timezone is missing"):
        Calendar.from_dict({"hours": {}})


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00", "9999-06-01T00:00:00Z"])
def test_an_instant_at_the_end_of_what_dates_can_say_is_refused(instant: str):
    calendar, now = Calendar.from_dict(OFFICE), datetime(2024, 6, 3, 9, tzinfo=UTC)
    with pytest.raises(InvalidInput, match="further away than a calendar counts"):
        calendar.add(datetime.fromisoformat(instant), 60)
    with pytest.raises(InvalidInput, match="further away than a calendar counts"):
        calendar.elapsed(*sorted((datetime.fromisoformat(instant), now)))


def test_an_instant_without_zone_is_refused():
    calendar = Calendar.from_dict(OFFICE)
    with pytest.raises(InvalidInput, match=r"start: .* no time zone"):
        calendar.add(datetime(2024, 6, 3, 9), 60)  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="seconds"):
        calendar.add(datetime(2024, 6, 3, 9, tzinfo=UTC), float("nan"))


def test_public_holidays_of_a_region_are_closed():
    hours = OFFICE["hours"]
    of = {"timezone": "Europe/Berlin", "hours": hours, "date_hours": {"2026-12-25": [["10:00", "11:00"]]}}
    bavaria = Calendar.from_dict(of | {"holidays_of": {"country": "DE", "region": "BY"}})
    germany = Calendar.from_dict(of | {"holidays_of": {"country": "DE"}})
    plain = Calendar.from_dict(of)
    epiphany, new_year, christmas = date(2026, 1, 6), date(2027, 1, 1), date(2026, 12, 25)
    assert [calendar.open_on(epiphany) for calendar in (bavaria, germany)] == [(), ((32_400, 61_200),)]
    assert bavaria.open_on(new_year) == germany.open_on(new_year) == ()
    assert bavaria.open_on(christmas) == ((36_000, 39_600),), "what is said of a date holds"
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    hours_lost = (plain.elapsed(start, end) - bavaria.elapsed(start, end)) / 3600
    workdays = [day for day in public_holidays("DE", "BY", 2026) if day.weekday() < 5 and day != christmas]
    assert hours_lost == 8 * len(workdays) > 60


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"country": "XX"}, "holidays_of: country 'XX' is not known"),
        ({"country": "DE", "region": "ZZ"}, "holidays_of: region 'ZZ' of DE is not known; there are BB, BE, BW, BY"),
        ({"region": "BY"}, "holidays_of is missing|holidays_of.*country"),
        ({"country": "DE", "state": "BY"}, "holidays_of: 'state' is unknown"),
        ("DE", "holidays_of"),
    ],
)
def test_holidays_of_nowhere_are_refused(given, reason):
    with pytest.raises(InvalidInput, match=reason) as refused:
        Calendar.from_dict({"timezone": "UTC", "hours": {}, "holidays_of": given})
    assert "\n" not in str(refused.value)
