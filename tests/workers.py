"""Real Dramatiq workers for tests, as threads of the test's own process.

from workers import until, work_off, working

work_off(broker, "tickets")        # run a worker until the queue is empty; then nothing of it is left
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq

from pgbroker import PostgresBroker

WAIT_SECONDS = 20


def until(condition: Callable[[], Any], what: str = "the condition", seconds: float = WAIT_SECONDS) -> Any:
    """Wait until `condition` gives something true, and give it back."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what} in vain"
        time.sleep(0.01)
    return value


@contextmanager
def working(broker: PostgresBroker, *, threads: int = 4, queues: set[str] | None = None) -> Iterator[dramatiq.Worker]:
    """A real worker in this process; `queues` are those it listens to, all by default."""
    worker = dramatiq.Worker(broker, worker_threads=threads, queues=queues, worker_timeout=100)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=10_000)
        broker.middleware = [m for m in broker.middleware if type(m).__name__ != "_WorkerMiddleware"]
        broker.close()  # a broker that outlives the test asks for its database anew


def work_off(broker: PostgresBroker, *queues: str, seconds: float = WAIT_SECONDS, threads: int = 4) -> None:
    """Run a worker until the queues are empty, retries of the future included."""
    with working(broker, threads=threads):
        for queue in queues or tuple(broker.queues):
            broker.join(queue, timeout=seconds * 1000)
