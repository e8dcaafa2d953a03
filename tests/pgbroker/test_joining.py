"""Sends that join somebody else's transaction, whichever library it comes from: they commit or vanish with it."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Thread
from typing import Any

import django
import dramatiq
import psycopg
import psycopg2
import psycopg2.extras
import pytest
import sqlalchemy
import sqlalchemy.orm
from builders import fresh_database
from django.conf import settings as django_settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from psycopg.rows import dict_row
from workers import work_off

from pgbroker import DatabaseAway, MessageRefused, PgBrokerError, PostgresBroker, SchemaMissing
from pgbroker.joining import run_in
from pgbroker.middleware import Retries
from pgbroker.migrate import migrate


@pytest.fixture(scope="module")
def url(server):
    """One database for all tests of this file, with the broker's schema alone."""
    with fresh_database(server, template="template0") as name:
        with closing(psycopg2.connect(server.url(database=name))) as connection:
            migrate(connection)
        yield server.url(database=name)


@pytest.fixture(scope="module")
def engine(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def engine3(url):
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def django_connection(url):
    """Django's connection to the same database. Django configures a process once."""
    options = psycopg2.extensions.parse_dsn(url)
    django_settings.configure(
        DATABASES={
            DEFAULT_DB_ALIAS: {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": options["dbname"], "USER": options["user"], "HOST": options["host"],
            }
        },
        USE_TZ=True,
    )  # fmt: skip
    django.setup()
    yield connections[DEFAULT_DB_ALIAS]
    connections.close_all()


@pytest.fixture
def broker(url):
    broker = PostgresBroker(url, middleware=[Retries(max_retries=0)], results=False)
    broker.connections.execute("truncate dramatiq.queue, pgbroker.finished, pgbroker.dead_letters, pgbroker.processes")
    yield broker
    broker.close()


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker)
    def note(name):
        pass

    return note


@pytest.fixture
def sent(broker):
    """What has been committed, in its order."""
    return lambda: [
        name for (name,) in broker.connections.execute("select message #>> '{args,0}' from dramatiq.queue order by seq")
    ]


# Ten ways to a transaction. Each gives what is enlisted, and how to commit it; whoever does not commit rolls back.


@contextmanager
def with_psycopg2(request):
    with closing(psycopg2.connect(request.getfixturevalue("url"))) as connection:
        yield connection, connection.commit


@contextmanager
def with_psycopg2_cursor(request):
    with closing(psycopg2.connect(request.getfixturevalue("url"))) as connection, connection.cursor() as cursor:
        yield cursor, connection.commit


@contextmanager
def with_psycopg2_dictionaries(request):
    factory = psycopg2.extras.RealDictCursor
    with closing(psycopg2.connect(request.getfixturevalue("url"), cursor_factory=factory)) as connection:
        yield connection, connection.commit


@contextmanager
def with_psycopg3(request):
    with closing(psycopg.connect(request.getfixturevalue("url"))) as connection:
        yield connection, connection.commit


@contextmanager
def with_psycopg3_cursor_of_dictionaries(request):
    with closing(psycopg.connect(request.getfixturevalue("url"), row_factory=dict_row)) as connection:
        yield connection.cursor(), connection.commit


@contextmanager
def with_sqlalchemy_connection(request):
    with request.getfixturevalue("engine").connect() as connection:
        yield connection, connection.commit


@contextmanager
def with_sqlalchemy_session(request):
    with sqlalchemy.orm.Session(request.getfixturevalue("engine")) as session:
        yield session, session.commit


@contextmanager
def with_sqlalchemy_scoped_session(request):
    session = sqlalchemy.orm.scoped_session(sqlalchemy.orm.sessionmaker(request.getfixturevalue("engine")))
    yield session, session.commit
    session.remove()


@contextmanager
def with_sqlalchemy_session_on_psycopg3(request):
    with sqlalchemy.orm.Session(request.getfixturevalue("engine3")) as session:
        yield session, session.commit


@contextmanager
def with_django(request):
    connection = request.getfixturevalue("django_connection")
    connection.set_autocommit(False)
    try:
        yield connection, connection.commit
    finally:
        connection.close()  # opened again where it is needed, in autocommit mode


WAYS = [
    with_psycopg2, with_psycopg2_cursor, with_psycopg2_dictionaries, with_psycopg3,
    with_psycopg3_cursor_of_dictionaries, with_sqlalchemy_connection, with_sqlalchemy_session,
    with_sqlalchemy_scoped_session, with_sqlalchemy_session_on_psycopg3, with_django,
]  # fmt: skip


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__.removeprefix("with_"))
def way(request) -> Iterator[tuple[Any, Any]]:
    with request.param(request) as found:
        yield found


def test_sends_commit_with_the_transaction(way, broker, note, sent):
    connection, commit = way
    with broker.enlist(connection):
        note.send("one")
        note.send_with_options(args=("later",), delay=60_000, priority=3, tenant="acme", unique_key="key")
        again = note.send_with_options(args=("not twice",), unique_key="key")
        broker.send_many([note.message("many"), note.message_with_options(args=("nor thrice",), unique_key="key")])
    assert sent() == []
    commit()
    assert sent() == ["one", "later", "many"]
    (row,) = broker.connections.execute(
        """select message_id::text, priority, tenant, run_at > now() + '50 s' from dramatiq.queue
            where unique_key = 'key'"""
    )
    assert row == (again.message_id, 3, "acme", True)


def test_sends_vanish_with_the_transaction(request, broker, note, sent):
    for way in WAYS:
        with way(request) as (connection, _), broker.enlist(connection):
            note.send(way.__name__)
    assert sent() == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.removeprefix("with_"))
def test_an_error_of_any_driver_is_ours(way, request, broker, note, sent):
    stack = ExitStack()
    connection, _ = stack.enter_context(way(request))
    ask = broker.connections.execute  # from outside
    with broker.enlist(connection):
        note.send("before")
        ((pid,),) = ask(
            """select pid from pg_stat_activity
                where state = 'idle in transaction' and datname = current_database()"""
        )
        ask("select pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(DatabaseAway) as error:
            note.send("after")
    assert "\n" not in str(error.value)
    assert sent() == []
    with suppress(Exception):  # some libraries complain once more when they let go of it
        stack.close()


def test_what_the_database_says_is_understood_from_any_driver(request, broker, note):
    for way in WAYS:
        with way(request) as (connection, _), broker.enlist(connection):
            run_in(connection, "set local role pg_read_all_settings", None)
            with pytest.raises(SchemaMissing, match="permission denied"):
                note.send(way.__name__)


def test_a_finish_joins_as_well(request, broker, sent):
    """finish_in takes what enlist takes, and raises the same errors."""
    ran = []

    @dramatiq.actor(broker=broker)
    def job(number):
        with WAYS[number](request) as (connection, commit):
            with broker.finish_in(connection):
                pass
            commit()
        ran.append(number)
        raise RuntimeError("after its commit")

    request.getfixturevalue("engine"), request.getfixturevalue("engine3")
    chosen = [WAYS.index(way) for way in WAYS if way is not with_django]  # its connection belongs to this thread
    for number in chosen:
        job.send(number)
    work_off(broker, threads=2)
    assert sorted(ran) == chosen
    assert broker.connections.execute("select count(*) from pgbroker.finished") == [(len(chosen),)]


# Blocks


def test_blocks_nest_and_end_with_their_errors(url, broker, note, sent):
    def fails(connection):
        with broker.enlist(connection):
            note.send("inner")
            raise ZeroDivisionError

    with closing(psycopg2.connect(url)) as outer, closing(psycopg.connect(url)) as inner:
        with broker.enlist(outer):
            with pytest.raises(ZeroDivisionError):
                fails(inner)
            note.send("outer")
        note.send("outside")
        assert sent() == ["outside"]
        inner.commit()
        outer.commit()
    assert sorted(sent()) == ["inner", "outer", "outside"]


def test_what_is_refused_does_not_spoil_the_transaction(url, broker, note, sent):
    with closing(psycopg2.connect(url)) as connection:
        with broker.enlist(connection):
            note.send("good")
            with pytest.raises(MessageRefused):
                note.send("\0")
            note.send("good as well")
        connection.commit()
    assert sent() == ["good", "good as well"]


def test_a_thread_and_a_task_that_outlives_the_block_are_not_part_of_it(url, broker, note, sent):
    async def run(connection):
        ended = asyncio.Event()

        async def outlives():
            await ended.wait()
            note.send("task")

        with broker.enlist(connection):
            task = asyncio.create_task(outlives())
            await asyncio.to_thread(note.send, "thread with a copied context")
            thread = Thread(target=note.send, args=("thread",))
            thread.start()
            thread.join()
            note.send("in the block")
        ended.set()
        await task

    with closing(psycopg2.connect(url)) as connection:
        asyncio.run(run(connection))
    assert sent() == ["thread with a copied context", "thread", "task"]


# Each library's own


def test_a_sqlalchemy_transaction_may_begin_inside_the_block(engine, broker, note, sent):
    with engine.connect() as connection, broker.enlist(connection), connection.begin():
        note.send("connection")
    with sqlalchemy.orm.Session(engine) as session, broker.enlist(session), session.begin():
        note.send("session")
    assert sent() == ["connection", "session"]


def test_savepoints_take_their_sends_back(engine, url, django_connection, broker, note, sent):
    def gone(savepoint):
        with pytest.raises(ZeroDivisionError), savepoint:
            fails()

    def fails():
        note.send("gone")
        raise ZeroDivisionError

    with sqlalchemy.orm.Session(engine) as session, broker.enlist(session):
        gone(session.begin_nested())
        note.send("session")
        session.commit()
    with psycopg.connect(url) as connection, broker.enlist(connection):
        gone(connection.transaction())
        note.send("psycopg")
    with transaction.atomic(), broker.enlist(django_connection):
        gone(transaction.atomic())
        note.send("django")
    assert sent() == ["session", "psycopg", "django"]


def test_djangos_proxy_and_its_cursor_can_be_joined(django_connection, broker, note, sent):
    from django.db import connection

    with transaction.atomic():
        with broker.enlist(connection):
            note.send("proxy")
        with connection.cursor() as cursor, broker.enlist(cursor):
            note.send("cursor")
        assert sent() == []
    assert sent() == ["proxy", "cursor"]


# What cannot be joined


@pytest.mark.parametrize(
    "wrong",
    [None, object(), "postgresql://localhost", 7, sqlalchemy.create_engine("postgresql://x")],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_no_connection_is_refused_with_what_is_needed(broker, wrong):
    with pytest.raises(TypeError, match="needs a connection or a cursor: psycopg2's"), broker.enlist(wrong):
        pass
    with pytest.raises(TypeError, match="needs a connection or a cursor"), broker.finish_in(wrong):
        pass


def test_an_asynchronous_connection_is_refused_with_the_reason(url, broker):
    async def run():
        async with await psycopg.AsyncConnection.connect(url) as connection:
            with broker.enlist(connection):
                pass

    with pytest.raises(TypeError, match="synchronous"):
        asyncio.run(run())


@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=lambda driver: driver.__name__)
def test_a_connection_that_is_closed_aborted_or_elsewhere_says_so(driver, url, server, broker, note):
    connection = driver.connect(url)
    with pytest.raises(driver.Error):
        connection.cursor().execute("select 1 / 0")
    with broker.enlist(connection), pytest.raises(PgBrokerError, match="transaction is aborted"):
        note.send("x")
    connection.close()
    with broker.enlist(connection), pytest.raises(DatabaseAway, match="closed"):
        note.send("x")
    elsewhere = driver.connect(server.url(database="postgres"))
    with closing(elsewhere), broker.enlist(elsewhere), pytest.raises(SchemaMissing, match="migrate"):
        note.send("x")


def test_a_database_of_another_kind_is_an_error_of_ours(broker, note):
    connection = sqlite3.connect(":memory:")
    with closing(connection), broker.enlist(connection), pytest.raises(PgBrokerError):
        note.send("x")
