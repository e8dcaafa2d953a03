"""A short look at the database, for those who ask how things are: health, metrics, doctor, readiness.

Promises: answers or raises within a few seconds, whatever state the database is in; takes no connection from the pool
that the work needs; starts nothing. It looks as `atum_worker`, without an organization: figures, no rows of anybody's.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extras
from psycopg2.extras import RealDictCursor

from desk import database
from desk.errors import DatabaseUnavailable
from desk.settings import settings

BEAT_LOST_SECONDS = 15  # a worker process beats every half second; after these it is gone, not slow

_BEGIN = """
    select set_config('role', 'atum_worker', true), set_config('statement_timeout', %(timeout_ms)s, true),
           set_config('transaction_read_only', 'on', true)
"""


@contextmanager
def glance(*, broker: bool = False, timeout_seconds: int = 2) -> Iterator[RealDictCursor]:
    """A cursor on the desk's database (or the broker's) in one read-only transaction; rows are dicts.

    Raises:
        DatabaseUnavailable: no answer within `timeout_seconds`, for the connection and for each statement; no schema.
    """
    connection = database.connect(where(broker=broker), timeout_seconds)
    try:
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(_BEGIN, {"timeout_ms": str(timeout_seconds * 1000)})
            yield cursor
    except (psycopg2.errors.InvalidParameterValue, *database.NO_SCHEMA):
        raise DatabaseUnavailable("The database has no schema yet, or an old one. Run `atum init`.") from None
    except psycopg2.errors.InsufficientPrivilege as error:
        raise DatabaseUnavailable(database.may_not_act(error)) from None
    except psycopg2.errors.QueryCanceled:
        raise DatabaseUnavailable(f"The database did not answer within {timeout_seconds} seconds.") from None
    except psycopg2.OperationalError as error:
        raise DatabaseUnavailable(f"The database went away: {str(error).strip().splitlines()[0]}.") from None
    finally:
        connection.close()


def where(*, broker: bool = False) -> str:
    """The URL to look at, which unlike `database.url()` starts no embedded server."""
    if broker and settings().broker_url:
        return str(settings().broker_url)
    server = database.embedded()
    return str(settings().database_url) if server is None else server.url(user="atum_worker")
