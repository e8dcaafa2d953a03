"""The database is away, restarts, or has no schema: a worker waits, says so once, and goes on."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from dramatiq.message import Message
from workers import until

from app.install import install
from desk.embedded import EmbeddedServer
from pgbroker import PostgresBroker


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server of this test's own, durable as in production, without any schema."""
    with tempfile.TemporaryDirectory(prefix="atum-faults-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        server = EmbeddedServer(Path(home))
        server.attach()
        yield server
        server.stop()
        server.detach()


def ask(server: EmbeddedServer, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(server.url())
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description is not None else []
    finally:
        connection.close()


def sender(server: EmbeddedServer) -> Callable[[str], None]:
    broker = PostgresBroker(server.url(), middleware=[], results=False)
    return lambda actor, *args: broker.enqueue(Message("default", actor, args, {}, {}))


def lines(process: Any, text: str) -> int:
    return process.log.read_text().count(text)


def test_a_worker_that_is_there_before_its_schema_waits_for_it(own_server, make_processes):
    worker = make_processes(own_server.url()).worker()
    until(lambda: lines(worker, "waits for the database"), "the one line")
    assert lines(worker, "lacks the broker's schema") == 1
    assert lines(worker, "Traceback") == 0
    install(own_server.url())
    until(lambda: lines(worker, "connected_to_database"), "the connection")
    ask(own_server, "create table ledger (message_id uuid, pid integer)")
    sender(own_server)("plain")
    until(lambda: ask(own_server, "select from ledger"), "the message")


def test_a_restart_of_the_server_under_load_loses_nothing_and_runs_nothing_twice(own_server, make_processes):
    install(own_server.url())
    ask(own_server, "create table ledger (message_id uuid, pid integer)")
    send = sender(own_server)
    for _ in range(150):
        send("once", 0.05)
    workers = [make_processes(own_server.url()).worker(2) for _ in range(2)]
    until(lambda: len(ask(own_server, "select from ledger")) > 20, "some progress")
    own_server._run("pg_ctl", "stop", "-D", str(own_server.data), "-m", "immediate", "-w")
    until(lambda: all(lines(worker, "waits for the database") for worker in workers), "both to notice")
    own_server.attach()
    until(
        lambda: ask(own_server, "select count(*) from dramatiq.queue") == [(0,)], "an empty queue", timeout_seconds=60
    )
    assert ask(own_server, "select count(*), count(distinct message_id) from ledger") == [(150, 150)]
    assert ask(own_server, "select count(*) from pgbroker.finished") == [(150,)]
    assert ask(own_server, "select count(*) from pgbroker.dead_letters") == [(0,)]
    rescued = ask(own_server, "select count(*) from pgbroker.finished where history::text like '%rescued%'")
    assert rescued == [(0,)], "living workers kept their messages over the restart"
    for worker in workers:
        assert lines(worker, "The worker waits for the database") == 1
        assert lines(worker, "The worker goes on") == 1


def test_a_worker_whose_server_is_not_there_says_so_once_and_ends_when_told(make_processes):
    worker = make_processes("postgresql://nobody@localhost:1/nothing").worker()
    until(lambda: lines(worker, "waits for the database"), "the one line")
    worker.terminate()
    assert worker.wait(20) == 0
    assert lines(worker, "Traceback") == 0
    assert lines(worker, "waits for the database") == 1
