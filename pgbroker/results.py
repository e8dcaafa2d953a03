"""Dramatiq's results in the same database: `message.get_result(block=True)`.

Stored as the encoder gives them, so whatever it can hold comes back; a stored exception is raised again by Dramatiq.
"""

from typing import Any

from dramatiq.results.backend import Missing, ResultBackend
from psycopg2 import Binary

from pgbroker.connections import Connections
from pgbroker.errors import MessageRefused
from pgbroker.statements import sql

LARGEST_RESULT_BYTES = 1_048_576


class PostgresBackend(ResultBackend):
    """Keeps each result for its `result_ttl` (Dramatiq's option, milliseconds), then drops it when others are
    stored."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def build_message_key(self, message: Any) -> str:
        """A message's id."""
        return str(message.message_id)

    def _get(self, message_key: str) -> Any:
        found = self._connections.execute(sql("result_get"), {"message_id": message_key})
        return self.encoder.decode(bytes(found[0][0])) if found else Missing

    def _store(self, message_key: str, result: Any, ttl: int) -> None:
        encoded = self.encoder.encode(result)
        if len(encoded) > LARGEST_RESULT_BYTES:
            raise MessageRefused(f"A result takes {len(encoded):,} bytes, {LARGEST_RESULT_BYTES:,} are allowed.")
        parameters = {"message_id": message_key, "result": Binary(encoded), "ttl_ms": ttl}
        self._connections.execute(sql("result_store"), parameters)
