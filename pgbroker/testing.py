"""Real Dramatiq workers for tests, as threads of the test's own process. A pytest plugin:

    pytest_plugins = ["pgbroker.testing"]          # in the topmost conftest.py

    def test_a_receipt_is_sent(pgbroker_worker):
        order.send(7)
        pgbroker_worker(broker)                    # runs a worker until every queue is empty

The broker and its database are the test's own: make one for each, or call `broker.flush_all()` between tests. Without
the fixture, `work_off` and `working` do the same. This module needs pytest; no other does.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import QueueJoinTimeout

from pgbroker.broker import PostgresBroker
from pgbroker.statements import sql

WAIT_SECONDS = 20.0


@pytest.fixture
def pgbroker_worker() -> Callable[..., None]:
    """`pgbroker_worker(broker, *queues, timeout_seconds=20, threads=4, fail_fast=False)`: see `work_off`."""
    return work_off


def work_off(
    broker: PostgresBroker,
    *queues: str,
    timeout_seconds: float = WAIT_SECONDS,
    threads: int = 4,
    fail_fast: bool = False,
) -> None:
    """Run a worker until these queues (default: all that are declared) are empty, retries of the future included. The
    worker serves every queue, and nothing of it is left afterwards.

    Raises:
        QueueJoinTimeout: messages are left after `timeout_seconds`; the text names one, with its last error.
        AssertionError: with `fail_fast`, a message failed for good; the text has its traceback.
    """
    names = list(queues or broker.queues)
    deadline = time.monotonic() + timeout_seconds
    ((began_at,),) = broker.connections.execute("select clock_timestamp()")
    with working(broker, threads=threads):
        while True:
            left = broker.connections.records(sql("testing_left"), {"queues": names})
            if fail_fast:
                _raise_failure(broker.connections.records(sql("testing_failed"), {"queues": names, "since": began_at}))
            if not left:
                return
            if time.monotonic() >= deadline:
                told = ", ".join(f"{name} {value}" for name, value in left[0].items() if value is not None)
                raise QueueJoinTimeout(f"Messages are left after {timeout_seconds:g} seconds. One of them: {told}")
            time.sleep(0.02)


@contextmanager
def working(broker: PostgresBroker, *, threads: int = 4, queues: set[str] | None = None) -> Iterator[dramatiq.Worker]:
    """A real worker for the length of the block; `queues` are those that it serves, all by default."""
    worker = dramatiq.Worker(broker, worker_threads=threads, queues=queues, worker_timeout=20)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=10_000)
        # What a worker leaves in its broker would start consumers for queues that are declared later.
        broker.middleware = [m for m in broker.middleware if getattr(m, "worker", None) is not worker]
        broker.close()  # a broker that outlives the test asks for its database anew


def _raise_failure(letters: list[dict[str, Any]]) -> None:
    for letter in letters:
        raise AssertionError(
            f"{letter['actor_name']} failed for good ({letter['reason']}): {letter['traceback'] or letter['error']}"
        )
