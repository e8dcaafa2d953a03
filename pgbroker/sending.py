"""Inserting messages: into the transaction that was joined, with the finish of the message in hand, or on their own."""

from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg2
from dramatiq.message import Message

from pgbroker.connections import Connections
from pgbroker.errors import DatabaseAway, MessageRefused
from pgbroker.joining import joined_cursor
from pgbroker.leased import current
from pgbroker.statements import sql

_Run = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
_MOST_TRIES = 10


class Sender:
    """Sends through `connections` where nothing else is joined."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def send(self, messages: list[Message[Any]], rows: list[str]) -> list[Message[Any]]:
        """Insert `messages`, which `rows` describe; for one whose unique_key waits already, the one that waits."""
        if not messages:
            return []
        in_hand = current.get()
        cursor = joined_cursor()
        if cursor is not None:
            with closing(cursor):
                try:
                    return _insert(messages, rows, _on(cursor))
                except psycopg2.Error as error:
                    raise self._connections.translated(error) from error
        if in_hand is not None and in_hand.in_hooks:
            in_hand.lease.rows += rows
            return messages
        try:
            return _insert(messages, rows, self._connections.execute)
        except DatabaseAway:
            # The connection may have been lost before or after the commit. One statement: all arrived, or none.
            if self._connections.execute(sql("known"), {"message_id": messages[0].message_id})[0][0]:
                return messages
            return _insert(messages, rows, self._connections.execute)


def _on(cursor: Any) -> _Run:
    def run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())

    return run


def _insert(messages: list[Message[Any]], rows: list[str], run: _Run) -> list[Message[Any]]:
    new = {UUID(row[0]) for row in run(sql("send"), {"rows": "[" + ",".join(rows) + "]"})}
    return [
        message if UUID(message.message_id) in new else _already_there(message, row, run)
        for message, row in zip(messages, rows, strict=True)
    ]


def _already_there(message: Message[Any], row: str, run: _Run) -> Message[Any]:
    """The message that waits in place of one that was not inserted."""
    key = message.options.get("unique_key")
    if key is None:
        return message  # sent before, under this id
    for _ in range(_MOST_TRIES):
        waiting = run(sql("waiting"), {"unique_key": key})
        if waiting:
            return message.copy(message_id=waiting[0][0])
        # It was claimed between the two statements: what it will not see any more is ours to send.
        if run(sql("send"), {"rows": f"[{row}]"}):
            return message
    raise MessageRefused(
        f"Another transaction holds the unique_key {key!r}; in this isolation level it cannot be read."
    )
