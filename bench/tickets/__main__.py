"""`python -m bench.tickets burst | one | retrain`: the ticket jobs on an embedded Postgres of their own.

burst    many tickets at once, all jobs: none lost, and how near to the embedding's own rate they are done
one      the CPU that one ticket's triage takes, the model warm
retrain  learning triage anew from many labels whose vectors are there
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median, quantiles
from typing import TYPE_CHECKING
from uuid import UUID

import psutil
from psycopg2.extensions import cursor as Cursor
from rich.console import Console

from app.install import install
from bench.place import connected, fresh
from bench.processes import call_at_once, context
from bench.tickets import alone
from bench.tickets.stock import tickets

if TYPE_CHECKING:
    from desk.tickets.triage.triage_models import Judged

ROOT = Path(__file__).parents[2]
SERVER_OPTIONS = ("max_connections=100", "shared_buffers=512MB")
LABELLED = 1_000
WARM_UP = 200
PROCESSES = 2
THREADS = 4
PATIENCE_SECONDS = 3_600
ONES = 300
LABELS_FROM = "2026-01-05T09:00:00Z"
UNFINISHED = "select from dramatiq.queue where queue_name = 'tickets' and state <> 'done'"
MUSTS = {"burst": (0.8, 0.95, "×"), "one": (60.0, 30.0, "ms"), "retrain": (60.0, 20.0, "s")}


def main() -> int:
    """Measure and print. 0: what must be reached was; 1: it was not."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.tickets", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=MUSTS)
    parser.add_argument("--tickets", type=int, default=10_000, help="tickets, or labels (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="atum-bench-", ignore_cleanup_errors=True) as home,
        _desk(Path(home)) as url,
    ):
        os.environ["ATUM_DATABASE_URL"] = url
        found = {"burst": burst, "one": one, "retrain": retrain}[arguments.what](url, arguments.tickets, console)
    must, aim, unit = MUSTS[arguments.what]
    value = found["value"]
    reached = value >= must if arguments.what == "burst" else value <= must
    if arguments.json:
        sys.stdout.write(
            json.dumps(found | {"must": must, "aim": aim, "unit": unit, "reached": reached}, indent=2) + "\n"
        )
    else:
        for name, figure in found.items():
            shown = f"{figure:,.3f}" if isinstance(figure, float) else str(figure)
            sys.stdout.write(f"{name.replace('_', ' '):34} {shown}\n")
        sys.stdout.write(f"must {must:g} {unit}, aim {aim:g} {unit}: {'reached' if reached else 'missed'}\n")
    return 0 if reached else 1


def burst(url: str, count: int, console: Console) -> dict[str, float]:
    """`count` new tickets in one transaction, workers warm, until the last job is done."""
    from desk import database

    organization = _organization(url)
    _learn(organization)
    made = list(tickets(count, seed=7))
    texts = [f"{subject}\n\n{body}" for _, subject, body in made]
    console.print(f"embedding {count:,} texts in {PROCESSES} processes, nothing else")
    rate_before, cpu_alone = _embedding_alone(texts)
    with _workers(url) as workers, closing(connected(url)) as connection, connection.cursor() as cursor:
        _store(organization, list(tickets(WARM_UP, seed=8)), status="new")
        _until_done(cursor, workers, console)
        cpu = _cpu(cursor, workers)
        console.print(f"{count:,} tickets at once")
        _store(organization, made, status="new")
        began = time.monotonic()
        _until_done(cursor, workers, console)
        seconds = time.monotonic() - began
        server_cpu, worker_cpu = (after - before for after, before in zip(_cpu(cursor, workers), cpu, strict=True))
        lost = _missing(cursor, count + WARM_UP)
    rate_after, _ = _embedding_alone(texts)
    database.close()
    rate, embedding = count / seconds, mean((rate_before, rate_after))
    return {
        "value": rate / embedding if not lost else 0.0,
        "tickets": count,
        "results_missing": lost,
        "seconds": seconds,
        "tickets_per_second": rate,
        "embedding_per_second": embedding,
        "embedding_before": rate_before,
        "embedding_after": rate_after,
        "cpu_ms_a_ticket_workers": 1000 * worker_cpu / count,
        "cpu_ms_a_ticket_server": 1000 * server_cpu / count,
        "cpu_ms_a_ticket_embedding_alone": cpu_alone,
        "cpu_embedding_alone_to_all": cpu_alone * count / 1000 / (worker_cpu + server_cpu),
    }


def one(url: str, count: int, console: Console) -> dict[str, float]:
    """CPU of this process for one ticket's triage after the other, reading and writing included, the embedding too;
    what the embedding of each takes by itself stands beside it."""
    from desk import database
    from desk.kb import embedding
    from desk.tickets import jobs, results, vectors

    console.print(f"learning from {count:,} labels first")
    organization = _organization(url, labelled=count)
    _learn(organization)
    _as_a_worker()
    made = list(tickets(ONES, seed=9))
    texts = [vectors.text_of(subject, body) for _, subject, body in made]
    took, embedded = [], []
    for ticket_id, text in zip(_store(organization, made, status="new"), texts, strict=True):
        began = time.process_time()
        ticket, found, model = jobs.triage(organization, ticket_id)
        with database.transaction(organization) as connection:
            results.keep_triage(connection, ticket, found, model)
        took.append((time.process_time() - began) * 1000)
        began = time.process_time()
        embedding.embed([text])
        embedded.append((time.process_time() - began) * 1000)
    database.close()
    warm, by_itself = took[20:], embedded[20:]
    return {
        "value": quantiles(warm, n=20)[-1],
        "median_ms": median(warm),
        "embedding_alone_p95_ms": quantiles(by_itself, n=20)[-1],
        "embedding_alone_median_ms": median(by_itself),
        "labels": count,
        "tickets": len(warm),
    }


def retrain(url: str, count: int, console: Console) -> dict[str, float]:
    """CPU of this process from the labels, whose vectors are stored, to models that are judged and stored."""
    from desk import database

    console.print(f"embedding {count:,} labelled tickets first")
    organization = _organization(url, labelled=count)
    _as_a_worker()
    began, clock = time.process_time(), time.monotonic()
    judged = _learn(organization)
    cpu, seconds = time.process_time() - began, time.monotonic() - clock
    database.close()
    accuracy = {f"{each.what}_accuracy": (each.figures or {}).get("accuracy") for each in judged}
    size = {f"{each.what}_bytes": float(len(each.model or b"")) for each in judged}
    return {"value": cpu, "seconds": seconds, "labels": count, "peak_mb": _peak_mb(), **accuracy, **size}


@contextmanager
def _desk(home: Path) -> Iterator[str]:
    """The URL of a migrated database, with the model of this installation."""
    from desk.embedded import EmbeddedServer
    from desk.kb import model

    os.environ["ATUM_EMBED_MODEL_DIR"] = str(model.ensure())
    home.chmod(0o755)  # as root, Postgres runs as another user
    server = EmbeddedServer(home, SERVER_OPTIONS)
    server.attach()
    try:
        with fresh(server) as place:
            install(place.url)
            yield place.url
    finally:
        server.stop()
        server.detach()


def _organization(url: str, labelled: int = LABELLED) -> UUID:
    """An organization with the sample's articles, searchable, and labelled tickets."""
    from desk import database, organizations
    from desk.kb import importing, indexing
    from desk.settings import settings
    from desk.tickets import vectors

    settings.cache_clear()
    with database.transaction() as connection:
        organization = organizations.find_or_create(connection, "Moorlark")
    importing.put(organization, importing.read(ROOT / "app" / "sample" / "help-centre"))
    indexing.index(organization)
    _store(organization, list(tickets(labelled, seed=6)), status="closed")
    vectors.embed_missing(organization, newest=labelled)
    return organization


def _as_a_worker() -> None:
    """Have linear algebra in this process run as it does in a worker's; its libraries are there by now."""
    from brokers import OneCoreAThread, broker

    OneCoreAThread().before_worker_boot(broker, None)


def _learn(organization: UUID) -> "list[Judged]":
    """What the job `retrain_triage` does."""
    from desk import database
    from desk.tickets.triage import retraining, triage_models

    judged = retraining.retrain(organization)
    with database.transaction(organization) as connection:
        for each in judged:
            triage_models.end(connection, organization, each)
    return judged


def _store(organization: UUID, made: list[tuple[str, str, str]], *, status: str) -> list[UUID]:
    """Store tickets in one transaction, labelled where they are closed; the ids of new ones."""
    from desk import database
    from desk.tickets import imports

    common = dict.fromkeys(imports._COLUMNS) | {"status": status, "priority": "medium", "tags": []}
    closed = {"created_at": LABELS_FROM, "resolved_at": LABELS_FROM, "category_by": "person"}
    rows = []
    for number, (category, subject, body) in enumerate(made):
        row = common | {"subject": subject, "body": body, "created_at": datetime.now(UTC)}
        if status == "closed":
            row |= closed | {"category": category, "priority": "high" if number % 9 == 0 else "medium"}
        rows.append(row)
    with database.transaction(organization) as connection:
        imports.store_all(connection, organization, rows)
        with connection.cursor() as cursor:
            cursor.execute(
                "select id from tickets where organization_id = %s and status = 'new' order by created_at desc"
                " limit %s",
                (organization, len(rows)),
            )
            return [row[0] for row in cursor.fetchall()]


def _embedding_alone(texts: list[str]) -> tuple[float, float]:
    """Texts a second in as many processes as there are workers, and milliseconds of CPU for a text."""
    together = context.Barrier(PROCESSES)
    found = call_at_once([(alone.embed, texts[place::PROCESSES], together) for place in range(PROCESSES)])
    seconds = max(ended for _, ended, _ in found) - min(began for began, _, _ in found)
    return len(texts) / seconds, 1000 * sum(cpu for *_, cpu in found) / len(texts)


@contextmanager
def _workers(url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Job workers as an installation has them."""
    command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "schedules"]
    process = subprocess.Popen(
        [*command, "-p", str(PROCESSES), "-t", str(THREADS), "-Q", "tickets"],
        cwd=ROOT,
        env={**os.environ, "ATUM_DATABASE_URL": url, "ATUM_LOG_LEVEL": "WARNING"},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _until_done(cursor: Cursor, workers: "subprocess.Popen[bytes]", console: Console) -> None:
    ends, told = time.monotonic() + PATIENCE_SECONDS, time.monotonic()
    while True:
        cursor.execute(f"select exists ({UNFINISHED})")
        if not (cursor.fetchone() or (True,))[0]:
            return
        if workers.poll() is not None:
            raise SystemExit(f"the workers ended with exit code {workers.returncode}; what they said is above")
        if time.monotonic() > ends:
            raise SystemExit(f"not all messages were done within {PATIENCE_SECONDS:,} seconds")
        if time.monotonic() > told + 10:
            cursor.execute(f"select count(*) from ({UNFINISHED}) unfinished")
            console.print(f"{(cursor.fetchone() or (0,))[0]:,} messages to go")
            told = time.monotonic()
        time.sleep(0.1)


def _missing(cursor: Cursor, count: int) -> int:
    """How many results new tickets lack, dead letters included."""
    cursor.execute("""
        select (select count(*) from pgbroker.dead_letters)
             + sum((not exists (select from triage_results r where r.ticket_id = t.id))::int
                 + (not exists (select from drafts d where d.ticket_id = t.id))::int
                 + (not exists (select from sentiments s where s.ticket_id = t.id))::int)
             + abs(count(*) - %s)
          from tickets t where status = 'new'""", (count,))  # fmt: skip
    return int((cursor.fetchone() or (0,))[0])


def _cpu(cursor: Cursor, workers: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """CPU seconds so far of the database's server, and of the workers."""
    cursor.execute("select pg_backend_pid()")
    (backend,) = cursor.fetchone() or (0,)
    return _cpu_of(psutil.Process(backend).parent()), _cpu_of(psutil.Process(workers.pid))


def _cpu_of(top: psutil.Process | None) -> float:
    """CPU seconds so far of a process and all its children."""
    found = [process.cpu_times() for process in ([top, *top.children(recursive=True)] if top else [])]
    return sum(times.user + times.system + times.children_user + times.children_system for times in found)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
