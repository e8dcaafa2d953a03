"""`atum sla`, as a person runs it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sla_desk import POLICY
from typer.testing import CliRunner

from app.commands.sla import app
from desk.errors import InvalidInput, NotFound

SAMPLE = Path(__file__).resolve().parents[2] / "app" / "sample" / "policy.json"
NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)


def atum(*arguments: str):
    """What the command printed; raises what it raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def test_the_sample_policy_is_published_and_a_second_time_changes_nothing(desk):
    desk.publish({"name": "Standard", "retired": True})
    first = atum("publish", str(SAMPLE), "--org", "Acme", "--json")
    assert set(first["new"]) == {"calendar Office", "policy Standard", "policy Without power"}
    assert first["warnings"] == []
    again = atum("publish", str(SAMPLE), "--org", "Acme", "--json")
    assert (again["new"], again["policies"]) == ([], first["policies"])
    assert "Without power" in atum("publish", str(SAMPLE), "--org", "Acme")


def test_a_sweep_prints_the_summary_line(desk):
    desk.ticket(NINE, status="accepted")
    line = "SLA Worker Summary: processed=2, skipped_null_sla=0, skipped_paused=0\n"
    assert atum("sweep", "--at", "2024-06-03T08:00:00Z") == line
    found = atum("sweep", "--at", "2024-06-03T10:30:00Z", "--json")
    assert (found["crossings"], found["processed"]) == (1, 2)
    assert atum("sweep", "--at", "2024-06-03T10:30:00Z", "--json")["crossings"] == 0


def test_a_sweep_as_of_an_instant_to_come_says_that_what_it_tells_stays(desk):
    desk.ticket(datetime.now(UTC), status="accepted")
    result = CliRunner().invoke(app, ["sweep", "--at", "2999-01-01", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["processed"]) == (0, 2)
    assert "is still to come" in result.stderr
    assert "warning" not in CliRunner().invoke(app, ["sweep", "--at", "2024-01-01"]).stderr


def test_the_report_tells_agents_categories_and_weeks_apart_and_what_pauses_made_of_it(desk):
    def done(start: datetime, minutes: float, paused: float, **columns) -> None:
        ticket = desk.ticket(start, status="accepted", first_response_at=start, **columns)
        desk.move(ticket, start + timedelta(minutes=5), status="waiting_customer")
        desk.move(ticket, start + timedelta(minutes=5 + paused), status="in_progress")
        desk.move(ticket, start + timedelta(minutes=minutes + paused), status="resolved")

    billing = {"category": "billing", "category_by": "person"}
    done(NINE, 200, 0, assignee="ana", **billing)
    done(NINE, 200, 100, assignee="ana", **billing)  # 300 minutes of 240, were it not for the pause
    done(NINE + timedelta(days=7), 300, 0, assignee="ben")
    rows = atum("report", "--org", "Acme", "--by", "week,agent,category", "--json")
    assert [(r["week"], r["agent"], r["category"], r["clocks"], r["share_met"], r["share_met_with_pauses"])
            for r in rows if r["metric"] == "resolution"] == [
        ("2024-06-03", "ana", "billing", 2, 1.0, 0.5),
        ("2024-06-10", "ben", None, 1, 0.0, 0.0),
    ]  # fmt: skip
    (whole,) = [r for r in atum("report", "--org", "Acme", "--by", "", "--json") if r["metric"] == "resolution"]
    assert (whole["clocks"], whole["share_met"], whole["share_met_with_pauses"]) == (3, 0.6667, 0.3333)
    assert "priority" not in whole
    with pytest.raises(InvalidInput, match="'colour' is unknown"):
        atum("report", "--org", "Acme", "--by", "colour")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles", "UTC"])
@pytest.mark.parametrize("session", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_week_of_the_report_begins_on_the_monday_of_the_organization(desk, owner, database_name, zone, session):
    with owner.cursor() as cursor:
        cursor.execute(f"alter database {database_name} set timezone to '{session}'")
        cursor.execute("update organization_settings set timezone = %s", (zone,))
    here = ZoneInfo(zone)
    desk.ticket(datetime(2024, 6, 2, 23, 59, tzinfo=here).astimezone(UTC), status="accepted")
    desk.ticket(datetime(2024, 6, 3, tzinfo=here).astimezone(UTC), status="accepted")
    rows = atum("report", "--org", "Acme", "--by", "week", "--json")
    assert [row["week"] for row in rows if row["metric"] == "resolution"] == ["2024-05-27", "2024-06-03"]


def test_the_most_urgent_clocks_come_first_with_minutes_as_of_now(desk):
    now = datetime.now(UTC)
    desk.publish({"name": "Standard", "retired": True})
    desk.publish({"name": "Always", "default": True, "calendar": None, "targets_in": "minutes",
                  "targets": {"resolution": {"urgent": 60, "high": 120, "medium": 240, "low": 480}}})  # fmt: skip
    desk.ticket(now - timedelta(minutes=30), status="accepted", priority="high", subject="second", assignee="ana")
    desk.ticket(now - timedelta(minutes=70), status="accepted", priority="urgent", subject="late")
    desk.ticket(now, status="accepted", priority="low", subject="last")
    desk.ticket(now, status="waiting_customer", priority="urgent", subject="stands")
    rows = atum("urgent", "--org", "Acme", "--json")
    assert [row["subject"] for row in rows] == ["late", "second", "last"]
    assert [row["state"] for row in rows] == ["breached", "running", "running"]
    assert [row["time_to_breach_minutes"] for row in rows] == [-11, 89, 479]
    assert rows[1]["business_minutes_left"] == pytest.approx(89.9, abs=0.5)
    assert [row["subject"] for row in atum("urgent", "--org", "Acme", "--top", "1", "--json")] == ["late"]
    assert "second" in atum("urgent", "--org", "Acme")
    with pytest.raises(InvalidInput, match="limit"):
        atum("urgent", "--org", "Acme", "--top", "0")


def test_two_policies_are_put_side_by_side(tmp_path):
    events = tmp_path / "events.csv"
    events.write_text(
        "ticket,at,status,priority\n"
        "1,2024-06-03T08:00:00Z,accepted,high\n1,2024-06-03T09:30:00Z,resolved,high\n"
        "2,2024-06-03T08:00:00Z,accepted,high\n2,2024-06-03T08:30:00Z,resolved,high\n"
    )
    files = []
    for name, minutes in (("easy", 120), ("hard", 60)):
        targets = {"resolution": dict.fromkeys(("urgent", "high", "medium", "low"), minutes)}
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps({"name": name, "default": True, "calendar": None, "targets_in": "minutes",
                                         "targets": targets}))  # fmt: skip
    found = atum("replay", str(events), "--policy", str(files[0]), "--against", str(files[1]), "--json")
    assert found["against"][0] == {
        "metric": "resolution", "priority": "high", "clocks": 2, "breached": 0, "share_met": 1.0,
        "clocks_against": 2, "breached_against": 1, "share_met_against": 0.5, "difference": -0.5,
    }  # fmt: skip
    shown = atum("replay", str(events), "--policy", str(files[0]), "--against", str(files[1]))
    assert "easy.json and, against it, hard.json" in shown
    assert "against" not in atum("replay", str(events), "--policy", str(files[0]), "--json")


def test_the_report_gives_the_share_met_per_metric_and_priority(desk):
    for minutes in (30, 60, 300):
        ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
        desk.move(ticket, NINE + timedelta(minutes=minutes), status="resolved")
    desk.ticket(datetime.now(UTC), status="waiting_customer", priority="low")
    rows = {(row["metric"], row["priority"]): row for row in atum("report", "--org", "Acme", "--json")}
    assert rows["resolution", "medium"] == {
        "organization": "Acme", "metric": "resolution", "priority": "medium", "clocks": 3, "met": 2, "breached": 1,
        "open": 0, "share_met": 0.6667, "share_met_with_pauses": 0.6667,
    }  # fmt: skip
    assert rows["resolution", "low"]["share_met"] is None
    assert rows["first_response", "low"]["open"] == 1
    assert "resolution" in atum("report", "--org", "Acme")
    assert atum("report", "--json") == atum("report", "--org", "Acme", "--json")
    assert {row["organization"] for row in atum("report", "--json")} == {"Acme"}
    assert atum("report", "--org", "Acme", "--since", "2024-06-04", "--json")[0]["clocks"] == 1


def test_explain_lists_every_stretch_with_its_reason_and_they_add_up(desk):
    ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    for status, hours in (("waiting_customer", 2), ("in_progress", 5), ("resolved", 27)):
        desk.move(ticket, NINE + timedelta(hours=hours), status=status)
    # The events of the statuses carry the real time, which app.at does not move.
    desk.run(
        None,
        """update ticket_events e set at = %s + make_interval(hours => s.hours)
             from (values ('accepted', 0), ('waiting_customer', 2), ('in_progress', 5), ('resolved', 27))
                  as s (status, hours)
            where e.new_value = s.status and e.kind = 'status'""",
        (NINE,),
    )
    (clock,) = atum("explain", str(ticket), "--json")
    kinds = [(stretch["kind"], stretch["seconds"] / 3600, stretch["reason"]) for stretch in clock["stretches"]]
    assert kinds == [
        ("open", 2, "running, Office version 1"),
        ("paused", 3, "status waiting_customer"),
        ("open", 3, "running, Office version 1"),
        ("closed", 16, "outside the hours of Office version 1"),
        ("open", 3, "running, Office version 1"),
    ]
    counted = sum(stretch["seconds"] for stretch in clock["stretches"] if stretch["kind"] == "open")
    assert counted == clock["clock"]["elapsed_seconds"] == 8 * 3600
    assert [crossing["threshold"] for crossing in clock["crossings"]] == [75, 90, 100]
    text = atum("explain", str(ticket))
    assert "resolution 1: breached" in text
    assert 'default policy "Standard" version 1' in text


def test_explain_of_a_ticket_without_a_clock_says_why_there_may_be_none(desk):
    assert "The ticket has no clock" in atum("explain", str(desk.ticket(NINE)))


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (("explain", "nine"), InvalidInput, "'nine' is no ticket id"),
    (("explain", str(uuid4())), NotFound, "There is no ticket"),
    (("report", "--org", "Nobody"), NotFound, "There is no organization 'Nobody'"),
    (("report", "--org", "Acme", "--since", "then"), InvalidInput, "--since: 'then' is no ISO instant"),
    (("sweep", "--at", "soon"), InvalidInput, "--at: 'soon' is no ISO instant"),
    (("publish", "/nowhere.json", "--org", "Acme"), InvalidInput, "/nowhere.json cannot be read"),
    (("publish", str(SAMPLE), "--org", "Nobody"), NotFound, "There is no organization 'Nobody'"),
    (("replay", "/nowhere.csv", "--policy", str(SAMPLE)), InvalidInput, "/nowhere.csv cannot be read"),
])  # fmt: skip
def test_bad_input_is_one_clear_line(desk, arguments: tuple, error: type, message: str):
    with pytest.raises(error) as raised:
        atum(*arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_policy_that_is_no_text_or_no_json_is_refused(desk, tmp_path):
    for content, message in ((b"\xff\xfe", "is not UTF-8"), (b"{", "is no JSON"), (b"", "is no JSON")):
        (tmp_path / "policy.json").write_bytes(content)
        with pytest.raises(InvalidInput, match=message):
            atum("publish", str(tmp_path / "policy.json"), "--org", "Acme")
    (tmp_path / "policy.json").write_text(json.dumps({**POLICY, "thresholds": [120]}))
    with pytest.raises(InvalidInput, match="120 is no percentage"):
        atum("publish", str(tmp_path / "policy.json"), "--org", "Acme")
