"""Predictions made anew as time passes, where they are shown, and what they add up to."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np
import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from psycopg2.extras import execute_values
from sla_desk import OFFICE, POLICY, Desk
from typer.testing import CliRunner

from actors.tickets import predict_open_slas
from app.commands.sla import app
from app.web.application import build
from desk import database
from desk.errors import InvalidInput
from desk.sla.policies import publish
from desk.sql import statement
from desk.tickets import findings
from desk.tickets.risk import forecast, risk_history
from desk.tickets.risk.prediction import Spell
from desk.tickets.risk.risk_check import as_of

AROUND_THE_CLOCK = {key: value for key, value in POLICY.items() if key != "calendar"}
SCORES = "select ticket_id, sla_risk_score, sla_risk_reason from ticket_sla where metric = 'resolution'"
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def nothing_learnt() -> None:
    """What a process has learnt belongs to a database that is gone by the next test."""
    risk_history._kept.clear()


@pytest.fixture
def write(owner):
    """Write closed tickets of an organization, each open for some hours, one started an hour until an hour ago; what
    would be open still is closed now. Regular ends, instead of starts, would make lives depend on the load."""

    def write(of: UUID, hours: list[float], **columns: object) -> None:
        now = datetime.now(UTC)
        values = {"priority": "medium", "category": None, "assignee": None, **columns}
        rows = []
        for i, open_for in enumerate(hours):
            made = now - (i + 1) * HOUR
            closed_at = min(made + open_for * HOUR, now - timedelta(minutes=1))
            by = "person" if values["category"] else None
            rows.append((of, f"old {i}", "closed", values["priority"], values["category"], by, values["assignee"],
                         made, closed_at))  # fmt: skip
        with owner.cursor() as cursor:
            execute_values(
                cursor,
                "insert into tickets (organization_id, subject, status, priority, category, category_by, assignee,"
                " created_at, resolved_at) values %s",
                rows,
            )

    return write


@pytest.fixture
def desk(owner, organization: UUID) -> Desk:
    """Acme, whose clocks run day and night, without other jobs."""
    with database.transaction(organization) as connection:
        publish(connection, organization, AROUND_THE_CLOCK)
    with owner.cursor() as cursor:
        cursor.execute(
            "update organization_settings set triage = false, suggest = false, draft = false, sentiment = false"
        )
    return Desk(owner, organization)


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - hours * HOUR


def hours_of(count: int, seed: int, mean: float = 4) -> list[float]:
    print("seed", seed)
    return [float(value) for value in np.random.default_rng(seed).exponential(mean, count)]


def test_time_passes_and_the_tick_makes_predictions_anew(desk, write, run_jobs, ask):
    write(desk.id, hours_of(1_000, seed=11))
    fresh, old = desk.ticket(ago(0), status="accepted"), desk.ticket(ago(3.5), status="accepted")
    run_jobs("tickets")
    before = dict(ask("select ticket_id, probability from breach_predictions"))
    assert before[fresh] == pytest.approx(np.exp(-1), abs=0.1)  # 4 hours, of exponential lives of 4 hours
    assert before[old] > before[fresh] + 0.2  # half an hour is left
    desk.run(None, "update breach_predictions set predicted_at = now() - interval '1 hour', probability = 0.001")
    predict_open_slas.send()
    run_jobs("tickets")
    assert ask("select count(*) from breach_predictions where predicted_at > now() - interval '1 minute'") == [2]
    assert dict(ask("select ticket_id, probability from breach_predictions")) == pytest.approx(before, abs=0.02)
    ((running, predicted, late, expected, low, high),) = ask(
        "select running, predicted, late, expected, low, high from breach_forecasts"
    )
    assert (running, predicted, late, low, high) == (2, 2, 0, 0, 2)
    assert expected == pytest.approx(sum(before.values()), abs=0.04)


def test_run_again_after_being_cut_off_each_stands_there_once(desk, write, run_jobs, ask, monkeypatch):
    monkeypatch.setattr(risk_history, "BATCH", 2)
    write(desk.id, hours_of(60, seed=2))
    for i in range(5):
        desk.ticket(ago(i / 2), status="accepted")
    ask("delete from dramatiq.queue")
    batches = risk_history.of_running_clocks(desk.id)
    found = [next(batches), next(batches), *batches]
    assert [len(batch) for batch in found] == [2, 2, 1]
    assert len({ticket_id for batch in found for ticket_id, _ in batch}) == 5
    for _ in range(2):
        predict_open_slas.send(str(desk.id))
        run_jobs("tickets")
        assert ask("select count(*), count(probability) from breach_predictions") == [(5, 5)]


def test_a_ticket_that_is_gone_meanwhile_does_not_stop_the_others(desk, write, owner):
    from desk.tickets import results

    write(desk.id, hours_of(60, seed=3))
    kept, gone = desk.ticket(ago(1), status="accepted"), desk.ticket(ago(1), status="accepted")
    (batch,) = risk_history.of_running_clocks(desk.id)
    with owner.cursor() as cursor:
        cursor.execute("delete from tickets where id = %s", (gone,))
    with database.transaction(desk.id) as connection:
        assert results.keep_predictions(connection, desk.id, batch) == 1
    assert desk.run(None, "select ticket_id from breach_predictions") == [(kept,)]


def test_the_view_shows_a_score_only_where_it_holds(desk, write, run_jobs):
    write(desk.id, hours_of(60, seed=4))
    made = {name: desk.ticket(ago(1), status="accepted", subject=name)
            for name in ("running", "paused", "stopped")}  # fmt: skip
    made["late"] = desk.ticket(ago(5), status="accepted")
    run_jobs("tickets")
    made["unpredicted"] = desk.ticket(ago(1), status="accepted")
    desk.move(made["paused"], ago(0), status="waiting_customer")
    desk.move(made["stopped"], ago(0), status="resolved")
    shown = {ticket: (score, reason) for ticket, score, reason in desk.run(None, SCORES)}
    score, reason = shown[made["running"]]
    assert 0 < score < 1
    assert reason is None
    assert shown[made["late"]] == (1, None)
    assert shown[made["paused"]] == (None, "no running clock: it is paused")
    assert shown[made["stopped"]] == (None, "no running clock: it has stopped")
    assert shown[made["unpredicted"]] == (None, "not predicted yet")
    assert {row[0] for row in desk.run(None, "select sla_risk_score from ticket_sla where metric <> 'resolution'")} == {
        None
    }
    with database.transaction(desk.id) as connection:  # nor does what is shown of a ticket
        found = {name: findings.of(connection, desk.id, made[name])["prediction"] for name in made}
    assert (found["running"]["probability"], found["running"]["reason"]) == (score, None)
    assert (found["late"]["probability"], found["late"]["reason"]) == (1, None)
    for name in ("paused", "stopped"):
        assert (found[name]["probability"], found[name]["reason"]) == shown[made[name]]
    assert found["unpredicted"] is None


def test_who_switched_predictions_off_gets_none(desk, write, run_jobs, ask, owner):
    other = new_organization(owner, "Other")
    desk.run(None, "update organization_settings set predict = false")
    desk.ticket(ago(1), status="accepted")
    predict_open_slas.send()
    run_jobs("tickets")
    assert ask("select organization_id from breach_forecasts") == [other]
    assert ask("select count(*) from breach_predictions") == [0]


def test_what_is_shown_follows_the_switch(desk, write, run_jobs, owner):
    write(desk.id, hours_of(60, seed=10))
    running, paused, late = (desk.ticket(ago(hours), status="accepted") for hours in (1, 1, 5))
    run_jobs("tickets")
    desk.move(paused, ago(0), status="waiting_customer")

    def shown() -> dict[UUID, tuple]:
        return {row[0]: row[1:] for row in desk.run(None, SCORES.replace(" from", ", sla_risk_at is null from"))}

    def told() -> tuple:
        with database.transaction(desk.id) as connection:
            found = forecast.take(connection, desk.id)
            prediction = findings.of(connection, desk.id, running)["prediction"]
            (first,) = forecast.at_risk(connection, desk.id)
        with owner.cursor() as cursor:
            cursor.execute("select expected, unpredicted from risk_figures()")
            return found.expected, first["sla_risk_score"], prediction["probability"], *cursor.fetchone()

    before, figures = shown(), told()
    assert before[running][1:] == (None, False)
    assert None not in figures
    desk.run(None, "update organization_settings set predict = false")
    with owner.cursor() as cursor:  # a forecast of before the switch is not added up either
        cursor.execute("select expected, unpredicted from risk_figures()")
        assert cursor.fetchone() == (None, 0)
    off = "predictions are switched off"
    assert shown() == {
        running: (None, off, True),
        late: (None, off, True),
        paused: (None, "no running clock: it is paused", True),
    } | {ticket: seen for ticket, seen in before.items() if ticket not in (running, late, paused)}
    assert told() == (None, None, None, None, 0)
    desk.run(None, "update organization_settings set predict = true")
    assert shown() == before
    assert told() == figures


def test_nothing_of_another_organization_is_learnt(desk, write, owner, run_jobs, ask):
    """Theirs take days, ours an hour: what theirs do does not change our probability by a hair."""
    write(desk.id, hours_of(300, seed=5, mean=1))
    made = desk.ticket(ago(1), status="accepted")
    run_jobs("tickets")
    alone = ask("select probability, basis from breach_predictions where ticket_id = %s", made)
    other = new_organization(owner, "Other")
    write(other, hours_of(2_000, seed=6, mean=90))
    risk_history._kept.clear()
    with database.transaction(desk.id) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.risk", "spells"),
            {"organization_id": other, "calendar_version_id": None, "newest": 10, "newest_open": 10},
        )
        assert cursor.fetchall() == []
    again = risk_history.of_ticket(desk.id, made)
    assert again.basis["closed_tickets"] == alone[0][1]["closed_tickets"] == 300
    assert again.probability == pytest.approx(alone[0][0], abs=0.002)


def test_pauses_and_closed_hours_are_no_time(owner, organization: UUID):
    """Office hours, 09:00 to 17:00 of Berlin: what a clock did not count is not learnt as waiting."""
    desk = Desk(owner, organization)
    desk.publish({**POLICY, "calendar": OFFICE})
    monday = datetime(2026, 3, 2, 9, tzinfo=UTC)  # 10:00 in Berlin
    ticket = desk.ticket(monday, status="accepted")
    desk.move(ticket, monday + HOUR, status="waiting_customer")
    desk.move(ticket, monday + 3 * HOUR, status="in_progress")
    desk.move(ticket, monday + 4 * HOUR, priority="urgent", assignee="ana")
    desk.move(ticket, monday + 24 * HOUR, status="resolved")
    (version,) = desk.run(None, "select distinct calendar_version_id from sla_clocks")[0]
    key = {"organization_id": organization, "calendar_version_id": version, "newest": 10, "newest_open": 10}
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.risk", "spells"), key)
        first, second = cursor.fetchall()
    # 8 open hours from Monday 10:00 to Tuesday 10:00, 2 of them paused; the change came after 4 open hours of 8.
    assert (first[0], first[3], first[5]) == ("medium", None, False)
    assert (second[0], second[3], second[5]) == ("urgent", "ana", True)
    assert second[2] == pytest.approx(6 * 3600)
    assert first[2] == second[4] == pytest.approx(4 * 3600 * 6 / 8)
    assert first[6] == second[6] == monday.timestamp()


def test_of_what_was_closed_before_the_oldest_that_counts_nothing_is_told(desk, write):
    write(desk.id, [0.5] * 6 + [200.0])
    key = {"organization_id": desk.id, "calendar_version_id": None, "newest": 4, "newest_open": 4}
    with database.transaction(desk.id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.risk", "spells"), key | {"newest": 8})
        assert sorted(row[4] for row in cursor.fetchall())[-1] == pytest.approx(0, abs=1)  # all of them, whole
        cursor.execute(statement("desk.tickets.risk", "spells"), key)
        rows = cursor.fetchall()
    assert len(rows) == 4
    assert all(row[7] >= ago(4.01).timestamp() for row in rows)


def test_a_fit_is_used_until_enough_has_changed(desk, write):
    write(desk.id, hours_of(60, seed=7))
    made = desk.ticket(ago(1), status="accepted")
    first = risk_history.of_ticket(desk.id, made)
    assert first.basis["closed_tickets"] == 60
    write(desk.id, [0.2])
    assert risk_history.of_ticket(desk.id, made).basis["closed_tickets"] == 60  # one of sixty
    write(desk.id, [0.2] * 3)
    assert risk_history.of_ticket(desk.id, made).basis["closed_tickets"] == 64


def test_a_paused_clock_and_one_without_end_get_no_number(desk, write):
    write(desk.id, hours_of(60, seed=8))
    late, paused = desk.ticket(ago(9), status="accepted"), desk.ticket(ago(9), status="accepted")
    desk.move(paused, ago(2), status="waiting_customer")
    assert risk_history.of_ticket(desk.id, late).probability == 1.0
    assert risk_history.of_ticket(desk.id, paused).reason == "no running clock: it is paused"


def test_command_and_api_show_the_likeliest_first_and_what_is_expected(desk, write, run_jobs):
    write(desk.id, hours_of(300, seed=9))
    soon, later = (desk.ticket(ago(hours), status="accepted", subject=f"{hours} h") for hours in (3.5, 0.5))
    desk.ticket(ago(5), status="accepted", subject="late")
    run_jobs("tickets")
    unknown = desk.ticket(ago(1), status="accepted", subject="unknown")
    printed = CliRunner().invoke(app, ["risk", "--org", "Acme", "--json"], catch_exceptions=False)
    said = json.loads(printed.stdout)
    assert [row["ticket_id"] for row in said["clocks"]] == [str(soon), str(later), str(unknown)]
    assert said["clocks"][2]["sla_risk_reason"] == "not predicted yet"
    expected = sum(row["sla_risk_score"] for row in said["clocks"][:2])
    assert said["forecast"] == {
        "running": 3, "predicted": 2, "late": 1, "expected": pytest.approx(expected, abs=0.01), "low": 0, "high": 2,
    }  # fmt: skip
    with TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 50000)) as client:
        answer = client.get("/api/v1/sla/risk", params={"org": "Acme", "top": 1})
        assert answer.json()["clocks"][0]["ticket_id"] == str(soon)
        assert answer.json()["forecast"]["late"] == 1
        assert client.get("/api/v1/sla/risk", params={"org": "Nobody"}).status_code == 404
        urgent = client.get("/api/v1/sla/urgent", params={"org": "Acme"}).json()["clocks"]
        assert next(row for row in urgent if row["ticket_id"] == str(soon) and row["metric"] == "resolution")[
            "sla_risk_score"
        ] == pytest.approx(said["clocks"][0]["sla_risk_score"])
        assert "atum_sla_breaches_expected" not in client.get("/metrics").text
        with database.transaction(desk.id) as connection:
            forecast.take(connection, desk.id)
        lines = client.get("/metrics").text.splitlines()
    assert [line for line in lines if line.startswith("atum_sla_breaches_expected")] == [
        f"atum_sla_breaches_expected {said['forecast']['expected']}"
    ]
    assert "atum_sla_clocks_unpredicted 1.0" in lines
    table = CliRunner().invoke(app, ["risk", "--org", "Acme"], catch_exceptions=False).stdout
    assert "of 2 clocks are expected to breach (nine times of ten 0 to 2); 1 clocks without" in table
    with pytest.raises(InvalidInput, match="limit: 0"):
        CliRunner().invoke(app, ["risk", "--org", "Acme", "--top", "0"], catch_exceptions=False)


def test_without_history_there_is_a_reason_and_no_forecast(desk, run_jobs):
    desk.ticket(ago(1), status="accepted")
    run_jobs("tickets")
    printed = CliRunner().invoke(app, ["risk", "--org", "Acme", "--json"], catch_exceptions=False)
    said = json.loads(printed.stdout)
    assert said["clocks"][0]["sla_risk_score"] is None
    assert said["clocks"][0]["sla_risk_reason"] == "insufficient history: 0 closed tickets, 50 are needed"
    assert said["forecast"] == {
        "running": 1, "predicted": 0, "late": 0, "expected": None, "low": None, "high": None
    }  # fmt: skip
    assert "Nothing can be said" in CliRunner().invoke(app, ["risk", "--org", "Acme"], catch_exceptions=False).stdout


def test_one_organization_does_not_see_the_others_forecast(desk, owner):
    other = new_organization(owner, "Other")
    with database.transaction(other) as connection:
        forecast.take(connection, other)
    assert desk.run(None, "select * from breach_forecasts") == []
    with database.transaction(desk.id) as connection:
        assert forecast.current(connection, other).running == 0
        assert forecast.at_risk(connection, uuid4()) == []


def test_the_check_learns_from_before_and_is_judged_by_what_came_since(desk, ask):
    """Category slow takes ten hours, quick one; the target is four."""
    chance = np.random.default_rng(12)
    now = datetime.now(UTC)
    for day in range(60, 1, -1):
        for number in range(6):
            start = now - timedelta(days=day, hours=float(chance.uniform(0, 3)))
            category = ("slow", "quick")[number % 2]
            made = desk.ticket(start, status="accepted", category=category, category_by="person")
            hours = float(chance.exponential({"slow": 10, "quick": 1}[category]))
            desk.move(made, min(start + hours * HOUR, now), status="closed")
    printed = CliRunner().invoke(app, ["risk", "--org", "Acme", "--check", "--json"], catch_exceptions=False)
    found = json.loads(printed.stdout)
    assert found["clocks"] == found["asked"] == pytest.approx(6 * 27, abs=6)
    assert found["predicted"] == pytest.approx(found["breached"], abs=0.12)
    assert found["auc"] > 0.7
    assert found["brier"] < found["brier_of_the_share"] - 0.02
    assert "brier_of_the_share" in CliRunner().invoke(app, ["risk", "--org", "Acme", "--check"]).stdout


def test_the_check_of_nothing_has_no_figures(desk):
    printed = CliRunner().invoke(app, ["risk", "--org", "Acme", "--check", "--json"], catch_exceptions=False)
    assert json.loads(printed.stdout) == {
        "days": 28, "clocks": 0, "asked": 0, "breached": None, "predicted": None, "auc": None, "brier": None,
        "brier_of_the_share": None,
    }  # fmt: skip
    spell = Spell("low", None, 100.0, began_at=0.0, ended_at=1_000.0)
    assert as_of([spell], 1_000.0) == [spell]
    assert as_of([spell], 500.0) == [replace(spell, seconds=50.0, closed=False, ended_at=500.0)]
    assert as_of([spell], 0.0) == []
