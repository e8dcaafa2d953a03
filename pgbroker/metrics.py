"""Figures for Prometheus: `registry.register(BrokerCollector(broker.connections))`.

Read from the tables at each scrape, in one short read-only transaction, so that one place shows all workers and a
worker needs no port. Cheap at any size: what is done was counted by the workers, and what waits is counted in an index,
and with a backlog of millions less often than it is asked for. This module needs prometheus-client; no other does.

A transaction that stays open keeps every row that was deleted meanwhile from being cleaned up, and the queue deletes
each of its rows: besides its age, a warning with the name of the backend is logged once, never what it asked.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg2.extensions import connection as Connection

from pgbroker.connections import Connections, rows
from pgbroker.counters import BOUNDS_SECONDS
from pgbroker.errors import PgBrokerError
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

Row = tuple[Any, ...]

OLD_TRANSACTION_SECONDS = 600.0
QUICK_SECONDS = 0.2  # what takes less is read at each scrape
MOST_SHARE = 0.01  # of the time, for what takes more
OLDEST_SECONDS = 60.0  # that a figure may be, however long it takes to get

_COUNTERS = {
    "claimed": ("pgbroker_messages_claimed", "Messages that workers took."),
    "finish_done": ("pgbroker_messages_finished", "Messages that are done."),
    "finish_rescheduled": ("pgbroker_messages_retried", "Runs that failed and were scheduled again."),
    "finish_dead": ("pgbroker_messages_dead", "Messages that a worker made dead letters."),
    "finish_released": ("pgbroker_messages_released", "Messages given back before their end: at a shutdown, say."),
    "finish_late": ("pgbroker_late_finishes", "Runs whose lease was lost before their end; they changed nothing."),
    "not_started": ("pgbroker_messages_not_started", "Messages not begun because their lease was no longer safe."),
    "recalled": ("pgbroker_messages_recalled", "Messages taken ahead and given back: every thread was busy."),
    "rescued": ("pgbroker_messages_rescued", "Messages taken from workers that were lost."),
    "cancelled": ("pgbroker_messages_cancelled", "Running messages that were interrupted: somebody cancelled them."),
}
_HISTOGRAMS = {
    "claim": ("pgbroker_claim_seconds", "How long it took to claim messages, where there were any."),
    "finish": ("pgbroker_finish_seconds", "How long it took to write what became of messages, commit included."),
}


class BrokerCollector(Collector):
    """The figures of one broker. A scrape takes one connection of `connections` and `timeout_seconds` a statement at
    the most; where the database cannot be asked it has `pgbroker_up 0` and what was read until then."""

    def __init__(
        self,
        connections: Connections,
        *,
        timeout_seconds: float = 5.0,
        old_transaction_seconds: float = OLD_TRANSACTION_SECONDS,
    ) -> None:
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._figures = BrokerFigures(old_transaction_seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not need a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures as of now."""
        found: list[Metric] = []
        try:
            with self._connections.transaction() as connection:
                limits = {"timeout_ms": str(int(self._timeout_seconds * 1000))}
                rows(connection, _BEGIN, limits)
                for metric in self._figures.read(connection):
                    found.append(metric)
        except PgBrokerError as error:
            logger.warning("No figures of the queue: %s", error)
            found.append(_up(0))
        else:
            found.append(_up(1))
        yield from found


_BEGIN = """
    select set_config('statement_timeout', %(timeout_ms)s, true), set_config('transaction_read_only', 'on', true)
"""


class BrokerFigures:
    """Reads the figures through a connection of the caller's. Keep one: it remembers which transactions are old."""

    def __init__(self, old_transaction_seconds: float = OLD_TRANSACTION_SECONDS) -> None:
        self._queues = Sparingly(lambda connection: rows(connection, sql("queues")))
        self._dead_letters = Sparingly(lambda connection: rows(connection, sql("metrics_dead")))
        self._transactions = _Transactions(old_transaction_seconds)

    def read(self, connection: Connection) -> Iterator[Metric]:
        """The figures as of now. Raises psycopg2's errors."""
        yield from _queues(self._queues(connection))
        yield from _counted(connection)
        yield _dead_letters(self._dead_letters(connection))
        yield _processes(connection)
        yield from _ticks(connection)
        yield self._transactions.read(connection)


class Sparingly:
    """What `read` finds. Where that takes long, it is read again only when it is a hundred times as old as it took, or
    a minute: the price stays low, however often somebody scrapes."""

    def __init__(self, read: Callable[[Connection], list[Row]]) -> None:
        self._read = read
        self._found: list[Row] = []
        self._found_in = ""
        self._again_at = 0.0

    def __call__(self, connection: Connection) -> list[Row]:
        """The rows, from this database."""
        began = monotonic()
        if began >= self._again_at or self._found_in != connection.dsn:
            self._found, self._found_in = self._read(connection), connection.dsn
            took = monotonic() - began
            self._again_at = 0.0 if took < QUICK_SECONDS else began + min(took / MOST_SHARE, OLDEST_SECONDS)
        return self._found


def _queues(found: Iterable[Row]) -> Iterator[Metric]:
    waiting = _gauge("pgbroker_messages_waiting", "Messages that are due and wait.", "queue")
    scheduled = _gauge("pgbroker_messages_scheduled", "Messages that are due later.", "queue")
    running = _gauge("pgbroker_messages_running", "Messages that workers hold.", "queue")
    oldest = _gauge("pgbroker_oldest_waiting_seconds", "How long the oldest due message waits; 0: none does.", "queue")
    paused = _gauge("pgbroker_queue_paused", "Whether the queue is paused.", "queue")
    processes = _gauge("pgbroker_queue_processes", "Living worker processes that serve the queue.", "queue")
    for name, *counts, oldest_seconds, paused_since, served_by in found:
        for family, value in zip((waiting, scheduled, running), counts, strict=True):
            family.add_metric([name], value)
        oldest.add_metric([name], oldest_seconds or 0)
        paused.add_metric([name], paused_since is not None)
        processes.add_metric([name], served_by)
    yield from (waiting, scheduled, running, oldest, paused, processes)


def _counted(connection: Connection) -> Iterator[Metric]:
    counted = dict(rows(connection, sql("metrics_counters")))
    for name, (family, meaning) in _COUNTERS.items():
        yield CounterMetricFamily(family, meaning, value=counted.get(name, 0))
    for name, (family, meaning) in _HISTOGRAMS.items():
        buckets = [(f"{bound:g}", counted.get(f"{name}_seconds_le_{bound:g}", 0)) for bound in BOUNDS_SECONDS]
        buckets.append(("+Inf", counted.get(f"{name}_seconds_count", 0)))
        yield HistogramMetricFamily(family, meaning, buckets, counted.get(f"{name}_seconds_sum", 0))


def _dead_letters(found: Iterable[Row]) -> Metric:
    letters = _gauge("pgbroker_dead_letters", "Messages that failed for good and await a decision.", "queue", "actor")
    for queue_name, actor_name, count in found:
        letters.add_metric([queue_name, actor_name], count)
    return letters


def _processes(connection: Connection) -> Metric:
    ((count,),) = rows(
        connection,
        "select count(*) from pgbroker.processes where beat_at > now() - lease_seconds * interval '1 second'",
    )
    return GaugeMetricFamily("pgbroker_processes", "Living worker processes.", value=count)


def _ticks(connection: Connection) -> Iterator[Metric]:
    age = _gauge("pgbroker_last_tick_age_seconds", "Age of the schedule's last tick.", "actor")
    late = _gauge("pgbroker_last_tick_late_seconds", "How long after its time the last tick was sent.", "actor")
    for actor_name, age_seconds, late_seconds in rows(connection, sql("metrics_ticks")):
        age.add_metric([actor_name], age_seconds)
        late.add_metric([actor_name], late_seconds)
    yield from (age, late)


class _Transactions:
    """The oldest transaction that keeps dead rows.

    Of other logins' backends one without pg_read_all_stats sees that they hold a snapshot and not since when: their age
    counts from the scrape that saw it first.
    """

    def __init__(self, old_seconds: float) -> None:
        self._old_seconds = old_seconds
        self._seen: dict[tuple[str, str], float] = {}  # when, on the monotonic clock
        self._told: set[tuple[str, str]] = set()

    def read(self, connection: Connection) -> Metric:
        now = monotonic()
        found = rows(connection, sql("metrics_transactions"))
        self._seen = {(row[0], row[-1]): self._seen.get((row[0], row[-1]), now) for row in found}
        self._told &= self._seen.keys()
        oldest = 0.0
        for holder, description, age_seconds, mark in found:
            key = (holder, mark)
            seconds = now - self._seen[key] if age_seconds is None else age_seconds
            oldest = max(oldest, seconds)
            if seconds >= self._old_seconds and key not in self._told:
                self._told.add(key)
                logger.warning(
                    "%s (%s) has had a transaction open for %d minutes: rows that the queue deletes stay until it ends",
                    holder, description, seconds // 60,
                )  # fmt: skip
        return GaugeMetricFamily(
            "pgbroker_oldest_transaction_seconds",
            "Age of the oldest transaction that keeps deleted rows of this database from being cleaned up.",
            value=oldest,
        )


def _gauge(name: str, meaning: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=labels)


def _up(value: int) -> Metric:
    return GaugeMetricFamily("pgbroker_up", "Whether the queue's tables could be read.", value=value)
