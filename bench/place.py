"""Where runs happen: one embedded Postgres for all, a fresh database and a fresh queue name for each."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from desk.embedded import EmbeddedServer

# Postgres' own settings but for this: contenders open up to 32 connections a process. fsync and synchronous_commit
# are on, as they are by default.
SERVER_OPTIONS = ("max_connections=300",)
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """One run's database and queue; both are new, so that nothing of an earlier run is there."""

    url: str
    queue: str


@contextmanager
def fresh(server: EmbeddedServer) -> Iterator[Place]:
    """A place for one run; its database is dropped afterwards."""
    name = f"bench_{uuid4().hex[:12]}"
    with closing(connected(server.url(database="postgres"))) as admin, admin.cursor() as cursor:
        cursor.execute(f"create database {name}")
        try:
            yield Place(server.url(database=name), name)
        finally:
            cursor.execute(f"drop database {name} with (force)")


def connected(url: str) -> Connection:
    """A connection in autocommit mode."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection


def settle(place: Place) -> None:
    """After loading: statistics as a queue in use has them, and no write-back of the load during the run."""
    with closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute("analyze")
        cursor.execute("checkpoint")


def commits_per_second(server: EmbeddedServer) -> float:
    """The probe: single rows inserted and committed one after the other. It tells runs on busy disks apart."""
    with fresh(server) as place, closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute("create table probe (number bigint)")
        commits, began = 0, time.perf_counter()
        while (seconds := time.perf_counter() - began) < PROBE_SECONDS:
            cursor.execute("insert into probe values (%s)", (commits,))
            commits += 1
    return commits / seconds
