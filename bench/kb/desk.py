"""A desk of a row's own: a database, an organization or several, and a real worker process of the knowledge base."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil

from app.install import install
from bench.place import connected, fresh
from bench.processes import RunFailed
from desk import database
from desk.embedded import EmbeddedServer
from desk.settings import settings

LONGEST_WAIT_SECONDS = 3_600.0
STOP_SECONDS = 30.0


class Desk:
    """Its database; this process and the workers that it starts use it as the role of the workers."""

    def __init__(self, owner_url: str, home: Path) -> None:
        self.owner_url = owner_url
        self.home = home

    def organization(self, name: str) -> UUID:
        """A new organization."""
        with closing(connected(self.owner_url)) as connection, connection.cursor() as cursor:
            cursor.execute("insert into organizations (name) values (%s) returning id", (name,))
            return cursor.fetchone()[0]

    @contextmanager
    def worker(self) -> "Iterator[Worker]":
        """The worker of the knowledge base as it is deployed, one process of it; ended with the block."""
        log = self.home / f"worker-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "schedules", "-Q", "kb", "-p", "1"]
        with log.open("wb") as output:
            telling = {"ATUM_LOG_FORMAT": "json", "ATUM_LOG_LEVEL": "INFO"}
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **telling})
        worker = Worker(process, log)
        try:
            wait(lambda: worker.told("job_worker_started"), "the worker has started", worker.check)
            yield worker
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()


class Worker:
    """A running worker and what it logged."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log lines of this event."""
        lines = []
        for line in self._log.read_text().splitlines():
            if f'"{event}"' in line:
                try:
                    lines.append(json.loads(line))
                except json.JSONDecodeError:  # it is being written
                    continue
        return [line for line in lines if line.get("event") == event]

    def resident_bytes(self) -> int:
        """The memory of the process that works: the largest below the one that only watches."""
        return max(
            (child.memory_info().rss for child in psutil.Process(self._process.pid).children(recursive=True)), default=0
        )

    def cpu_seconds(self) -> float:
        """What the process that works has used, the system's part included."""
        times = [child.cpu_times() for child in psutil.Process(self._process.pid).children(recursive=True)]
        return max((one.user + one.system for one in times), default=0.0)

    def check(self) -> None:
        """Raise RunFailed where it has ended."""
        if self._process.poll() is not None:
            raise RunFailed(f"the worker ended with status {self._process.returncode}: {self._log.read_text()[-2000:]}")


@contextmanager
def desk(server: EmbeddedServer) -> Iterator[Desk]:
    """A desk on a database of its own, dropped at the end; settings and environment are as before then."""
    with fresh(server) as place:
        install(place.url)
        with closing(connected(place.url)) as connection, connection.cursor() as cursor:
            cursor.execute("alter role atum_worker login")
        home = server.home / place.queue
        home.mkdir()
        before = {name: os.environ.get(name) for name in ("ATUM_DATABASE_URL", "ATUM_OWNER_URL", "ATUM_HOME")}
        os.environ["ATUM_DATABASE_URL"] = server.url(user="atum_worker", database=place.queue)
        os.environ["ATUM_OWNER_URL"] = place.url
        os.environ["ATUM_HOME"] = str(home)
        settings.cache_clear()
        database.close()
        try:
            yield Desk(place.url, home)
        finally:
            database.close()
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            settings.cache_clear()


def wait(
    condition: Callable[[], Any],
    what: str,
    meanwhile: Callable[[], None] = lambda: None,
    *,
    pause_seconds: float = 0.05,
    longest_seconds: float = LONGEST_WAIT_SECONDS,
) -> None:
    """Until `condition` holds; `meanwhile` is done before each look.

    Raises:
        RunFailed: it does not hold within `longest_seconds`.
    """
    ends_at = time.monotonic() + longest_seconds
    while not condition():
        meanwhile()
        if time.monotonic() > ends_at:
            raise RunFailed(f"waited {longest_seconds:g} seconds until {what}")
        time.sleep(pause_seconds)
