"""Policy documents: what is published, and what is refused by the name of its field."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import Json
from sla_desk import OFFICE, POLICY, SECONDS

from desk.errors import InvalidInput
from desk.sla.policies import load, publish
from desk.sla.policy import Policy, read
from desk.sla.strict import checked_calendar


def refused(change: dict) -> str:
    with pytest.raises(InvalidInput) as refusal:
        read({**POLICY, **change})
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize(("change", "message"), [
    ({"thresholds": [75, 101]}, "thresholds: 101 is no percentage"),
    ({"thresholds": [0]}, "thresholds: 0 is no percentage"),
    ({"thresholds": {"solution": [50]}}, "thresholds: 'solution' is unknown"),
    ({"thresholds": 75}, "thresholds: thresholds must be a list"),
    ({"targets": {**SECONDS, "resolution": {**SECONDS["resolution"], "low": 0}}}, "targets.resolution.low: 0 is not"),
    ({"targets": {**SECONDS, "resolution": {**SECONDS["resolution"], "low": "soon"}}}, "low: 'soon' is no number"),
    ({"targets": {**SECONDS, "resolution": {**SECONDS["resolution"], "low": True}}}, "low: True is no number"),
    ({"targets": {**SECONDS, "resolution": {**SECONDS["resolution"], "low": 1.5}}}, "no whole number of seconds"),
    ({"targets": {**SECONDS, "resolution": {"urgent": 5}}}, "targets.resolution: high is missing"),
    ({"targets": {"solution": {}}}, "targets: 'solution' is unknown"),
    ({"targets": {}}, "targets: there is none"),
    ({"targets": None}, "targets: it must be an object"),
    ({"targets_in": "hours"}, "targets_in: 'hours' is neither seconds nor minutes"),
    ({"default": "yes"}, "default must be true or false"),
    ({"position": "first"}, "position: 'first' is no whole number"),
    ({"conditions": {"category": "billing"}}, "a default policy holds for every ticket"),
    ({"default": False, "conditions": {"colour": "red"}}, "conditions: 'colour' is unknown"),
    ({"default": False, "conditions": {"category": ""}}, "conditions: category is blank"),
    ({"default": False, "conditions": {"priority": "huge"}}, "priority 'huge' is none of"),
    ({"calendar": 7}, "calendar must be a name"),
    ({"calendar": {**OFFICE, "timezone": "Mars/Base"}}, "timezone: 'Mars/Base' is no IANA time zone"),
    ({"calendar": {**OFFICE, "holiday": []}}, "calendar 'Office': 'holiday' is unknown"),
    ({"calendar": {**OFFICE, "hours": {"moonday": []}}}, "hours: 'moonday' is no weekday"),
    ({"calendar": {**OFFICE, "hours": {"mon": [["09:00", "12:00"], ["11:00", "17:00"]]}}},
     "hours.mon: 11:00–17:00 overlaps 09:00–12:00"),
    ({"calendar": {**OFFICE, "hours": {"mon": [["22:00", "06:00"]], "tue": [["05:00", "09:00"]]}}},
     "hours.tue: 05:00–09:00 overlaps 00:00–06:00"),
    ({"calendar": {**OFFICE, "hours": {"mon": [["09:00", "09:00"]]}}}, "hours.mon: 09:00–09:00 is empty"),
    ({"calendar": {**OFFICE, "breaks": {"2026-12-24": [["12:00", "12:00"]]}}}, "breaks.2026-12-24: 12:00–12:00"),
    ({"calendar": {**OFFICE, "date_hours": {"9999-12-31": [["09:00", "12:00"]]}}}, "9999-12-31 is the last day"),
    ({"calendar": {**OFFICE, "date_hours": {"2026-12-24": [["09:00", "12:00"]], "20261224": []}}},
     "date_hours: '2026-12-24' and '20261224' are the same date. Say it once."),
    ({"calendar": {**OFFICE, "breaks": {"2026-W53-5": [], "2027-01-01": []}}},
     "breaks: '2026-W53-5' and '2027-01-01' are the same date"),
    ({"calendar": {**OFFICE, "date_hours": {"20261224": [["22:00", "06:00"]], "20261225": [["05:00", "09:00"]]}}},
     "date_hours.2026-12-25: 05:00–09:00 overlaps 00:00–06:00"),
    ({"name": " "}, "A policy needs a name"),
    ({"prioritys": 1}, "'prioritys' is unknown"),
])  # fmt: skip
def test_a_policy_that_cannot_be_meant_is_refused_in_one_line(change: dict, message: str):
    assert message in refused(change)


@pytest.mark.parametrize("document", [[], "policy", None, {"policies": {}}, {"policies": [3]}, {"calendars": [{}]}])
def test_what_is_no_policy_is_refused(document):
    with pytest.raises(InvalidInput):
        read(document)
    with pytest.raises(InvalidInput, match=r"The policy is no JSON: .* line 1"):
        load("{no json}")


def test_a_range_that_ends_before_it_begins_is_a_night_shift_and_is_said():
    week = {"timezone": "UTC", "hours": {"fri": [["22:00", "06:00"]]}}
    assert checked_calendar(week) == ["hours.fri: 22:00–06:00 is taken to run over midnight."]
    assert checked_calendar({"timezone": "UTC"}) == ["it has no hours: its clocks have no deadline."]


def test_minutes_become_seconds_and_the_breach_needs_no_threshold():
    policy = read({**POLICY, "targets_in": "minutes", "thresholds": [90, 50, 100]}).policies[0]
    assert policy.targets["resolution", "urgent"] == 3600 * 60
    assert policy.thresholds["resolution"] == (50, 90)


def test_a_refused_document_leaves_nothing_behind(owner, organization: UUID):
    owner.autocommit = False
    with pytest.raises(InvalidInput, match="calendar 'Nowhere' does not exist"):
        publish(owner, organization, {"policies": [POLICY, {**POLICY, "name": "Two", "calendar": "Nowhere"}]})
    owner.rollback()
    with pytest.raises(InvalidInput, match="Only one policy can be the default, but Standard and Two would be"):
        publish(owner, organization, {"policies": [POLICY, {**POLICY, "name": "Two"}]})
    owner.rollback()
    with pytest.raises(InvalidInput, match="policy 'Three' does not exist"):
        publish(owner, organization, {"name": "Three", "retired": True})
    owner.rollback()
    owner.autocommit = True
    with owner.cursor() as cursor:
        cursor.execute("select (select count(*) from calendars) + (select count(*) from sla_policies)")
        assert cursor.fetchone() == (0,)


def test_a_retired_policy_matches_no_more_and_comes_back_when_it_is_published(desk):
    at = datetime(2024, 6, 3, 7, tzinfo=UTC)
    desk.publish({"name": "Standard", "retired": True})
    assert desk.clock(desk.ticket(at, status="accepted")) is None
    desk.publish(POLICY)
    assert desk.clock(desk.ticket(at, status="accepted")) is not None


values = st.sampled_from(["billing", "bug", "vip", "low", "high", "de", ""])
tickets = st.fixed_dictionaries({
    "category": st.one_of(st.none(), values),
    "priority": st.sampled_from(["low", "medium", "high"]),
    "language": st.one_of(st.none(), values),
    "tags": st.lists(values, max_size=2),
})  # fmt: skip
rules = st.dictionaries(
    st.sampled_from(["category", "priority", "language", "tags"]), st.lists(values.filter(bool), min_size=1, max_size=2)
)


@settings(max_examples=80, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tickets, rules)
def test_python_and_sql_match_alike(owner, ticket: dict, conditions: dict):
    with owner.cursor() as cursor:
        cursor.execute(
            """select %(rules)s::jsonb <> '{}' and coalesce(bool_and(sla_condition_holds(%(ticket)s, key, value)), true)
                 from jsonb_each(%(rules)s)""",
            {"rules": Json(conditions), "ticket": Json(ticket)},
        )
        assert cursor.fetchone() == (Policy("p", conditions=conditions).holds_for(ticket),)
