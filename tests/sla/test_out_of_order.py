"""Events before their ticket, and events out of order: refused in one line, or counted as they happened."""

import json
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import uuid4

import psycopg2
import pytest
from sla_desk import OFFICE
from typer.testing import CliRunner

from app.commands.sla import app
from desk.sla import Calendar, replay, sweep

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin
CALENDAR = Calendar.from_dict({key: value for key, value in OFFICE.items() if key != "name"})
POLICY = {"name": "Any", "default": True, "calendar": OFFICE, "targets_in": "seconds", "targets": {
    metric: dict.fromkeys(("urgent", "high", "medium", "low"), 7200)
    for metric in ("first_response", "next_response", "resolution")}}  # fmt: skip

INCIDENT = """number,incident_state,priority,opened_at,sys_updated_at
INC1,New,3 - Moderate,2024-06-03T07:00:00,2024-06-03T07:10:00
INC1,Awaiting User Info,3 - Moderate,2024-06-03T07:00:00,2024-06-03T09:00:00
INC1,Active,3 - Moderate,2024-06-03T07:00:00,2024-06-04T09:00:00
INC1,Resolved,3 - Moderate,2024-06-03T07:00:00,2024-06-04T10:30:00
"""
PLAIN = """ticket,at,status,priority,reply
7,2024-06-03T07:00:00Z,accepted,urgent,
7,2024-06-03T07:09:00Z,,,agent
7,2024-06-03T07:20:00Z,in_progress,,customer
7,2024-06-03T07:30:00Z,,low,
7,2024-06-03T07:50:00Z,resolved,,
"""


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


def say_late(desk, ticket, dated: datetime, written: datetime, who: str) -> None:
    desk.run(
        written,
        """insert into ticket_messages (organization_id, ticket_id, author_kind, body, created_at)
           values (%s, %s, %s, 'words', %s)""",
        (desk.id, ticket, who, dated),
    )


def test_the_replay_puts_events_in_order_of_time():
    events = [
        {"at": minutes(at), "status": status}
        for at, status in ((0, "accepted"), (30, "waiting_customer"), (90, "accepted"), (100, "resolved"))
    ]
    told = {
        replay(CALENDAR, order, 7200, ("waiting_customer",), ("resolved",), minutes(300))
        for order in permutations(events)
    }
    (found,) = told
    assert (found.elapsed_seconds, found.state) == (2400, "met")


@pytest.mark.parametrize("text", [PLAIN, INCIDENT])
def test_the_command_judges_rows_in_any_order_alike(tmp_path, text: str):
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    head, *rows = text.strip().splitlines()
    found = []
    for name, order in (("as", rows), ("reversed", rows[::-1]), ("other", rows[1::2] + rows[::2])):
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *order]))
        command = [
            "replay",
            str(tmp_path / f"{name}.csv"),
            "--policy",
            str(tmp_path / "policy.json"),
            "--json",
            "--detail",
        ]
        result = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
        result["clocks"].sort(key=lambda clock: (clock["ticket"], clock["metric"], clock["cycle"]))
        found.append(result)
    assert found[0]["clocks"]
    assert found[0] == found[1] == found[2]


def test_an_event_before_its_incident_is_told_and_costs_nothing(tmp_path):
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "e.csv").write_text(INCIDENT.replace("2024-06-03T07:10:00", "2024-06-02T05:00:00"))
    result = CliRunner().invoke(app, ["replay", str(tmp_path / "e.csv"), "--policy", str(tmp_path / "policy.json"),
                                      "--json", "--detail"], catch_exceptions=False)  # fmt: skip
    found = json.loads(result.stdout)
    assert "1 event lies before the opening of the incident (row 2)" in found["warnings"][0]
    assert found["clocks"][0]["started_at"] == "2024-06-03T07:00:00+00:00"


def test_a_message_before_its_ticket_is_refused(desk):
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        desk.say(uuid4(), NINE, "agent")


def test_a_reply_that_is_dated_before_the_clock_costs_it_nothing(desk, owner):
    ticket = desk.ticket(NINE, status="accepted")
    say_late(desk, ticket, minutes(-30), minutes(20), "agent")
    clock = desk.clock(ticket, "first_response", at=minutes(60))
    assert (clock["state"], clock["elapsed_seconds"]) == ("met", 0)
    assert sweep(owner, minutes(60)).crossings == 0


def test_a_question_that_is_imported_after_its_answer_asks_for_nothing(desk):
    ticket = desk.ticket(NINE, status="accepted")
    desk.say(ticket, minutes(10), "agent")
    desk.say(ticket, minutes(30), "agent")
    say_late(desk, ticket, minutes(20), minutes(40), "customer")
    assert desk.clock(ticket, "next_response") is None
    say_late(desk, ticket, minutes(35), minutes(45), "customer")
    assert desk.clock(ticket, "next_response", at=minutes(45))["elapsed_seconds"] == 600, "this one waits since then"


def test_an_answer_that_is_imported_late_stops_what_was_asked_before_it_alone(desk):
    ticket = desk.ticket(NINE, status="accepted")
    desk.say(ticket, minutes(10), "agent")
    desk.say(ticket, minutes(30), "customer")
    say_late(desk, ticket, minutes(20), minutes(40), "agent")
    assert desk.clock(ticket, "next_response", at=minutes(45))["state"] == "running"
    say_late(desk, ticket, minutes(35), minutes(50), "agent")
    clock = desk.clock(ticket, "next_response", at=minutes(60))
    assert (clock["state"], clock["elapsed_seconds"]) == ("met", 300)


def test_an_answer_by_a_clock_that_stepped_back_is_an_answer(desk):
    ticket = desk.ticket(NINE, status="accepted")
    desk.say(ticket, minutes(10), "agent")
    desk.say(ticket, minutes(60), "customer")
    desk.say(ticket, minutes(20), "agent")  # now, by the host's clock
    assert desk.clock(ticket, "next_response", at=minutes(90))["state"] == "met"
    desk.move(ticket, minutes(25), status="resolved")
    desk.move(ticket, minutes(100), status="in_progress")
    assert desk.clock(ticket, "next_response", cycle=2) is None, "the agent spoke last"
    kept = desk.run(None, "select author_kind, created_at from ticket_messages order by created_at, seq")
    assert kept == [("agent", minutes(10)), ("customer", minutes(60)), ("agent", minutes(60))]
