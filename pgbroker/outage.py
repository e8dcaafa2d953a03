"""One log line when the database goes away and one when it is back, however often it is tried in between."""

import logging
import random
from threading import Lock

logger = logging.getLogger(__name__)


class Outage:
    """Counts failures in a row. `what` is the work that failed, as the log line names it.

    The first failure is silent: a single lost connection is replaced without a word.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._lock = Lock()

    @property
    def on(self) -> bool:
        """Whether the last attempt failed."""
        return self._failures > 0

    def failed(self, error: Exception) -> float:
        """Note a failure; how many seconds to wait before the next attempt: 50 ms first, 5 s in the end."""
        with self._lock:
            self._failures += 1
            if self._failures == 2:
                logger.error("%s waits for the database: %s", self._what, error)
            return min(5.0, 0.05 * 2 ** min(self._failures, 10)) * random.uniform(0.75, 1.25)  # noqa: S311  jitter

    def over(self) -> None:
        """Note a success."""
        with self._lock:
            if self._failures > 1:
                logger.info("%s goes on: the database is back", self._what)
            self._failures = 0
