"""GET /metrics, in Prometheus' text format: this process's requests, and the queue as the tables have it right now.

One process serves the API, so its counters are whole. The database's figures are gauges read at each scrape, within
five seconds; where it cannot be asked the scrape still answers, with `atum_database_up 0`.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import Scope

from app.glance import BEAT_LOST_SECONDS, glance
from desk.errors import DatabaseUnavailable
from desk.sql import statement

SCRAPE_TIMEOUT_SECONDS = 5
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

router = APIRouter()
registry = CollectorRegistry()
ProcessCollector(registry=registry)
_requests = Counter("atum_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry)
_durations = Histogram(
    "atum_http_request_duration_seconds", "Time to the end of the answer.", ["route"], registry=registry
)


@router.get("/metrics")
def metrics() -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def count_request(scope: Scope, status_code: int, seconds: float) -> None:
    """Count one answered request, under its route's pattern: paths hold ids, and there is no end of them."""
    route = getattr(scope.get("route"), "path", "unmatched")
    method = scope["method"] if scope["method"] in METHODS else "other"
    _requests.labels(method, route, str(status_code)).inc()
    _durations.labels(route).observe(seconds)


class Tables(Collector):
    """What the broker's tables say, as of the scrape."""

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not need a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of each table; what was read before the database failed is kept."""
        up = 0
        try:
            with glance(broker=True, timeout_seconds=SCRAPE_TIMEOUT_SECONDS) as cursor:
                for read in (_queues, _outcomes, _processes, _ticks):
                    yield from read(cursor)
            with glance(timeout_seconds=SCRAPE_TIMEOUT_SECONDS) as cursor:
                yield from _desk(cursor)
            up = 1
        except DatabaseUnavailable:
            pass
        yield GaugeMetricFamily("atum_database_up", "Whether the tables could be read.", value=up)


registry.register(Tables())


def _queues(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "queue_figures"))
    rows = cursor.fetchall()
    messages = _gauge("atum_queue_messages", "Unfinished messages.", ["queue", "actor", "state"])
    oldest = _gauge("atum_queue_oldest_due_age_seconds", "How long the oldest due message waits.", ["queue", "actor"])
    for row in rows:
        for state in ("due", "delayed", "running"):
            messages.add_metric([row["queue_name"], row["actor_name"], state], row[state])
        oldest.add_metric([row["queue_name"], row["actor_name"]], row["oldest_due_age_seconds"])
    yield from (messages, oldest)


def _outcomes(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "outcome_figures"))
    finished = _gauge("atum_finished_last_5_minutes", "Messages finished in the last five minutes.", ["queue", "actor"])
    dead = _gauge("atum_dead_letters", "Messages that failed for good and await a decision.", ["queue", "actor"])
    for row in cursor.fetchall():
        family = dead if row["outcome"] == "dead" else finished
        family.add_metric([row["queue_name"], row["actor_name"]], row["messages"])
    yield from (finished, dead)


def _processes(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "process_figures"), {"beat_lost_seconds": BEAT_LOST_SECONDS})
    processes = _gauge("atum_worker_processes", "Worker processes that beat.", ["queue"])
    for row in cursor.fetchall():
        processes.add_metric([row["queue_name"]], row["processes"])
    yield processes


def _ticks(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "tick_figures"))
    ticks = _gauge("atum_last_tick_age_seconds", "Age of the schedule's last tick.", ["actor"])
    for row in cursor.fetchall():
        ticks.add_metric([row["actor_name"]], row["age_seconds"])
    yield ticks


def _desk(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "desk_figures"))
    row = cursor.fetchone()
    articles = _gauge("atum_kb_articles", "Articles, by whether search has their last revision.", ["state"])
    for state in ("indexed", "pending", "dead"):
        articles.add_metric([state], row[f"articles_{state}"])
    yield articles
    for name, meaning in (
        ("oldest_pending_age_seconds", "How long the oldest change of an article waits to be indexed."),
        ("sweep_late_seconds", "How long the oldest SLA crossing that is due waits for the sweep; 0: none is due."),
    ):
        kind = "kb" if "pending" in name else "sla"
        yield GaugeMetricFamily(f"atum_{kind}_{name}", meaning, value=row[name])


def _gauge(name: str, meaning: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=labels)
