"""A database of nobody's, to measure in: on the embedded server, gone at the end, whatever ATUM_DATABASE_URL says."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from app.install import install
from desk import database
from desk.embedded import EmbeddedServer
from desk.settings import settings

VARIABLES = ("ATUM_DATABASE_URL", "ATUM_OWNER_URL", "ATUM_BROKER_URL")


@contextmanager
def scratch_database() -> Iterator[None]:
    """Inside the block this process's desk works in a fresh, migrated database; afterwards in its own again.

    Raises:
        DatabaseUnavailable: the embedded server cannot be started.
    """
    server = EmbeddedServer(settings().home)
    server.attach()
    name = f"scratch_{uuid4().hex[:16]}"
    before = {variable: os.environ.get(variable) for variable in VARIABLES}
    _execute(server, f"create database {name}")
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
        _execute(server, f"drop database {name} with (force)")


def _execute(server: EmbeddedServer, command: str) -> None:
    connection = database.connect(server.url(database="postgres"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(command)
    finally:
        connection.close()
