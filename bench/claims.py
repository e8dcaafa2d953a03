"""How long each claim of our worker took, noted in shared memory by the worker that makes it."""

import time
from typing import Any

from bench.processes import context

MOST_CLAIMS = 500_000


class Claims:
    """Seconds of each claim and when it ended; one worker process writes, the parent reads."""

    def __init__(self) -> None:
        self._count = context.RawValue("q", 0)
        self._took = context.RawArray("d", MOST_CLAIMS)
        self._ended = context.RawArray("d", MOST_CLAIMS)

    def watch(self) -> None:
        """From here on note the claims of this process: what its engine counts anyway, one by one."""
        from pgbroker.counters import Counters

        count: Any = self._count
        observe = Counters.observe

        def noting(counters: Counters, name: str, seconds: float) -> None:
            if name == "claim" and count.value < MOST_CLAIMS:  # one thread at a time claims
                self._took[count.value], self._ended[count.value] = seconds, time.monotonic()
                count.value += 1
            observe(counters, name, seconds)

        Counters.observe = noting  # type: ignore[method-assign]

    def between(self, first: float, last: float) -> list[float]:
        """Milliseconds of the claims that ended between two instants of the monotonic clock."""
        count = self._count.value
        return [
            took * 1000
            for took, ended in zip(self._took[:count], self._ended[:count], strict=True)
            if first <= ended < last
        ]
