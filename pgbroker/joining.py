"""Which transaction a send joins: `with enlisted(connection): actor.send(…)`.

The connection is a context variable: blocks nest, and a thread that is started inside a block does not inherit it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_joined: ContextVar[Any] = ContextVar("pgbroker_joined", default=None)


@contextmanager
def enlisted(connection: Any) -> Iterator[None]:
    """Until the end of the block, sends of this thread go through `connection` and commit with it.

    Anything that leads to a DB-API cursor will do: a connection (psycopg2, psycopg 3, Django), a cursor, a SQLAlchemy
    connection or session.
    """
    _cursor(connection).close()  # raises here, where the mistake is, not at the first send
    token = _joined.set(connection)
    try:
        yield
    finally:
        _joined.reset(token)


def joined_cursor() -> Any:
    """A new cursor on the transaction that this thread has joined; None where it has joined none."""
    connection = _joined.get()
    return None if connection is None else _cursor(connection)


def _cursor(connection: Any) -> Any:
    for _ in range(3):  # a session leads to its connection, that to the driver's
        if callable(getattr(connection, "cursor", None)):
            return connection.cursor()
        connection = getattr(connection, "connection", None)
        if callable(connection) and not hasattr(connection, "cursor"):
            connection = connection()
    raise TypeError("enlist() needs a connection or a cursor: something with a DB-API cursor() behind it")
