"""Actors for workers of two versions of the package; imported by `dramatiq mixed_jobs`."""

import os
import time

import dramatiq
import psycopg2
from dramatiq.middleware import CurrentMessage

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries

URL = os.environ["TEST_BROKER_URL"]
broker = PostgresBroker(
    URL, middleware=[CurrentMessage(), Retries(max_retries=2, min_backoff=10)], results=False, lease_seconds=5
)
dramatiq.set_broker(broker)


def take_effect(kind, number, send=None):
    """One row in the ledger, in the transaction that finishes the message."""
    time.sleep(0.03)
    connection = psycopg2.connect(URL)
    with connection, broker.finish_in(connection), connection.cursor() as cursor:
        cursor.execute("insert into ledger values (%s, %s, %s)", (kind, number, os.environ["VERSION"]))
        if send:
            send(number)
    connection.close()


@dramatiq.actor
def once(number):
    take_effect("once", number)


@dramatiq.actor
def second_time(number):
    if not CurrentMessage.get_current_message().options.get("retries"):
        raise ValueError("not at the first time")
    take_effect("second_time", number)


@dramatiq.actor
def sends(number):
    take_effect("sends", number, sent.send)


@dramatiq.actor
def sent(number):
    take_effect("sent", number)


@dramatiq.actor(max_retries=0)
def fails(number):
    raise ValueError(os.environ["VERSION"])
