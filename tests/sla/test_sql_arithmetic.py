"""Business time in SQL equals `Calendar`, on the vectors and on whatever hypothesis thinks of."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import Json
from sla_desk import OFFICE, POLICY
from sla_vectors import VECTORS, instant

from desk.sla.calendar import Calendar
from desk.sla.periods import extend, write_periods
from desk.sla.policies import publish

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_versions = count(1)


def cover(cursor, organization, definition: dict, start: datetime, end: datetime):
    """A calendar version as it is, not checked as publishing does, with its periods between two instants."""
    cursor.execute(
        """insert into calendars (organization_id, name) values (%s, 'Any')
           on conflict (organization_id, name) do update set name = 'Any' returning id""",
        (organization,),
    )
    (calendar_id,) = cursor.fetchone()
    cursor.execute(
        """insert into calendar_versions (organization_id, calendar_id, version, definition, covered_from, covered_to)
           values (%s, %s, %s, %s, %s, %s) returning id""",
        (organization, calendar_id, next(_versions), Json(definition), start, end),
    )
    (version,) = cursor.fetchone()
    write_periods(cursor, organization, version, Calendar.from_dict(definition), start, end)
    return version


@pytest.mark.data
def test_sql_agrees_with_every_vector(owner, organization):
    if not VECTORS:
        pytest.skip("shared/vectors is not here")
    seen = 0
    with owner.cursor() as cursor:
        for vector in VECTORS:
            if vector["kind"] not in ("add", "elapsed"):
                continue
            seen += 1
            start = instant(vector["start"])
            around = start.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
            version = cover(cursor, organization, vector["calendar"], around, around + timedelta(days=150))
            if vector["kind"] == "add":
                seconds = vector.get("seconds") or vector["minutes"] * 60
                cursor.execute("select business_add(%s, %s, %s)", (version, start, seconds))
                assert cursor.fetchone()[0] == instant(vector["expected_due"]), vector["name"]
            else:
                cursor.execute("select business_elapsed(%s, %s, %s)", (version, start, instant(vector["end"])))
                assert float(cursor.fetchone()[0]) == vector["expected_business_seconds"], vector["name"]
    assert seen == 32


times = st.builds(lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
weeks = st.dictionaries(st.sampled_from(DAYS), st.lists(st.tuples(times, times).map(list), max_size=2), max_size=7)
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "UTC"])
seconds_of_a_month = st.integers(0, 30 * 86_400 * 1_000_000).map(lambda microseconds: microseconds / 1_000_000)


@settings(max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weeks, zones, st.sampled_from(["2018-02-01", "2018-10-20", "2024-03-10", "2024-10-20"]),
       seconds_of_a_month, seconds_of_a_month, seconds_of_a_month)  # fmt: skip
def test_sql_agrees_with_the_calendar(owner, organization, hours, zone, month, first, second, seconds):
    definition = {"timezone": zone, "hours": hours}
    calendar = Calendar.from_dict(definition)
    begin = datetime.fromisoformat(month).replace(tzinfo=UTC)
    start, end = begin + timedelta(seconds=first), begin + timedelta(seconds=second)
    limit = begin + timedelta(days=60)
    with owner.cursor() as cursor:
        version = cover(cursor, organization, definition, begin, limit)
        cursor.execute(
            "select business_elapsed(%(v)s, %(a)s, %(b)s), business_add(%(v)s, %(a)s, %(s)s::numeric)",
            {"v": version, "a": start, "b": end, "s": seconds},
        )
        elapsed, due = cursor.fetchone()
    assert float(elapsed) == calendar.elapsed(start, end)
    expected = calendar.add(start, seconds)
    assert due == (expected if expected and expected <= limit else None)


def test_public_holidays_count_alike_in_sql(owner, organization):
    definition = {key: value for key, value in OFFICE.items() if key != "name"} | {
        "holidays_of": {"country": "US", "region": "TX"}
    }
    publish(owner, organization, {**POLICY, "calendar": {"name": "Texan", **definition}})
    calendar = Calendar.from_dict(definition)
    start, end = datetime(2025, 12, 19, tzinfo=UTC), datetime(2026, 7, 9, tzinfo=UTC)
    with owner.cursor() as cursor:
        cursor.execute(
            "select business_elapsed(id, %s, %s), business_add(id, %s, 360000) from calendar_versions",
            (start, end, start),
        )
        elapsed, due = cursor.fetchone()
    assert (
        float(elapsed)
        == calendar.elapsed(start, end)
        < Calendar.from_dict({key: value for key, value in definition.items() if key != "holidays_of"}).elapsed(
            start, end
        )
    )
    assert due == calendar.add(start, 360_000)


def test_no_calendar_counts_every_second(owner, organization):
    with owner.cursor() as cursor:
        cursor.execute(
            "select business_add(null, '2024-06-01 00:00Z', 90.5), business_elapsed(null, '2024-06-01Z', '2024-06-03Z')"
        )
        assert cursor.fetchone() == (datetime(2024, 6, 1, 0, 1, 30, 500000, tzinfo=UTC), 172800)


def test_extending_goes_on_where_it_stopped_and_gives_late_deadlines(desk, owner, organization):
    start = datetime(2024, 6, 3, 7, tzinfo=UTC)
    long = {"name": "Long", "position": 1, "conditions": {"category": "long"}, "calendar": "Office"}
    desk.publish({**long, "targets_in": "seconds", "targets": {"resolution": dict.fromkeys(
        ("urgent", "high", "medium", "low"), 5 * 365 * 86_400)}})  # fmt: skip
    now = datetime.now(UTC)
    ticket = desk.ticket(now, status="accepted", category="long", category_by="person", first_response_at=now)
    assert desk.clock(ticket)["due_at"] is None, "it lies beyond the periods"
    calendar = Calendar.from_dict({key: value for key, value in OFFICE.items() if key != "name"})
    due = calendar.add(now, 5 * 365 * 86_400)
    owner.autocommit = False
    for days in (900, 900, 365 * 25, 365 * 25):
        extend(owner, organization, now + timedelta(days=days))
        owner.commit()
    owner.autocommit = True
    assert desk.clock(ticket)["due_at"] == due
    with owner.cursor() as cursor:
        for at in (start, now, now + timedelta(days=700), now + timedelta(days=899.5), now + timedelta(days=5000)):
            cursor.execute("select business_elapsed(id, %s, %s) from calendar_versions", (start, at))
            assert float(cursor.fetchone()[0]) == calendar.elapsed(start, at)


def test_publishing_the_same_calendar_again_writes_nothing(owner, organization):
    for expected in ((1, 1), (1, 1)):
        published = publish(owner, organization, POLICY)
        assert (published.calendars["Office"], published.policies["Standard"]) == expected
    assert published.new == ()
    moved = publish(owner, organization, {**POLICY, "calendar": {**OFFICE, "timezone": "UTC"}})
    assert (moved.calendars["Office"], moved.policies["Standard"], moved.new) == (2, 1, ("calendar Office",))


def test_a_calendar_that_was_just_published_is_looked_up_by_its_index(desk, owner):
    """Without statistics the planner would sort all of a calendar's periods at every look-up, or scan the table."""
    with owner.cursor() as cursor:
        cursor.execute("select pg_stat_force_next_flush()")
        cursor.execute("select pg_stat_reset()")
    desk.run(
        None,
        """select business_add(v.id, '2024-06-03 07:00Z'::timestamptz + make_interval(hours => n), 1000000)
             from calendar_versions v, generate_series(1, 20) as n""",
    )
    with owner.cursor() as cursor:
        cursor.execute("select pg_stat_force_next_flush()")
        cursor.execute(
            """select (select seq_scan from pg_stat_user_tables where relname = 'calendar_periods'),
                      sum(idx_scan), sum(idx_tup_read)
                 from pg_stat_user_indexes where relname = 'calendar_periods'"""
        )
        sequential, scans, entries = cursor.fetchone()
    assert (sequential, scans) == (0, 40)
    assert entries <= 80, "it read more than the entries that it needs"
