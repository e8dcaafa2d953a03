"""Dramatiq's results in the same database: `message.get_result(block=True)`.

Stored as the encoder gives them, so whatever it can hold comes back; a stored exception is raised again by Dramatiq.

Promises: a worker stores a result in the transaction that finishes its message: there is none of a run that did not
count, and none is missing of one that did. A result that cannot be stored is a failure that says so to whoever waits
for it. A dead letter without a result is such a failure as well: nobody stores one for a message that killed its
workers, was cancelled before it began, or that no actor takes.
"""

import re
import time
from collections.abc import Sequence
from typing import Any

from dramatiq.results.backend import Missing, ResultBackend
from dramatiq.results.result import wrap_exception
from psycopg2 import Binary

from pgbroker.connections import Connections
from pgbroker.encoding import storable
from pgbroker.errors import DatabaseAway, MessageRefused
from pgbroker.leased import Result, in_hand
from pgbroker.statements import sql

LARGEST_RESULT_BYTES = 1_048_576
LONGEST_ERROR = 10_000  # characters of an exception's text
_NAMED = re.compile(r"(?:[\w<>]+\.)*(?P<name>\w+)(?:: (?P<text>.*))?", re.DOTALL)  # as Python prints an exception
PAUSES_SECONDS = (0.1, 0.4, 1.5, 3.0, 5.0)  # while the database is away: Dramatiq would drop the result


class PostgresBackend(ResultBackend):
    """Keeps each result for its `result_ttl` (Dramatiq's option, milliseconds), then drops it when others are
    stored."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def build_message_key(self, message: Any) -> str:
        """A message's id."""
        return str(message.message_id)

    def store_result(self, message: Any, result: Any, ttl: int) -> None:
        """Store what an actor returned, or why that cannot be stored."""
        try:
            super().store_result(message, result, ttl)
        except DatabaseAway:
            raise
        except Exception as error:  # the encoder's, whichever it is, or too large
            self.store_exception(message, error, ttl)

    def store_exception(self, message: Any, exception: BaseException, ttl: int) -> None:
        """Store why an actor failed; of a very long text its end."""
        text = str(exception)
        if len(text) > LONGEST_ERROR:
            exception = _named(type(exception).__name__, storable(text, LONGEST_ERROR))
        super().store_exception(message, exception, ttl)  # type: ignore[arg-type]  # interrupts are stored as well

    def _get(self, message_key: str) -> Any:
        result, reason, error = self._connections.execute(sql("result_get"), {"message_id": message_key})[0]
        if result is not None:
            return self.encoder.decode(bytes(result))
        return Missing if reason is None else wrap_exception(_failure(reason, error))

    def _store(self, message_key: str, result: Any, ttl: int) -> None:
        encoded = self.encoder.encode(result)
        if len(encoded) > LARGEST_RESULT_BYTES:
            raise MessageRefused(f"A result takes {len(encoded):,} bytes, {LARGEST_RESULT_BYTES:,} are allowed.")
        worked_on = in_hand(self._connections)
        if worked_on is not None and worked_on.in_hooks and worked_on.message_id == message_key:
            worked_on.result = Result(encoded, ttl)  # its finish stores it
            return
        parameters = parameters_of([(message_key, Result(encoded, ttl))])
        for pause in PAUSES_SECONDS:
            try:
                self._connections.execute(sql("result_store"), parameters)
                return
            except DatabaseAway:
                time.sleep(pause)
        self._connections.execute(sql("result_store"), parameters)


def _failure(reason: str, error: str | None) -> Exception:
    """What a dead letter tells: the exception that it names, as its worker would have stored it, or else its reason."""
    if reason == "cancelled":  # what it names is why it failed before that
        return _named("Cancelled", "")
    if named := _NAMED.fullmatch(error or ""):
        return _named(named["name"], named["text"] or "")
    return _named("DeadLetter", f"{reason}: {error}" if error else reason)


def _named(name: str, text: str) -> Exception:
    error: Exception = type(name, (Exception,), {})(text)
    return error


def parameters_of(results: Sequence[tuple[str, Result]]) -> dict[str, Any]:
    """For `sql/result_store.sql`: results by message id."""
    return {
        "message_ids": [message_id for message_id, _ in results],
        "results": [Binary(result.encoded) for _, result in results],
        "ttls_ms": [result.ttl_ms for _, result in results],
    }
