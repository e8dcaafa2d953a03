"""Actors for the processes of these tests; imported by `dramatiq jobs` and `periodiq jobs`.

Whatever runs says in the ledger when it began and when it ended, each in a transaction of its own over a connection
that no fault touches; what it does in the transaction that finishes it is a row of `effects`.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import dramatiq
import psycopg2
from dramatiq.middleware import CurrentMessage, Pipelines, ShutdownNotifications
from faults import points
from periodiq import cron

import pgbroker.lease
from pgbroker import PostgresBroker
from pgbroker.middleware import QueueOptions, Retries, Ticks

if "POINTS_SEEN" in os.environ:
    points.install()
    pgbroker.lease.SECONDS_BETWEEN_PRUNES = 0.5  # what is done once a minute has its points, too

broker = PostgresBroker(
    lambda: os.environ["TEST_BROKER_URL"],
    middleware=[
        ShutdownNotifications(),
        CurrentMessage(),
        Pipelines(),
        QueueOptions(),
        Ticks(),
        Retries(max_retries=1, min_backoff=10),
    ],
    lease_seconds=float(os.environ.get("TEST_LEASE_SECONDS", "15")),
)
dramatiq.set_broker(broker)

_own = threading.local()


def _ledger(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement, which may be run twice, as often as it takes."""
    while True:
        try:
            if not hasattr(_own, "ledger"):
                _own.ledger = psycopg2.connect(os.environ["TEST_LEDGER_URL"])
                _own.ledger.autocommit = True
            with _own.ledger.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error:  # the server is away
            if hasattr(_own, "ledger"):
                del _own.ledger
            time.sleep(0.1)


def _message_id() -> str:
    return CurrentMessage.get_current_message().message_id


@contextmanager
def running() -> Iterator[None]:
    """Notes the beginning and the end of a run in the ledger."""
    run = str(uuid4())
    _ledger(
        "insert into ledger (run, message_id, pid) values (%(run)s, %(id)s, %(pid)s) on conflict do nothing",
        run=run, id=_message_id(), pid=os.getpid(),
    )  # fmt: skip
    try:
        yield
    finally:
        _ledger("update ledger set ended_at = clock_timestamp() where run = %(run)s", run=run)


@contextmanager
def transaction() -> Iterator[Any]:
    """One transaction of the actor's, over a connection that its thread keeps while it works."""
    if not hasattr(_own, "connection"):
        _own.connection = psycopg2.connect(os.environ["TEST_BROKER_URL"], application_name="actor", connect_timeout=5)
    connection = _own.connection
    try:
        with connection:
            yield connection
    except BaseException:
        del _own.connection
        connection.close()
        raise


def take_effect(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("insert into effects (message_id, pid) values (%s, %s)", (_message_id(), os.getpid()))


@dramatiq.actor(max_retries=20)
def once(seconds=0.0):
    """Takes effect in the transaction that finishes it."""
    with running():
        time.sleep(seconds)
    with transaction() as connection, broker.finish_in(connection):
        take_effect(connection)


@dramatiq.actor
def plain(seconds=0.0, *_):
    with running():
        time.sleep(seconds)


@dramatiq.actor(store_results=True)
def answers():
    with running():
        return "42"


@dramatiq.actor(run_at_most=1, queue_name="limits")  # looked at more often while it is idle
def limited():
    with running():
        pass


@dramatiq.actor(max_retries=5)
def flaky():
    """Fails twice, then succeeds."""
    with running():
        if CurrentMessage.get_current_message().options.get("retries", 0) < 2:
            raise ValueError("not yet")


@dramatiq.actor
def fails():
    with running():
        raise ValueError("as always")


@dramatiq.actor(max_retries=20)
def sends():
    """One message in a transaction of its own, with a priority nobody declared; one in the transaction that finishes
    it."""
    with running():
        sent = plain.send_with_options(priority=17)
        _ledger(
            "insert into sent values (%(sent)s, 'plain', %(id)s, 'at once') on conflict do nothing",
            sent=sent.message_id, id=_message_id(),
        )  # fmt: skip
        with transaction() as connection, broker.finish_in(connection):
            take_effect(connection)
            sent = once.send()
            with connection.cursor() as cursor:
                cursor.execute(
                    "insert into sent values (%s, %s, %s, 'with the finish')",
                    (sent.message_id, "once", _message_id()),
                )


@dramatiq.actor(notify_shutdown=True)
def interrupted(seconds=30.0):
    """Runs long the first time, until its worker is told to stop."""
    with running():
        ((runs,),) = _ledger("select count(*) from ledger where message_id = %(id)s", id=_message_id())
        end = time.monotonic() + (seconds if runs == 1 else 0)
        while time.monotonic() < end:
            time.sleep(0.01)


@dramatiq.actor(max_retries=1000)
def kills_its_worker():
    with running():
        os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor(periodic=cron("* * * * *"))
def tick():
    with running():
        pass
