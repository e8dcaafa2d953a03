"""Connections to the database that holds the messages.

Promises: no I/O before the first use; a pool per process, so that a forked child never writes on its parent's sockets;
a pool that waits for a free connection instead of failing; a connection that the server closed while it was idle is
replaced before it is used. Every failure of the database comes out as an error of `pgbroker.errors`, in one line.
"""

import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic
from typing import Any

import psycopg2
from psycopg2 import errors as pg
from psycopg2.extensions import ISOLATION_LEVEL_DEFAULT, ISOLATION_LEVEL_READ_COMMITTED
from psycopg2.extensions import connection as Connection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from pgbroker.errors import DatabaseAway, MessageRefused, PgBrokerError, SchemaMissing
from pgbroker.statements import sql

_NO_SCHEMA = (
    pg.UndefinedTable,
    pg.InvalidSchemaName,
    pg.UndefinedColumn,
    pg.UndefinedFunction,
    pg.InsufficientPrivilege,
)
IDLE_SECONDS = 0.2
_PARAMETER = re.compile(r"%\((\w+)\)s((?:::[a-z0-9_]+(?:\[\])?)?)")
_AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, pg.ReadOnlySqlTransaction)

# A peer that is gone without a word is noticed within some ten seconds, well inside a lease.
_NETWORK: dict[str, Any] = {
    "connect_timeout": 5, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}  # fmt: skip


class Connections:
    """The database of one broker. `url` may be a callable: it is asked at the first use in each process, not before.

    `install_hint` ends the error about a missing schema; `pool_size` bounds the connections of one process that send
    and finish (claim and beat have one each besides); `timeout_seconds` is how long to wait for a free one.
    """

    def __init__(
        self, url: str | Callable[[], str], install_hint: str, *, pool_size: int = 4, timeout_seconds: float = 30.0
    ) -> None:
        self._url = url
        self._install_hint = install_hint
        self._pool_size = pool_size
        self._timeout_seconds = timeout_seconds
        self._pools: dict[int, QueuePool] = {}  # the parent's stays referenced: a child must not close its sockets
        self._lock = Lock()

    def connect(self) -> Connection:
        """A new connection in autocommit mode, outside the pool. Raises DatabaseAway."""
        try:
            where = self._url() if callable(self._url) else self._url
            name = {} if "application_name" in where else {"application_name": f"pgbroker:{os.getpid()}"}
            connection = psycopg2.connect(where, **(_NETWORK | name))
        except psycopg2.Error as error:
            raise self.translated(error) from error
        except Exception as error:  # the callable is the user's: a server that it could not start, a missing variable
            raise DatabaseAway(_one_line(error)) from error
        connection.autocommit = True
        return connection

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own and return its rows, if it has any.

        After DatabaseAway it is unknown whether the statement took effect.
        """
        with self._borrowed() as connection:
            connection.autocommit = True
            return rows(connection, statement, parameters)

    def records(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
        """As `execute`, with each row as {column: value}."""
        with self._borrowed() as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement, parameters)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed at the end of the block, rolled back when it raises."""
        with self._borrowed() as connection:
            connection.autocommit = False
            with committed(connection):
                yield connection

    def close(self) -> None:
        """Close this process's pool. The next use opens another."""
        with self._lock:
            pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.dispose()

    def translated(self, error: psycopg2.Error) -> PgBrokerError:
        """The error of this package that says what a psycopg2 error means."""
        # A login or database that does not exist yet has no error code of its own while connecting.
        if isinstance(error, _NO_SCHEMA) or (error.pgcode is None and "does not exist" in str(error)):
            return SchemaMissing(f"The database lacks the broker's schema ({_one_line(error)}). {self._install_hint}")
        # An OperationalError to psycopg2, but no later attempt would succeed: too long for an index, say.
        if isinstance(error, pg.ProgramLimitExceeded):
            return MessageRefused(_one_line(error))
        # psycopg2 has neither class nor code for a connection that breaks in the middle of an answer.
        if isinstance(error, _AWAY) or (type(error) is psycopg2.DatabaseError and error.pgcode is None):
            return DatabaseAway(f"The database cannot be used: {_one_line(error)}.")
        if isinstance(error, psycopg2.DataError | psycopg2.IntegrityError):
            return MessageRefused(_one_line(error))
        return PgBrokerError(_one_line(error))

    @contextmanager
    def _borrowed(self) -> Iterator[Connection]:
        borrowed = self._healthy()
        connection: Any = borrowed.dbapi_connection
        try:
            yield connection
        except psycopg2.Error as error:
            if connection.closed:
                borrowed.invalidate()
            raise self.translated(error) from error
        finally:
            borrowed.close()

    def _healthy(self) -> PoolProxiedConnection:
        while True:
            try:
                borrowed = self._pool().connect()
            except PoolTimeout:
                raise DatabaseAway(f"No connection was free within {self._timeout_seconds:g} seconds.") from None
            if not hung_up(borrowed.dbapi_connection):
                return borrowed
            borrowed.invalidate()
            self.close()  # if one connection is gone, its idle siblings are as well

    def _pool(self) -> QueuePool:
        with self._lock:
            pool = self._pools.get(os.getpid())
            if pool is None:
                pool = self._pools[os.getpid()] = QueuePool(
                    self.connect,  # type: ignore[arg-type]  # its protocol wants more than it uses
                    pool_size=self._pool_size,
                    max_overflow=0,
                    timeout=self._timeout_seconds,
                    use_lifo=True,  # few senders keep few connections open
                )
            return pool


@contextmanager
def committed(connection: Connection) -> Iterator[None]:
    """Commit after the block; roll back and raise when it raises. Each statement in it sees what was committed before,
    whatever the database's default: a claim under a limit has to see those that held it up."""
    try:
        connection.isolation_level = ISOLATION_LEVEL_READ_COMMITTED  # of BEGIN: behind a pooler nothing else would do
        yield
        connection.commit()
    except BaseException:
        with suppress(psycopg2.Error):
            connection.rollback()
        raise
    finally:
        with suppress(psycopg2.Error):
            connection.isolation_level = ISOLATION_LEVEL_DEFAULT


def rows(connection: Connection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    """What `statement` returns; the empty list where it returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def hung_up(connection: Any) -> bool:
    """Whether the server closed an idle connection. Looks at the socket only; asks the server nothing."""
    if connection.closed:
        return True
    watched = select.poll()
    watched.register(connection.fileno(), select.POLLIN)
    for _ in range(3):
        if not watched.poll(0):
            return False
        try:
            connection.poll()  # takes in what is there: a notice, a key exchange, or the goodbye
        except psycopg2.Error:
            return True
    return True


def _one_line(error: Exception) -> str:
    """The part of a database's error that tells people something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "FATAL:" in line), lines[0] if lines else type(error).__name__)
    return text.split("FATAL:")[-1].strip().rstrip(".")


class Line:
    """One connection of its own, opened when it is needed and again after it failed. Not for two threads at once.

    Where no pooler stands between, statements are prepared, which halves the time of short ones, and planned for what a
    queue is: a table that is empty now and large in a minute. A plan made for the empty one must not read all of the
    large one, so none may read a table from end to end.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._connection: Connection | None = None
        self._prepared: dict[str, str] = {}
        self._used_at = 0.0
        self._asked_at: float | None = None  # since when an answer is awaited
        self.pooled = False
        self.opened = 0  # how many connections there have been

    def open(self) -> Connection:
        """The connection, in autocommit mode; a new one where the last has ended. Raises DatabaseAway."""
        # A connection that was used a moment ago need not be looked at: the next statement tells.
        idle = monotonic() - self._used_at > IDLE_SECONDS
        self._used_at = monotonic()
        if self._connection is None or self._connection.closed or (idle and hung_up(self._connection)):
            self.close()
            self._connection, self._prepared = self._connections.connect(), {}
            self.opened += 1
            self._asked_at = monotonic()
            try:
                self.pooled = behind_pooler(self._connection)
                if not self.pooled:
                    rows(self._connection, sql("plan_by_index"))
            except psycopg2.Error as error:
                self.close()
                raise self._connections.translated(error) from error
            finally:
                self._asked_at = None
        return self._connection

    def execute(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a transaction of its own. Raises an error of `pgbroker.errors`; the next call
        reconnects."""
        try:
            connection = self.open()
            self._asked_at = monotonic()
            return rows(connection, statement if self.pooled else self._known(connection, statement), parameters)
        except psycopg2.Error as error:
            self.close()
            raise self._connections.translated(error) from error
        finally:
            self._asked_at = None

    def _known(self, connection: Connection, statement: str) -> str:
        """What executes `statement` as prepared on this connection."""
        execution = self._prepared.get(statement)
        if execution is None:
            name = f"pgbroker_{len(self._prepared)}"
            preparation, execution = _prepared(name, statement)
            rows(connection, preparation)
            self._prepared[statement] = execution
        return execution

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The connection inside one transaction: committed at the end of the block, rolled back when it raises."""
        connection = self.open()
        self._asked_at = monotonic()
        try:
            connection.autocommit = False
            with committed(connection):
                yield connection
            connection.autocommit = True
        except psycopg2.Error as error:
            self.close()
            raise self._connections.translated(error) from error
        except BaseException:
            self.close()  # whatever happened, it does not go on in the middle of it
            raise
        finally:
            self._asked_at = None

    def give_up(self, seconds: float) -> None:
        """End the connection if an answer has not come for so long: whoever waits for it gets an error. For any thread.

        A connection may be dead without a word: its peer, or what stands in between, takes what is sent and is silent.
        """
        connection, asked_at = self._connection, self._asked_at
        if connection is not None and asked_at is not None and monotonic() - asked_at > seconds:
            with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg2.Error):
                connection.close()


def behind_pooler(connection: Connection) -> bool:
    """Whether a pooler stands between: its server connections come and go, and hold no session of ours."""
    return bool(rows(connection, "select pg_backend_pid()")[0][0] != connection.info.backend_pid)


def _prepared(name: str, statement: str) -> tuple[str, str]:
    """PREPARE and EXECUTE for a statement whose parameters are written `%(name)s`, or `%(name)s::type` for arrays."""
    types: dict[str, str] = {}
    for parameter, of_type in _PARAMETER.findall(statement):
        types[parameter] = types.get(parameter) or of_type
    numbers = {parameter: number for number, parameter in enumerate(types, start=1)}
    body = _PARAMETER.sub(lambda found: f"${numbers[found[1]]}{found[2]}", statement).replace("%%", "%")
    arguments = ", ".join(f"%({parameter})s{of_type}" for parameter, of_type in types.items())
    return f"prepare {name} as {body}", f"execute {name} ({arguments})" if arguments else f"execute {name}"
