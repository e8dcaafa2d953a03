"""The doorbell: an empty NOTIFY that ends the wait of idle workers.

Polling is the truth; a ring that is lost costs the rest of a pause, a second at the most. It is sent outside the
sender's transaction (a notification makes commits wait for each other), at most once a millisecond a queue, and
only where a worker has said in its beat that it is idle and listens.
"""

import logging
from collections.abc import Iterable
from hashlib import sha256
from time import monotonic
from typing import Any, Protocol

from pgbroker.errors import PgBrokerError
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

SHORTEST_SECONDS_BETWEEN_RINGS = 0.001  # a worker that was just woken looks again on its own


class _Executes(Protocol):
    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]: ...


def channel(queue_name: str) -> str:
    """The channel of a queue: a plain identifier, whatever the queue is called."""
    return "pgbroker_" + sha256(queue_name.encode()).hexdigest()[:24]


class Doorbell:
    """Rings, and remembers when it last did."""

    def __init__(self) -> None:
        self._rung_at: dict[str, float] = {}

    def ring_if_possible(self, line: _Executes, queue_names: Iterable[str]) -> None:
        """As `ring`, but raises nothing: what was sent is committed, and workers look by themselves."""
        try:
            self.ring(line, queue_names)
        except PgBrokerError as error:
            logger.debug("No ring: %s", error)

    def ring(self, line: _Executes, queue_names: Iterable[str]) -> None:
        """Wake idle workers of these queues. What was sent must be committed. Raises what `line` raises."""
        now = monotonic()
        due = [name for name in queue_names if now - self._rung_at.get(name, 0.0) > SHORTEST_SECONDS_BETWEEN_RINGS]
        if due:
            self._rung_at.update(dict.fromkeys(due, now))
            line.execute(sql("ring"), {"queues": due, "channels": [channel(name) for name in due]})
