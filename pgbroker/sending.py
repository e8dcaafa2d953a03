"""Inserting messages: into the transaction that was joined, with the finish of the message in hand, or on their own."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import psycopg2
from dramatiq.message import Message

from pgbroker.connections import Connections, Line
from pgbroker.doorbell import Doorbell
from pgbroker.encoding import Row, Rows
from pgbroker.errors import DatabaseAway, MessageRefused, PgBrokerError
from pgbroker.grouping import Group, Item
from pgbroker.joining import joined, run_in
from pgbroker.leased import in_hand
from pgbroker.statements import sql

_Run = Callable[[str, dict[str, Any]], list[tuple[Any, ...]]]
_MOST_TRIES = 10
_WORTH_A_COPY = 50  # messages: from here on COPY beats INSERT
_LINES_AT_ONCE = 100


class _Send(Item):
    def __init__(self, message: Message[Any], row: Row) -> None:
        self.message = message
        self.row = row
        self.new = False


class _Desk:
    """Where the threads of one process hand in what they send on their own."""

    def __init__(self, connections: Connections, doorbell: Doorbell) -> None:
        self.line = Line(connections)
        self.group: Group[_Send] = Group(self._write)
        self._connections = connections
        self._doorbell = doorbell

    def _write(self, lot: list[_Send]) -> None:
        try:
            self._insert(lot)
        except PgBrokerError as error:
            for send in lot:
                if len(lot) == 1:
                    send.error = error
                else:  # one of them spoils it for all
                    self._write([send])

    def _insert(self, lot: list[_Send]) -> None:
        try:
            new = self._execute(lot)
        except DatabaseAway:
            # The connection may have been lost before or after the commit, and some may have been sent before.
            known = _known(self._connections, [send.row for send in lot])
            new = dict.fromkeys(known, False)
            if missing := [send for send in lot if send.row.message_id not in known]:
                new |= self._execute(missing)
        for send in lot:
            send.new = send.row.message_id in new
            send.written = True
        if heard := {send.row.queue_name for send in lot if new.get(send.row.message_id)}:
            self._doorbell.ring_if_possible(self.line, heard)

    def _execute(self, lot: list[_Send]) -> dict[str, bool]:
        """The ids that are new, each with whether an idle worker listens."""
        if len(lot) == 1:
            new = self.line.execute(sql("send_one"), lot[0].row.parameters())
            return {lot[0].row.message_id: new[0][0]} if new else {}
        found = {
            UUID(row[0]): row[1] for row in self.line.execute(sql("send"), {"rows": rows_json([s.row for s in lot])})
        }
        ids = {send.row.message_id: UUID(send.row.message_id) for send in lot}
        return {text: found[known] for text, known in ids.items() if known in found}


class _NotPlain(Exception):
    """COPY cannot send a message that waits for its time, or whose unique_key may be taken."""


class _Lines:
    """A file for COPY to read: `first`, and then the other rows."""

    def __init__(self, first: list[Row], rows: Rows) -> None:
        self._next = first
        self._rows = rows
        self.error: BaseException | None = None  # psycopg2 would hide it behind one of its own

    def read(self, size: int = 0, /) -> str:
        """Some more lines, whatever `size`, for psycopg2 to encode as its connection does; nothing at the end."""
        try:
            some, self._next = self._next or self._rows.next(_LINES_AT_ONCE), []
            if any(row.unique_key is not None or row.delay_ms for row in some):
                raise _NotPlain
            return "".join([row.line() for row in some])
        except BaseException as error:
            self.error = error
            raise


class Sender:
    """Sends through `connections` where nothing else is joined, and rings for those who wait."""

    def __init__(self, connections: Connections, doorbell: Doorbell) -> None:
        self._connections = connections
        self._doorbell = doorbell
        self._desks: dict[int, _Desk] = {}  # by process: a child must not write on its parent's socket

    def close(self) -> None:
        """Close this process's connection. A later send opens another."""
        desk = self._desks.pop(os.getpid(), None)
        if desk is not None and not desk.group.busy:
            desk.line.close()

    def send(self, message: Message[Any], row: Row) -> Message[Any]:
        """Insert one message; where its unique_key waits already, the one that waits is returned."""
        worked_on = in_hand(self._connections)
        connection = joined()
        if connection is not None:
            run = partial(run_in, connection)
            try:
                new = run(sql("send_one"), row.parameters())
                if worked_on is not None:
                    worked_on.sent_to.add(row.queue_name)
                return message if new else _already_there(message, row, run)
            except psycopg2.Error as error:
                raise self._connections.translated(error) from error
        if worked_on is not None and worked_on.in_hooks:
            worked_on.followers.append(row)
            return message
        if row.unique_key is not None:  # it may have to wait for somebody's transaction: not in front of others
            is_new = self._alone(message, row)
        else:
            send = _Send(message, row)
            self._desk().group.submit([send])
            is_new = send.new
        return message if is_new else _already_there(message, row, self._connections.execute)

    def send_many(self, rows: Rows) -> list[Message[Any]]:
        """Insert messages in one statement; for one whose unique_key waits already, the one that waits."""
        worked_on = in_hand(self._connections)
        connection = joined()
        if connection is not None:
            try:
                if worked_on is not None:
                    worked_on.sent_to.update(row.queue_name for row in rows.all())
                return _insert(rows.all(), rows.messages, partial(run_in, connection))
            except psycopg2.Error as error:
                raise self._connections.translated(error) from error
        if worked_on is not None and worked_on.in_hooks:
            worked_on.followers += rows.all()
            return rows.messages
        try:
            sent = rows.messages if self._copy(rows) else _insert(rows.all(), rows.messages, self._connections.execute)
        except DatabaseAway:
            known = _known(self._connections, rows.all())
            sent = list(rows.messages)
            missing = [number for number, row in enumerate(rows.made) if row.message_id not in known]
            left = [rows.made[number] for number in missing], [sent[number] for number in missing]
            for number, message in zip(missing, _insert(*left, self._connections.execute), strict=True):
                sent[number] = message
        self._doorbell.ring_if_possible(self._connections, rows.queue_names())
        return sent

    def _copy(self, rows: Rows) -> bool:
        """Insert them by COPY, the next being made while the server takes the last in; whether it could be done so."""
        first = rows.next(_WORTH_A_COPY)
        if len(first) < _WORTH_A_COPY:
            return False
        lines = _Lines(first, rows)
        try:
            with self._connections.transaction() as connection, connection.cursor() as cursor:
                cursor.copy_expert(sql("send_copy"), lines)  # type: ignore[arg-type]  # COPY calls `read` alone
        except PgBrokerError as error:
            if isinstance(lines.error, _NotPlain):
                return False
            if lines.error is not None:
                raise lines.error from None
            if isinstance(error, MessageRefused):
                return False  # one was sent before: insert tells which, and takes the others
            raise
        return True

    def _desk(self) -> _Desk:
        desk = self._desks.get(os.getpid())
        return desk or self._desks.setdefault(os.getpid(), _Desk(self._connections, self._doorbell))

    def _alone(self, message: Message[Any], row: Row) -> bool:
        try:
            new = self._connections.execute(sql("send_one"), row.parameters())
        except DatabaseAway:
            if _known(self._connections, [row]):
                return True
            new = self._connections.execute(sql("send_one"), row.parameters())
        if new and new[0][0]:
            self._doorbell.ring_if_possible(self._connections, [row.queue_name])
        return bool(new)


def _known(connections: Connections, rows: list[Row]) -> set[str]:
    """The ids of those that are in the database, whatever has become of them since."""
    ids = {UUID(row.message_id): row.message_id for row in rows}
    found = connections.execute(sql("known"), {"message_ids": [row.message_id for row in rows]})
    return {ids[UUID(message_id)] for (message_id,) in found}


def _insert(rows: list[Row], messages: list[Message[Any]], run: _Run) -> list[Message[Any]]:
    if not rows:
        return []
    new = {UUID(row[0]) for row in run(sql("send"), {"rows": rows_json(rows)})}
    return [
        message if UUID(message.message_id) in new else _already_there(message, row, run)
        for row, message in zip(rows, messages, strict=True)
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
