"""An upgrade while the work goes on: processes of the version before the second schema beside those of this one."""

import os
import shutil
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import dramatiq
import psutil
import psycopg2
import pytest
from big_queue import run
from builders import fresh_database
from dramatiq.message import Message
from workers import until, work_off

from pgbroker import PostgresBroker, SchemaMissing
from pgbroker.middleware import Retries
from pgbroker.migrate import DIRECTORY, migrate

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLD = "19b591a"  # the last version that knew the first two migrations only
FIRST_SCHEMA = ("0001_dramatiq_pg.sql", "0002_leases.sql")


@pytest.fixture(scope="module")
def old_version(tmp_path_factory):
    """A folder with the package as it was."""
    known = subprocess.run(["git", "cat-file", "-e", f"{OLD}^{{commit}}"], cwd=ROOT, capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"commit {OLD} is not in this clone")
    folder = tmp_path_factory.mktemp("old")
    archive = folder / "old.tar"
    subprocess.run(["git", "archive", "-o", archive, OLD, "pgbroker"], cwd=ROOT, check=True)
    shutil.unpack_archive(archive, folder, filter="data")
    return folder


@pytest.fixture
def connection(server):
    """An autocommit connection to a database without any schema."""
    with fresh_database(server, "template0") as name:
        connection = psycopg2.connect(server.url(database=name))
        connection.autocommit = True
        yield connection
        connection.close()


@pytest.fixture
def url(server, connection):
    return server.url(database=connection.info.dbname)


@pytest.fixture
def start(url, tmp_path):
    """Start a real worker of the package in a folder; all end with the test, which shows their logs when it fails."""
    started = []

    def start(version, folder=ROOT):
        log = tmp_path / f"{version} {len(started)}.log"
        environment = {"TEST_BROKER_URL": url, "VERSION": version, "PYTHONPATH": f"{folder}:{HERE}"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(Path(sys.executable).parent / "dramatiq"), "mixed_jobs", "-p", "1", "-t", "2"],
                env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT, cwd=HERE,
            )  # fmt: skip
        process.log = log
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)
        print(f"--- {process.log.name}\n{process.log.read_text()[-4000:]}")


def kill(process):
    if process.poll() is None:
        for victim in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            victim.kill()
        process.wait()


@pytest.fixture
def first_schema(connection, tmp_path):
    """Only the first two migrations are applied."""
    for name in FIRST_SCHEMA:
        (tmp_path / "first").mkdir(exist_ok=True)
        shutil.copy(DIRECTORY / name, tmp_path / "first")
    migrate(connection, tmp_path / "first")


def upgrade(connection):
    connection.autocommit = False
    migrate(connection)
    connection.autocommit = True


def test_old_workers_and_new_ones_share_a_queue_and_rescue_each_other(start, old_version, connection, url):
    upgrade(connection)
    run(connection, "create table ledger (kind text, number integer, version text)")
    until(
        lambda: run(connection, "select where pg_postmaster_start_time() < now() - interval '6 s'"), "an older server"
    )
    broker = PostgresBroker(url, middleware=[], results=False)

    def send(numbers):
        kinds = {number: ("once", "second_time", "sends", "once", "fails")[number % 5] for number in numbers}
        broker.send_many([Message("default", kind, (number,), {}, {}) for number, kind in kinds.items()])

    def living(versions):
        return run(connection, "select from pgbroker.processes having count(*) = %s", [versions])

    def both_worked(more_than):
        found = dict(run(connection, "select version, count(*) from ledger group by 1"))
        return min(found.get("old", 0), found.get("new", 0)) > more_than

    old, new = start("old", old_version), start("new")
    until(lambda: living(2), "two workers")
    send(range(100))
    until(lambda: both_worked(10), "both have worked")
    kill(old)
    until(lambda: living(1), "the new one has rescued what the old one held")
    heir = start("old", old_version)
    until(lambda: living(2), "two workers")
    before = run(connection, "select count(*) from ledger where version = 'old'")[0][0]
    send(range(100, 200))
    until(lambda: both_worked(before + 10), "both have worked")
    kill(new)
    until(lambda: living(1), "the old one has rescued what the new one held")
    until(lambda: run(connection, "select count(*) from dramatiq.queue") == [(0,)], "an empty queue")
    broker.close()

    assert heir.poll() is None
    effects = run(connection, "select kind, number from ledger order by 1, 2")
    wanted = [(kind, n) for n in range(200) for kind in {0: ["once"], 1: ["second_time"], 2: ["sends", "sent"],
              3: ["once"], 4: []}[n % 5]]  # fmt: skip
    assert effects == sorted(wanted)
    dead = run(connection, "select (message -> 'args' ->> 0)::integer, reason from pgbroker.dead_letters order by 1")
    assert dead == [(n, "retries exhausted") for n in range(4, 200, 5)]
    assert run(connection, "select count(*) from pgbroker.finished") == [(len(wanted),)]
    for kind in ("once", "second_time", "sends", "sent"):
        assert {row[0] for row in run(connection, "select distinct version from ledger where kind = %s", [kind])} == {
            "old", "new"
        }, kind  # fmt: skip
    assert all("Rescued" in process.log.read_text() for process in (new, heir))


def test_a_new_worker_waits_for_its_schema_and_goes_on_by_itself(start, connection, first_schema):
    run(connection, "create table ledger (kind text, number integer, version text)")
    run(connection, "insert into pgbroker.actors (actor_name, queue_name) values ('once', 'default')")
    run(connection, "select pgbroker.enqueue('once', jsonb_build_array(n)) from generate_series(1, 5) n")
    worker = start("new")
    until(lambda: "lacks the broker's schema" in worker.log.read_text(), "the worker says what is missing")
    assert worker.poll() is None
    assert run(connection, "select count(*) from dramatiq.queue where state = 'queued'") == [(5,)]
    upgrade(connection)
    upgraded_at = time.monotonic()
    until(lambda: run(connection, "select from ledger having count(*) = 5"), "the messages run", timeout_seconds=10)
    print(f"{time.monotonic() - upgraded_at:.1f} s after the upgrade")
    text = worker.log.read_text()
    (line,) = [line for line in text.splitlines() if "lacks the broker's schema" in line]
    assert "migrate" in line
    assert "Traceback" not in text


def test_a_new_sender_on_the_old_schema_sends_nothing(connection, url, first_schema):
    broker = PostgresBroker(url, middleware=[], results=False)
    message = Message("default", "once", (1,), {}, {})
    many = [message.copy(message_id=f"00000000-0000-0000-0000-{number:012}") for number in range(100)]
    with pytest.raises(SchemaMissing, match="Run pgbroker"):
        broker.enqueue(message)
    with pytest.raises(SchemaMissing):
        broker.enqueue(message.copy(options={"unique_key": "key"}))
    with pytest.raises(SchemaMissing):
        broker.send_many(many)
    joined = psycopg2.connect(url)
    run(joined, "create table mine ()")
    with pytest.raises(SchemaMissing), joined, broker.enlist(joined):
        broker.enqueue(message)
    joined.close()
    assert run(connection, "select count(*), to_regclass('mine') from dramatiq.queue") == [(0, None)]
    upgrade(connection)
    broker.enqueue(message)
    assert run(connection, "select count(*) from dramatiq.queue") == [(1,)]
    broker.close()


DRAMATIQ_PG_ROW = """
    insert into dramatiq.queue (message_id, queue_name, state, result, result_ttl, message)
    values (gen_random_uuid(), %(queue)s, %(state)s, %(result)s, now() + interval '1 hour', jsonb_build_object(
        'queue_name', %(queue)s::text, 'actor_name', 'note', 'args', jsonb_build_array(%(what)s::text), 'kwargs',
        '{}'::jsonb, 'options', %(options)s::jsonb, 'message_id', gen_random_uuid(), 'message_timestamp', 1))"""


def test_every_row_of_dramatiq_pg_has_its_place_after_the_upgrade(connection, url):
    schema = files("dramatiq_pg").joinpath("schema.sql").read_text()
    schema = "\n".join(line for line in schema.splitlines() if not line.startswith("\\"))
    for placeholder, value in (("schema", "dramatiq"), ("state", "state"), ("queue", "queue")):
        schema = schema.replace(f':"{placeholder}"', f'"{value}"')
    run(connection, schema)
    in_an_hour = int((time.time() + 3600) * 1000)
    for queue, state, what, options, result in (
        ("mail", "queued", "waits", "{}", None),
        ("mail", "consumed", "ran as its worker was stopped", "{}", None),
        ("mail.DQ", "queued", "due long ago", '{"eta": 1000}', None),
        ("mail.DQ", "consumed", "due long ago, in a worker's hands", '{"eta": 1000}', None),
        ("mail.DQ", "queued", "later", f'{{"eta": {in_an_hour}, "retries": 2}}', None),
        ("mail.DQ", "consumed", "later, in a worker's hands", f'{{"eta": {in_an_hour}}}', None),
        ("mail", "done", "done", "{}", None),
        ("mail", "done", "done with a result", "{}", '{"answer": 42}'),
        ("mail", "rejected", "rejected", '{"retries": 3, "traceback": "Traceback"}', None),
    ):
        run(connection, DRAMATIQ_PG_ROW,
            {"queue": queue, "state": state, "what": what, "options": options, "result": result})  # fmt: skip
    upgrade(connection)

    later = run(
        connection,
        """select message #>> '{args,0}', queue_name, message ->> 'queue_name', message -> 'options' ? 'eta',
                  (message -> 'options' ->> 'retries')::integer, abs(extract(epoch from run_at) * 1000 - %s) < 1
             from dramatiq.queue where run_at > now() order by 1""",
        [in_an_hour],
    )
    assert later == [
        ("later", "mail", "mail", False, 2, True),
        ("later, in a worker's hands", "mail", "mail", False, None, True),
    ]
    assert run(connection, "select result, result_ttl > now() from dramatiq.queue where state = 'done'") == [
        ({"answer": 42}, True)
    ]
    assert run(connection, "select message #>> '{args,0}' from pgbroker.finished order by 1") == [
        ("done",), ("done with a result",)
    ]  # fmt: skip
    assert run(connection, "select message #>> '{args,0}', reason, retries, traceback from pgbroker.dead_letters") == [
        ("rejected", "rejected", 3, "Traceback")
    ]

    run(connection, "update dramatiq.queue set run_at = now() where state = 'queued'")
    broker = PostgresBroker(url, middleware=[Retries()], results=False)
    ran = []

    @dramatiq.actor(broker=broker, queue_name="mail")
    def note(what):
        ran.append(what)

    work_off(broker, "mail")
    broker.close()
    assert sorted(ran) == [
        "due long ago", "due long ago, in a worker's hands", "later", "later, in a worker's hands",
        "ran as its worker was stopped", "waits",
    ]  # fmt: skip
    assert run(connection, "select state from dramatiq.queue") == [("done",)]
