"""Clocks follow the ticket, whoever writes it: start, pause, stop, reopen, priority, replies."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest
from builders import new_organization
from sla_desk import OFFICE, POLICY, SECONDS, Desk

from desk import database
from desk.sla import sweep

POLICY_FOR_BILLING = {
    "name": "Billing",
    "position": 5,
    "conditions": {"category": ["billing"], "priority": "low"},
    "targets_in": "seconds",
    "targets": {"resolution": {"low": 60}, "first_response": {"low": 60}},
}


def monday(hour: int, minute: int = 0, second: int = 0) -> datetime:
    """An instant of Monday 3 June 2024, local time of Berlin (UTC+2)."""
    return datetime(2024, 6, 3, hour, minute, second, tzinfo=UTC) - timedelta(hours=2)


def test_a_new_ticket_has_no_clock_until_it_is_accepted(desk):
    ticket = desk.ticket(monday(9))
    assert desk.clock(ticket) is None
    desk.move(ticket, monday(10), status="accepted")
    clock = desk.clock(ticket, at=monday(10, 30))
    assert (clock["state"], clock["elapsed_seconds"], clock["due_at"]) == ("running", 1800, monday(14))
    assert clock["time_to_breach_minutes"] == 210
    assert clock["percent_used"] == 12.5
    assert clock["reason"] == 'default policy "Standard" version 1'
    assert desk.clock(ticket, "first_response")["due_at"] == monday(10, 40)
    assert desk.clock(ticket, "next_response") is None


def test_a_clock_that_starts_sends_the_prediction_once(desk, messages):
    ticket = desk.ticket(monday(9), status="accepted")
    assert messages("predict_sla") == [[str(desk.id), str(ticket)]]
    desk.move(ticket, monday(10), status="in_progress")
    assert len(messages("predict_sla")) == 1
    desk.run(None, "update organization_settings set predict = false")
    desk.ticket(monday(9), status="accepted")
    assert len(messages("predict_sla")) == 1


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_a_ticket_that_is_imported_as_done_has_no_clock_and_tells_nobody(desk, messages, status: str):
    ticket = desk.ticket(monday(9) - timedelta(days=400), status=status)
    assert desk.clock(ticket) is None
    assert messages("deliver_notification") == messages("predict_sla") == []


def test_an_open_ticket_that_is_imported_late_is_settled_at_once_and_tells_the_worst(desk, messages):
    ticket = desk.run(
        monday(16),
        """insert into tickets (organization_id, subject, status, created_at, first_response_at)
           values (%s, 'Old', 'in_progress', %s, %s) returning id""",
        (desk.id, monday(9), monday(9, 5)),
    )[0][0]
    assert desk.crossed(ticket) == [(75, monday(12)), (90, monday(12, 36)), (100, monday(13))]
    assert desk.told(ticket) == [100]
    assert len(messages("deliver_notification")) == 1
    assert desk.clock(ticket, "first_response") is None, "it was answered"


def test_waiting_for_the_customer_banks_the_used_time(desk):
    ticket = desk.ticket(monday(9), status="accepted")
    desk.move(ticket, monday(10), status="waiting_customer")
    clock = desk.clock(ticket, at=monday(15))
    assert (clock["state"], clock["elapsed_seconds"]) == ("paused", 3600)
    assert clock["due_at"] is clock["time_to_breach_minutes"] is None
    desk.move(ticket, monday(15), status="in_progress")
    clock = desk.clock(ticket, at=monday(16))
    assert (clock["state"], clock["elapsed_seconds"]) == ("running", 7200)
    assert clock["due_at"] == monday(10) + timedelta(days=1), "two hours left on Monday, one on Tuesday"


def test_a_pause_over_the_weekend_counts_no_closed_hour_twice(desk):
    friday = monday(16) + timedelta(days=4)
    ticket = desk.ticket(friday, status="accepted")
    desk.move(ticket, friday + timedelta(hours=3), status="waiting_customer")
    desk.move(ticket, friday + timedelta(days=2), status="in_progress")
    clock = desk.clock(ticket, at=monday(10) + timedelta(days=7))
    assert (clock["elapsed_seconds"], clock["due_at"]) == (7200, monday(12) + timedelta(days=7))


def test_a_threshold_that_was_crossed_before_a_pause_is_told_without_a_sweep(desk, messages):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    desk.move(ticket, monday(12, 10), status="waiting_customer")
    assert desk.crossed(ticket) == [(75, monday(12))]
    assert desk.told(ticket) == [75]
    assert len(messages("deliver_notification")) == 1
    desk.move(ticket, monday(16), status="in_progress")
    assert desk.told(ticket) == [75]


def test_resolving_late_records_the_breach_in_the_same_transaction(desk):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    desk.move(ticket, monday(13, 0, 1), status="resolved")
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
    assert desk.told(ticket) == [100]
    clock = desk.clock(ticket, at=monday(16))
    assert (clock["state"], clock["breached"], clock["due_at"]) == ("breached", True, monday(13))


def test_resolving_at_the_deadline_is_met(desk):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    desk.move(ticket, monday(13), status="resolved")
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90]
    assert desk.clock(ticket)["state"] == "met"


def test_reopening_continues_the_resolution_and_repeats_no_notice(desk, owner):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    desk.move(ticket, monday(12, 30), status="resolved")
    desk.move(ticket, monday(12, 45), status="closed")
    assert desk.clock(ticket)["state"] == "met"
    desk.move(ticket, monday(15), status="in_progress")
    clock = desk.clock(ticket, at=monday(15))
    assert (clock["state"], clock["elapsed_seconds"], clock["due_at"]) == ("running", 12600, monday(15, 30))
    sweep(owner, monday(16))
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
    desk.move(ticket, monday(16), status="resolved")
    desk.move(ticket, monday(9) + timedelta(days=1), status="in_progress")
    sweep(owner, monday(12) + timedelta(days=1))
    assert desk.told(ticket) == [75, 100]
    assert desk.clock(ticket, at=monday(12))["breached"]


def test_a_higher_priority_keeps_the_start_and_records_at_once_what_lies_behind(desk):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9), priority="low")
    desk.move(ticket, monday(10, 50), priority="high")
    clock = desk.clock(ticket, at=monday(10, 50))
    assert (clock["elapsed_seconds"], clock["target_seconds"], clock["due_at"]) == (6600, 7200, monday(11))
    assert desk.crossed(ticket) == [(75, monday(10, 50)), (90, monday(10, 50))], "they were crossed by the change"
    assert desk.told(ticket) == [90]


def test_a_lower_priority_keeps_what_was_told(desk, owner):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9), priority="high")
    sweep(owner, monday(10, 31))
    assert desk.told(ticket) == [75]
    desk.move(ticket, monday(10, 40), priority="medium")
    assert desk.clock(ticket, at=monday(10, 40))["due_at"] == monday(13)
    sweep(owner, monday(12, 5))
    assert desk.told(ticket) == [75]
    sweep(owner, monday(12, 36))
    assert desk.told(ticket) == [75, 90]


def test_priority_that_changes_while_resolved_counts_from_the_reopening(desk):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    desk.move(ticket, monday(10), status="resolved")
    desk.move(ticket, monday(11), priority="urgent")
    assert desk.clock(ticket)["target_seconds"] == 14400
    desk.move(ticket, monday(12), status="in_progress")
    assert desk.clock(ticket, at=monday(12))["target_seconds"] == 3600


def test_a_public_reply_stops_the_response_clocks_and_a_note_does_not(desk):
    ticket = desk.ticket(monday(9), status="accepted")
    desk.say(ticket, monday(9, 10), "agent", is_public=False)
    desk.say(ticket, monday(9, 15), "customer")
    desk.say(ticket, monday(9, 16), "system")
    assert desk.clock(ticket, "first_response", at=monday(9, 20))["state"] == "running"
    desk.say(ticket, monday(9, 20), "agent")
    clock = desk.clock(ticket, "first_response", at=monday(12))
    assert (clock["state"], clock["elapsed_seconds"]) == ("met", 1200)
    assert desk.run(None, "select first_response_at from tickets") == [(monday(9, 20),)]
    assert desk.clock(ticket, at=monday(10))["state"] == "running"


def test_each_question_after_an_answer_is_a_cycle_of_its_own(desk):
    ticket = desk.ticket(monday(9), status="accepted")
    desk.say(ticket, monday(9, 20), "agent")
    desk.say(ticket, monday(10), "customer")
    desk.say(ticket, monday(10, 5), "customer")
    desk.say(ticket, monday(10, 50), "agent")
    desk.say(ticket, monday(11), "customer")
    first, second = (desk.clock(ticket, "next_response", cycle, at=monday(11, 10)) for cycle in (1, 2))
    assert (first["state"], first["elapsed_seconds"]) == ("breached", 3000)
    assert (second["state"], second["due_at"]) == ("running", monday(11, 40))
    assert desk.clock(ticket, "next_response", 3) is None


def test_a_reopening_after_the_customer_wrote_begins_a_reply_cycle(desk):
    ticket = desk.ticket(monday(9), status="accepted")
    desk.say(ticket, monday(9, 20), "agent")
    desk.move(ticket, monday(9, 30), status="resolved")
    desk.say(ticket, monday(10), "customer")
    assert desk.clock(ticket, "next_response") is None
    desk.move(ticket, monday(10, 5), status="in_progress")
    assert desk.clock(ticket, "next_response", at=monday(10, 5))["due_at"] == monday(10, 45)
    assert desk.clock(ticket, "first_response")["state"] == "met"


def test_the_first_policy_that_matches_wins_and_says_why(desk):
    desk.publish({**POLICY_FOR_BILLING, "name": "Second", "position": 7})
    desk.publish({**POLICY_FOR_BILLING, "name": "First", "position": 5})
    desk.publish(
        {**POLICY_FOR_BILLING, "name": "Tags", "position": 1, "conditions": {"tags": ["vip"]}, "targets": SECONDS}
    )
    ticket = desk.ticket(monday(3), status="accepted", category="billing", category_by="person", priority="low")
    clock = desk.clock(ticket, at=monday(3))
    assert clock["reason"] == 'policy "First" version 1: category is billing, priority is low'
    assert clock["due_at"] == monday(3, 1), "24×7: no calendar"
    tagged = desk.ticket(monday(3), status="accepted", tags=["new", "vip"])
    assert desk.clock(tagged)["reason"].startswith('policy "Tags" version 1: tags is ["new", "vip"]')


def test_a_blank_condition_matches_nothing(desk, owner):
    with owner.cursor() as cursor:
        cursor.execute("update sla_policies set retired_at = now() where name = 'Standard'")
    for number, blank in enumerate(({}, {"category": ""}, {"category": []}, {"category": None}, {"no_field": "x"})):
        desk.run(
            None,
            """with p as (insert into sla_policies (organization_id, name) values (%s, %s) returning id)
               insert into sla_policy_versions
                      (organization_id, policy_id, version, position, is_default, conditions, definition)
               select %s, id, 1, 1, false, %s, '{}' from p""",
            (desk.id, f"Blank {number}", desk.id, psycopg2.extras.Json(blank)),
        )
    ticket = desk.ticket(monday(9), status="accepted")
    assert desk.clock(ticket) is None


def test_a_category_that_another_policy_names_moves_the_clock_and_keeps_its_time(desk):
    desk.publish(POLICY_FOR_BILLING)
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9), priority="low")
    desk.move(ticket, monday(9, 0, 30), category="billing", category_by="person")
    clock = desk.clock(ticket, at=monday(9, 0, 30))
    assert (clock["elapsed_seconds"], clock["target_seconds"], clock["due_at"]) == (30, 60, monday(9, 1))
    assert clock["reason"].startswith('policy "Billing"')


def test_a_running_clock_keeps_the_versions_it_started_on(desk):
    ticket = desk.ticket(monday(9), status="accepted", first_response_at=monday(9))
    longer = {metric: dict.fromkeys(values, 36000) for metric, values in SECONDS.items()}
    desk.publish({**POLICY, "targets": longer, "calendar": {**OFFICE, "timezone": "Asia/Tokyo"}})
    desk.move(ticket, monday(10), status="in_progress", assignee="kim")
    assert desk.clock(ticket, at=monday(10))["due_at"] == monday(13)
    later = desk.ticket(monday(9), status="accepted")
    assert desk.clock(later)["reason"] == 'default policy "Standard" version 2'


def test_a_calendar_without_hours_gives_no_deadline_and_no_loop(desk, owner):
    desk.publish({**POLICY, "calendar": {"name": "Never", "timezone": "UTC", "hours": {}}})
    ticket = desk.ticket(monday(9), status="accepted")
    clock = desk.clock(ticket, at=monday(16))
    assert (clock["state"], clock["due_at"], clock["elapsed_seconds"]) == ("running", None, 0)
    assert sweep(owner, monday(16)).crossings == 0


def test_a_change_that_names_an_older_instant_takes_no_time_back(desk):
    ticket = desk.ticket(monday(10), status="accepted")
    desk.move(ticket, monday(9, 30), status="waiting_customer")
    assert desk.clock(ticket)["elapsed_seconds"] == 0
    desk.move(ticket, monday(9, 40), status="in_progress")
    assert desk.clock(ticket, at=monday(11))["elapsed_seconds"] == 3600


def test_published_versions_are_never_changed(desk, owner):
    for statement in (
        "update calendar_versions set definition = '{}'",
        "update calendar_periods set closes_at = closes_at + interval '1 hour'",
        "update sla_policy_versions set position = 3",
        "update sla_targets set target_seconds = 1",
    ):
        with pytest.raises(psycopg2.errors.RaiseException, match="never changed"), owner.cursor() as cursor:
            cursor.execute(statement)


def test_a_calendar_in_use_is_not_deleted_and_an_organization_is(desk, owner):
    ticket = desk.ticket(monday(9), status="accepted")
    desk.move(ticket, monday(16), status="waiting_customer")
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        desk.run(None, "delete from calendars")
    with owner.cursor() as cursor:
        cursor.execute("delete from organizations")
        for table in ("sla_clocks", "sla_spans", "sla_crossings", "notifications", "calendar_periods", "sla_targets"):
            cursor.execute(f"select count(*) from {table}")
            assert cursor.fetchone() == (0,), table


def test_clocks_and_view_show_an_organization_its_own_only(desk, owner, organization: UUID):
    ticket = desk.ticket(monday(9), status="accepted")
    other = new_organization(owner, "Other")
    for where, count in ((other, 0), (None, 0), (organization, 2)):
        with database.transaction(where) as connection, connection.cursor() as cursor:
            for table in ("ticket_sla", "sla_clocks"):
                cursor.execute(f"select count(*) from {table} where ticket_id = %s", (ticket,))
                assert cursor.fetchone() == (count,), (table, where)


def test_the_worked_example_of_the_documentation(owner, organization):
    text = (Path(__file__).resolve().parents[2] / "docs" / "sla.md").read_text("utf-8")
    desk = Desk(owner, organization)
    desk.publish(json.loads(text.split("```json\n")[1].split("```")[0]))

    def monday(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-06-15T{clock}:00+02:00")

    ticket = desk.ticket(monday("11:00"), status="accepted", priority="urgent", first_response_at=monday("11:00"))
    due, warned = desk.run(None, "select due_at, ahead_at from sla_clocks")[0]
    assert (due, warned[:2]) == (monday("15:30"), [monday("14:30"), monday("15:06")])
    desk.move(ticket, monday("14:00"), status="waiting_customer")
    assert desk.clock(ticket, at=monday("15:00"))["due_at"] is None
    desk.move(ticket, monday("16:00"), status="in_progress")
    due, warned = desk.run(None, "select due_at, ahead_at from sla_clocks")[0]
    assert (due, warned[0]) == (monday("17:30"), monday("16:30"))
