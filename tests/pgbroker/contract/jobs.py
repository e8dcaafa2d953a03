"""Actors for the processes of test_processes.py: `dramatiq jobs`."""

import os
import time

import dramatiq
from dramatiq.middleware import ShutdownNotifications

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries

broker = PostgresBroker(
    lambda: os.environ["JOBS_URL"],
    middleware=[ShutdownNotifications(), Retries(max_retries=1, min_backoff=1)],
)
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def which_process():
    return os.getpid()


@dramatiq.actor(notify_shutdown=True)
def long():
    while True:
        time.sleep(0.01)
