"""Real Dramatiq workers for tests, as threads of the test's own process.

from workers import until, work_off, working

work_off(broker, "tickets")        # run a worker until the queue is empty; then nothing of it is left
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
from waiting import until

from pgbroker import PostgresBroker

__all__ = ["until", "work_off", "working"]

WAIT_SECONDS = 20


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
