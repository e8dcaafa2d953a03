"""The probability of a breach rests on the organization's closed tickets, or is not given."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from builders import new_organization
from psycopg2.extras import execute_values
from sla_desk import POLICY

from desk import database
from desk.sla.policies import publish
from desk.tickets.risk.prediction import Asked, Prediction, Spell
from desk.tickets.risk.risk_history import fit

AROUND_THE_CLOCK = {key: value for key, value in POLICY.items() if key != "calendar"}
SWITCHES_OFF = "update organization_settings set triage = false, suggest = false, draft = false, sentiment = false"
PREDICTION = "select probability, reason, basis from breach_predictions where ticket_id = %s"


def closed(count: int, hours: float, priority: str = "medium", category: str | None = None) -> list[Spell]:
    return [Spell(priority, category, hours * 3600) for _ in range(count)]


def predict(history: list[Spell], priority: str, category: str | None, elapsed: float, target: float) -> Prediction:
    return fit(history, 0.0).predict([Asked(priority, category, elapsed, target)])[0]


@pytest.fixture
def history(owner):
    """Closed tickets of an organization, each open for some hours."""

    def write(of: UUID, hours: list[float], priority: str = "medium") -> None:
        made = datetime(2026, 1, 5, tzinfo=UTC)
        rows = [
            (of, f"old {i}", "closed", priority, made, made + timedelta(hours=open_for))
            for i, open_for in enumerate(hours)
        ]
        with owner.cursor() as cursor:
            execute_values(
                cursor,
                "insert into tickets (organization_id, subject, status, priority, created_at, resolved_at) values %s",
                rows,
            )

    return write


@pytest.fixture
def policy(organization: UUID) -> None:
    with database.transaction(organization) as connection:
        publish(connection, organization, AROUND_THE_CLOCK)


def test_the_probability_is_the_share_that_was_late_given_the_time_so_far():
    history = closed(40, 1) + closed(30, 5) + closed(30, 10)
    fresh = predict(history, "medium", None, 0, 6 * 3600)
    later = predict(history, "medium", None, 3 * 3600, 6 * 3600)
    assert fresh.probability == pytest.approx(0.3, abs=0.001)
    assert later.probability == pytest.approx(0.5, abs=0.001)
    assert (later.basis["closed_tickets"], later.basis["open_as_long"]) == (100, 60)


def test_comparable_tickets_weigh_more_and_few_of_them_are_shrunk():
    history = closed(100, 1, "low") + closed(2, 10, "urgent")
    two = predict(history, "urgent", None, 0, 6 * 3600)
    many = predict(history + closed(200, 10, "urgent"), "urgent", None, 0, 6 * 3600)
    assert two.probability == pytest.approx((2 + 10 * 2 / 102) / 12, abs=0.001)
    assert many.probability > 0.95


def test_below_fifty_closed_tickets_the_history_is_insufficient():
    assert predict(closed(49, 1), "low", None, 0, 60).probability is None
    assert predict(closed(49, 1), "low", None, 0, 60).reason == "insufficient history: 49 closed tickets, 50 are needed"
    assert predict(closed(50, 1), "low", None, 0, 60).probability is not None


def test_a_ticket_older_than_all_that_were_closed_gets_no_number():
    found = predict(closed(100, 1), "low", None, 2 * 3600, 3 * 3600)
    assert (found.probability, found.reason) == (
        None,
        "insufficient history: 0 closed tickets were open this long, 10 are needed",
    )


def test_what_is_breached_already_is_certain():
    assert predict([], "low", None, 61, 60).probability == 1.0


def test_a_running_clock_gets_its_probability(organization: UUID, policy, history, ticket, run_jobs, ask):
    seed = 20261123
    print("seed", seed)
    hours = [random.Random(seed + i).uniform(0.1, 10) for i in range(200)]
    history(organization, hours)
    made = ticket("The hub blinks red", status="accepted")
    run_jobs("tickets")
    ((probability, reason, basis),) = ask(PREDICTION, made)
    assert reason is None
    assert basis["closed_tickets"] == 200
    assert probability == pytest.approx(sum(open_for > 4 for open_for in hours) / 200, abs=0.03)  # medium: 14,400 s


def test_without_a_running_clock_it_says_so(organization: UUID, policy, history, ticket, run_jobs, ask):
    ask(SWITCHES_OFF)
    made = ticket("The hub blinks red")
    ask(
        "select pgbroker.enqueue('predict_sla', args => jsonb_build_array(%s::text, %s::text), queue => 'tickets')",
        str(organization),
        str(made),
    )
    run_jobs("tickets")
    assert ask(PREDICTION, made)[0][:2] == (None, "no running clock: none has started")
    ask("update tickets set status = 'accepted' where id = %s", made)
    run_jobs("tickets")
    assert ask(PREDICTION, made)[0][:2] == (None, "insufficient history: 0 closed tickets, 50 are needed")


def test_the_history_of_one_organization_serves_no_other(
    owner, organization: UUID, policy, history, ticket, run_jobs, ask
):
    history(new_organization(owner, "Other"), [1.0] * 100)
    made = ticket("The hub blinks red", status="accepted")
    run_jobs("tickets")
    assert ask(PREDICTION, made)[0][1] == "insufficient history: 0 closed tickets, 50 are needed"


def test_tickets_without_instants_are_no_history(organization: UUID, policy, history, ticket, run_jobs, ask):
    history(organization, [0.0] * 100)
    made = ticket("The hub blinks red", status="accepted")
    run_jobs("tickets")
    assert ask(PREDICTION, made)[0][1] == "insufficient history: 0 closed tickets, 50 are needed"
