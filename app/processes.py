"""Which processes the desk consists of, how each is started, and when it is ready.

The queues of each worker are those of the units in deploy/: tickets, notices and upkeep, sla, kb.
"""

import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from app.glance import glance
from app.up import Child, ChildFailed, Processes
from desk.errors import DatabaseUnavailable

QUEUES: dict[str, tuple[str, ...]] = {
    "jobs": ("tickets", "notices", "upkeep"),
    "sla": ("sla",),
    "kb": ("kb",),
}
READY_TIMEOUT_SECONDS = 120.0
# For requests to our own web process: a proxy that the environment names does not lead to this machine's loopback.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SHUTDOWN_MS = 20_000  # what runs may finish; less than app.up waits before it kills


def start_desk(
    processes: Processes, *, workers: int, threads: int, host: str, port: int, stop: Event | None = None
) -> None:
    """Start `workers` worker processes, the web process and the scheduler; wait until each is ready or `stop` is set.

    One worker serves all queues; two keep the articles' long passes through the model apart; three or more serve the
    kinds of queues each on its own, and further ones the tickets.

    Raises:
        ChildFailed: one ended or was not ready within two minutes.
    """
    for name, queues in assign(workers).items():
        processes.start(name, worker(queues, threads), ready=worker_beats)
    processes.start("web", web(host, port), ready=web_answers(host, port))
    processes.start("scheduler", scheduler())
    processes.wait_until_ready(READY_TIMEOUT_SECONDS, stop)


def refuse_taken_port(host: str, port: int) -> None:
    """Say so before anything is started.

    Raises:
        ChildFailed: somebody else listens there.
    """
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        raise ChildFailed(
            f"The API cannot listen on {host}:{port}: {error.strerror}. Name another with --port."
        ) from None


def assign(workers: int) -> dict[str, tuple[str, ...]]:
    """Which queues each of `workers` worker processes serves, by name. Every queue is served."""
    if workers == 1:
        return {"worker": tuple(queue for queues in QUEUES.values() for queue in queues)}
    if workers == 2:
        return {"jobs": (*QUEUES["jobs"], *QUEUES["sla"]), "kb": QUEUES["kb"]}
    return QUEUES | {f"jobs-{number}": QUEUES["jobs"] for number in range(2, workers - 1)}


def worker(queues: Sequence[str], threads: int) -> list[str]:
    """A Dramatiq master with one worker process for `queues`."""
    return [
        sys.executable, "-m", "dramatiq", "brokers", "actors", "schedules",
        "--processes", "1", "--threads", str(threads), "--worker-shutdown-timeout", str(SHUTDOWN_MS),
        "-Q", *queues,
    ]  # fmt: skip


def scheduler() -> list[str]:
    """The process that fires the timetable."""
    return [str(Path(sys.executable).with_name("periodiq")), "brokers", "schedules"]


def web(host: str, port: int) -> list[str]:
    """The HTTP API; its own log has the requests."""
    return [
        sys.executable, "-m", "uvicorn", "app:api",
        "--host", host, "--port", str(port), "--no-access-log", "--timeout-graceful-shutdown", "10",
    ]  # fmt: skip


def worker_beats(child: Child) -> bool:
    """Whether a process of this child has told the database that it takes messages."""
    pids = [process.pid for process in child.members()]
    try:
        with glance(broker=True) as cursor:
            cursor.execute(
                "select 1 from pgbroker.processes"
                " where pid = any(%s) and host = %s and beat_at > now() - interval '1 minute'",
                (pids, socket.gethostname()),
            )
            return cursor.fetchone() is not None
    except DatabaseUnavailable:
        return False


def web_answers(host: str, port: int) -> Callable[[Child], bool]:
    """Whether the health page answers, be it green or red: the web process itself is there."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104

    def ready(child: Child) -> bool:
        try:
            DIRECTLY.open(f"http://{shown}:{port}/api/v1/health", timeout=5).close()
        except urllib.error.HTTPError as answer:
            return answer.code == 503
        except OSError:
            return False
        return True

    return ready
