"""Hourly figures are worked back from the rows; what was kept long enough goes, and nothing else."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from sla_desk import POLICY, Desk
from typer.testing import CliRunner

import actors.upkeep
import schedules
from app.commands.tickets import app
from app.web.application import build
from desk import database
from desk.errors import InvalidInput
from desk.upkeep import retention, snapshot

HOUR = datetime(2026, 3, 2, 10, tzinfo=UTC)
LATER = HOUR + timedelta(days=2)


@pytest.fixture
def at(ask, organization: UUID):
    """Write a ticket's life at instants of March 2026: (minutes after HOUR, column, value)."""

    def write(created: float, *changes: tuple[float, str, str], **columns: str) -> UUID:
        ticket_id = uuid4()
        ask(
            "insert into tickets (id, organization_id, subject, created_at) values (%s, %s, 'x', %s)",
            ticket_id,
            organization,
            HOUR + timedelta(minutes=created),
        )
        for minutes, column, value in changes:
            when = HOUR + timedelta(minutes=minutes)
            ask(f"update tickets set {column} = %s where id = %s", value, ticket_id)
            if column == "status" and value == "resolved":
                ask("update tickets set resolved_at = %s where id = %s", when, ticket_id)
            ask(
                "update ticket_events set at = %s where id = (select max(id) from ticket_events where ticket_id = %s)",
                when,
                ticket_id,
            )
        return ticket_id

    return write


def take(organization: UUID, start: datetime = HOUR, now: datetime = LATER) -> dict:
    with database.transaction(organization) as connection:
        return snapshot.take(connection, organization, start, now)


def test_an_hour_without_anything_has_nulls_not_zeroes(organization: UUID):
    found = take(organization)
    assert {name for name, value in found.items() if value is not None} == {
        "created",
        "first_responses",
        "resolutions",
        "sla_clocks_stopped",
    }
    assert found["created"] == 0


def test_figures_are_those_of_the_end_of_the_hour(organization: UUID, at):
    at(-90, (-30, "status", "accepted"), (-29, "assignee", "ida"), (30, "status", "resolved"))
    at(5, (10, "status", "accepted"), (11, "assignee", "ida"), (70, "status", "resolved"), (71, "assignee", "bo"))
    at(20, (80, "priority", "urgent"))
    at(61)
    found = take(organization)
    assert found["tickets_by_status"] == {"resolved": 1, "accepted": 1, "new": 1}
    assert found["open_by_priority"] == {"medium": 2}
    assert found["agent_load"] == {"ida": 1}
    assert (found["created"], found["resolutions"]) == (2, 1)
    assert found["resolution_seconds_p50"] == found["resolution_seconds_p95"] == 120 * 60
    assert found["first_response_seconds_p50"] is None
    following = take(organization, HOUR + timedelta(hours=1))
    assert following["tickets_by_status"] == {"resolved": 2, "new": 2}
    assert following["open_by_priority"] == {"urgent": 1, "medium": 1}
    assert following["agent_load"] is None


def test_percentiles_come_from_the_raw_times(organization: UUID, ask):
    for minutes in range(1, 21):
        ask(
            "insert into tickets (organization_id, subject, status, created_at, first_response_at)"
            " values (%s, 'x', 'accepted', %s, %s)",
            organization,
            HOUR,
            HOUR + timedelta(minutes=minutes),
        )
    found = take(organization)
    assert found["first_response_seconds_p50"] == pytest.approx(10.5 * 60)
    assert found["first_response_seconds_p95"] == pytest.approx(19.05 * 60)


def test_taken_twice_it_stands_there_once_with_the_same_figures(organization: UUID, at, ask):
    at(5, (10, "status", "accepted"))
    first = take(organization)
    assert take(organization, now=LATER + timedelta(days=30)) == first
    assert ask("select bucket_start, data from metric_snapshots") == [(HOUR, first)]


def test_status_and_priority_are_crossed_and_targets_told_apart_by_metric(owner, organization: UUID, at):
    desk = Desk(owner, organization)
    desk.publish({key: value for key, value in POLICY.items() if key != "calendar"})
    met = desk.ticket(HOUR - timedelta(hours=1), status="accepted", priority="high")
    missed = desk.ticket(HOUR - timedelta(hours=9), status="accepted")
    desk.say(met, HOUR - timedelta(minutes=55), "agent")
    desk.say(missed, HOUR + timedelta(minutes=1), "agent")
    for ticket in (met, missed):
        desk.move(ticket, HOUR + timedelta(minutes=5), status="resolved")
    at(1, (2, "priority", "urgent"))
    found = take(organization)
    assert found["tickets_by_status_and_priority"] == {"resolved": {"high": 1, "medium": 1}, "new": {"urgent": 1}}
    assert found["sla_clocks_stopped"] == 3  # one answer came before the hour
    assert found["sla_compliance"] == pytest.approx(1 / 3)
    assert found["sla_compliance_by_metric"] == {"resolution": 0.5, "first_response": 0.0}


def test_hours_that_were_missed_are_made_up_for(organization: UUID, ask):
    now = HOUR + timedelta(minutes=20)
    with database.transaction(organization) as connection:
        snapshot.take_current(connection, organization, now)
        snapshot.take_current(connection, organization, now + timedelta(hours=5))
        snapshot.take_current(connection, organization, now + timedelta(hours=5))
    starts = ask("select bucket_start from metric_snapshots order by 1")
    assert starts == [HOUR + timedelta(hours=number) for number in range(-1, 6)]
    with database.transaction(organization) as connection:
        snapshot.take_current(connection, organization, now + timedelta(days=90))
    assert ask("select count(*) from metric_snapshots") == [7 + 7 * 24 + 1]


def test_a_ticket_whose_creation_was_corrected_is_counted_since_then(organization: UUID, at, ask):
    at(0, (90, "status", "accepted"))
    at(-5 * 60)
    moved = at(30)
    ask("update tickets set created_at = %s where id = %s", HOUR - timedelta(hours=2), moved)
    assert take(organization, HOUR - timedelta(hours=1))["tickets_by_status"] == {"new": 2}
    assert take(organization)["tickets_by_status"] == {"new": 3}


def test_what_is_committed_just_after_the_full_hour_is_in_the_figures_of_its_hour(organization: UUID, ask):
    minute = int(schedules.TIMETABLE[actors.upkeep.snapshot_metrics].split()[0])
    ticks = [HOUR + timedelta(hours=number, minutes=minute, seconds=1) for number in range(3)]
    commit = HOUR + timedelta(hours=1, seconds=30)  # of a ticket that was made a second before the hour's end
    for now in sorted([*ticks, commit]):
        if now == commit:
            made = HOUR + timedelta(minutes=59, seconds=59)
            ask("insert into tickets (organization_id, subject, created_at) values (%s, 'x', %s)", organization, made)
        else:
            with database.transaction(organization) as connection:
                snapshot.take_current(connection, organization, now)
    assert ask("select data -> 'created' from metric_snapshots where bucket_start = %s", HOUR) == [1]


def test_days_and_weeks_are_worked_out_from_the_raw_times(organization: UUID, ask):
    monday = HOUR.replace(hour=0)  # 2 March 2026
    for minutes in range(1, 21):
        made = monday + timedelta(hours=minutes % 3)
        ask(
            "insert into tickets (organization_id, subject, status, created_at, first_response_at)"
            " values (%s, 'x', 'accepted', %s, %s)", organization, made, made + timedelta(minutes=minutes),
        )  # fmt: skip
    now = monday + timedelta(days=8, hours=3)
    with database.transaction(organization) as connection:
        days = snapshot.read(connection, organization, "day", 9, now)
        weeks = snapshot.read(connection, organization, "week", 2, now)
        assert snapshot.read(connection, organization, "hour", 5, now) == []
        with pytest.raises(InvalidInput, match="last: 93 is not between 1 and 92"):
            snapshot.read(connection, organization, "day", 93, now)
    assert [row["bucket_start"] for row in days] == [monday + timedelta(days=8 - number) for number in range(9)]
    assert days[0]["bucket_end"] == now
    assert (days[8]["created"], days[8]["first_response_seconds_p50"]) == (20, pytest.approx(10.5 * 60))
    assert (days[0]["created"], days[0]["first_response_seconds_p50"]) == (0, None)
    assert [row["bucket_start"] for row in weeks] == [monday + timedelta(days=7), monday]
    assert weeks[1]["first_response_seconds_p95"] == pytest.approx(19.05 * 60)


def test_what_was_open_before_the_events_that_are_left_is_null_and_not_guessed(organization: UUID, at, ask):
    day = timedelta(days=1)
    at(0, (24 * 60, "status", "accepted"), (5 * 24 * 60, "status", "resolved"))
    now = HOUR + 8 * day

    def days() -> list[dict]:
        with database.transaction(organization) as connection:
            return snapshot.read(connection, organization, "day", 9, now)

    whole = days()
    assert [row["tickets_by_status"] for row in whole] == [{"resolved": 1}] * 4 + [{"accepted": 1}] * 4 + [{"new": 1}]
    ask("delete from ticket_events where at < %s", HOUR + 3 * day)  # as clean_events does
    assert [row["tickets_by_status"] for row in days()] == [{"resolved": 1}] * 4 + [None] * 5
    assert [row["created"] for row in days()] == [row["created"] for row in whole]
    ask("delete from ticket_events")
    assert [row["tickets_by_status"] for row in days()] == [{"resolved": 1}] * 2 + [None] * 7
    at(9 * 24 * 60)
    assert take(organization, HOUR + 9 * day, now + 2 * day)["tickets_by_status"] == {"resolved": 1, "new": 1}


def test_command_and_api_read_what_the_tick_has_kept(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set triage = false, suggest = false, draft = false, sentiment = false")
    ticket("The hub blinks red", priority="high")
    actors.upkeep.snapshot_metrics.send()
    run_jobs("upkeep")
    arguments = ["metrics", "--org", "Acme", "--last", "2"]
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert len(rows) == 2
    newest = next(row for row in rows if row["created"])
    assert newest["tickets_by_status_and_priority"] == {"new": {"high": 1}}
    assert newest["sla_compliance"] is None
    for bucket in ("hour", "day", "week"):
        shown = CliRunner().invoke(app, [*arguments, "--bucket", bucket], catch_exceptions=False)
        assert "targets met" in " ".join(shown.stdout.split())
        assert f"{bucket} (UTC)" in shown.stdout
    with TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 50000)) as client:
        answer = client.get("/api/v1/tickets/metrics", params={"org": "Acme", "bucket": "day", "last": 1}).json()
        assert (answer["bucket"], answer["buckets"][0]["created"]) == ("day", 1)
        assert client.get("/api/v1/tickets/metrics", params={"org": "Acme", "bucket": "moon"}).status_code == 422
        assert client.get("/api/v1/tickets/metrics", params={"org": "Acme", "last": 5000}).status_code == 422
        assert client.get("/api/v1/tickets/metrics", params={"org": "Nobody"}).status_code == 404


def test_figures_go_after_the_days_of_the_audit(owner, organization: UUID, ask):
    other = new_organization(owner, "Other")
    for of in (organization, other):
        ask(
            "insert into metric_snapshots (organization_id, bucket_start, data)"
            " select %s, now() - make_interval(days => d), '{}' from unnest(array[1, 20]) d", of,
        )  # fmt: skip
    ask("update organization_settings set keep_audit_days = 10 where organization_id = %s", organization)
    assert retention.clean_up(organization).snapshots == 1
    assert ask("select count(*) from metric_snapshots where organization_id = %s", other) == [2]


def test_the_tick_takes_two_buckets_for_every_organization(owner, organization: UUID, run_jobs, ask):
    other = new_organization(owner, "Other")
    actors.upkeep.snapshot_metrics.send()
    run_jobs("upkeep")
    assert ask("select organization_id, count(*) from metric_snapshots group by 1 order by 1") == sorted(
        [(organization, 2), (other, 2)]
    )
    assert ask("select count(*) from pgbroker.dead_letters") == [0]


def test_retention_follows_the_organizations_settings(owner, organization: UUID, ticket, ask):
    other = new_organization(owner, "Other")
    for of in (organization, other):
        made = ticket("x", of=of, status="closed")
        for days in (1, 10, 400):
            ask(
                "insert into audit_log (organization_id, at, who, action, subject_kind, subject_id)"
                " values (%s, now() - make_interval(days => %s), 'a', 'b', 'c', 'd')",
                of,
                days,
            )
            ask(
                "insert into ticket_events (organization_id, ticket_id, at, kind)"
                " values (%s, %s, now() - make_interval(days => %s), 'status')",
                of,
                made,
                days,
            )
            ask(
                """insert into pgbroker.finished (message_id, queue_name, tenant, message, created_at, finished_at,
                                                  deliveries, retries, history)
                   values (gen_random_uuid(), 'q', %s, '{}', now(), now() - make_interval(days => %s), 1, 0, '[]')""",
                str(of),
                days,
            )
    ask(
        "update organization_settings set keep_finished_days = 5, keep_events_days = 50, keep_audit_days = 5"
        " where organization_id = %s",
        organization,
    )
    cleaned = retention.clean_up(organization)
    assert (cleaned.finished_messages, cleaned.ticket_events, cleaned.audit_rows) == (2, 1, 2)
    assert retention.clean_up(organization) == retention.Cleaned(0, 0, 0)
    assert ask("select count(*) from audit_log where organization_id = %s", other) == [3]
    assert ask("select count(*) from pgbroker.finished where tenant = %s", str(other)) == [3]


def test_more_than_a_batch_goes_in_several(organization: UUID, ask, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 10)
    ask(
        "insert into audit_log (organization_id, at, who, action, subject_kind, subject_id)"
        " select %s, now() - interval '9 years', 'a', 'b', 'c', 'd' from generate_series(1, 25)",
        organization,
    )
    assert retention.clean_up(organization).audit_rows == 25


def test_shared_rows_go_and_dead_letters_stay(organization: UUID, run_jobs, ask):
    ask(
        """insert into pgbroker.dead_letters (message_id, queue_name, message, created_at, died_at, deliveries, retries,
                                              reason, history)
           values (gen_random_uuid(), 'q', '{}', now(), now() - interval '9 years', 1, 0, 'thrown', '[]')"""
    )
    for table, columns in (
        ("slots (actor_name, slot_at, message_id)", "'a', now() - make_interval(days => d), gen_random_uuid()"),
        ("processes (process_id, host, pid, beat_at)", "gen_random_uuid(), 'h', 1, now() - make_interval(days => d)"),
    ):
        ask(f"insert into pgbroker.{table} select {columns} from unnest(array[1, 8]) d")
    actors.upkeep.clean_up.send()
    run_jobs("upkeep")
    assert ask("select count(*) from pgbroker.slots where slot_at < now() - interval '7 days'") == [0]
    assert ask("select count(*) from pgbroker.processes where beat_at < now() - interval '7 days'") == [0]
    assert ask("select count(*) from pgbroker.slots") == [1]
    assert ask("select count(*) from pgbroker.dead_letters") == [1]
