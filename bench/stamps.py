"""When each message started: workers write the instant into shared memory, under the message's number.

Instants are nanoseconds of the monotonic clock, which on Linux is one for all processes.
"""

import time
from collections.abc import Callable
from typing import Any

from bench.contenders import CONTENDERS, Queue, nothing
from bench.place import Place
from bench.processes import RunFailed

THREADS = 8
WARM_UP = 20  # messages with the first numbers; they count for nothing
PATIENCE_SECONDS = 30.0  # after which a message that did not start is called lost


def work(position: int, contender: str, place: Place, started: Any) -> None:
    """A worker process that writes when each message started."""
    CONTENDERS[contender].open(place, stamping(started)).work(THREADS)


def stamping(started: Any) -> Callable[[int], None]:
    """A job whose first act is to look at the clock."""

    def run(number: int) -> None:
        now = time.monotonic_ns()
        if not started[number]:  # a second run is no second start
            started[number] = now

    return run


def warm_sender(contender: str, place: Place, started: Any) -> Queue:
    """A queue through which messages were sent and run already."""
    queue = CONTENDERS[contender].open(place, nothing)
    for number in range(WARM_UP):
        queue.send(number)
    await_all(started, WARM_UP)
    time.sleep(0.5)  # whoever waits longer the longer it was idle, begins to
    return queue


def await_all(started: Any, count: int) -> None:
    """Wait until the messages up to `count` have started. Raises RunFailed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(started[:count]):
        if time.monotonic() > deadline:
            lost = started[:count].count(0)
            raise RunFailed(f"{lost} of {count} messages did not start within {PATIENCE_SECONDS:g} seconds")
        time.sleep(0.05)
