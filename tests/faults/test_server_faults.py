"""The server refuses: no connection free, read-only, disk full, statements cancelled. A worker waits, says so once, and
goes on; nothing is lost and nothing runs twice."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest
from builders import fresh_database
from faults.nursery import Process
from faults.trial import Trial
from waiting import until

from app.install import install
from desk.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def small_server() -> Iterator[EmbeddedServer]:
    """A server that takes twelve connections, and twelve more of a superuser's."""
    with tempfile.TemporaryDirectory(prefix="atum-faults-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        server = EmbeddedServer(
            Path(home), ("max_connections=24", "superuser_reserved_connections=12", "fsync=off", "deadlock_timeout=10s")
        )
        server.attach()
        install(server.url())
        connection = psycopg2.connect(server.url())
        with connection, connection.cursor() as cursor:
            cursor.execute("alter role atum_worker login")
        connection.close()
        yield server
        server.stop()
        server.detach()


@pytest.fixture
def refusing(small_server: EmbeddedServer, make_trial: Callable[..., Trial]) -> Iterator[Trial]:
    """A trial on a database of that server, whose ledger is written whatever the server refuses to others."""
    with fresh_database(small_server, template="atum") as name:
        owner = small_server.url(database=name) + "&options=-c%20default_transaction_read_only%3Doff"
        trial = make_trial(owner, small_server.url(user="atum_worker", database=name))
        yield trial
        trial.end()


def worker_at_work(trial: Trial) -> Process:
    """A worker with some messages, of which some have run."""
    for _ in range(30):
        trial.send("once", 0.05)
        trial.send("plain", 0.05)
    worker = trial.worker(2)
    until(lambda: trial.count("ledger") > 5, "some messages have run")
    return worker


def all_is_well(trial: Trial, worker: Process) -> None:
    trial.finish()
    trial.verdict()
    assert trial.total("rescued") == 0
    for what in ("worker", "claim", "finish"):
        assert worker.lines(f"The {what} waits for the database") <= 1
    assert worker.lines("Failed to post_process_message") == 0, "that is Dramatiq's line, one a message"


def test_no_connection_is_free(refusing):
    trial = refusing
    worker = worker_at_work(trial)
    taken = []

    def take_all() -> None:
        with suppress(psycopg2.OperationalError):
            while True:
                taken.append(psycopg2.connect(trial.url))

    take_all()
    trial.ask("select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^(pgbroker|actor)'")
    until(lambda: take_all() or worker.lines("slots are reserved"), "it finds none")
    for connection in taken:
        connection.close()
    all_is_well(trial, worker)


def test_the_server_becomes_read_only_and_writable_again(refusing):
    trial = refusing
    worker = worker_at_work(trial)
    trial.ask("alter system set default_transaction_read_only = on")
    trial.ask("select pg_reload_conf()")
    try:
        until(lambda: worker.lines("waits for the database"), "it says so")
    finally:
        trial.ask("alter system reset default_transaction_read_only")
        trial.ask("select pg_reload_conf()")
    all_is_well(trial, worker)
    assert worker.lines("read-only transaction") >= 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_the_disk_is_full(small_server, make_trial, tmp_path):
    disk = Path(tempfile.mkdtemp(prefix="atum-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,mode=777", "tmpfs", str(disk)], check=True)
    try:
        space = disk / "space"
        space.mkdir()
        account = small_server._account
        os.chown(space, account.pw_uid, account.pw_gid)
        connection = psycopg2.connect(small_server.url(database="postgres"))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"create tablespace small location '{space}'")
            cursor.execute("create database small template atum tablespace small")
        trial = make_trial(small_server.url(database="small"), small_server.url(user="atum_worker", database="small"))
        noise = os.urandom(60_000).hex()
        for _ in range(6):
            trial.send("plain", 0.2, noise)
        filler = disk / "filler"
        worker = trial.worker(2)
        until(lambda: trial.count("ledger"), "one runs")
        with filler.open("wb") as file:
            subprocess.run(["cat", "/dev/zero"], stdout=file, stderr=subprocess.DEVNULL, check=False)
        until(lambda: worker.lines("No space left on device"), "a finish finds no room")
        filler.unlink()
        all_is_well(trial, worker)
        trial.end()
        with connection.cursor() as cursor:
            cursor.execute("drop database small with (force)")
            cursor.execute("drop tablespace small")
        connection.close()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def test_a_finish_is_cancelled_by_a_statement_timeout(refusing):
    trial = refusing
    (name,) = trial.ask("select current_database()")[0]
    trial.ask(f"alter role atum_worker in database {name} set statement_timeout = '200ms'")
    message_id = trial.send("plain", 0.5)
    worker = trial.worker(2)
    until(lambda: trial.count("ledger"), "it runs")
    blocker = psycopg2.connect(trial.owner_url)
    with blocker.cursor() as cursor:
        cursor.execute("select from dramatiq.queue where message_id = %s for update", (message_id,))
        trial.send("plain")
        until(lambda: worker.lines("statement timeout"), "a finish is cancelled")
        until(lambda: trial.count("pgbroker.finished") == 1, "the other is finished")
    blocker.rollback()
    all_is_well(trial, worker)
    assert trial.count("ledger") == 2


def test_a_finish_is_the_victim_of_a_deadlock(refusing):
    """Between the finish, which holds the message and wants to send the next of a pipeline, and somebody who sends
    under the same unique_key and wants the message."""
    trial = refusing
    (name,) = trial.ask("select current_database()")[0]
    trial.ask(f"alter role atum_worker in database {name} set deadlock_timeout = '1s'")
    first, second = trial.send_pipeline("plain", "plain", unique_key="u")
    other = psycopg2.connect(trial.owner_url)
    with other.cursor() as cursor:
        cursor.execute("select pgbroker.enqueue('plain', queue => 'default', unique_key => 'u')")
        worker = trial.worker(1)
        until(lambda: trial.ask("select from pg_stat_activity where wait_event_type = 'Lock'"), "the finish waits")
        cursor.execute("select from dramatiq.queue where message_id = %s for update", (first,))
        assert cursor.rowcount == 1, "the finish was rolled back"
    other.rollback()
    all_is_well(trial, worker)
    until(lambda: trial.count("pg_stat_database where datname = current_database() and deadlocks > 0"), "it is counted")
    assert trial.ask("select count(*) from ledger where message_id = %s", (second,)) == [(1,)]
