"""Which broker, which middleware, in which order and why.

Started as `dramatiq brokers actors schedules` and `periodiq brokers schedules`; whoever sends imports it as well. The
import connects to nothing and starts nothing: the database is looked for at the first use, in each process.

A worker whose database is away or has no schema yet says so in one line and waits for it, as it does when that happens
later: workers, `atum init` and the server may be started in any order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import dramatiq
from dramatiq.middleware import (
    AgeLimit,
    Callbacks,
    CurrentMessage,
    Middleware,
    Pipelines,
    ShutdownNotifications,
    TimeLimit,
)
from psycopg2.extensions import connection as Connection
from threadpoolctl import threadpool_limits

from desk import database, log
from desk.settings import settings
from pgbroker import PostgresBroker
from pgbroker.middleware import QueueOptions, Retries, Tenants, Ticks

log.configure()


class OneCoreAThread(Middleware):
    """Linear algebra in a worker process stays on the core of the thread that wants it.

    The threads and processes of a worker share the machine already. A pool below each of them waits, spinning, for
    cores that the others have.
    """

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Once in each process, when the actors have been imported and their libraries with them."""
        threadpool_limits(limits=1, user_api="blas")


class StartLine(Middleware):
    """The log line with which a worker process begins."""

    def after_worker_boot(self, broker: Any, worker: Any) -> None:
        """Tell which queues this process serves with how many threads."""
        queues = sorted(worker.consumer_whitelist or broker.get_declared_queues())
        log.get(__name__).info("job_worker_started", queues=queues, threads=worker.worker_threads, pid=os.getpid())


def _url() -> str:
    return str(settings().broker_url or database.url())


# Before a message the list runs downwards, after it upwards. Dramatiq's Prometheus is left out: it opens a port in
# every worker; `atum`'s API serves the figures.
broker = PostgresBroker(
    _url,
    middleware=[
        QueueOptions(),  # before the consumers start: every -Q counts, not only the last
        StartLine(),
        OneCoreAThread(),
        AgeLimit(),  # first: what is too old starts no timer
        TimeLimit(time_limit=600_000),  # around everything below; each actor has a limit of its own as well
        ShutdownNotifications(),  # an actor that asks for it is interrupted when its worker stops
        CurrentMessage(),  # around the hooks below, so that they may ask, too
        Tenants("organization_id"),  # before anything is stored: whose message it is
        Ticks(),  # the option `periodic`, and our scheduler in the process `periodiq`
        Callbacks(),  # after Retries has decided what a failure means
        Pipelines(),  # likewise: the next step only of what succeeded
        Retries(max_retries=8),  # last in the list, so the first to judge a failure
    ],
    results=False,  # what a job finds out, it writes into the desk's tables
    keep_finished_days=None,  # the desk's clean_up knows how long each organization keeps them
    keep_dead_days=None,  # until somebody retries or discards them
    install_hint="Run `atum init` first.",
)
dramatiq.set_broker(broker)


@contextmanager
def in_transaction(organization_id: UUID | str | None = None) -> Iterator[Connection]:
    """One transaction of the desk that is also the actor's last act.

    What the block writes, the messages sent in it and the completion of the actor's own message commit together: each
    effect happens exactly once, however often the worker is killed. Use `desk.database.transaction` for what an actor
    reads before; a second `in_transaction` in one run of an actor is refused. Outside a worker it is the desk's
    transaction with its sends.

    Where `ATUM_BROKER_URL` puts the messages elsewhere they cannot share the transaction: sends are immediate, the
    finish follows the actor's return, and an effect may happen twice after a crash.

    Raises:
        DatabaseUnavailable: the database is away.
        LeaseLost: another worker has the message by now; everything is rolled back.
    """
    with database.transaction(organization_id) as connection:
        if settings().broker_url:
            yield connection
            return
        with broker.finish_in(connection):
            yield connection
