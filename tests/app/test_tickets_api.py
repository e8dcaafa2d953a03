"""POST /api/v1/tickets: stored with its jobs or not at all; what cannot be used is refused in one line."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from sla_desk import Desk
from waiting import until

from pgbroker.doorbell import channel


def test_a_ticket_is_stored_and_its_jobs_are_sent(client: TestClient, organization: UUID, owner):
    answer = client.post(
        "/api/v1/tickets",
        json={
            "organization": "Acme",
            "subject": "The hub blinks red",
            "body": "Since yesterday evening.",
            "requester": "ida@example.com",
            "priority": "high",
            "tags": ["hub"],
        },
    )
    assert answer.status_code == 201
    ticket_id = answer.json()["id"]
    with owner.cursor() as cursor:
        cursor.execute("select subject, priority, requester, tags, status from tickets where id = %s", (ticket_id,))
        assert cursor.fetchone() == ("The hub blinks red", "high", "ida@example.com", ["hub"], "new")
        cursor.execute("select actor_name from dramatiq.queue where message -> 'args' ->> 1 = %s", (ticket_id,))
        assert {row[0] for row in cursor.fetchall()} == {
            "triage_ticket",
            "suggest_articles",
            "draft_reply",
            "read_sentiment",
        }


def test_an_idle_worker_is_woken_for_a_new_ticket_and_for_a_change(client: TestClient, organization: UUID, owner):
    with owner.cursor() as cursor:
        cursor.execute(
            """insert into pgbroker.processes (process_id, host, pid, queues, hears_until)
               values (gen_random_uuid(), 'here', 1, '{tickets}', now() + interval '1 minute')"""
        )
        cursor.execute(f"listen {channel('tickets')}")

        def rung() -> bool:
            cursor.execute("select")  # takes in what has come
            heard = bool(owner.notifies)
            owner.notifies.clear()
            return heard

        made = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "The hub blinks red"}).json()
        until(rung, "it rings for the new ticket")
        path = f"/api/v1/tickets/{made['id']}?org=Acme"
        assert client.patch(path, json={"by": "ada", "status": "accepted"}).status_code == 200
        until(rung, "it rings for the change")


def test_a_ticket_that_cannot_be_stored_sends_nothing(client: TestClient, organization: UUID, owner):
    with owner.cursor() as cursor:
        cursor.execute("alter table tickets add constraint picky check (subject <> 'boom')")
        answer = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "boom"})
        assert answer.status_code == 422
        assert "picky" in answer.json()["detail"]
        cursor.execute("select count(*) from dramatiq.queue")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "status", "line"),
    [
        ({"organization": "Nobody"}, 404, "'Nobody'"),
        ({"subject": None}, 422, "body.subject:"),
        ({"subject": "  "}, 422, "body.subject:"),
        ({"subject": "a\x00b"}, 422, "body.subject: holds a NUL character at position 1"),
        ({"body": "b\x00"}, 422, "body.body: holds a NUL character at position 1"),
        ({"organization": "A\x00"}, 422, "body.organization: holds a NUL character"),
        ({"requester": "\x00"}, 422, "body.requester:"),
        ({"tags": ["ok", "\x00"]}, 422, "body.tags.1:"),
        ({"priority": "nuclear"}, 422, "body.priority:"),
        ({"colour": "red"}, 422, "body.colour:"),
    ],
)
def test_bad_input_is_one_line_that_names_the_field(
    client: TestClient, organization: UUID, owner, change: dict, status: int, line: str
):
    answer = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "Blinks", **change})
    assert answer.status_code == status
    assert line in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    with owner.cursor() as cursor:
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"{oops", "body: is not JSON"),
        (b"", "body:"),
        (b"[]", "body:"),
        (b'{"organization": "Acme", "subject": "half \\ud800"}', "body.subject:"),
        (b"\xff\xfe", "body"),
    ],
)
def test_a_body_that_is_no_ticket_is_refused(client: TestClient, organization: UUID, body: bytes, line: str):
    answer = client.post("/api/v1/tickets", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert line in answer.json()["detail"]


def test_the_most_urgent_clocks_are_listed(client: TestClient, organization: UUID, owner):
    desk = Desk(owner, organization)
    desk.publish({"name": "Always", "default": True, "calendar": None, "targets_in": "minutes",
                  "targets": {"resolution": {"urgent": 60, "high": 120, "medium": 240, "low": 480}}})  # fmt: skip
    now = datetime.now(UTC)
    desk.ticket(now, status="accepted", priority="high", subject="The hub is silent")
    answer = client.get("/api/v1/sla/urgent", params={"org": "Acme"})
    assert answer.status_code == 200
    (clock,) = answer.json()["clocks"]
    assert (clock["subject"], clock["metric"], clock["state"]) == ("The hub is silent", "resolution", "running")
    assert clock["time_to_breach_minutes"] == 119
    other = new_organization(owner, "Other")
    assert other
    assert client.get("/api/v1/sla/urgent", params={"org": "Other"}).json()["clocks"] == []
    assert client.get("/api/v1/sla/urgent", params={"org": "Acme", "top": 0}).status_code == 422
    assert client.get("/api/v1/sla/urgent", params={"org": "Nobody"}).status_code == 404


@pytest.mark.parametrize("field", ["assignee", "category", "intent"])
def test_a_name_that_no_index_could_hold_is_refused_by_its_field(client, organization, field):
    ticket = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "It is dark"}).json()["id"]
    signs = "".join(chr(0x4E00 + number * 7919 % 0x5000) for number in range(1000))
    answer = client.patch(f"/api/v1/tickets/{ticket}?org=Acme", json={"by": "kim", field: signs})
    told = {"detail": f"{field} has 1,000 characters; at most 500 are taken"}
    assert (answer.status_code, answer.json()) == (422, told)
    assert client.patch(f"/api/v1/tickets/{ticket}?org=Acme", json={"by": "kim", field: signs[:500]}).status_code == 200
