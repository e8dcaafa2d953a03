"""Inserting messages: into the transaction that was joined, with the finish of the message in hand, or on their own."""

import io
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg2
from dramatiq.message import Message

from pgbroker.connections import Connections
from pgbroker.doorbell import Doorbell
from pgbroker.encoding import Row
from pgbroker.errors import DatabaseAway, MessageRefused
from pgbroker.joining import joined_cursor
from pgbroker.leased import current
from pgbroker.statements import sql

_Run = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
_MOST_TRIES = 10
_WORTH_A_COPY = 50  # messages: from here on COPY beats INSERT


class Sender:
    """Sends through `connections` where nothing else is joined, and rings for those who wait."""

    def __init__(self, connections: Connections, doorbell: Doorbell) -> None:
        self._connections = connections
        self._doorbell = doorbell

    def send(self, message: Message[Any], row: Row) -> Message[Any]:
        """Insert one message; where its unique_key waits already, the one that waits is returned."""
        in_hand = current.get()
        cursor = joined_cursor()
        if cursor is not None:
            with closing(cursor):
                try:
                    new = _on(cursor)(sql("send_one"), row.parameters())
                    if in_hand is not None:
                        in_hand.sent_to.add(row.queue_name)
                    return message if new else _already_there(message, row, _on(cursor))
                except psycopg2.Error as error:
                    raise self._connections.translated(error) from error
        if in_hand is not None and in_hand.in_hooks:
            in_hand.followers.append(row)
            return message
        try:
            new = self._connections.execute(sql("send_one"), row.parameters())
        except DatabaseAway:
            # The connection may have been lost before or after the commit.
            if self._arrived(message):
                return message
            new = self._connections.execute(sql("send_one"), row.parameters())
        if not new:
            return _already_there(message, row, self._connections.execute)
        if new[0][0]:
            self._doorbell.ring(self._connections, [row.queue_name])
        return message

    def send_many(self, messages: list[Message[Any]], rows: list[Row]) -> list[Message[Any]]:
        """Insert messages in one statement; for one whose unique_key waits already, the one that waits."""
        if not messages:
            return []
        in_hand = current.get()
        cursor = joined_cursor()
        if cursor is not None:
            with closing(cursor):
                try:
                    if in_hand is not None:
                        in_hand.sent_to.update(row.queue_name for row in rows)
                    return _insert(messages, rows, _on(cursor))
                except psycopg2.Error as error:
                    raise self._connections.translated(error) from error
        if in_hand is not None and in_hand.in_hooks:
            in_hand.followers += rows
            return messages
        try:
            sent = self._insert(messages, rows)
        except DatabaseAway:
            # One statement: all arrived, or none.
            sent = messages if self._arrived(messages[0]) else self._insert(messages, rows)
        self._doorbell.ring(self._connections, {row.queue_name for row in rows})
        return sent

    def _insert(self, messages: list[Message[Any]], rows: list[Row]) -> list[Message[Any]]:
        if len(rows) >= _WORTH_A_COPY and not any(row.unique_key or row.delay_ms for row in rows):
            try:
                with self._connections.transaction() as connection, connection.cursor() as cursor:
                    cursor.copy_expert(sql("send_copy"), io.StringIO("".join([row.line() for row in rows])))
                return messages
            except MessageRefused:
                pass  # one was sent before: insert tells which, and takes the others
        return _insert(messages, rows, self._connections.execute)

    def _arrived(self, message: Message[Any]) -> bool:
        return bool(self._connections.execute(sql("known"), {"message_id": message.message_id})[0][0])


def _on(cursor: Any) -> _Run:
    def run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []

    return run


def _insert(messages: list[Message[Any]], rows: list[Row], run: _Run) -> list[Message[Any]]:
    new = {UUID(row[0]) for row in run(sql("send"), {"rows": rows_json(rows)})}
    return [
        message if UUID(message.message_id) in new else _already_there(message, row, run)
        for message, row in zip(messages, rows, strict=True)
    ]


def rows_json(rows: list[Row]) -> str:
    """`rows` as `sql/send.sql` takes them."""
    return "[" + ",".join([row.json() for row in rows]) + "]"


def _already_there(message: Message[Any], row: Row, run: _Run) -> Message[Any]:
    """The message that waits in place of one that was not inserted."""
    key = message.options.get("unique_key")
    if key is None:
        return message  # sent before, under this id
    for _ in range(_MOST_TRIES):
        waiting = run(sql("waiting"), {"unique_key": key})
        if waiting:
            return message.copy(message_id=waiting[0][0])
        # It was claimed between the two statements: what it will not see any more is ours to send.
        if run(sql("send_one"), row.parameters()):
            return message
    raise MessageRefused(
        f"Another transaction holds the unique_key {key!r}; in this isolation level it cannot be read."
    )
