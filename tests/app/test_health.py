"""Health and metrics: what they say about a desk that works, that has just started, and that lacks something."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from waiting import until

from app.web import health
from app.web.application import build
from desk import database
from desk.kb import embedding, reconciling
from desk.settings import settings


@pytest.fixture
def established(client: TestClient) -> Callable[[], dict]:
    """The health of an API that started long ago, when nothing is excused any more."""

    def ask() -> dict:
        client.app.state.startup.started = time.monotonic() - health.STARTING_SECONDS - 1  # type: ignore[attr-defined]
        answer = client.get("/api/v1/health")
        assert answer.status_code == (503 if answer.json()["status"] == "red" else 200)
        return answer.json()

    return ask


@pytest.fixture
def running(owner) -> None:
    """What worker and scheduler leave in the tables while they run."""
    with owner.cursor() as cursor:
        cursor.execute("""
            insert into pgbroker.processes (process_id, host, pid, queues)
            values (gen_random_uuid(), 'here', 1, '{tickets,sla}');
            insert into pgbroker.actors (actor_name, queue_name)
            values ('sweep_slas', 'sla'), ('triage_ticket', 'tickets');
            insert into pgbroker.slots (actor_name, slot_at, message_id)
            values ('sweep_slas', now() - interval '20 seconds', gen_random_uuid())""")


def test_a_desk_with_everything_is_ok(running, model_dir: Path, established: Callable[[], dict]):
    found = until(lambda: (got := established())["status"] == "ok" and got, "the model is loaded")
    assert {name: part["status"] for name, part in found.items() if name != "status"} == dict.fromkeys(
        ("database", "queue", "scheduler", "model"), "ok"
    )
    assert found["scheduler"]["last_tick_age_seconds"] in range(20, 60)


def test_what_is_not_there_yet_is_starting_and_not_red(client: TestClient, model_dir: Path):
    answer = client.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "starting"
    assert answer.json()["scheduler"] == {
        "status": "starting",
        "detail": "There was no tick yet; the API has just started, a tick is due within the minute.",
    }
    assert answer.json()["queue"]["status"] == "starting"


@pytest.fixture
def no_model(database_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process loaded is forgotten, and so is where it was; this home has no model."""
    monkeypatch.delenv("ATUM_EMBED_MODEL_DIR", raising=False)
    settings.cache_clear()
    embedding.unload()


@pytest.mark.usefixtures("no_model")
def test_without_worker_scheduler_and_model_each_part_is_red_with_its_reason(established: Callable[[], dict]):
    found = established()
    assert found["status"] == "red"
    assert found["database"]["status"] == "ok"
    assert "No worker process" in found["queue"]["detail"]
    assert "There was no tick yet. Start `periodiq" in found["scheduler"]["detail"]
    assert "atum model fetch" in found["model"]["detail"]


def test_an_old_tick_is_red(running, owner, established: Callable[[], dict]):
    with owner.cursor() as cursor:
        cursor.execute("update pgbroker.slots set slot_at = now() - interval '200 seconds'")
    assert established()["scheduler"]["status"] == "red"


def test_a_worker_whose_beat_stopped_does_not_count(running, owner, established: Callable[[], dict]):
    assert established()["queue"]["status"] == "ok"
    with owner.cursor() as cursor:
        cursor.execute("update pgbroker.processes set beat_at = now() - interval '2 minutes'")
    assert established()["queue"]["status"] == "red"


def test_a_queue_that_nobody_serves_is_red_and_named(running, owner, established: Callable[[], dict]):
    with owner.cursor() as cursor:
        cursor.execute("select pgbroker.enqueue('triage_ticket', queue => 'tickets')")
        assert established()["queue"]["status"] == "ok"
        cursor.execute("update dramatiq.queue set run_at = now() - interval '10 minutes'")
        found = established()["queue"]
        assert found["status"] == "red"
        assert re.search(r"Queue tickets: the next message in line has waited 60\d seconds", found["detail"])
        # What is more urgent but due later does not hide it.
        cursor.execute(
            "select pgbroker.enqueue('triage_ticket', queue => 'tickets', delay => '1 hour', priority => -1)"
        )
        assert established()["queue"]["status"] == "red"
        # Later than now is not waiting.
        cursor.execute("update dramatiq.queue set run_at = now() + interval '1 minute'")
    assert established()["queue"]["status"] == "ok"


def test_a_queue_that_is_paused_is_no_fault_and_said(running, owner, established: Callable[[], dict]):
    with owner.cursor() as cursor:
        cursor.execute("""
            select pgbroker.enqueue('triage_ticket', queue => 'tickets');
            update dramatiq.queue set run_at = now() - interval '10 minutes';
            insert into pgbroker.queues values ('tickets', now())""")
        assert established()["queue"] == {"status": "ok", "detail": "1 worker process beats. Paused: tickets."}
        cursor.execute("update pgbroker.queues set paused_at = null")
        assert established()["queue"]["status"] == "red"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://atum:pa55word@127.0.0.1:1/atum", "does not answer"),
        ("postgresql://atum:pa55word@host.invalid/atum", "does not answer"),
    ],
)
def test_a_database_that_is_away_is_503_at_once_without_a_password(
    database_name: str, monkeypatch: pytest.MonkeyPatch, url: str, reason: str
):
    monkeypatch.setenv("ATUM_DATABASE_URL", url)
    settings.cache_clear()
    database.close()
    with TestClient(
        build(), base_url="http://localhost", client=("127.0.0.1", 50000), raise_server_exceptions=False
    ) as client:
        began = time.monotonic()
        answer = client.get("/api/v1/health")
        assert time.monotonic() - began < 10
        assert answer.status_code == 503
        assert reason in answer.json()["database"]["detail"]
        assert answer.json()["queue"]["status"] == answer.json()["scheduler"]["status"] == "red"
        created = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "x"})
        assert created.status_code == 503
        assert reason in created.json()["detail"]
        assert "atum_database_up 0.0" in client.get("/metrics").text
        assert "pa55word" not in answer.text + created.text


def test_a_database_that_ends_its_sessions_costs_no_request(client: TestClient, organization: UUID, owner):
    ticket = {"organization": "Acme", "subject": "x"}
    assert client.post("/api/v1/tickets", json=ticket).status_code == 201
    with owner.cursor() as cursor:
        cursor.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert client.post("/api/v1/tickets", json=ticket).status_code == 201


def test_a_session_that_ends_within_a_request_is_503_and_nothing_is_stored(
    client: TestClient, organization: UUID, owner
):
    with owner.cursor() as cursor:
        cursor.execute("""
            create function die() returns trigger language plpgsql security definer as $$
            begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
            create trigger zz_die after insert on tickets for each row execute function die()""")
        answer = client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "x"})
        assert answer.status_code == 503
        assert "Try again" in answer.json()["detail"]
        cursor.execute("drop trigger zz_die on tickets; select count(*) from tickets")
        assert cursor.fetchone() == (0,)


def test_a_database_without_schema_is_503_and_names_the_remedy(server, database_name: str, owner, client: TestClient):
    with owner.cursor() as cursor:
        cursor.execute("drop schema pgbroker cascade")
    answer = client.get("/api/v1/health")
    assert answer.status_code == 503
    assert "atum init" in answer.json()["queue"]["detail"]


def test_health_answers_while_the_pool_has_no_free_connection(client: TestClient, database_name: str):
    held = [database.transaction() for _ in range(settings().pool_size)]
    try:
        for transaction in held:
            transaction.__enter__()
        began = time.monotonic()
        assert client.get("/api/v1/health").json()["database"]["status"] == "ok"
        assert time.monotonic() - began < 5
    finally:
        for transaction in held:
            transaction.__exit__(None, None, None)


def figures(text: str) -> dict[str, float]:
    """Metric lines by name and labels."""
    found = re.findall(r"^((?:atum|pgbroker)\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_metrics_tell_the_queue_as_it_is(client: TestClient, running, organization: UUID, owner):
    client.post("/api/v1/tickets", json={"organization": "Acme", "subject": "x"})
    with owner.cursor() as cursor:
        cursor.execute("""
            select pgbroker.enqueue('triage_ticket', queue => 'tickets', delay => interval '1 hour');
            update dramatiq.queue set run_at = now() - interval '40 seconds' where actor_name = 'draft_reply';
            insert into pgbroker.dead_letters (message_id, queue_name, actor_name, message, created_at, deliveries,
                                               retries, reason, history)
            values (gen_random_uuid(), 'kb', 'index_articles', '{}', now(), 1, 0, 'thrown', '[]');
            insert into pgbroker.finished (message_id, queue_name, actor_name, message, created_at, finished_at,
                                           deliveries, retries, history)
            select gen_random_uuid(), 'sla', 'sweep_slas', '{}', now(), now() - make_interval(mins => m), 1, 0, '[]'
              from generate_series(1, 10, 3) m""")
    got = figures(client.get("/metrics").text)
    assert got['atum_queue_messages{actor="triage_ticket",queue="tickets",state="due"}'] == 1
    assert got['atum_queue_messages{actor="triage_ticket",queue="tickets",state="delayed"}'] == 1
    assert 40 <= got['atum_queue_oldest_due_age_seconds{actor="draft_reply",queue="tickets"}'] < 60
    assert got['atum_dead_letters{actor="index_articles",queue="kb"}'] == 1
    assert got['atum_finished_last_5_minutes{actor="sweep_slas",queue="sla"}'] == 2
    assert got['atum_worker_processes{queue="sla"}'] == 1
    assert 20 <= got['atum_last_tick_age_seconds{actor="sweep_slas"}'] < 60
    assert got['pgbroker_messages_waiting{queue="tickets"}'] == sum(
        value for name, value in got.items() if re.match(r'atum_queue_messages.*"tickets",state="due"', name)
    )
    assert got['pgbroker_dead_letters{actor="index_articles",queue="kb"}'] == 1
    assert got["pgbroker_processes"] == 1
    assert got["pgbroker_messages_finished_total"] == 0
    assert got["atum_database_up"] == 1
    assert got['atum_kb_articles{state="pending"}'] == 0
    assert got["atum_kb_articles_per_second"] >= 0
    assert got['atum_kb_models{model="sentence-transformers/all-MiniLM-L6-v2",state="active"}'] == 1
    assert got["atum_sla_sweep_late_seconds"] == 0
    assert got['atum_http_requests_total{method="POST",route="/api/v1/tickets",status="201"}'] >= 1


def test_metrics_tell_stale_articles_and_a_late_sweep(client: TestClient, organization: UUID, owner):
    client.put("/api/v1/articles/a/b", params={"org": "Acme"}, json={"title": "T", "body_md": "words"})
    with owner.cursor() as cursor:
        cursor.execute("update article_index set wanted_at = now() - interval '70 seconds'")
    got = figures(client.get("/metrics").text)
    assert got['atum_kb_articles{state="pending"}'] == 1
    assert 70 <= got["atum_kb_oldest_pending_age_seconds"] < 90
    # The path holds an id; the route does not.
    assert [name for name in got if "articles/a/b" in name] == []
    assert got['atum_http_requests_total{method="PUT",route="/api/v1/articles/{external_id:path}",status="200"}'] >= 1


def test_metrics_tell_what_the_hourly_look_at_the_knowledge_bases_counted(
    client: TestClient, organization: UUID, owner
):
    assert "atum_kb_check_age_seconds" not in client.get("/metrics").text  # nobody has looked yet
    for name in ("a", "b"):
        client.put(f"/api/v1/articles/{name}", params={"org": "Acme"}, json={"title": "T", "body_md": "words"})
    with database.transaction(organization) as connection:
        reconciling.reconcile(connection, organization)
    with owner.cursor() as cursor:
        cursor.execute(
            "update article_index set state = 'ok', done_at = now() where article_id ="
            " (select id from articles where external_id = 'a')"
        )
    got = figures(client.get("/metrics").text)
    assert (got["atum_kb_published"], got["atum_kb_searchable"], got["atum_kb_coverage_ratio"]) == (2, 0, 0)
    assert 0 <= got["atum_kb_check_age_seconds"] < 60
    assert got["atum_kb_seconds_left"] == pytest.approx(300)


def test_unknown_paths_and_methods_are_one_series(client: TestClient):
    client.request("INVENTED", "/api/v1/tickets")
    for path in ("/wp-login.php", "/.env"):
        assert client.get(path).status_code == 404
    text = client.get("/metrics").text
    assert ".env" not in text
    assert "INVENTED" not in text
    assert 'route="unmatched"' in text


def test_the_worker_role_sees_figures_and_no_rows(client: TestClient, organization: UUID, owner):
    client.put("/api/v1/articles/a", params={"org": "Acme"}, json={"title": "T", "body_md": "words"})
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select articles_pending from desk_figures()")
        assert cursor.fetchone() == (1,)
        cursor.execute("select count(*) from article_index")
        assert cursor.fetchone() == (0,)
