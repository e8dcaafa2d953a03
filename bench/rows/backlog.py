"""What a claim takes, and a worker's memory, when millions of rows wait beside those that it takes."""

import statistics
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.claims import Claims
from bench.contenders import CONTENDERS
from bench.place import Place, connected, fresh
from bench.processes import RunFailed, context, started
from bench.row import Found, Measure, Row, Target, quantile
from bench.rows.drain import CELLS, THREADS, counting, watch
from bench.rows.send import message_text
from desk.embedded import EmbeddedServer

BACKLOG = 1_000_000  # of each kind: ready, future, finished
MESSAGES = 10_000  # that are run from it
EMPTY = "pgbroker, empty"
FULL = "pgbroker, backlog"

LOAD_WAITING = """
insert into dramatiq.queue (message_id, queue_name, state, message, run_at)
select gen_random_uuid(), %(queue)s, 'queued', %(message)s::jsonb, now() + %(since)s::interval + n * interval '1 ms'
  from generate_series(1, %(count)s) n
"""
LOAD_FINISHED = """
insert into pgbroker.finished (message_id, queue_name, actor_name, message, created_at, started_at, finished_at,
                               deliveries, retries, history)
select gen_random_uuid(), %(queue)s, 'job', %(message)s::jsonb, at, at, at, 1, 0, '[]'
  from (select now() - interval '1 day' + n * interval '1 ms' as at from generate_series(1, %(count)s) n) finished
"""


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    messages = max(2_000, int(MESSAGES * scale))
    return {
        EMPTY: _claims(server, messages, ready=messages * 6 // 5, others=0),
        FULL: _claims(server, messages, ready=int(BACKLOG * scale), others=int(BACKLOG * scale)),
    }


def _claims(server: EmbeddedServer, messages: int, ready: int, others: int) -> dict[str, float]:
    with fresh(server) as place:
        CONTENDERS["pgbroker"].prepare(place)
        _load(place, max(ready, messages * 6 // 5), others)
        cells, claims = context.RawArray("q", CELLS), Claims()
        began = time.monotonic()
        with started(work, 1, place, cells, claims) as running:
            rate = watch(running, cells, messages)
            peak = _peak_megabytes(running[0].pid)
        took = claims.between(began, time.monotonic())
    if not took:
        raise RunFailed("no claim was counted")
    return {
        "claim": quantile(took, 0.5), "mean": statistics.mean(took), "p95": quantile(took, 0.95), "memory": peak,
        "rate": rate, "claims": len(took),
    }  # fmt: skip


def _load(place: Place, ready: int, others: int) -> None:
    common = {"queue": place.queue, "message": message_text(place.queue)}
    with closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute(LOAD_WAITING, common | {"since": "-1 hour", "count": ready})
        cursor.execute(LOAD_WAITING, common | {"since": "1 day", "count": others})
        cursor.execute(LOAD_FINISHED, common | {"count": others})
        cursor.execute("vacuum (analyze)")  # as it would have been done while a million rows came in
        cursor.execute("checkpoint")


def work(position: int, place: Place, cells: Any, claims: Claims) -> None:
    """A worker process that notes its claims."""
    claims.watch()
    queue = CONTENDERS["pgbroker"].open(place, counting(cells, 0))
    queue.work(THREADS)


def _peak_megabytes(pid: int | None) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _over_empty(text: str, measure: str, **target: Any) -> Target:
    return Target(text, (FULL, measure), over=(EMPTY, measure), at_most=True, **target)


ROW = Row(
    name="backlog",
    title="1 M ready, 1 M future, 1 M finished rows",
    contenders=("pgbroker",),
    measures=(
        Measure("claim", "claim ms, median", 2),
        Measure("mean", "mean", 2),
        Measure("p95", "p95", 2),
        Measure("claims", "claims"),
        Measure("memory", "worker MB, peak"),
        Measure("rate", "messages/s"),
    ),
    measure=_measure,
    base=EMPTY,
    targets=(
        _over_empty("backlog: claim time, × empty table", "claim", must=1.3, aim=1.1),
        _over_empty("backlog: mean claim time, × empty table", "mean"),
        _over_empty("backlog: worker memory, × empty table", "memory", must=1.3, aim=1.1),
    ),
    long=True,
)
