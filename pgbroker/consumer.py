"""One queue of a process, as Dramatiq's consumer thread sees it. Holds nothing: Dramatiq replaces it as it likes."""

import random
import time
from collections.abc import Iterable
from itertools import count

from dramatiq.broker import Consumer, MessageProxy

from pgbroker.engine import Engine
from pgbroker.errors import DatabaseAway
from pgbroker.finish import outcome_of
from pgbroker.leased import LeasedMessage

LONGEST_PAUSE_SECONDS = 5.0


class PostgresConsumer(Consumer):
    """Takes from `engine` and finishes there. `ack`, `nack` and `requeue` raise DatabaseAway, on which Dramatiq asks
    again."""

    def __init__(self, engine: Engine, queue_name: str, timeout_ms: int, retries_are_on: bool) -> None:
        self._engine = engine
        self._queue_name = queue_name
        self._timeout_seconds = timeout_ms / 1000
        self._retries_are_on = retries_are_on

    def __next__(self) -> MessageProxy | None:
        """The next message; None after the timeout, so that Dramatiq sees to its own affairs."""
        return self._engine.take(self._queue_name, self._timeout_seconds)

    def ack(self, message: LeasedMessage) -> None:
        """Write the outcome of a message that was processed, once. While the database is away it waits: Dramatiq would
        wait longer, and complain of every message."""
        outcome = outcome_of(message, self._retries_are_on)
        for attempt in count():
            try:
                message.engine.finish(message, outcome)
                return
            except DatabaseAway as error:
                message.engine.finish_failed(error)
                pause = min(LONGEST_PAUSE_SECONDS, 0.1 * 2 ** min(attempt, 10))
                time.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  jitter

    nack = ack  # the outcome says which

    def requeue(self, messages: Iterable[LeasedMessage]) -> None:
        """Give messages back that were not started; it is no failure of theirs."""
        self._engine.release(list(messages))
