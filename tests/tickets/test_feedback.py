"""What people change is a label, and says how good triage was."""

import json
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app.commands.tickets import app
from app.web.application import build
from desk import database
from desk.errors import InvalidInput, NotFound
from desk.tickets import changing
from desk.tickets.triage import quality

FEEDBACK = "select what, outcome, proposed, chosen, verdict from triage_feedback order by what"


@pytest.fixture
def triaged(organization: UUID, ask, ticket):
    """A ticket for which triage proposed delivery, as a worker would have written it."""

    def make(outcome: str = "suggested", category: str | None = "delivery", confidence: float | None = 0.85) -> UUID:
        made = ticket("My parcel has not arrived")
        ask(
            """insert into triage_results (organization_id, ticket_id, revision, outcome, category, category_confidence,
                                          priority, tags, reason, method, calibrated, model_version)
               values (%s, %s, 1, %s, %s, %s, 'high', '[{"tag": "post"}, {"tag": "late"}]', 'r', 'm', true, 3)""",
            organization, made, outcome, category, confidence,
        )  # fmt: skip
        return made

    return make


@pytest.fixture
def change(organization: UUID):
    def change(ticket_id: UUID, **changes: Any):
        with database.transaction(organization) as connection:
            return changing.change(connection, organization, ticket_id, changes, by="ida")

    return change


def test_a_category_that_a_person_confirms_is_accepted_and_a_label(triaged, change, ask):
    after = change(triaged(), category="delivery")
    assert (after.category, after.category_by) == ("delivery", "person")
    assert ask(FEEDBACK) == [("category", "suggested", "delivery", "delivery", "accepted")]
    assert ask("select labelled_at is not null from tickets") == [True]
    assert ask("select model_version, confidence from triage_feedback") == [(3, 0.85)]


def test_corrections_of_each_kind_are_kept_apart(triaged, change, ask):
    change(triaged(), category="refund", priority="low", tags=["late", "post"])
    assert ask(FEEDBACK) == [
        ("category", "suggested", "delivery", "refund", "corrected"),
        ("priority", "suggested", "high", "low", "corrected"),
        ("tags", "suggested", "late,post", "late,post", "accepted"),
    ]


def test_a_second_choice_replaces_the_first_against_the_same_proposal(triaged, change, ask):
    made = triaged()
    change(made, category="refund")
    change(made, category="delivery")
    assert ask(FEEDBACK) == [("category", "suggested", "delivery", "delivery", "accepted")]


def test_what_triage_did_not_answer_counts_against_its_coverage_alone(triaged, change, organization):
    change(triaged("abstained", None, None), category="refund")
    change(triaged(), category="delivery")
    with database.transaction(organization) as connection:
        (found,) = quality.measure(connection, organization)
    assert (found.tickets, found.answers, found.coverage, found.accuracy) == (2, 1, 0.5, 1.0)
    assert [(band.least, band.below, band.accuracy, band.confidence) for band in found.bands] == [(0.8, 0.9, 1.0, 0.85)]


def test_what_a_job_changes_is_no_feedback(triaged, ask):
    made = triaged()
    ask("update tickets set category = 'delivery', category_by = 'triage', priority = 'high', priority_by = 'triage'"
        " where id = %s", made)  # fmt: skip
    assert ask(FEEDBACK) == []


def test_a_change_is_in_the_audit_log_with_who_did_it(ticket, change, ask):
    change(ticket("x"), status="accepted", assignee="kim")
    assert ask("select who, action, detail from audit_log") == [
        (
            "ida",
            "ticket_changed",
            {"status": {"from": "new", "to": "accepted"}, "assignee": {"from": None, "to": "kim"}},
        )
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing to change"),
        ({"status": "lost"}, "status 'lost' is none of"),
        ({"priority": None}, "priority 'None' is none of"),
        ({"category": " "}, "category must not be empty"),
        ({"tags": ["x"] * 51}, "tags must be a list of at most 50"),
        ({"subject": "y"}, "'subject' cannot be changed"),
        ({"assignee": "a\x00b"}, "assignee holds a NUL character"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_and_nothing_written(ticket, change, ask, changes, said):
    made = ticket("x")
    with pytest.raises(InvalidInput, match=said):
        change(made, **changes)
    assert ask("select count(*) from audit_log") == [0]


def test_another_organizations_ticket_is_not_there(owner, ticket, change):
    from builders import new_organization

    with pytest.raises(NotFound):
        change(ticket("x", of=new_organization(owner, "Other")), status="closed")


@pytest.fixture
def client(database_name: str) -> TestClient:
    return TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 5000))


def test_the_api_changes_a_ticket_and_tells_all_about_it(client, triaged):
    made = triaged()
    answer = client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "ida", "category": "refund"})
    assert answer.status_code == 200
    assert (answer.json()["category"], answer.json()["status"]) == ("refund", "new")
    found = client.get(f"/api/v1/tickets/{made}?org=Acme").json()
    assert found["ticket"]["category"] == "refund"
    assert found["triage"]["category"] == "delivery"
    assert found["sentiment"] is None
    cleared = client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "ida", "category": None}).json()
    assert cleared["category"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"by": "ida"}, 422),
        ({"category": "x"}, 422),
        ({"by": "ida", "status": "lost"}, 422),
        ({"by": "i", "id": 1}, 422),
    ],
)
def test_the_api_refuses_what_cannot_be_used(client, ticket, body, status):
    assert client.patch(f"/api/v1/tickets/{ticket('x')}?org=Acme", json=body).status_code == status


def test_the_api_does_not_know_another_organizations_ticket(client, owner, ticket):
    from builders import new_organization

    made = ticket("x", of=new_organization(owner, "Other"))
    assert client.get(f"/api/v1/tickets/{made}?org=Acme").status_code == 404
    assert client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "i", "status": "closed"}).status_code == 404


def test_the_command_and_the_metrics_show_the_quality(triaged, change, client):
    change(triaged(), category="delivery")
    change(triaged(confidence=0.95), category="refund")
    (found,) = json.loads(CliRunner().invoke(app, ["triage-quality", "--org", "Acme", "--json"]).stdout)
    assert (found["what"], found["accuracy"], found["coverage"]) == ("category", 0.5, 1.0)
    assert [(band["least"], band["accuracy"]) for band in found["bands"]] == [(0.8, 1.0), (0.9, 0.0)]
    assert "0.8–0.9" in CliRunner().invoke(app, ["triage-quality", "--org", "Acme"]).stdout
    scraped = client.get("/metrics").text
    assert 'atum_triage_answers_7_days{confidence="0.9-1.0",verdict="corrected",what="category"} 1.0' in scraped
