"""Suggestions before and after a ticket is sent, votes, drafts: over HTTP, per organization, in one clear line."""

from uuid import UUID, uuid4

import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from psycopg2.extensions import connection as Connection

from desk import database
from desk.kb import articles, indexing
from desk.settings import settings
from desk.tickets import jobs, results

ACME = {"org": "Acme"}


@pytest.fixture
def article(organization: UUID, model_dir) -> UUID:
    with database.transaction(organization) as connection:
        made = articles.put(
            connection,
            organization,
            external_id="password",
            title="Reset a forgotten password",
            body_md="To reset your password open the sign-in page and choose *Forgotten password*.",
        )
    indexing.index(organization)
    return made


@pytest.fixture
def ticket(client: TestClient, organization: UUID, article: UUID) -> str:
    """A ticket that its jobs have been through."""
    answer = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "I forgot my password"})
    made = answer.json()["id"]
    found, hits, at = jobs.suggestions(organization, made)
    drafted, body, citations = jobs.draft(organization, made)
    with database.transaction(organization) as connection:
        results.keep_suggestions(connection, found, hits, at)
        results.keep_draft(connection, drafted, body, citations, reason=None, method="cited passages")
    return made


def test_suggestions_before_a_ticket(client: TestClient, article: UUID, owner: Connection):
    question = {"organization": "Acme", "subject": "Sign in", "body": "I forgot my password, how do I reset it?"}
    answer = client.post("/api/v1/suggestions", json=question)
    assert answer.status_code == 200
    offer = answer.json()
    assert [(row["article_id"], row["external_id"]) for row in offer["articles"]] == [(str(article), "password")]
    assert offer["answers"] == []
    for event in ("clicked", "submitted"):
        assert client.post(f"/api/v1/suggestions/{offer['id']}/{event}", params=ACME).status_code == 204
    with owner.cursor() as cursor:
        cursor.execute("select articles, answers, clicked_at is null, submitted_at is null from deflections")
        assert cursor.fetchall() == [(1, 0, False, False)]
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (0,)
    new_organization(owner, "Other")
    assert client.post(f"/api/v1/suggestions/{offer['id']}/clicked", params={"org": "Other"}).status_code == 404
    assert client.post(f"/api/v1/suggestions/{offer['id']}/bought", params=ACME).status_code == 422
    assert client.post("/api/v1/suggestions", json=question | {"organization": "Other"}).json()["articles"] == []
    for change, status in (({"organization": "Nobody"}, 404), ({"subject": " "}, 422), ({"body": "\x00"}, 422)):
        assert client.post("/api/v1/suggestions", json=question | change).status_code == status


def test_what_is_suggested_is_voted_on(client: TestClient, article: UUID, ticket: str, owner: Connection):
    at = f"/api/v1/tickets/{ticket}/suggestions"
    found = client.get(at, params=ACME).json()
    assert found["current"] is True
    assert [row["article_id"] for row in found["articles"]] == [str(article)]
    votes = f"{at}/{article}/votes"
    assert client.post(votes, params=ACME, json={"voter": "ben", "helpful": True}).json() == {
        "article_id": str(article),
        "article_revision": 1,
        "voter": "ben",
        "helpful": True,
    }
    assert client.get(at, params=ACME).json()["articles"][0]["helpful"] == 1
    for body in ({"voter": "", "helpful": True}, {"voter": "ben"}, {"voter": "ben", "helpful": True, "x": 1}):
        assert client.post(votes, params=ACME, json=body).status_code == 422
    assert client.post(f"{at}/{uuid4()}/votes", params=ACME, json={"voter": "b", "helpful": True}).status_code == 404
    new_organization(owner, "Other")
    assert client.get(at, params={"org": "Other"}).status_code == 404
    assert client.get(f"/api/v1/tickets/{uuid4()}/suggestions", params=ACME).status_code == 404
    assert client.get("/api/v1/tickets/nonsense/suggestions", params=ACME).status_code == 404


def test_a_draft_is_read_and_decided_on(client: TestClient, article: UUID, ticket: str, owner: Connection):
    at = f"/api/v1/tickets/{ticket}/draft"
    draft = client.get(at, params=ACME).json()
    assert (draft["current"], draft["method"], draft["outcome"]) == (True, "cited passages", None)
    assert [item["article_id"] for item in draft["citations"]] == [str(article)]
    assert "choose Forgotten password. [1]" in draft["body"]
    assert client.post(f"{at}/used", params=ACME, json={"agent": "ben", "outcome": "edited"}).status_code == 204
    assert client.get(at, params=ACME).json()["outcome"] == "edited"
    assert client.post(f"{at}/used", params=ACME, json={"agent": "ben", "outcome": "sent"}).status_code == 422
    new_organization(owner, "Other")
    assert client.get(at, params={"org": "Other"}).status_code == 404


def test_a_decision_is_about_the_draft_that_was_seen(client: TestClient, organization: UUID, ticket: str, owner):
    at = f"/api/v1/tickets/{ticket}/draft"
    seen = client.get(at, params=ACME).json()["made_at"]
    drafted, body, citations = jobs.draft(organization, ticket)
    with database.transaction(organization) as connection:
        results.keep_draft(connection, drafted, body, citations, reason=None, method="cited passages")
    replacing = client.get(at, params=ACME).json()["made_at"]
    decision = {"agent": "ben", "outcome": "used"}
    refused = client.post(f"{at}/used", params=ACME, json=decision | {"made_at": seen})
    assert refused.status_code == 409
    assert "was replaced" in refused.json()["detail"]
    assert client.get(at, params=ACME).json()["outcome"] is None
    assert client.post(f"{at}/used", params=ACME, json=decision | {"made_at": replacing}).status_code == 204
    assert client.get(at, params=ACME).json()["outcome"] == "used"
    for nonsense in ("now", "2026-01-01T00:00:00"):  # the latter in which zone?
        assert client.post(f"{at}/used", params=ACME, json=decision | {"made_at": nonsense}).status_code == 422
    with database.transaction(organization) as connection:
        results.keep_draft(connection, drafted, None, [], reason="no source", method="cited passages")
    assert client.post(f"{at}/used", params=ACME, json=decision | {"made_at": replacing}).status_code == 409
    assert client.post(f"{at}/used", params=ACME, json=decision).status_code == 404
    with owner.cursor() as cursor:
        cursor.execute("delete from drafts")
    assert client.post(f"{at}/used", params=ACME, json=decision | {"made_at": seen}).status_code == 404


def test_nothing_of_it_is_told_without_the_token(client: TestClient, ticket: str, monkeypatch):
    monkeypatch.setenv("ATUM_API_TOKEN", "s3cret")
    settings.cache_clear()
    for path in ("suggestions", "draft", "similar"):
        assert client.get(f"/api/v1/tickets/{ticket}/{path}", params=ACME).status_code == 401
    right = {"Authorization": "Bearer s3cret"}
    assert client.get(f"/api/v1/tickets/{ticket}/draft", params=ACME, headers=right).status_code == 200


def test_similar_tickets_and_possible_duplicates_are_for_agents(client: TestClient, ticket: str, organization: UUID):
    twin = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "I forgot my password!"}).json()[
        "id"
    ]
    found, hits, at = jobs.suggestions(organization, twin)
    with database.transaction(organization) as connection:
        results.keep_suggestions(connection, found, hits, at)
    with database.transaction(organization) as connection:
        results.keep_duplicates(connection, found, jobs.same(found) or [], at)
    answer = client.get(f"/api/v1/tickets/{ticket}/similar", params=ACME).json()
    assert [one["ticket_id"] for one in answer["similar"]] == [twin]
    assert [one["ticket_id"] for one in answer["duplicates"]] == [twin]
    assert client.get(f"/api/v1/tickets/{ticket}/similar", params=ACME | {"top": 0}).status_code == 422
    assert client.get(f"/api/v1/tickets/{uuid4()}/similar", params=ACME).status_code == 404
