"""Connections: what is wrong is said in one line without the password; a full pool is waited for."""

import time
from collections.abc import Iterator
from threading import Event, Thread

import psycopg2
import pytest
from builders import admin

from desk import database
from desk.embedded import EmbeddedServer
from desk.errors import DatabaseUnavailable
from desk.settings import settings

PASSWORD = "hunter22"


def refusal(where: str) -> str:
    """The one line that a person sees, and nothing behind it that a log would show."""
    with pytest.raises(DatabaseUnavailable) as caught:
        database.connect(where)
    assert "\n" not in str(caught.value)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert PASSWORD not in str(chain)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return str(caught.value)


def test_a_database_that_is_away_is_named_with_the_remedy():
    line = refusal(f"postgresql://atum:{PASSWORD}@127.0.0.1:1/atum")
    assert "127.0.0.1:1/atum does not answer" in line
    assert "ATUM_DATABASE_URL" in line


def test_of_several_hosts_all_are_named():
    assert "127.0.0.1,127.0.0.1:1,2/atum" in refusal(f"postgresql://atum:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/atum")


@pytest.fixture
def with_password(server: EmbeddedServer) -> Iterator[str]:
    """The URL of a login that must name its password, over the unix socket."""
    with admin(server) as cursor:
        cursor.execute(f"create role guarded login password '{PASSWORD}'")
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all guarded scram-sha-256\n" + before)
    with admin(server) as cursor:
        cursor.execute("select pg_reload_conf()")
    yield server.url(user="guarded", database="postgres")
    rules.write_text(before)
    with admin(server) as cursor:
        cursor.execute("select pg_reload_conf(); drop role guarded")


def test_a_wrong_password_is_said_without_it(with_password: str):
    wrong = with_password.replace("guarded@", f"guarded:{PASSWORD}x@")
    line = ""
    deadline = time.monotonic() + 10  # the server reads its new rules when it gets to it
    while "password authentication failed" not in line and time.monotonic() < deadline:
        try:
            psycopg2.connect(wrong).close()
        except psycopg2.OperationalError:
            line = refusal(wrong)
    assert 'password authentication failed for user "guarded"' in line


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (f"postgresql://atum:{PASSWORD}%zz@127.0.0.1/atum", "percent-encoded"),
        (f"postgresql://atum:a@{PASSWORD}@127.0.0.1/atum", "%40"),
        (f"postgresql://atum:a#{PASSWORD}@127.0.0.1:1/atum", ""),
        (f"postgresql://atum:{PASSWORD}@127.0.0.1:port/atum", ""),
        (f"postgresql://atum:{PASSWORD}/x@127.0.0.1:1/atum", ""),
        (f"postgresql://atum:{PASSWORD}@127.0.0.1:1/atum?unknown=1", ""),
    ],
)
def test_a_password_that_breaks_the_url_is_not_shown_in_pieces(url: str, line: str):
    assert line in refusal(url)


def test_a_server_that_is_too_old_is_refused(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(database, "OLDEST_SERVER", 990000)
    line = refusal(server.url(database="postgres"))
    assert "is Postgres 18. Version 14 or newer is needed." in line


def test_a_database_without_schema_names_the_remedy(server: EmbeddedServer, database_name: str, monkeypatch):
    with admin(server) as cursor:
        cursor.execute(f'create database "{database_name}_empty"')
    try:
        empty = server.url(database=f"{database_name}_empty")
        monkeypatch.setattr(database, "_BEGIN", database._BEGIN.replace("atum_worker", "no_such_role"))
        monkeypatch.setenv("ATUM_DATABASE_URL", empty)
        settings.cache_clear()
        with pytest.raises(DatabaseUnavailable, match="atum init"), database.transaction():
            pass
    finally:
        database.close()
        with admin(server) as cursor:
            cursor.execute(f'drop database "{database_name}_empty" with (force)')


def test_a_full_pool_is_waited_for(database_name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATUM_POOL_SIZE", "1")
    settings.cache_clear()
    taken, release = Event(), Event()

    def hold() -> None:
        with database.transaction():
            taken.set()
            release.wait(10)

    holder = Thread(target=hold)
    holder.start()
    taken.wait(10)
    Thread(target=lambda: (time.sleep(0.2), release.set())).start()
    with database.transaction() as connection, connection.cursor() as cursor:
        assert release.is_set(), "a second connection was made"
        cursor.execute("select 1")
    holder.join(10)


def test_a_pool_that_stays_full_says_so_after_its_time(database_name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATUM_POOL_SIZE", "1")
    monkeypatch.setenv("ATUM_POOL_TIMEOUT_SECONDS", "0.3")
    settings.cache_clear()
    with database.transaction():
        began = time.monotonic()
        with (
            pytest.raises(DatabaseUnavailable, match=r"within 0\.3 seconds.*ATUM_POOL_SIZE"),
            database.transaction(),
        ):
            pass
        assert 0.2 < time.monotonic() - began < 5


def test_what_raises_is_rolled_back_and_its_connection_is_good_for_the_next(database_name: str, organization):
    def fail() -> None:
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            cursor.execute("insert into tickets (organization_id, subject) values (%s, 'x')", (organization,))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (0,)
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select current_organization()")
        assert cursor.fetchone() == (None,), "the organization outlived its transaction"


def test_sessions_that_the_server_ended_are_replaced_without_a_word(database_name: str, owner):
    held = [database.transaction() for _ in range(3)]
    for transaction in held:
        transaction.__enter__()
    for transaction in held:
        transaction.__exit__(None, None, None)
    with owner.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        assert cursor.fetchone() == (3,)
    for _ in range(3):
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("select 1")
