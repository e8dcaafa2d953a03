"""Behind pgbouncer in transaction mode, the real one: every transaction may run on another server connection.

The worker notices it, does without NOTIFY, and a dead process is known by its lease alone.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import dramatiq
import psutil
import psycopg2
import pytest
from builders import fresh_database
from dramatiq.results import ResultFailure
from waiting import until
from workers import working

from pgbroker import DatabaseAway, PostgresBroker
from pgbroker.middleware import Retries
from pgbroker.migrate import migrate

HERE = Path(__file__).parent
PGBOUNCER = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
LEASE_SECONDS = 2

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer here (Debian: apt install pgbouncer)")

CONFIGURATION = """
[databases]
* = host={server} user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 100
logfile = {folder}/log
"""


@pytest.fixture(scope="module")
def database(server):
    """A database with the broker's schema and a table for effects."""
    with fresh_database(server, template="template0") as name:
        with closing(psycopg2.connect(server.url(database=name))) as connection:
            migrate(connection)
            with connection, connection.cursor() as cursor:
                cursor.execute("create table effects (number integer, pid integer)")
        yield name


class Pooler:
    """A pgbouncer of our own, in `folder`; `owner` is who may use the server's socket (it refuses to be root)."""

    def __init__(self, folder: Path, owner: int) -> None:
        self._folder, self._owner = folder, owner
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        as_owner = {"user": self._owner} if os.geteuid() == 0 else {}
        command = [PGBOUNCER, "--quiet", str(self._folder / "pgbouncer.ini")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **as_owner)
        until(self._answers, "the pooler listens")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._folder / "log").read_text()
        with closing(socket.socket(socket.AF_UNIX)) as client:
            return client.connect_ex(str(self._folder / ".s.PGSQL.6432")) == 0


@pytest.fixture(scope="module")
def pooler(server):
    with tempfile.TemporaryDirectory(prefix="bouncer-") as name:
        folder, owner = Path(name), os.stat(server.socket).st_uid
        (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(server=server.socket, folder=folder))
        for path in (folder, folder / "pgbouncer.ini"):
            os.chown(path, owner, -1)
        pooler = Pooler(folder, owner)
        pooler.start()
        yield pooler
        pooler.kill()


@pytest.fixture(scope="module")
def url(pooler, database):
    """That database through a pooler of five server connections."""
    return f"postgresql://postgres@/{database}?host={pooler._folder}&port=6432"


@pytest.fixture
def ask(server, database):
    """A look past the pooler, into tables that are empty at the start."""
    with closing(psycopg2.connect(server.url(database=database))) as connection:
        connection.autocommit = True

        def ask(statement, *parameters):
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description is not None else []

        ask(
            """truncate dramatiq.queue, pgbroker.finished, pgbroker.dead_letters, pgbroker.processes,
                        pgbroker.results, effects"""
        )
        yield ask


@pytest.fixture
def broker(url):
    broker = PostgresBroker(url, middleware=[Retries(max_retries=2, min_backoff=1, max_backoff=50)])
    before = dramatiq.broker.global_broker
    dramatiq.set_broker(broker)
    yield broker
    broker.close()
    dramatiq.broker.global_broker = before


def test_the_pooler_does_what_it_is_here_for(url):
    """One connection's transactions meet other ones' sessions; without this the rest would prove nothing."""
    with closing(psycopg2.connect(url)) as one, closing(psycopg2.connect(url)) as two:
        seen = set()
        for connection in (one, two, one):
            with connection, connection.cursor() as cursor:
                cursor.execute("select pg_backend_pid()")
                seen.add(cursor.fetchone())
        assert len(seen) == 1
        assert one.info.backend_pid != two.info.backend_pid


def test_everything_works_and_nothing_is_lost(broker, url, ask):
    runs = Counter()

    @dramatiq.actor(store_results=True)
    def double(number):
        return 2 * number

    @dramatiq.actor
    def second_time(number):
        runs[number] += 1
        if runs[number] == 1:
            raise ValueError("once")

    @dramatiq.actor(store_results=True)
    def fails(number):
        raise ValueError(f"number {number}")

    @dramatiq.actor
    def once(key):
        runs[key] += 1

    @dramatiq.actor
    def effect(number):
        with closing(psycopg2.connect(url)) as connection, connection, broker.finish_in(connection):
            double.send(number)
            with connection.cursor() as cursor:
                cursor.execute("insert into effects values (%s, 0)", (number,))

    doubled = broker.send_many([double.message(number) for number in range(60)])  # enough for COPY
    for number in range(30):
        second_time.send_with_options(args=(number,), delay=300 if number % 3 == 0 else None)
    failed = [fails.send(number) for number in range(10)]
    for key in ("a", "b", "a", "b", "a"):
        once.send_with_options(args=(key,), unique_key=key)
    with closing(psycopg2.connect(url)) as connection:
        for number in range(50):
            with connection, broker.enlist(connection):
                effect.send(number)
                if number % 5 == 0:
                    connection.rollback()
    assert ask("select count(*) from dramatiq.queue") == [(60 + 30 + 10 + 2 + 40,)]

    with working(broker):
        broker.join("default", timeout=20_000)
        assert ask("select backend_pid, hears_until from pgbroker.processes") == [(None, None)]
        assert ask("select count(*) from pg_stat_activity where application_name like 'pgbroker:%%'")[0][0] <= 5
    assert [message.get_result() for message in doubled] == [2 * number for number in range(60)]
    for number, message in enumerate(failed):
        with pytest.raises(ResultFailure, match=f"number {number}"):
            message.get_result()
    assert runs == {"a": 1, "b": 1} | dict.fromkeys(range(30), 2)
    assert ask("select count(*), count(distinct number) from effects") == [(40, 40)]
    assert ask("select actor_name, count(*) from pgbroker.finished group by 1 order by 1") == [
        ("double", 100), ("effect", 40), ("once", 2), ("second_time", 30),
    ]  # fmt: skip
    assert ask("select reason, count(*) from pgbroker.dead_letters group by 1") == [("retries exhausted", 10)]


def test_a_message_of_a_killed_worker_runs_again_after_its_lease(broker, url, ask):
    @dramatiq.actor
    def effect(number):
        raise AssertionError("not here")

    @dramatiq.actor
    def long():
        raise AssertionError("not here")

    environment = {
        **os.environ, "JOBS_URL": url, "JOBS_LEASE_SECONDS": str(LEASE_SECONDS),
        "PYTHONPATH": f"{HERE / 'contract'}{os.pathsep}{HERE.parents[1]}",
    }  # fmt: skip
    command = [sys.executable, "-m", "dramatiq", "jobs", "--processes", "1", "--threads", "3"]
    workers = [subprocess.Popen(command, env=environment)]
    try:
        until(lambda: ask("select from pgbroker.processes"), "the first worker")
        message = long.send()
        until(lambda: ask("select from dramatiq.queue where state = 'consumed'"), "the start of the long one")
        broker.send_many([effect.message(number) for number in range(100)])
        until(lambda: ask("select from effects having count(*) > 10"), "some progress")
        children = psutil.Process(workers[0].pid).children(recursive=True)
        ((holder,),) = ask("select pid from pgbroker.processes")
        assert holder in [child.pid for child in children]
        for process in [psutil.Process(workers[0].pid), *children]:
            process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        workers.append(subprocess.Popen(command, env=environment))
        rescued = """select from dramatiq.queue where message_id = %s and state = 'consumed' and deliveries = 2"""
        until(lambda: ask(rescued, message.message_id), "the second start of the long one")
        took = time.monotonic() - killed_at
        assert LEASE_SECONDS - 1 < took < LEASE_SECONDS + 8, took
        until(lambda: ask("select from dramatiq.queue having count(*) = 1"), "all but the long one done")
        workers[1].terminate()
        assert workers[1].wait(20) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert ask("select count(*), count(distinct number), count(distinct pid) from effects") == [(100, 100, 2)]
    assert ask("select count(*) from pgbroker.finished") == [(100,)]
    ((history,),) = ask("select history from dramatiq.queue")
    assert [entry["event"] for entry in history] == ["rescued", "released"]


def test_a_pooler_that_dies_is_an_outage_like_any_other(broker, pooler, ask):
    @dramatiq.actor
    def note():
        pass

    with working(broker):
        note.send()
        until(lambda: ask("select from pgbroker.finished"), "the first message")
        pooler.kill()
        with pytest.raises(DatabaseAway):
            note.send()
        until(lambda: broker.engine.lifeline.outage.on, "the worker noticed it")
        pooler.start()
        for _ in range(20):
            note.send()
        broker.join("default", timeout=20_000)
    assert ask("select count(*) from pgbroker.finished") == [(21,)]
