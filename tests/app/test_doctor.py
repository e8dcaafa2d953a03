"""`atum doctor`: finds what is missing, says what to do, and fails only where something does not work."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import admin

from app import doctor
from app.doctor import Finding
from desk import database
from desk.embedded import EmbeddedServer
from desk.settings import settings

ATUM = str(Path(sys.executable).with_name("atum"))


def findings() -> dict[str, Finding]:
    return {finding.check: finding for finding in doctor.examine()}


def statuses() -> dict[str, str]:
    return {check: finding.status for check, finding in findings().items()}


@pytest.fixture
def complete(owner, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of which every check can be `ok`."""
    monkeypatch.setattr(doctor, "SCARCE_BYTES", 0)
    with owner.cursor() as cursor:
        cursor.execute("""
            insert into pgbroker.actors (actor_name, queue_name)
            values ('sweep_slas', 'sla'), ('draft_reply', 'tickets');
            insert into pgbroker.processes (process_id, host, pid, queues)
            values (gen_random_uuid(), 'here', 1, '{sla,tickets}');
            insert into pgbroker.slots (actor_name, slot_at, message_id)
            values ('sweep_slas', now(), gen_random_uuid())""")


def test_where_everything_is_there_every_check_is_ok(complete):
    assert statuses() == dict.fromkeys(
        (
            "settings", "disk", "database", "schema", "row-level security", "pgvector", "workers", "scheduler",
            "dead letters", "model",
        ),
        "ok",
    )  # fmt: skip


def test_each_thing_that_is_missing_is_found_and_has_a_remedy(complete, owner):
    for breaking, check, status in (
        ("update pgbroker.processes set queues = '{sla}'", "workers", "warn"),
        ("select pgbroker.enqueue('draft_reply', queue => 'tickets')", "workers", "warn"),
        ("update dramatiq.queue set run_at = now() - interval '1 hour'", "workers", "fail"),
        ("insert into pgbroker.queues values ('tickets', now())", "paused queues", "warn"),
        ("update pgbroker.slots set slot_at = now() - interval '4 minutes'", "scheduler", "fail"),
        ("delete from pgbroker.processes", "scheduler", "warn"),
        (
            "insert into pgbroker.dead_letters (message_id, queue_name, actor_name, message, created_at, deliveries,"
            " retries, reason, history) values (gen_random_uuid(), 'kb', 'x', '{}', now(), 1, 0, 'thrown', '[]')",
            "dead letters",
            "warn",
        ),
        ("delete from desk_migrations where name like '0020%'", "schema", "fail"),
        ("grant create on schema public to public", "row-level security", "warn"),
    ):
        with owner.cursor() as cursor:
            cursor.execute(breaking)
        found = findings()[check]
        assert found.status == status, (breaking, found)
        assert found.do, breaking
        assert "\n" not in found.found


def test_a_login_that_bypasses_row_level_security_is_a_warning(
    server: EmbeddedServer, complete, database_name, monkeypatch
):
    monkeypatch.setenv("ATUM_DATABASE_URL", server.url(database=database_name))
    settings.cache_clear()
    database.close()
    assert statuses()["row-level security"] == "warn"


def test_a_worker_role_that_bypasses_it_is_a_failure(server: EmbeddedServer, complete):
    with admin(server) as cursor:
        cursor.execute("alter role atum_worker bypassrls")
        try:
            assert statuses()["row-level security"] == "fail"
        finally:
            cursor.execute("alter role atum_worker nobypassrls")


def test_a_database_that_is_away_ends_the_look_there(database_name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATUM_DATABASE_URL", "postgresql://atum:hunter22@127.0.0.1:1/atum")
    settings.cache_clear()
    found = findings()
    assert found["database"].status == "fail"
    assert "schema" not in found
    assert "hunter22" not in str(found)


def test_too_little_disk_is_a_failure(complete, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "TOO_LITTLE_BYTES", 2**60)
    assert statuses()["disk"] == "fail"


def command(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ATUM, "doctor", "--json"], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


def by_check(outcome: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(outcome.stdout)}


def test_the_command_prints_json_and_its_status_tells(complete, database_name: str, tmp_path: Path):
    good = command()
    assert by_check(good)["database"]["status"] == "ok"
    assert good.returncode == 0
    bad = command(ATUM_EMBED_MODEL_DIR=str(tmp_path / "nothing"))
    assert by_check(bad)["model"]["status"] == "fail"
    assert bad.returncode == 1
    worse = command(ATUM_WEB_PORT="many")
    assert "ATUM_WEB_PORT" in by_check(worse)["settings"]["found"]
    assert worse.returncode == 1


def test_before_init_it_names_init_and_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("ATUM_DATABASE_URL", raising=False)
    home = tmp_path / "home"
    outcome = command(ATUM_HOME=str(home))
    assert by_check(outcome)["database"]["do"] == "Run `atum init`."
    assert outcome.returncode == 1
    assert not (home / "postgres").exists()
