"""Connections to the desk's database, and the one way to open a transaction.

Promises: a pool that waits for a free connection instead of failing, and says so when it gives up; every transaction
runs as the role `atum_worker`, which cannot bypass row-level security, and sees the rows of one organization at most.
Both are set with `set_config(…, true)`: for this transaction only, so a pooler in transaction mode may sit between.

A connection that was lost while idle is replaced without a word; a database that is away gives `DatabaseUnavailable`.
"""

import contextlib
import os
from collections.abc import Iterator
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras
from psycopg2.extensions import connection as Connection
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from desk.embedded import PORT, EmbeddedServer
from desk.errors import DatabaseUnavailable
from desk.settings import settings

OLDEST_SERVER = 140000
LOST = (psycopg2.OperationalError, psycopg2.InterfaceError)
# What a statement meets where `atum init` has not been run, or not since the program was renewed.
NO_SCHEMA = (
    psycopg2.errors.UndefinedTable,
    psycopg2.errors.UndefinedColumn,
    psycopg2.errors.UndefinedFunction,
    psycopg2.errors.InvalidSchemaName,
)

# One pool a process: a forked child must not write on its parent's sockets. The parent's pool stays referenced here, so
# that the child does not close it either.
_pools: dict[int, QueuePool] = {}
_pools_lock = Lock()

psycopg2.extras.register_uuid()

_BEGIN = "select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true)"


def embedded() -> EmbeddedServer | None:
    """The embedded server of this installation; None where `ATUM_DATABASE_URL` names another."""
    return None if settings().database_url else EmbeddedServer(settings().home)


def url() -> str:
    """Where workers, scheduler, API and CLI connect. Starts the embedded server where it is the one."""
    server = embedded()
    if server is None:
        return str(settings().database_url)
    server.attach()
    return server.url(user="atum_worker")


def owner_url() -> str:
    """Where `atum init` migrates: `ATUM_OWNER_URL`, else the embedded superuser, else `ATUM_DATABASE_URL`."""
    if settings().owner_url:
        return str(settings().owner_url)
    server = embedded()
    if server is None:
        return str(settings().database_url)
    server.attach()
    return server.url()


def connect(where: str, timeout_seconds: int = 10) -> Connection:
    """A new connection to `where`. No message of this function holds the password.

    Raises:
        DatabaseUnavailable: it does not answer within `timeout_seconds`, refuses us, or is older than Postgres 14.
    """
    shown = describe(where)
    try:
        connection = psycopg2.connect(where, connect_timeout=timeout_seconds, application_name=f"atum:{os.getpid()}")
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
        if 'role "atum_worker"' in reason:  # it does not exist, or init has not let it log in
            raise DatabaseUnavailable("The database has no schema yet. Run `atum init` first.") from None
        raise DatabaseUnavailable(
            f"The database at {shown} does not answer: {reason}. Start it, or correct ATUM_DATABASE_URL."
        ) from error
    if connection.server_version < OLDEST_SERVER:
        found = connection.server_version // 10000
        connection.close()
        raise DatabaseUnavailable(f"The database at {shown} is Postgres {found}. Version 14 or newer is needed.")
    return connection


@contextlib.contextmanager
def transaction(organization_id: UUID | str | None = None) -> Iterator[Connection]:
    """One transaction as `atum_worker`, committed at the end of the block, rolled back when it raises.

    With an `organization_id` the transaction sees and writes that organization's rows; without one it sees no row of
    any table that belongs to an organization.

    Raises:
        DatabaseUnavailable: no connection within `ATUM_POOL_TIMEOUT_SECONDS`, the database is away, has no schema, or
            its login may not act as atum_worker.
    """
    borrowed = _begin(str(organization_id) if organization_id else "")
    connection: Any = borrowed.dbapi_connection
    try:
        yield connection
        connection.commit()
    except BaseException:
        if connection.closed:
            borrowed.invalidate()
        raise
    finally:
        borrowed.close()  # back to the pool, which rolls back what was not committed


def _begin(organization_id: str) -> PoolProxiedConnection:
    """A connection on which the transaction is open: the first statement is also the proof that it is alive."""
    for last in (False, True):
        try:
            borrowed = _pool().connect()
        except PoolTimeout:
            raise DatabaseUnavailable(
                f"No database connection was free within {settings().pool_timeout_seconds:g} seconds. "
                "Run fewer threads, or raise ATUM_POOL_SIZE."
            ) from None
        try:
            with contextlib.closing(borrowed.cursor()) as cursor:
                cursor.execute(_BEGIN, (organization_id,))
            return borrowed
        except LOST as error:
            borrowed.invalidate()
            if last:
                raise DatabaseUnavailable(f"The database went away: {str(error).strip()}") from error
            close()  # if one connection is gone, its idle siblings are as well
        except psycopg2.Error as error:
            borrowed.close()
            if isinstance(error, psycopg2.errors.InvalidParameterValue | psycopg2.errors.UndefinedObject):
                raise DatabaseUnavailable("The database has no schema yet. Run `atum init` first.") from error
            if isinstance(error, psycopg2.errors.InsufficientPrivilege):
                raise DatabaseUnavailable(may_not_act(error)) from error
            raise
    raise AssertionError("unreachable")


def _pool() -> QueuePool:
    with _pools_lock:
        pool = _pools.get(os.getpid())
        if pool is None:
            pool = _pools[os.getpid()] = QueuePool(
                lambda: connect(url()),  # type: ignore[arg-type]  # psycopg2 has no stubs that fit SQLAlchemy's protocol
                pool_size=settings().pool_size,
                max_overflow=0,
                timeout=settings().pool_timeout_seconds,
                use_lifo=True,  # what is not needed stays idle and is the first to be closed by a server's timeout
            )
        return pool


def may_not_act(error: psycopg2.Error) -> str:
    """What to tell of a login that is no member of atum_worker."""
    return f"This login may not act as atum_worker ({str(error).strip().splitlines()[0]}). Grant it that role."


def close() -> None:
    """Close this process's pool; the next transaction opens another."""
    with _pools_lock:
        pool = _pools.pop(os.getpid(), None)
    if pool is not None:
        pool.dispose()


def describe(where: str) -> str:
    """Which database a URL names, for messages: its host, port and name, never its user's password.

    Raises:
        DatabaseUnavailable: libpq cannot read it.
    """
    try:
        parts = psycopg2.extensions.parse_dsn(where)
    except psycopg2.ProgrammingError:  # its text quotes what it could not read, which may be the password
        raise DatabaseUnavailable(
            "The database's URL cannot be read. Is a sign in the password not percent-encoded?"
        ) from None
    host = parts.get("host", "")
    if "@" in host + parts.get("dbname", ""):  # the password was cut at a sign of its own, its rest taken for these
        raise DatabaseUnavailable(
            "The database's URL is ambiguous. In the password write @ as %40, / as %2F, : as %3A."
        )
    is_socket = not host or host.startswith("/")
    place = "the local socket" if is_socket else host
    port = parts.get("port", "")
    shown = f":{port}" if port and not (is_socket and port == str(PORT)) else ""
    return f"{place}{shown}/{parts.get('dbname', '')}"
