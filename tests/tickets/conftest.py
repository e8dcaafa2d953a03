"""Tickets, their jobs run by a real worker on the product's own broker, and a look at what came out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection
from workers import work_off

import actors.tickets
import actors.upkeep  # noqa: F401  declared, so that the worker knows them
from brokers import broker
from desk import database
from desk.tickets import store
from desk.tickets.triage import examples

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SWITCHES_OFF = "update organization_settings set triage = false, suggest = false, draft = false, sentiment = false"


@pytest.fixture(autouse=True)
def nothing_fitted() -> None:
    """What a process has learnt belongs to a database that is gone by the next test."""
    examples.forget()


@pytest.fixture
def run_jobs(database_name: str) -> Iterator[Callable[..., None]]:
    """Run a worker until the queues are empty."""

    def run(*queues: str, seconds: float = 120) -> None:
        work_off(broker, *(queues or ("tickets", "upkeep")), seconds=seconds, threads=2)

    yield run
    broker.close()


@pytest.fixture
def ask(owner: Connection) -> Callable[..., list[Any]]:
    """Rows of any table, whoever's they are; single columns as plain values."""

    def ask(statement: str, *parameters: Any) -> list[Any]:
        with owner.cursor() as cursor:
            cursor.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    return ask


@pytest.fixture
def known_ids(ask) -> None:
    """Tickets have the same ids in each run: which of them are held back hangs on these, and with it how good a model
    is said to be and what it answers."""
    ask("create sequence known_ids")
    ask("grant usage on known_ids to atum_worker")
    ask("alter table tickets alter id set default md5(nextval('known_ids')::text)::uuid")


@pytest.fixture
def ticket(organization: UUID) -> Callable[..., UUID]:
    """Make a ticket of Acme, or of another organization."""

    def make(subject: str, body: str = "", of: UUID = organization, **columns: Any) -> UUID:
        with database.transaction(of) as connection:
            return store.create(connection, of, subject=subject, body=body, **columns)

    return make


@pytest.fixture
def data() -> Path:
    """The folder of real data sets beside the repository."""
    if not DATA.is_dir():
        pytest.skip("the data sets are not here")
    return DATA
