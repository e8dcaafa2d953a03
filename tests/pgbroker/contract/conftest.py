"""What Dramatiq expects of a broker and of those who drive it: the contract, as tests.

They run twice: with the suite, on the Dramatiq that is installed, and from `test_newest_dramatiq.py` in an environment
with the newest, where PGBROKER_CONTRACT_URL names an empty database. So nothing here imports anything but pytest,
psycopg2, dramatiq, pgbroker and the helpers `waiting` and `workers`.

One database for all of them: each test finds the tables empty.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import dramatiq
import psycopg2
import pytest
from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    ShutdownNotifications,
    TimeLimit,
)

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries
from pgbroker.migrate import migrate

TABLES = "dramatiq.queue, pgbroker.finished, pgbroker.dead_letters, pgbroker.results, pgbroker.processes"


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database with the broker's schema and nothing else."""
    given = os.environ.get("PGBROKER_CONTRACT_URL")
    if given:
        _migrate(given)
        yield given
        return
    from builders import fresh_database

    server = request.getfixturevalue("server")
    with fresh_database(server, template="template0") as name:
        _migrate(server.url(database=name))
        yield server.url(database=name)


def _migrate(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        migrate(connection)


@pytest.fixture
def ask(url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Run a statement in the broker's database, whose tables are empty at the start."""
    connection = psycopg2.connect(url)
    connection.autocommit = True

    def ask(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    ask(f"truncate {TABLES}")
    yield ask
    connection.close()


class Board:
    """How many messages are where."""

    def __init__(self, ask: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._ask = ask

    @property
    def finished(self) -> int:
        return self._ask("select count(*) from pgbroker.finished")[0][0]

    @property
    def reasons(self) -> list[str]:
        """Why messages became dead letters."""
        return [reason for (reason,) in self._ask("select reason from pgbroker.dead_letters order by died_at")]

    @property
    def waiting(self) -> int:
        return self._ask("select count(*) from dramatiq.queue where state = 'queued'")[0][0]

    @property
    def held(self) -> int:
        return self._ask("select count(*) from dramatiq.queue where state = 'consumed'")[0][0]


@pytest.fixture
def board(ask: Callable[..., list[tuple[Any, ...]]]) -> Board:
    return Board(ask)


@pytest.fixture
def make_broker(url: str, ask: object) -> Iterator[Callable[..., PostgresBroker]]:
    """A broker with exactly this middleware, which is Dramatiq's global one until the test ends."""
    before = dramatiq.broker.global_broker
    made: list[PostgresBroker] = []

    def make(*middleware: Middleware, results: bool = False, **more: Any) -> PostgresBroker:
        made.append(PostgresBroker(url, middleware=list(middleware), results=results, **more))
        dramatiq.set_broker(made[-1])
        return made[-1]

    yield make
    for broker in made:
        broker.close()
    dramatiq.broker.global_broker = before


@pytest.fixture
def broker(make_broker: Callable[..., PostgresBroker]) -> PostgresBroker:
    """A broker with the middleware that most people use, and results."""
    return make_broker(
        AgeLimit(),
        TimeLimit(interval=20),
        ShutdownNotifications(),
        CurrentMessage(),
        Callbacks(),
        Pipelines(),
        Retries(max_retries=3, min_backoff=1, max_backoff=20),
        results=True,
    )
