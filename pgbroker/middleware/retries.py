"""Retries with full jitter; the reason of a dead letter; no retry for a shutdown.

A drop-in for Dramatiq's Retries: the same options, per broker, actor and message (`max_retries`, `min_backoff`,
`max_backoff`, `retry_when`, `throws`, `on_retry_exhausted`), and `raise Retry(delay=…)`.
"""

import random
import time
import traceback
from typing import Any

import dramatiq.middleware
from dramatiq.errors import Retry
from dramatiq.middleware import Shutdown

from pgbroker.encoding import storable
from pgbroker.errors import Cancelled
from pgbroker.finish import cancelled
from pgbroker.leased import DeadLetter, LeasedMessage, Release

DEFAULT_MIN_BACKOFF_MS = 1_000
DEFAULT_MAX_BACKOFF_MS = 6 * 3_600_000
LONGEST_TRACEBACK = 5_000  # characters, in the message's options


class Retries(dramatiq.middleware.Retries):
    """The n-th retry waits `min_backoff` plus a random part of `min_backoff * 2**n`, `max_backoff` at the most.

    Times in milliseconds. The defaults (1 s, 6 h, 20 retries) give up after about two days: short outages of what an
    actor calls are over after seconds, long ones on the next day. The random part spreads a thousand failures of one
    instant.
    """

    def __init__(
        self, *, max_retries: int | None = 20, min_backoff: int | None = None, max_backoff: int | None = None,
        retry_when: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            max_retries=max_retries,
            min_backoff=min_backoff or DEFAULT_MIN_BACKOFF_MS,
            max_backoff=max_backoff or DEFAULT_MAX_BACKOFF_MS,
            retry_when=retry_when,
        )

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Decide what becomes of a message whose actor raised."""
        if exception is None:
            return
        actor = broker.get_actor(message.actor_name)
        if isinstance(exception, Shutdown) and isinstance(message, LeasedMessage):
            message.outcome = Release()  # we interrupted it; that is no failure of its own
            return
        if isinstance(exception, Cancelled) and isinstance(message, LeasedMessage):
            message.outcome = cancelled(message)
            message.failed = isinstance(message.outcome, DeadLetter)
            return
        throws = message.options.get("throws") or actor.options.get("throws")
        if throws and isinstance(exception, throws):
            self.logger.info(
                "Message %s failed for good: its actor throws %s", message.message_id, type(exception).__name__
            )
            _fail(message, "thrown")
            return

        retries = message.options.get("retries", 0)
        message.options["retries"] = retries + 1
        lines = traceback.format_exception(exception, limit=-30)
        message.options["traceback"] = storable("".join(lines), LONGEST_TRACEBACK)
        message.options["requeue_timestamp"] = int(time.time() * 1000)

        most = self._option(message, actor, "max_retries", self.max_retries)
        retry_when = actor.options.get("retry_when", self.retry_when)
        if not retry_when(retries, exception) if retry_when is not None else most is not None and retries >= most:
            self.logger.warning("Message %s failed for good after %d retries", message.message_id, retries)
            message.options["retries"] = retries
            _fail(message, "retries exhausted")
            target = message.options.get("on_retry_exhausted") or actor.options.get("on_retry_exhausted")
            if target:
                broker.get_actor(target).send(message.asdict(), {"retries": retries, "max_retries": most})
            return

        if isinstance(exception, Retry) and exception.delay is not None:
            delay = exception.delay
        else:
            shortest = self._option(message, actor, "min_backoff", self.min_backoff)
            longest = self._option(message, actor, "max_backoff", self.max_backoff)
            spread = min(longest, shortest * 2 ** min(retries, 32))
            delay = int(min(longest, shortest + random.uniform(0, spread)))  # noqa: S311  jitter
        self.logger.info("Message %s runs again in %d ms", message.message_id, delay)
        broker.enqueue(message, delay=delay)

    @staticmethod
    def _option(message: Any, actor: Any, name: str, default: Any) -> Any:
        return message.options.get(name, actor.options.get(name, default))


def _fail(message: Any, reason: str) -> None:
    message.fail()
    if isinstance(message, LeasedMessage):
        message.outcome = DeadLetter(reason)
