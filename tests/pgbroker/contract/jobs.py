"""Actors for the processes of test_processes.py and ../test_pgbouncer.py: `dramatiq jobs`."""

import os
import time
from contextlib import closing

import dramatiq
import psycopg2
from dramatiq.middleware import ShutdownNotifications

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries


def url():
    return os.environ["JOBS_URL"]


broker = PostgresBroker(
    url,
    middleware=[ShutdownNotifications(), Retries(max_retries=1, min_backoff=1)],
    lease_seconds=float(os.environ.get("JOBS_LEASE_SECONDS", "15")),
)
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def which_process():
    return os.getpid()


@dramatiq.actor(notify_shutdown=True)
def long():
    while True:
        time.sleep(0.01)


@dramatiq.actor
def effect(number):
    """Adds one row in the transaction that finishes it."""
    with closing(psycopg2.connect(url())) as connection, connection, broker.finish_in(connection):
        with connection.cursor() as cursor:
            cursor.execute("insert into effects values (%s, %s)", (number, os.getpid()))
        time.sleep(0.02)
