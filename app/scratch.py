"""A database of nobody's, to measure in: on the embedded server, gone at the end, whatever ATUM_DATABASE_URL says.

Who works in one holds a lock on its name, which the server drops however that process ends: what a killed one left
behind is known by that its name can be locked, and the next one removes it.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from app.install import install
from desk import database
from desk.embedded import EmbeddedServer
from desk.settings import settings

PREFIX = "scratch_"
LOCK = "(hashtextextended(%s, 0))"
VARIABLES = ("ATUM_DATABASE_URL", "ATUM_OWNER_URL", "ATUM_BROKER_URL")


@contextmanager
def scratch_database() -> Iterator[None]:
    """Inside the block this process's desk works in a fresh, migrated database; afterwards in its own again.

    Raises:
        DatabaseUnavailable: the embedded server cannot be started.
    """
    server = EmbeddedServer(settings().home)
    server.attach()
    name = f"{PREFIX}{uuid4().hex[:16]}"
    before = {variable: os.environ.get(variable) for variable in VARIABLES}
    with contextlib.closing(_connect(server)) as holding:
        _drop_leftovers(holding)
        _execute(holding, f"select pg_advisory_lock{LOCK}", name)
        _execute(holding, f"create database {name}")
        try:
            install(server.url(database=name))
            database.close()
            os.environ["ATUM_DATABASE_URL"] = os.environ["ATUM_OWNER_URL"] = server.url(database=name)
            os.environ["ATUM_BROKER_URL"] = ""
            settings.cache_clear()
            yield
        finally:
            database.close()
            for variable, value in before.items():
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value
            settings.cache_clear()
            _execute(holding, f"drop database {name} with (force)")


def _drop_leftovers(connection: Connection) -> None:
    for (name,) in _execute(connection, "select datname from pg_database where starts_with(datname, %s)", PREFIX):
        if _execute(connection, f"select pg_try_advisory_lock{LOCK}", name) == [(True,)]:
            with contextlib.suppress(psycopg2.errors.ObjectInUse):  # an older release works in it, which takes no lock
                _execute(connection, f'drop database if exists "{name}"')
            _execute(connection, f"select pg_advisory_unlock{LOCK}", name)


def _connect(server: EmbeddedServer) -> Connection:
    connection = database.connect(server.url(database="postgres"))
    connection.autocommit = True
    return connection


def _execute(connection: Connection, command: str, *values: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(command, values)
        return cursor.fetchall() if cursor.description else []
