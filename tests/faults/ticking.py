"""Periodic actors for the schedulers of these tests; imported by `periodiq ticking`."""

import os

import dramatiq
from periodiq import cron

import pgbroker.scheduler
from pgbroker import PostgresBroker
from pgbroker.middleware import Ticks

# The tests' clock jumps from minute to minute; the real one is seldom set.
pgbroker.scheduler.LONGEST_SLEEP_SECONDS = 0.1

broker = PostgresBroker(lambda: os.environ["TEST_BROKER_URL"], middleware=[Ticks()], results=False)
dramatiq.set_broker(broker)


@dramatiq.actor(periodic=cron("* * * * *"))
def first():
    pass


@dramatiq.actor(periodic=cron("* * * * *"))
def second():
    pass


@dramatiq.actor(periodic=cron("*/5 * * * *"), zone="Asia/Kathmandu")
def third():
    pass
