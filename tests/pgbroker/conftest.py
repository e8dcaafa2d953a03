"""A broker on the test's own database, and a look into its tables."""

from collections.abc import Iterator
from typing import Any

import pytest
from dramatiq.middleware import Callbacks, CurrentMessage, Pipelines, TimeLimit
from psycopg2.extensions import connection as Connection

from desk.embedded import EmbeddedServer
from pgbroker import PostgresBroker
from pgbroker.middleware import Retries, Tenants, Ticks


@pytest.fixture
def url(server: EmbeddedServer, database_name: str) -> str:
    return server.url(user="atum_worker", database=database_name)


@pytest.fixture
def broker(url: str) -> Iterator[PostgresBroker]:
    broker = PostgresBroker(
        url,
        middleware=[
            TimeLimit(),
            CurrentMessage(),
            Tenants("organization_id"),
            Ticks(),
            Callbacks(),
            Pipelines(),
            Retries(max_retries=3, min_backoff=1),
        ],
    )
    yield broker
    broker.close()


class Look:
    """What stands in the broker's tables."""

    def __init__(self, owner: Connection) -> None:
        self._owner = owner

    def rows(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._owner.cursor() as cursor:
            cursor.execute(statement, parameters[0] if parameters and isinstance(parameters[0], dict) else parameters)
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @property
    def waiting(self) -> list[dict[str, Any]]:
        return self.rows("select * from dramatiq.queue order by seq")

    @property
    def finished(self) -> list[dict[str, Any]]:
        return self.rows("select * from pgbroker.finished order by finished_at")

    @property
    def dead(self) -> list[dict[str, Any]]:
        return self.rows("select * from pgbroker.dead_letters order by died_at")


@pytest.fixture
def look(owner: Connection) -> Look:
    return Look(owner)
