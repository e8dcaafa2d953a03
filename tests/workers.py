"""Real Dramatiq workers for tests, as threads of the test's own process: the package's own helpers for its users.

from workers import until, work_off, working

work_off(broker, "tickets")        # run a worker until the queue is empty; then nothing of it is left
"""

from waiting import until

from pgbroker import PostgresBroker, testing
from pgbroker.testing import working

__all__ = ["until", "work_off", "working"]

WAIT_SECONDS = 20


def work_off(broker: PostgresBroker, *queues: str, seconds: float = WAIT_SECONDS, threads: int = 4) -> None:
    """Run a worker until the queues are empty, retries of the future included."""
    testing.work_off(broker, *queues, timeout_seconds=seconds, threads=threads)
