"""`atum sla calendars` and `policies`: what is published, and that nothing in use can be taken away."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from builders import new_organization
from sla_desk import OFFICE, POLICY, SECONDS, Desk
from typer.testing import CliRunner

from app.commands.sla import app
from desk import database
from desk.errors import InUse, NotFound
from desk.sla import published

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)
SAMPLE = Path(__file__).resolve().parents[2] / "app" / "sample" / "policy.json"
OTHER = {**POLICY, "calendar": {**OFFICE, "name": "Other hours"}}


def atum(*arguments: str):
    """What the command printed; raises what it raised."""
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def refused(*arguments: str) -> str:
    with pytest.raises((InUse, NotFound)) as refusal:
        atum(*arguments)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_calendars_are_listed_with_what_counts_by_them(desk, owner):
    desk.ticket(NINE, status="accepted")
    done = desk.ticket(NINE, status="accepted")
    desk.move(done, NINE + timedelta(minutes=1), status="resolved")
    desk.publish({"calendars": [{**OFFICE, "name": "Alone"}], "policies": []})
    Desk(owner, new_organization(owner, "Another")).publish(POLICY)
    rows = atum("calendars", "--org", "Acme", "--json")
    assert [(row["name"], row["timezone"], row["version"], row["policies"], row["clocks"]) for row in rows] == [
        ("Alone", "Europe/Berlin", 1, 0, 0), ("Office", "Europe/Berlin", 1, 1, 2)
    ]  # fmt: skip
    assert rows[1]["definition"]["hours"] == OFFICE["hours"]
    desk.publish(OTHER)
    desk.publish({**OTHER, "calendar": {**OFFICE, "name": "Other hours", "timezone": "UTC"}})
    rows = {row["name"]: row for row in atum("calendars", "--org", "Acme", "--json")}
    assert (rows["Office"]["policies"], rows["Office"]["clocks"]) == (0, 2)
    assert (rows["Other hours"]["policies"], rows["Other hours"]["version"]) == (1, 2)
    assert "Other hours" in atum("calendars", "--org", "Acme")


def test_a_list_without_an_organization_is_misused(desk):
    result = CliRunner().invoke(app, ["calendars"])
    assert result.exit_code == 2
    assert "--org NAME" in result.output


def test_policies_are_listed_in_the_order_in_which_they_are_asked(desk):
    desk.publish({"name": "Second", "position": 20, "conditions": {"category": ["billing", "tax"], "tags": "vip"},
                  "calendar": None, "targets_in": "minutes", "thresholds": [],
                  "targets": {"resolution": {"urgent": 60, "high": 90, "medium": 120, "low": 1440}}})  # fmt: skip
    desk.publish({**POLICY, "name": "Gone", "position": 1, "default": False, "conditions": {"priority": "low"}})
    desk.publish({"name": "Gone", "retired": True})
    rows = atum("policies", "--org", "Acme", "--json")
    assert [(row["name"], row["position"], row["default"], row["version"], row["calendar"]) for row in rows] == [
        ("Second", 20, False, 1, None), ("Standard", 1, True, 1, "Office"), ("Gone", 1, False, 1, "Office"),
    ]  # fmt: skip
    assert rows[0]["conditions"] == {"category": ["billing", "tax"], "tags": ["vip"]}
    assert rows[0]["thresholds"] == {"resolution": []}
    assert rows[1]["targets_in_seconds"] == SECONDS
    assert rows[2]["retired_at"] is not None
    shown = atum("policies", "--org", "Acme")
    for text in ("billing or", "all others", "retired", "24×7", "1440", "75 90"):
        assert text in shown, text


def test_the_sample_policies_are_shown(desk):
    desk.publish({"name": "Standard", "retired": True})
    atum("publish", str(SAMPLE), "--org", "Acme")
    assert "Without power" in atum("policies", "--org", "Acme")


def test_a_calendar_in_use_is_not_deleted_and_the_line_says_by_what(desk):
    delete = ("calendars", "delete", "Office", "--org", "Acme")
    assert "policy 'Standard' counts by it" in refused(*delete)
    ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.publish(OTHER)
    assert "1 clock of open tickets count" in refused(*delete)
    desk.move(ticket, NINE + timedelta(hours=1), status="waiting_customer")
    assert "1 clock of open tickets count" in refused(*delete), "one that stands counts by it as well"
    desk.move(ticket, NINE + timedelta(hours=2), status="resolved")
    assert "it explains 1 clock of the past" in refused(*delete)
    assert "There is no calendar 'Nowhere'. There are: Office, Other hours." in refused(
        "calendars", "delete", "Nowhere", "--org", "Acme"
    )
    assert len(atum("calendars", "--org", "Acme", "--json")) == 2
    assert desk.run(None, "select count(*) from audit_log") == [(0,)]


def test_a_clock_that_has_left_a_calendar_is_still_explained_by_it(desk):
    ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.publish(OTHER)
    ((key,),) = desk.run(
        None, "with m as (insert into sla_moves (organization_id) values (%s) returning *), t as (insert into "
        "sla_move_tickets select organization_id, id, %s from m) select id from m", (desk.id, ticket))  # fmt: skip
    desk.run(NINE + timedelta(hours=1), "select sla_move_batch(%s, 10, true)", (key,))
    assert "it explains 1 clock of the past" in refused("calendars", "delete", "Office", "--org", "Acme")


def test_a_calendar_that_nothing_uses_is_deleted_and_audited(desk, owner):
    desk.publish(OTHER)  # version 1 of the policy names Office, and no clock ever took it
    other = Desk(owner, new_organization(owner, "Another"))
    other.publish(POLICY)
    assert "is deleted" in atum("calendars", "delete", "Office", "--org", "Acme")
    assert [row["name"] for row in atum("calendars", "--org", "Acme", "--json")] == ["Other hours"]
    assert [row["name"] for row in atum("calendars", "--org", "Another", "--json")] == ["Office"]
    ((who, action, detail),) = desk.run(None, "select who, action, detail from audit_log")
    assert (who, action, detail["name"]) == ("atum", "delete_calendar", "Office")
    assert detail["versions"][0]["hours"] == OFFICE["hours"]
    desk.publish(POLICY)
    assert desk.clock(desk.ticket(NINE, status="accepted"))["due_at"] == NINE + timedelta(hours=4)


def test_another_organizations_calendar_is_not_there(desk, owner):
    other = new_organization(owner, "Another")
    with pytest.raises(NotFound), database.transaction(other) as connection:
        published.delete_calendar(connection, other, "Office")


@pytest.mark.parametrize(
    ("deletion", "error"),
    [
        ("delete from calendars", psycopg2.errors.ForeignKeyViolation),
        ("delete from calendar_versions", psycopg2.errors.ForeignKeyViolation),
        ("delete from sla_policies", psycopg2.errors.ForeignKeyViolation),
        ("delete from sla_policy_versions", psycopg2.errors.ForeignKeyViolation),
        ("delete from calendar_periods", psycopg2.errors.RaiseException),
        ("delete from sla_targets", psycopg2.errors.RaiseException),
        ("delete from sla_steps", psycopg2.errors.RaiseException),
    ],
)
def test_nothing_that_a_clock_uses_can_be_deleted_in_sql(desk, owner, deletion: str, error: type):
    desk.publish({**POLICY, "escalation": [{"at": 100, "assign": "ana"}]})
    desk.ticket(NINE, status="accepted")
    with pytest.raises(error):
        desk.run(None, deletion)
    if "periods" in deletion:
        return  # the owner may have them worked out anew
    with pytest.raises(error), owner.cursor() as cursor:
        cursor.execute(deletion)
