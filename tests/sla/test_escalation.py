"""Escalation: each step once, audited, or skipped with its reason."""

import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import dramatiq
import pytest
from builders import new_organization
from sla_desk import POLICY, Desk
from typer.testing import CliRunner
from waiting import until
from workers import work_off

from actors import sla as jobs
from app.commands.sla import app
from brokers import broker
from desk import database
from desk.errors import InvalidInput, NotFound
from desk.sla import escalation, sweep
from desk.sla.policies import publish
from desk.sla.policy import read

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin
STEPS = [
    {"metric": "resolution", "at": 75, "notify": ["ben", "cem"]},
    {"metric": "resolution", "at": 90, "raise_priority": "high"},
    {"metric": "resolution", "at": 100, "assign": "ana"},
]


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


@pytest.fixture
def ticket(desk):
    """A ticket due at minute 240 under a policy with steps at 75, 90 and 100 percent."""
    desk.publish({**POLICY, "escalation": STEPS})
    return desk.ticket(NINE, status="accepted", first_response_at=NINE)


def outcomes(desk: Desk) -> list[tuple]:
    return desk.run(None, "select threshold, outcome, reason from sla_escalations order by threshold, place")


def audited(desk: Desk) -> list[str]:
    return [row[0] for row in desk.run(None, "select action from audit_log where who = 'escalate' order by id")]


def dead_letters(owner) -> list[tuple]:
    with owner.cursor() as cursor:
        cursor.execute("select actor_name, error from pgbroker.dead_letters")
        return cursor.fetchall()


def test_each_step_is_taken_when_its_threshold_is_crossed(desk, owner, ticket):
    sweep(owner, minutes(181))
    work_off(broker, "sla")
    assert desk.run(None, "select recipient from notifications where kind = 'sla_escalation' order by 1") == [
        ("ben",), ("cem",)
    ]  # fmt: skip
    assert outcomes(desk) == [(75, "done", None)]
    sweep(owner, minutes(217))
    work_off(broker, "sla")
    # The job runs today: by the shorter target of the higher priority the clock breached at once, which has its step.
    assert desk.run(None, "select priority, assignee, status from tickets") == [("high", "ana", "assigned")]
    assert desk.run(None, "select target_seconds from sla_clocks") == [(7_200,)]
    assert outcomes(desk) == [(75, "done", None), (90, "done", None), (100, "done", None)]
    assert audited(desk) == ["sla_notify", "sla_raise_priority", "sla_assign"]
    assert dead_letters(owner) == []


def test_a_step_comes_twice_and_is_taken_once(desk, owner, ticket):
    sweep(owner, minutes(181))
    for _ in range(3):
        jobs.escalate.send(str(desk.id), str(ticket), "resolution", 1, 75, 1)
    work_off(broker, "sla")
    assert audited(desk) == ["sla_notify"]
    assert desk.run(None, "select count(*) from notifications where kind = 'sla_escalation'") == [(2,)]
    with database.transaction(desk.id) as connection:
        assert escalation.take(connection, ticket, "resolution", 1, 75, 1).again


def test_a_step_that_makes_no_sense_any_more_is_skipped_with_its_reason(desk, owner, ticket):
    sweep(owner, minutes(250))
    desk.move(ticket, minutes(251), priority="urgent", assignee="ana")
    work_off(broker, "sla")
    assert outcomes(desk) == [
        (75, "done", None),
        (90, "skipped", "its priority is urgent already"),
        (100, "skipped", "it is ana's already"),
    ]
    done = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    sweep(owner, minutes(260))
    desk.move(done, minutes(261), status="resolved")
    work_off(broker, "sla")
    assert [row for row in outcomes(desk) if row[2] == "the ticket is resolved"] == [
        (threshold, "skipped", "the ticket is resolved") for threshold in (75, 90, 100)
    ]


def test_an_actor_is_run_for_the_ticket_and_one_that_nobody_knows_is_a_dead_letter(desk, owner):
    ran = []

    @dramatiq.actor(broker=broker, queue_name="sla")
    def page_the_duty_officer(organization_id, ticket_id):
        ran.append((organization_id, ticket_id))

    try:
        steps = [{"metric": "resolution", "at": 75, "run": "page_the_duty_officer"},
                 {"metric": "resolution", "at": 75, "run": "nobody"}]  # fmt: skip
        desk.publish({**POLICY, "escalation": steps})
        ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
        with database.transaction() as connection:
            broker.register_actors(connection)
        jobs.escalate.options["max_retries"], before = 0, jobs.escalate.options["max_retries"]
        sweep(owner, minutes(181))
        work_off(broker, "sla")
    finally:
        jobs.escalate.options["max_retries"] = before
        del broker.actors["page_the_duty_officer"]
    assert ran == [(str(desk.id), str(ticket))]
    assert outcomes(desk) == [(75, "done", None), (75, None, None)]
    ((actor, error),) = dead_letters(owner)
    assert actor == "escalate"
    assert 'actor "nobody" is unknown' in error


def test_a_step_of_another_organization_is_not_found(desk, owner, ticket):
    sweep(owner, minutes(181))
    with pytest.raises(NotFound), database.transaction(new_organization(owner, "Other")) as connection:
        escalation.take(connection, ticket, "resolution", 1, 75, 1)


def test_a_policy_without_steps_is_the_same_as_before_and_one_with_steps_is_published_once(owner, organization):
    assert publish(owner, organization, POLICY).new
    assert publish(owner, organization, {**POLICY, "escalation": []}).new == ()
    assert publish(owner, organization, {**POLICY, "escalation": STEPS}).policies == {"Standard": 2}
    assert publish(owner, organization, {**POLICY, "escalation": STEPS}).new == ()


def test_without_a_metric_a_step_holds_for_all_that_have_its_threshold():
    steps = [{"at": 50, "assign": "ana"}, {"at": 100, "assign": "ben"}]
    thresholds = {"first_response": [75], "next_response": [75], "resolution": [50]}
    policy = read({**POLICY, "thresholds": thresholds, "escalation": steps})
    assert [(step.metric, step.threshold, step.place) for step in policy.policies[0].escalation] == [
        ("resolution", 50, 1), ("first_response", 100, 2), ("next_response", 100, 2), ("resolution", 100, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(("steps", "message"), [
    ({}, "escalation must be a list"),
    ("x", "escalation must be a list"),
    ([7], "escalation step 1: it must be an object"),
    ([{"at": 75, "assign": "ana"}, {"at": 75, "mail": "x"}], "escalation step 2: 'mail' is unknown"),
    ([{"at": 75}], "exactly one of raise_priority, assign, notify, run"),
    ([{"at": 75, "assign": "ana", "run": "x"}], "exactly one of"),
    ([{"at": 80, "assign": "ana"}], "at: 80 is no threshold of the policy"),
    ([{"at": "75", "assign": "ana"}], "at: '75' is no whole percentage"),
    ([{"at": 75, "metric": "solution", "assign": "ana"}], "promises nothing about 'solution'"),
    ([{"at": 75, "raise_priority": "huge"}], "raise_priority: 'huge' is none of"),
    ([{"at": 75, "assign": " "}], "assign: ' ' is no name"),
    ([{"at": 75, "notify": "ana"}], "notify must be a list of agents"),
    ([{"at": 75, "notify": []}], "notify must be a list of agents"),
    ([{"at": 75, "notify": ["ana", 3]}], "notify: 3 is no name"),
])  # fmt: skip
def test_a_step_that_cannot_be_meant_is_refused_in_one_line(steps, message):
    with pytest.raises(InvalidInput) as refused:
        read({**POLICY, "escalation": steps})
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_command_lists_what_was_wanted(desk, owner, ticket):
    sweep(owner, minutes(181))
    result = CliRunner().invoke(app, ["escalations", "--org", "Acme", "--json"], catch_exceptions=False)
    (row,) = json.loads(result.stdout)
    assert (row["act"], row["value"], row["threshold"], row["outcome"]) == ("notify", ["ben", "cem"], 75, "waiting")
    assert "ben" in CliRunner().invoke(app, ["escalations", "--org", "Acme"], catch_exceptions=False).stdout


def test_workers_that_are_killed_take_each_step_once(desk, owner):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    desk.publish({**POLICY, "escalation": STEPS})
    for _ in range(60):
        desk.ticket(NINE, status="accepted", first_response_at=NINE)
    sweep(owner, minutes(250))

    def waiting() -> int:
        return desk.run(None, "select count(*) from sla_escalations where outcome is null")[0][0]

    deaths = 0
    while before := waiting():
        goal = max(0, before - dice.randrange(10, 60))
        command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "-p", "1", "-t", "4", "-Q", "sla"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        worker = subprocess.Popen(command, **quiet, start_new_session=True)
        until(lambda goal=goal: waiting() <= goal, "some steps are taken", timeout_seconds=60)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        deaths += 1
    print(deaths, "were killed")
    assert len(audited(desk)) == 180
    told = desk.run(None, "select recipient, count(*) from notifications where kind = 'sla_escalation' group by 1")
    assert sorted(told) == [("ben", 60), ("cem", 60)]
    assert desk.run(None, "select count(*) from tickets where assignee = 'ana' and priority = 'high'") == [(60,)]
