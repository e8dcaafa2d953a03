"""GET /api/v1/notifications and POST …/{id}/read: an agent's inbox, and nobody else's."""

from uuid import UUID, uuid4

import pytest
from builders import new_organization
from fastapi.testclient import TestClient


@pytest.fixture
def told(owner, organization: UUID):
    """Write delivered notifications, one a minute, the newest last; their ids."""

    def write(*recipients: str | None, of: UUID = organization, delivered: bool = True) -> list[str]:
        ids = []
        with owner.cursor() as cursor:
            for minute, recipient in enumerate(recipients):
                cursor.execute(
                    """insert into notifications (organization_id, idempotency_key, kind, recipient, detail, created_at,
                                                  delivered_at)
                       values (%s, gen_random_uuid()::text, 'sla_warning', %s, '{"subject": "x"}',
                               now() - interval '1 day' + make_interval(mins => %s), case when %s then now() end)
                       returning id::text""",
                    (of, recipient, minute, delivered),
                )
                ids.append(cursor.fetchone()[0])
        return ids

    return write


def ids(client: TestClient, **parameters) -> list[str]:
    answer = client.get("/api/v1/notifications", params={"org": "Acme", **parameters})
    assert answer.status_code == 200
    return [notification["id"] for notification in answer.json()["notifications"]]


def test_an_agent_sees_his_own_the_newest_first_and_the_queue_is_apart(client: TestClient, owner, told):
    first, other, second = told("kim", "ana", "kim")
    (nobodys,) = told(None)
    told("kim", delivered=False)
    told("kim", of=new_organization(owner, "Other"))
    assert ids(client, agent="kim") == [second, first]
    assert ids(client, agent="kim", top=1) == [second]
    assert ids(client, agent="ana") == [other]
    assert ids(client) == [nobodys]
    (found,) = client.get("/api/v1/notifications", params={"org": "Acme", "agent": "ana"}).json()["notifications"]
    assert (found["kind"], found["detail"], found["read_at"]) == ("sla_warning", {"subject": "x"}, None)


def test_what_was_read_is_read_once_and_can_be_left_out(client: TestClient, told):
    first, second = told("kim", "kim")
    answer = client.post(f"/api/v1/notifications/{first}/read", params={"org": "Acme"})
    assert answer.status_code == 200
    assert client.post(f"/api/v1/notifications/{first}/read", params={"org": "Acme"}).json() == answer.json()
    assert ids(client, agent="kim") == [second, first]
    assert ids(client, agent="kim", unread=True) == [second]


def test_what_is_not_there_or_another_organizations_cannot_be_read(client: TestClient, owner, told):
    other = new_organization(owner, "Other")
    (theirs,) = told("kim", of=other)
    (not_yet,) = told("kim", delivered=False)
    for key in (theirs, not_yet, str(uuid4()), "x"):
        answer = client.post(f"/api/v1/notifications/{key}/read", params={"org": "Acme"})
        assert answer.status_code == 404, key
        assert "\n" not in answer.json()["detail"]
    with owner.cursor() as cursor:
        cursor.execute("select count(*) from notifications where read_at is not null")
        assert cursor.fetchone() == (0,)
    assert client.get("/api/v1/notifications", params={"org": "Nobody"}).status_code == 404
    assert client.get("/api/v1/notifications", params={"org": "Acme", "top": 0}).status_code == 422


def test_the_inbox_is_read_by_index(owner, told, organization):
    from desk.sql import statement

    told(*["kim"] * 5)
    with owner.cursor() as cursor:
        cursor.execute("set enable_seqscan = off")
        for name in ("inbox", "inbox_of_queue"):
            what = {"organization_id": organization, "agent": "kim", "unread": False, "limit": 50}
            cursor.execute("explain " + statement("desk.notices", name), what)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "notifications_unread" in plan, name
            assert "notifications_read" in plan, name
