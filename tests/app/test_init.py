"""`atum init`: ten at once on one empty database, twice, and on a server without pgvector."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from builders import admin, fresh_database

from desk.embedded import EmbeddedServer

ATUM = str(Path(sys.executable).with_name("atum"))


@pytest.fixture
def empty(server: EmbeddedServer) -> Iterator[dict[str, str]]:
    """The environment of a process whose database is empty."""
    with fresh_database(server, template="template0") as name:
        url = server.url(database=name)
        yield {**os.environ, "ATUM_DATABASE_URL": url, "ATUM_OWNER_URL": url}


def init(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ATUM, "init", *options], env=environment, capture_output=True, text=True, timeout=120)


def test_ten_at_once_make_one_schema(empty: dict[str, str]):
    started = [
        subprocess.Popen([ATUM, "init", "--json"], env=empty, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    outcomes = [process.communicate(timeout=150) for process in started]
    assert [process.returncode for process in started] == [0] * 10, [error for _, error in outcomes]
    applied = [name for output, _ in outcomes for name in json.loads(output)["applied"]]
    assert len(applied) == len(set(applied)), "a step was applied twice"
    connection = psycopg2.connect(empty["ATUM_DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select array_agg(name order by name) from"
            " (select name from desk_migrations union all select name from pgbroker_migrations) steps"
        )
        assert cursor.fetchone() == (sorted(applied),)
        cursor.execute("select count(*) from pgbroker.actors")
        assert cursor.fetchone()[0] >= 10  # type: ignore[index]
    connection.close()


def test_a_second_run_changes_nothing_and_says_so(empty: dict[str, str]):
    assert init(empty).returncode == 0
    again = init(empty)
    assert again.returncode == 0
    assert "is up to date." in again.stderr
    assert json.loads(init(empty, "--json").stdout)["applied"] == []


def test_without_pgvector_the_rest_is_applied_and_the_remedy_is_named(server: EmbeddedServer, empty: dict[str, str]):
    # The server offers pgvector; a login that may not create it is in the position of one whose server has none.
    with admin(server) as cursor:
        cursor.execute("select exists (select from pg_roles where rolname = 'plain_owner')")
        if not cursor.fetchone()[0]:
            cursor.execute("create role plain_owner login createrole")
        name = empty["ATUM_DATABASE_URL"].rpartition("/")[2].partition("?")[0]
        cursor.execute(f'alter database "{name}" owner to plain_owner')
        cursor.execute("grant atum_owner, atum_worker to plain_owner with admin option")
    url = server.url(user="plain_owner", database=name)
    outcome = init({**empty, "ATUM_DATABASE_URL": url, "ATUM_OWNER_URL": url})
    assert outcome.returncode == 0, outcome.stderr
    assert "waiting  0005_vectors.sql: it needs the extension vector" in outcome.stderr
    assert "create extension vector" in outcome.stderr
    assert "applied  0006_ticket_jobs.sql" in outcome.stderr


def test_a_database_that_is_away_is_one_line_and_status_1(tmp_path: Path):
    away = {**os.environ, "ATUM_DATABASE_URL": "postgresql://atum:hunter22@127.0.0.1:1/atum", "ATUM_OWNER_URL": ""}
    outcome = init(away)
    assert outcome.returncode == 1
    assert outcome.stderr.strip().splitlines()[-1].startswith("atum: The database at 127.0.0.1:1/atum does not answer")
    assert "Traceback" not in outcome.stderr
    assert "hunter22" not in outcome.stderr
