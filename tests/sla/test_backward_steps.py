"""A host's clock that steps back, between sweeps and between changes: nothing is lost, counted or told twice."""

from datetime import UTC, datetime, timedelta

import pytest
from sla_desk import OFFICE, POLICY, SECONDS

from desk.sla import moves, sweep
from desk.sla.explain import explain

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin
BILLING = {
    "name": "Billing",
    "position": 1,
    "conditions": {"category": ["billing"]},
    "calendar": None,
    "targets_in": "seconds",
    "targets": {"resolution": SECONDS["resolution"]},
}


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


@pytest.fixture
def ticket(desk):
    """A medium one that is answered: four hours to resolve it, from nine."""
    return desk.ticket(NINE, status="accepted", first_response_at=NINE)


def spans(desk) -> list[tuple]:
    return desk.run(None, "select started_at, ended_at, used_seconds from sla_spans order by started_at")


@pytest.mark.parametrize("back_to", [0, 30, 59])
def test_what_was_counted_before_the_step_is_not_counted_again(desk, ticket, back_to: int):
    desk.move(ticket, minutes(60), status="waiting_customer")
    desk.move(ticket, minutes(back_to), status="in_progress")
    clock = desk.clock(ticket, at=minutes(90))
    assert (clock["elapsed_seconds"], clock["due_at"]) == (90 * 60, minutes(240))
    desk.move(ticket, minutes(100), status="waiting_customer")
    assert spans(desk) == [(NINE, minutes(60), 3600), (minutes(60), minutes(100), 2400)]


def test_a_clock_that_was_stopped_goes_on_from_there_as_well(desk, ticket):
    desk.move(ticket, minutes(60), status="resolved")
    desk.move(ticket, minutes(20), status="in_progress")
    desk.move(ticket, minutes(30), status="resolved")
    assert desk.clock(ticket, at=minutes(90))["elapsed_seconds"] == 3600
    assert desk.run(None, "select stopped_at from sla_clocks") == [(minutes(60),)]
    with desk.connection, desk.connection.cursor() as cursor:
        cursor.execute("select set_config('app.at', %s, true)", (minutes(90).isoformat(),))
        (explanation,) = explain(desk.connection, ticket)
    assert sum(stretch.seconds for stretch in explanation.stretches if stretch.kind == "open") == 3600


def test_another_policy_by_a_clock_that_is_behind_gives_no_time_before_the_start(desk, ticket):
    desk.publish(BILLING)
    desk.move(ticket, minutes(-30), category="billing", category_by="person")
    clock = desk.clock(ticket, at=minutes(60))
    assert (clock["elapsed_seconds"], clock["due_at"]) == (3600, minutes(240))


def test_nothing_is_negative_whatever_changes_before_the_start(desk, ticket, owner):
    for number, change in enumerate(({"status": "waiting_customer"}, {"priority": "urgent"}, {"status": "assigned"},
                                     {"status": "resolved"}, {"status": "new"}, {"status": "accepted"})):  # fmt: skip
        desk.move(ticket, minutes(-60 + number), **change)
        clock = desk.clock(ticket, at=minutes(-50))
        assert clock["elapsed_seconds"] == 0
        assert clock["percent_used"] == 0
        assert not clock["breached"]
    assert spans(desk) == []
    assert sweep(owner, minutes(-1)).crossings == 0
    assert sweep(owner, minutes(61)).crossings == 3
    assert desk.told(ticket) == [100]


def test_a_shorter_target_while_it_stands_records_all_that_was_used_whatever_the_clock_says(desk, ticket):
    desk.move(ticket, minutes(59), status="waiting_customer")
    desk.move(ticket, minutes(10), priority="urgent")
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90]
    assert desk.told(ticket) == [90]


def test_sweeps_and_changes_by_turns_on_a_clock_that_jumps_tell_each_threshold_once(desk, ticket, owner, messages):
    acts = (
        (200, None), (150, {"status": "waiting_customer"}), (120, {"status": "in_progress"}), (230, None),
        (20, {"priority": "high"}), (10, {"priority": "medium"}), (185, None), (400, None), (250, None),
    )  # fmt: skip
    for at, act in acts:
        sweep(owner, minutes(at)) if act is None else desk.move(ticket, minutes(at), **act)
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
    told = desk.told(ticket)
    assert sorted(set(told)) == sorted(told)
    assert told[-1] == 100
    assert len(messages("deliver_notification")) == len(told)


def move_all(desk, at: datetime) -> None:
    with desk.connection, desk.connection.cursor() as cursor:
        cursor.execute("select set_config('app.organization_id', %s, true)", (str(desk.id),))
        key = moves.request(desk.connection, desk.id)
    desk.run(at, "select sla_move_batch(%s, 10, true)", (key,))


def test_a_move_to_other_hours_dates_what_lies_behind_when_it_was_used(desk, ticket, owner):
    hours = {**OFFICE, "hours": {day: [["08:00", "18:00"]] for day in OFFICE["hours"]}}
    desk.publish({**POLICY, "calendar": hours, "thresholds": [25, 50]})
    move_all(desk, minutes(100))
    assert desk.crossed(ticket) == [(25, minutes(60))]
    desk.publish({**POLICY, "calendar": OFFICE, "targets": {m: dict.fromkeys(by, 5400) for m, by in SECONDS.items()}})
    move_all(desk, minutes(110))
    assert desk.clock(ticket, at=minutes(120))["due_at"] == minutes(90)
    assert desk.run(None, "select (detail ->> 'due_at')::timestamptz from notifications where threshold = 100") == [
        (minutes(90),)
    ]


def test_a_ticket_that_was_moved_stays_where_it_is_at_the_next_priority(desk):
    ticket = desk.ticket(NINE, status="accepted")
    desk.say(ticket, minutes(10), "agent")  # its first response stops on version 1
    desk.publish({**POLICY, "thresholds": [50]})
    move_all(desk, minutes(20))
    desk.move(ticket, minutes(30), priority="high")
    desk.say(ticket, minutes(40), "customer")
    held = desk.run(None, "select metric, thresholds from sla_clocks where state = 'running' order by 1")
    assert held == [("next_response", [50]), ("resolution", [50])]


def test_what_a_policy_no_longer_promises_does_not_take_the_ticket_back(desk):
    ticket = desk.ticket(NINE, status="accepted")
    desk.say(ticket, minutes(10), "agent")
    desk.say(ticket, minutes(20), "customer")  # its clock runs on version 1, and is the last that got a target
    desk.publish({**POLICY, "thresholds": [50], "targets": {"resolution": SECONDS["resolution"]}})
    move_all(desk, minutes(30))
    desk.move(ticket, minutes(40), priority="high")
    held = desk.run(None, "select metric, thresholds from sla_clocks where state = 'running' order by 1")
    assert held == [("next_response", [75, 90]), ("resolution", [50])]
