"""What four idle worker processes cost: CPU of workers and server, and connections."""

import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

from bench.contenders import CONTENDERS, nothing
from bench.place import Place, connected, fresh
from bench.processes import check_alive, context, started
from bench.row import Found, Measure, Row, Target
from desk.embedded import EmbeddedServer

PROCESSES = 4
THREADS = 8
SECONDS = 30.0
SETTLE_SECONDS = 5.0  # after the start: imports, first looks, first beats


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    library = CONTENDERS[contender]
    with fresh(server) as place:
        library.prepare(place)
        ready = context.Barrier(PROCESSES + 1)
        with started(work, PROCESSES, contender, place, ready) as running:
            ready.wait()
            time.sleep(SETTLE_SECONDS)
            workers, postgres = [process.pid for process in running], _server_pids(server)
            before = _ticks(workers), _ticks(postgres)
            time.sleep(max(5.0, SECONDS * scale))
            after = _ticks(workers), _ticks(_server_pids(server))
            check_alive(running)
            connections = _connections(place)
    spent = [_seconds(*pair) * SECONDS / max(5.0, SECONDS * scale) for pair in zip(before, after, strict=True)]
    return {
        contender: {
            "cpu": sum(spent), "workers": spent[0], "server": spent[1], "connections": connections / PROCESSES,
        }
    }  # fmt: skip


def work(position: int, contender: str, place: Place, ready: Any) -> None:
    """A worker process with nothing to do."""
    queue = CONTENDERS[contender].open(place, nothing)
    ready.wait()
    queue.work(THREADS)


def _connections(place: Place) -> int:
    with closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
        )
        return int(cursor.fetchone()[0])


def _server_pids(server: EmbeddedServer) -> list[int]:
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
    return [postmaster.pid, *(child.pid for child in postmaster.children(recursive=True))]


def _ticks(pids: Iterable[int]) -> dict[tuple[int, int], float]:
    """CPU seconds of each thread. The scheduler counts nanoseconds; psutil's figures are hundredths of a second, too
    coarse for who does next to nothing."""
    found = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def _seconds(before: dict[tuple[int, int], float], after: dict[tuple[int, int], float]) -> float:
    return sum(seconds - before.get(thread, 0.0) for thread, seconds in after.items())


ROW = Row(
    name="idle",
    title="4 idle processes × 8 threads, 30 s",
    contenders=("pgbroker", "dramatiq-pg"),
    measures=(
        Measure("cpu", "CPU s", 2),
        Measure("workers", "of workers", 2),
        Measure("server", "of server", 2),
        Measure("connections", "connections a process", 1),
    ),
    measure=_measure,
    base="dramatiq-pg",
    targets=(
        Target(
            "idle CPU, × dramatiq-pg", ("pgbroker", "cpu"), over=("dramatiq-pg", "cpu"), must=1.0, aim=0.5, at_most=True
        ),
        Target("connections a process", ("pgbroker", "connections"), must=3, at_most=True, digits=1),
    ),
    long=True,
)
