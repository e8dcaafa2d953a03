"""What every test stands on: one real Postgres per session, a fresh database per test, the real model."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest
from builders import TEMPLATE, admin, fresh_database, new_organization
from psycopg2.extensions import connection as Connection

from app.install import install
from desk import database
from desk.embedded import EmbeddedServer
from desk.kb import model
from desk.settings import settings

# Durability is not what most tests are about; those that kill the server start one of their own.
FAST = ("max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=256MB")
MEMORY = Path("/dev/shm")  # each test's database is a thousand small files, which a busy disk takes half a second for
ENOUGH_BYTES = 4 * 2**30  # for two servers; else the disk has to do


# Files go to the two halves of the suite in this order: those that take long first, so that the halves end together.
LONG_FIRST = ("faults", "notices", "kb", "tickets", "pgbroker", "app", "bench", "desk", "sla")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by folder; a folder that is not named comes last."""
    rank = {name: position for position, name in enumerate(LONG_FIRST)}
    folder = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(folder).parts[0], len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test may log half a character; between the two halves of the suite reports travel in UTF-8."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "replace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """The session's Postgres (the embedded wheel), with a migrated template database."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    place = MEMORY if in_memory else None
    with tempfile.TemporaryDirectory(prefix="atum-tests-", dir=place, ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        server = EmbeddedServer(Path(home), FAST)
        server.attach()
        with admin(server) as cursor:
            cursor.execute(f"create database {TEMPLATE}")
        install(server.url(database=TEMPLATE))
        with admin(server) as cursor:
            cursor.execute("alter role atum_worker login")
        yield server
        server.stop()
        server.detach()


@pytest.fixture
def database_name(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A migrated database of this test's own; `settings()` and every process the test starts use it as atum_worker."""
    with fresh_database(server) as name:
        monkeypatch.setenv("ATUM_DATABASE_URL", server.url(user="atum_worker", database=name))
        monkeypatch.setenv("ATUM_OWNER_URL", server.url(database=name))
        monkeypatch.setenv("ATUM_HOME", str(tmp_path / "home"))
        settings.cache_clear()
        database.close()
        yield name
        database.close()
        settings.cache_clear()


@pytest.fixture
def owner(server: EmbeddedServer, database_name: str) -> Iterator[Connection]:
    """An autocommit connection as superuser, for arranging and for looking: row-level security does not bind it."""
    connection = psycopg2.connect(server.url(database=database_name))
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def organization(owner: Connection) -> UUID:
    """The id of an organization named Acme."""
    return new_organization(owner, "Acme")


@pytest.fixture(scope="session")
def model_dir() -> Iterator[Path]:
    """The folder of the real embedding model, fetched once into the repository's .atum; every process of this session
    finds it there."""
    with pytest.MonkeyPatch.context() as environment:
        if not os.environ.get("ATUM_EMBED_MODEL_DIR"):
            environment.setenv("ATUM_HOME", str(Path(__file__).parents[1] / ".atum"))
            settings.cache_clear()
            found = model.ensure()
            environment.undo()
            environment.setenv("ATUM_EMBED_MODEL_DIR", str(found))
        settings.cache_clear()
        yield model.locate()
    settings.cache_clear()
