"""Which transaction a send joins: `with enlisted(connection): actor.send(…)`.

Promises: what is sent in the block commits with the connection's transaction, whatever library it comes from; nothing
is executed before the first send. Blocks nest. Other threads, and tasks that outlive the block, do not take part. What
a driver raises comes out as psycopg2 would have raised it, so that one table of meanings serves all.

The block is a context variable, which alone would not do: tasks of asyncio copy their parent's.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import get_ident
from typing import Any

import psycopg2

_NEEDED = (
    "enlist() needs a connection or a cursor: psycopg2's, psycopg 3's, Django's, or a SQLAlchemy connection or session"
)
_DB_API_ERRORS = (
    "DataError", "IntegrityError", "OperationalError", "InternalError", "ProgrammingError", "NotSupportedError",
    "DatabaseError", "InterfaceError", "Error",
)  # fmt: skip


@dataclass
class _Block:
    connection: Any
    thread_id: int
    open: bool = True


_block: ContextVar[_Block | None] = ContextVar("pgbroker_joined", default=None)


@contextmanager
def enlisted(connection: Any) -> Iterator[None]:
    """Until the end of the block, sends of this thread go through `connection` and commit with it.

    Anything that leads to a DB-API cursor will do: a connection (psycopg2, psycopg 3, Django), a cursor, a SQLAlchemy
    connection or session. Raises TypeError where nothing does.
    """
    if inspect.iscoroutinefunction(getattr(connection, "execute", None)):
        raise TypeError(f"{_NEEDED}. An asynchronous one cannot be joined, as sending is synchronous.")
    if not callable(getattr(connection, "cursor", None)) and not hasattr(connection, "connection"):
        raise TypeError(f"{_NEEDED}, not {type(connection).__name__!r}.")
    block = _Block(connection, get_ident())
    token = _block.set(block)
    try:
        yield
    finally:
        block.open = False
        _block.reset(token)


def joined() -> Any:
    """The connection whose transaction this thread has joined; None where it has joined none."""
    block = _block.get()
    return block.connection if block is not None and block.open and block.thread_id == get_ident() else None


def run_in(connection: Any, statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement in the transaction of `connection`, anything that `enlisted` takes, and return its rows.

    Raises:
        psycopg2.Error: whatever the driver's own error was.
    """
    try:
        with closing(_cursor(connection)) as cursor:
            cursor.execute(statement, parameters)
            found = cursor.fetchall() if cursor.description else []
    except Exception as error:
        meaning = _as_psycopg2(error)
        if meaning is None or meaning is error:
            raise
        raise meaning from error
    return [tuple(row.values()) if isinstance(row, Mapping) else tuple(row) for row in found]


def _cursor(connection: Any) -> Any:
    """A new cursor on what `connection` leads to: a session leads to its connection, that to the driver's."""
    for _ in range(3):
        if callable(getattr(connection, "cursor", None)):
            return connection.cursor()
        # SQLAlchemy's commit() would do nothing if it had not seen the transaction begin.
        if callable(getattr(connection, "in_transaction", None)) and hasattr(connection, "exec_driver_sql"):
            connection.in_transaction() or connection.begin()
        connection = getattr(connection, "connection", None)
        if callable(connection) and not hasattr(connection, "cursor"):
            connection = connection()
    raise TypeError(f"{_NEEDED}.")


def _as_psycopg2(error: BaseException | None) -> psycopg2.Error | None:
    """The error of any DB-API driver as psycopg2 has it; None for what is none. Django's has the driver's as cause."""
    if error is None or isinstance(error, psycopg2.Error):
        return error
    code = getattr(error, "sqlstate", None)
    if isinstance(code, str):
        try:
            return psycopg2.errors.lookup(code)(str(error))
        except KeyError:
            return psycopg2.DatabaseError(str(error))
    inner = _as_psycopg2(error.__cause__)
    if inner is not None:
        return inner
    name = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _DB_API_ERRORS), None)
    return getattr(psycopg2, name)(str(error)) if name else None
