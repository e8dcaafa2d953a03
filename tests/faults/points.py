"""Points at which a process of these tests dies or loses its connection: around each of the broker's statements.

    KILL_AT=claim:before:2          dies of SIGKILL when it is about to claim for the second time
    LOSE_AT=claim:committed:1 ...   loses the connection when its first claim was committed, so that the answer is lost
    POINTS_SEEN=path                writes down every point at its first passing, and what it did there

A point is `statement:place`: the name of a file in pgbroker/sql and `before` (it was not sent), `uncommitted` (the
server answered, inside a transaction that is open still) or `committed`. `actor/statement` is the same on a connection
of an actor's own, which names itself `actor`.
"""

import os
import signal
import socket
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Any

import psycopg2
import psycopg2.extensions
from faults.recognition import Recognition

_passed: Counter[str] = Counter()
_lock = Lock()


class ConnectionTaken(psycopg2.OperationalError):
    """The test took this connection away."""


def install(recognition: Callable[[Any], Any] = lambda connection: Recognition()) -> None:
    """From here on every psycopg2 connection of this process passes the points that `recognition` of it names."""
    connect = psycopg2.connect
    _Watched.recognition = staticmethod(recognition)

    def watched(*args: Any, connection_factory: Any = psycopg2.extensions.connection, **kwargs: Any) -> Any:
        return connect(*args, connection_factory=_watching(connection_factory), **kwargs)

    psycopg2.connect = watched


def _watching(factory: type) -> type:
    return type("Watched", (_Watched, factory), {})


class _Watched:
    """Mixed into a psycopg2 connection."""

    recognition: Callable[[Any], Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recognition = self.recognition(self)
        self._uncommitted: list[str] = []
        self._owner = "actor/" if self.info.parameter_status("application_name") == "actor" else ""

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["cursor_factory"] = type("Watched", (_WatchedCursor, kwargs.get("cursor_factory") or _Cursor), {})
        return super().cursor(*args, **kwargs)

    def commit(self) -> None:
        super().commit()
        self._committed()

    def rollback(self) -> None:
        super().rollback()
        self._uncommitted.clear()

    def _executed(self, statement: str, execute: Any) -> Any:
        name = self._recognition.name_of(statement)
        if name is None:
            return execute()
        self._pass(f"{self._owner}{name}:before")
        result = execute()
        self._uncommitted.append(self._owner + name)
        if self.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            self._committed()
        else:
            self._pass(f"{self._owner}{name}:uncommitted")
        return result

    def _committed(self) -> None:
        names, self._uncommitted = self._uncommitted, []
        for name in names:
            self._pass(f"{name}:committed")

    def _pass(self, point: str) -> None:
        with _lock:
            _passed[point] += 1
            passing = f"{point}:{_passed[point]}"
            if _passed[point] == 1:
                _write(f"saw {point}")
        if passing == os.environ.get("KILL_AT"):
            _write(f"died {passing}")
            os.kill(os.getpid(), signal.SIGKILL)
        if passing in os.environ.get("LOSE_AT", "").split():
            _write(f"lost {passing}")
            self._lose(point)

    def _lose(self, point: str) -> None:
        line = socket.socket(fileno=os.dup(self.fileno()))
        line.shutdown(socket.SHUT_RDWR)
        line.close()
        if not point.endswith(":before"):  # else the statement itself finds out
            self.close()
            raise ConnectionTaken("server closed the connection unexpectedly, says the test")


_Cursor = psycopg2.extensions.cursor


class _WatchedCursor:
    """Mixed into a psycopg2 cursor."""

    def execute(self, query: Any, vars: Any = None) -> Any:
        execute = super().execute
        return self.connection._executed(query, lambda: execute(query, vars))

    def copy_expert(self, sql: Any, *args: Any, **kwargs: Any) -> Any:
        copy_expert = super().copy_expert
        return self.connection._executed(sql, lambda: copy_expert(sql, *args, **kwargs))


def _write(line: str) -> None:
    if path := os.environ.get("POINTS_SEEN"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)
