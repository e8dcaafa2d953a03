"""Real `dramatiq` and `periodiq` processes on the test's database, to be killed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dramatiq.message import Message
from psycopg2.extensions import connection as Connection
from workers import until

from pgbroker import PostgresBroker

BIN = Path(sys.executable).parent
HERE = Path(__file__).parent


class Processes:
    """Starts processes that see `jobs.py` of this folder, and ends all of them with the test."""

    def __init__(self, url: str, logs: Path) -> None:
        self._environment = {**os.environ, "TEST_BROKER_URL": url, "PYTHONPATH": f"{HERE}:{HERE.parents[1]}"}
        self._logs = logs
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self._logs / f"{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(BIN / program), *arguments],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=HERE,
            )
        process.log = log  # type: ignore[attr-defined]
        self.started.append(process)
        return process

    def worker(self, threads: int = 2, *more: str) -> subprocess.Popen[bytes]:
        return self.start("dramatiq", "jobs", "-p", "1", "-t", str(threads), *more)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """`kill -9` for the process and its children, all at once as far as one can."""
        with_children = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for victim in with_children:
            victim.kill()
        process.wait()

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def make_processes(tmp_path: Path) -> Iterator[Callable[[str], Processes]]:
    """Processes on the database at a URL; all of them end with the test, which shows their logs when it fails."""
    made: list[Processes] = []

    def make(url: str) -> Processes:
        logs = tmp_path / str(len(made))
        logs.mkdir()
        made.append(Processes(url, logs))
        return made[-1]

    yield make
    for processes in made:
        processes.end()
        for process in processes.started:
            print(f"--- {process.args}\n{process.log.read_text()[-4000:]}")  # type: ignore[attr-defined]


@pytest.fixture
def processes(make_processes: Callable[[str], Processes], server: Any, database_name: str) -> Processes:
    """Processes on the test's own database."""
    return make_processes(server.url(user="atum_worker", database=database_name))


@pytest.fixture
def ask(owner: Connection) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement as superuser."""

    def ask(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with owner.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    ask("create table if not exists ledger (message_id uuid, pid integer, at timestamptz default clock_timestamp())")
    ask("create table if not exists effects (pid integer)")
    ask("grant all on ledger, effects to atum_worker")
    return ask


@pytest.fixture
def settled_server(ask: Callable[..., list[tuple[Any, ...]]]) -> None:
    """The server has been up for longer than a lease: only then does anybody rescue."""
    until(lambda: ask("select from pg_postmaster_start_time() s where s < now() - interval '16 s'"), "an older server")


@pytest.fixture
def send(server: Any, database_name: str) -> Iterator[Callable[..., str]]:
    """Send a message to an actor of `jobs.py`, which this process does not import; its id."""
    broker = PostgresBroker(server.url(user="atum_worker", database=database_name), middleware=[], results=False)

    def send(actor_name: str, *args: Any) -> str:
        return str(broker.enqueue(Message("default", actor_name, args, {}, {})).message_id)

    yield send
    broker.close()
