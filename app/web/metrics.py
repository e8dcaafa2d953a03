"""GET /metrics, in Prometheus' text format: this process's requests, the queue and the desk as the tables have them.

One process serves the API, so its counters are whole. The database's figures are read at each scrape, within five
seconds a statement; where it cannot be asked the scrape still answers, with `atum_database_up 0`. What is true of any
queue is `pgbroker_…`, and what only a desk knows is `atum_…`.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
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

from app.glance import glance
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
    """What the broker's and the desk's tables say, as of the scrape."""

    @cached_property
    def _readers(self) -> tuple[Any, Any]:
        # At the first scrape: the broker's package brings Dramatiq along, for which requests need not wait.
        from pgbroker.connections import rows
        from pgbroker.metrics import BrokerFigures, Sparingly

        return BrokerFigures(), Sparingly(lambda connection: rows(connection, statement("app.web", "queue_figures")))

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not need a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The figures of each table; what was read before the database failed is kept."""
        up = 0
        broker, by_actor = self._readers
        try:
            with glance(broker=True, timeout_seconds=SCRAPE_TIMEOUT_SECONDS) as cursor:
                for family in broker.read(cursor.connection):
                    yield from (family, *_older(family))
                yield from _queues(by_actor(cursor.connection))
                yield _finished(cursor)
            with glance(timeout_seconds=SCRAPE_TIMEOUT_SECONDS) as cursor:
                yield from _desk(cursor)
                yield from _sweep(cursor)
                yield from _risk(cursor)
                yield from _notices(cursor)
                yield _triage(cursor)
            up = 1
        except DatabaseUnavailable:
            pass
        yield GaugeMetricFamily("atum_database_up", "Whether the tables could be read.", value=up)


registry.register(Tables())

# Under these names our dashboards know figures that are the broker's now.
_OLDER_NAMES = {
    "pgbroker_dead_letters": "atum_dead_letters",
    "pgbroker_queue_processes": "atum_worker_processes",
    "pgbroker_last_tick_age_seconds": "atum_last_tick_age_seconds",
}


def _older(family: Metric) -> Iterator[Metric]:
    name = _OLDER_NAMES.get(family.name)
    if name:
        older = GaugeMetricFamily(name, f"The same as {family.name}.")
        older.samples = [sample._replace(name=name) for sample in family.samples]
        yield older


def _queues(found: Iterable[tuple[Any, ...]]) -> Iterator[Metric]:
    messages = _gauge("atum_queue_messages", "Unfinished messages.", ["queue", "actor", "state"])
    oldest = _gauge("atum_queue_oldest_due_age_seconds", "How long the oldest due message waits.", ["queue", "actor"])
    for queue, actor, due, delayed, running, oldest_due_age_seconds in found:
        for state, count in (("due", due), ("delayed", delayed), ("running", running)):
            messages.add_metric([queue, actor, state], count)
        oldest.add_metric([queue, actor], oldest_due_age_seconds)
    yield from (messages, oldest)


def _finished(cursor: Any) -> Metric:
    cursor.execute(statement("app.web", "finished_figures"))
    finished = _gauge("atum_finished_last_5_minutes", "Messages finished in the last five minutes.", ["queue", "actor"])
    for row in cursor.fetchall():
        finished.add_metric([row["queue_name"], row["actor_name"]], row["messages"])
    return finished


def _desk(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "desk_figures"))
    row = cursor.fetchone()
    articles = _gauge("atum_kb_articles", "Articles, by whether search has their last revision.", ["state"])
    for state in ("indexed", "pending", "dead"):
        articles.add_metric([state], row[f"articles_{state}"])
    yield articles
    yield from _kb(cursor, row["articles_pending"])
    for name, meaning in (
        ("oldest_pending_age_seconds", "How long the oldest change of an article waits to be indexed."),
        ("sweep_late_seconds", "How long the oldest SLA crossing that is due waits for the sweep; 0: none is due."),
    ):
        kind = "kb" if "pending" in name else "sla"
        yield GaugeMetricFamily(f"atum_{kind}_{name}", meaning, value=row[name])


_KB_FIGURES = {
    "published": "Published articles at the last hourly look.",
    "searchable": "Of these, as they are in the index, vectors included.",
    "chunks": "Chunks at the last hourly look.",
    "vectors": "Vectors of active models at the last hourly look.",
    "repaired": "Articles that the last hourly look found wrong and had made anew.",
    "check_age_seconds": "How long ago the oldest last look at an organization was; absent before the first.",
    "articles_per_second": "Articles indexed, mean of the last five minutes.",
}


def _kb(cursor: Any, pending: int) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "kb_figures"))
    row = cursor.fetchone()
    for name, meaning in _KB_FIGURES.items():
        if row[name] is not None:
            yield GaugeMetricFamily(f"atum_kb_{name}", meaning, value=float(row[name]))
    if row["published"]:
        share = float(row["searchable"] / row["published"])
        yield GaugeMetricFamily("atum_kb_coverage_ratio", "Searchable of published, 0 to 1, last look.", value=share)
    if row["articles_per_second"]:
        left = pending / row["articles_per_second"]
        yield GaugeMetricFamily("atum_kb_seconds_left", "Until nothing is pending, at that pace.", value=left)
    cursor.execute(statement("app.web", "model_figures"))
    found = _gauge("atum_kb_models", "Organizations that have vectors of a model.", ["model", "state"])
    for each in cursor.fetchall():
        found.add_metric([each["model"], each["state"]], each["organizations"])
    yield found


_SWEEP_FIGURES = {
    "seconds": "How long the last sweep took.",
    "processed": "Clocks that ran at the last sweep.",
    "skipped_null_sla": "Accepted, open tickets without a clock at the last sweep: no policy matches them.",
    "skipped_paused": "Clocks that stood at the last sweep.",
    "crossings": "Thresholds that the last sweep recorded.",
    "seconds_late_p50": "Median of the seconds from crossing to record, last sweep; absent where nothing crossed.",
    "seconds_late_p99": "The same, 99th percentile.",
}


def _sweep(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "sweep_figures"))
    row = cursor.fetchone() or {}
    for name, meaning in _SWEEP_FIGURES.items():
        if row.get(name) is not None:
            yield GaugeMetricFamily(f"atum_sla_sweep_{name}", meaning, value=row[name])


def _risk(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "risk_figures"))
    row = cursor.fetchone()
    if row["expected"] is not None:
        meaning = "Breaches expected among the running clocks of all organizations; absent without a forecast."
        yield GaugeMetricFamily("atum_sla_breaches_expected", meaning, value=row["expected"])
    meaning = "Running clocks that are not late and have no probability, by the newest forecasts."
    yield GaugeMetricFamily("atum_sla_clocks_unpredicted", meaning, value=row["unpredicted"])


def _notices(cursor: Any) -> Iterator[Metric]:
    cursor.execute(statement("app.web", "notice_figures"))
    waiting = _gauge("atum_notices_waiting", "Mails and posts that are to leave, and what waits for one.", ["channel"])
    oldest = _gauge("atum_notices_oldest_waiting_age_seconds", "How long the oldest of them waits.", ["channel"])
    ended = _gauge("atum_notices_last_5_minutes", "Mails and posts that ended.", ["channel", "outcome"])
    for row in cursor.fetchall():
        waiting.add_metric([row["channel"]], row["waiting"])
        oldest.add_metric([row["channel"]], row["oldest_waiting_age_seconds"])
        for outcome in ("sent", "dead", "dropped"):
            ended.add_metric([row["channel"], outcome], row[outcome])
    yield from (waiting, oldest, ended)


def _triage(cursor: Any) -> Metric:
    cursor.execute(statement("app.web", "triage_figures"))
    answers = _gauge(
        "atum_triage_answers_7_days",
        "What people made of triage's answers: accepted, corrected, or there was none.",
        ["what", "verdict", "confidence"],
    )
    for row in cursor.fetchall():
        answers.add_metric([row["what"], row["verdict"], row["band"]], row["answers"])
    return answers


def _gauge(name: str, meaning: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=labels)
