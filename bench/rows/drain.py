"""How fast a full queue of messages that do nothing is worked off.

The queue is loaded first, the processes start together, and the clock starts when each of them has run its first
message. Nobody writes anything: each thread counts in shared memory, which the parent reads.
"""

import itertools
import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from bench.contenders import CONTENDERS, nothing
from bench.place import Place, fresh, settle
from bench.processes import LONGEST_RUN_SECONDS, RunFailed, call, check_alive, context, started
from bench.row import Found, Measure, Row, Target
from desk.embedded import EmbeddedServer

THREADS = 8
CELLS = 64  # of each process, one a thread
WATCH_SECONDS = 0.005

# Who manages some hundreds a second gets fewer messages and the same question; so does who takes long to load.
MESSAGES = {"dramatiq-pg": 1_000, "procrastinate": 1_000, "RabbitMQ": 6_000, "Redis": 10_000}
USUAL_MESSAGES = 20_000
SMALLEST_SCALE = 0.1  # with fewer the queue is empty before the clock starts


def _measure(server: EmbeddedServer, contender: str, scale: float, processes: int) -> Found:
    messages = int(MESSAGES.get(contender, USUAL_MESSAGES) * max(scale, SMALLEST_SCALE))
    library = CONTENDERS[contender]
    with fresh(server) as place:
        library.prepare(place)
        try:
            if not library.in_memory:
                call(load, contender, place, messages)
                settle(place)
            cells = context.RawArray("q", CELLS * processes)
            ready = context.Barrier(processes)
            with started(work, processes, contender, place, cells, ready, messages) as running:
                return {contender: {"rate": watch(running, cells, messages)}}
        finally:
            library.clear(place)


def watch(running: list[BaseProcess], cells: Any, messages: int) -> float:
    """Messages a second, from when every process has run one until all are done."""
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    began, before = 0.0, 0
    while True:
        now, counts = time.monotonic(), cells[:]
        done = sum(counts)
        if not began and all(any(counts[start : start + CELLS]) for start in range(0, len(counts), CELLS)):
            began, before = now, done
        if done >= messages:
            if before >= messages * 0.8:
                raise RunFailed("its queue was empty before every process had begun: take a larger --scale")
            return (done - before) / (now - began)
        if now > deadline:
            raise RunFailed(f"it ran {done:,} of {messages:,} messages in {LONGEST_RUN_SECONDS:g} seconds")
        check_alive(running)
        time.sleep(WATCH_SECONDS)


def load(contender: str, place: Place, messages: int) -> None:
    """Fill the queue. Runs in a process of its own."""
    CONTENDERS[contender].open(place, nothing).send_all(range(messages))


def work(position: int, contender: str, place: Place, cells: Any, ready: Any, messages: int) -> None:
    """A worker process."""
    queue = CONTENDERS[contender].open(place, counting(cells, position * CELLS))
    if CONTENDERS[contender].in_memory:
        queue.send_all(range(messages))
    ready.wait()
    queue.work(THREADS)


def counting(cells: Any, first: int) -> Callable[[int], None]:
    """A job that only counts, each thread in a cell of its own, beginning with the cell `first`."""
    mine, free = threading.local(), itertools.count(first)

    def run(number: int) -> None:
        try:
            cell = mine.cell
        except AttributeError:
            cell = mine.cell = next(free)
        cells[cell] += 1

    return run


def _one(server: EmbeddedServer, contender: str, scale: float) -> Found:
    return _measure(server, contender, scale, 1)


def _two(server: EmbeddedServer, contender: str, scale: float) -> Found:
    return _measure(server, contender, scale, 2)


_OURS = ("pgbroker", "rate")
_PEERS = ("dramatiq-pg", "pgqueuer", "procrastinate", "Redis", "RabbitMQ")

ONE = Row(
    name="drain",
    title="drain no-op messages, 1 process × 8 threads",
    contenders=("StubBroker", "pgbroker", *_PEERS),
    measures=(Measure("rate", "messages/s"),),
    measure=_one,
    base="StubBroker",
    targets=(
        Target("drain 1 × 8, × StubBroker", _OURS, over=("StubBroker", "rate"), must=0.8, aim=1.0),
        Target("drain 1 × 8, × dramatiq-pg", _OURS, over=("dramatiq-pg", "rate"), must=6.0),
    ),
)
TWO = Row(
    name="drain2",
    title="drain no-op messages, 2 processes × 8 threads",
    contenders=("pgbroker", *_PEERS),
    measures=(Measure("rate", "messages/s"),),
    measure=_two,
    base="Redis",
    targets=(
        Target("drain 2 × 8, × Redis", _OURS, over=("Redis", "rate"), must=2.0, aim=2.6),
        Target("drain 2 × 8, × pgqueuer", _OURS, over=("pgqueuer", "rate"), must=1.3),
    ),
)
