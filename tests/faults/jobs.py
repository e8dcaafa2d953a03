"""Actors for the processes of these tests; imported by `dramatiq jobs` and `periodiq jobs`."""

import os
import signal
import time

import dramatiq
import psycopg2
from dramatiq.middleware import CurrentMessage
from periodiq import cron

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries, Ticks


def _url() -> str:
    return os.environ["TEST_BROKER_URL"]


broker = PostgresBroker(
    _url, middleware=[CurrentMessage(), Ticks(), Retries(max_retries=2, min_backoff=10)], results=False
)
dramatiq.set_broker(broker)


def _note(connection):
    message = CurrentMessage.get_current_message()
    with connection.cursor() as cursor:
        cursor.execute("insert into ledger (message_id, pid) values (%s, %s)", (message.message_id, os.getpid()))


@dramatiq.actor
def once(seconds=0.0):
    """Adds one row to the ledger in the transaction that finishes it."""
    time.sleep(seconds)
    connection = psycopg2.connect(_url())
    with connection, broker.finish_in(connection):
        _note(connection)
    connection.close()


@dramatiq.actor
def plain(seconds=0.0):
    """Adds one row to the ledger, in a transaction of its own."""
    connection = psycopg2.connect(_url())
    with connection:
        _note(connection)
    connection.close()
    time.sleep(seconds)


@dramatiq.actor
def watched(seconds):
    """Tells in the ledger that it began, then adds its effect in the transaction that finishes it."""
    connection = psycopg2.connect(_url())
    with connection:
        _note(connection)
    time.sleep(seconds)
    with connection, broker.finish_in(connection), connection.cursor() as cursor:
        cursor.execute("insert into effects values (%s)", (os.getpid(),))
    connection.close()


@dramatiq.actor
def fails():
    raise ValueError("as always")


@dramatiq.actor
def kills_its_worker():
    os.kill(os.getpid(), signal.SIGKILL)


@dramatiq.actor(periodic=cron("* * * * *"))
def tick():
    pass
