"""Arranging: databases, organizations, tickets, articles for tests to work on."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from desk.embedded import EmbeddedServer

TEMPLATE = "atum_template"


@contextmanager
def admin(server: EmbeddedServer) -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(server.url(database="postgres"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@contextmanager
def fresh_database(server: EmbeddedServer, template: str = TEMPLATE) -> Iterator[str]:
    """The name of a new database, dropped at the end whoever is still connected."""
    name = f"test_{uuid4().hex[:16]}"
    with admin(server) as cursor:
        cursor.execute(f"create database {name} template {template} strategy file_copy")
    try:
        yield name
    finally:
        with admin(server) as cursor:
            cursor.execute(f"drop database if exists {name} with (force)")


def new_organization(connection: Connection, name: str) -> UUID:
    with connection.cursor() as cursor:
        cursor.execute("insert into organizations (name) values (%s) returning id", (name,))
        return cursor.fetchone()[0]
