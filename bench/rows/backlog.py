"""What a claim takes, and a worker's memory, when millions of rows lie beside those that it takes.

Two databases, one empty but for what is taken. A worker runs in each, for its memory and its rate; then claims of the
same size are made in both by turns, with what a worker claims with.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.contenders import CONTENDERS
from bench.place import Place, connected, fresh
from bench.processes import call, context, started
from bench.row import Found, Measure, Row, Target, quantile
from bench.rows.drain import CELLS, THREADS, counting, watch
from bench.rows.send import message_text
from desk.embedded import EmbeddedServer

BACKLOG = 1_000_000  # of each kind: ready, future, finished
MESSAGES = 10_000  # that a worker runs
CLAIM = 50  # messages of one claim
CLAIMS = 200
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
    messages, claims = max(1_000, int(MESSAGES * scale)), max(30, int(CLAIMS * scale))
    backlog = max(int(BACKLOG * scale), 2 * (messages + claims * CLAIM))
    with fresh(server) as empty, fresh(server) as full:
        places = {EMPTY: empty, FULL: full}
        for place in places.values():
            CONTENDERS["pgbroker"].prepare(place)
        _load(full, ready=backlog, others=backlog)
        _load(empty, ready=messages + 10 * THREADS * CLAIM, others=0)  # it never runs dry: shorter claims are quicker
        found = {who: _work(place, messages) for who, place in places.items()}
        _load(empty, ready=CLAIM * claims, others=0)
        for who, took in call(claim_by_turns, places, claims).items():
            found[who] |= {"claim": quantile(took, 0.5), "p95": quantile(took, 0.95)}
    return found


def _work(place: Place, messages: int) -> dict[str, float]:
    """A worker runs `messages` messages and is killed."""
    cells = context.RawArray("q", CELLS)
    with closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute("checkpoint")
    with started(work, 1, place, cells) as running:
        rate = watch(running, cells, messages)
        return {"rate": rate, "memory": _peak_megabytes(running[0].pid)}


def claim_by_turns(places: dict[str, Place], turns: int) -> dict[str, list[float]]:
    """Milliseconds of each claim, one in each place, then the next."""
    from pgbroker.claim import Claims
    from pgbroker.connections import Connections, Line

    process_id = str(uuid4())
    claims: dict[str, Claims] = {}
    took: dict[str, list[float]] = {who: [] for who in places}
    for who, place in places.items():
        claims[who] = Claims(Line(Connections(place.url, "")))
        claims[who].add(place.queue, limited=False)
    for _ in range(turns):
        for who, place in places.items():
            began = time.perf_counter()
            found = claims[who].take({place.queue: CLAIM}, process_id)
            took[who].append((time.perf_counter() - began) * 1000)
            if len(found) != CLAIM:
                raise RuntimeError(f"a claim took {len(found)} messages of {CLAIM} that were there")
    return took


def _load(place: Place, ready: int, others: int) -> None:
    common = {"queue": place.queue, "message": message_text(place.queue)}
    with closing(connected(place.url)) as connection, connection.cursor() as cursor:
        cursor.execute("truncate dramatiq.queue, pgbroker.finished")
        cursor.execute(LOAD_WAITING, common | {"since": "-1 hour", "count": ready})
        cursor.execute(LOAD_WAITING, common | {"since": "1 day", "count": others})
        cursor.execute(LOAD_FINISHED, common | {"count": others})
        cursor.execute("vacuum (analyze)")  # as it would have been done while a million rows came in


def work(position: int, place: Place, cells: Any) -> None:
    """A worker process."""
    CONTENDERS["pgbroker"].open(place, counting(cells, 0)).work(THREADS)


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
        Measure("claim", f"claim of {CLAIM}, ms", 2),
        Measure("p95", "p95", 2),
        Measure("memory", "worker MB, peak"),
        Measure("rate", "messages/s"),
    ),
    measure=_measure,
    base=EMPTY,
    targets=(
        _over_empty("backlog: claim time, × empty table", "claim", must=1.3, aim=1.1),
        _over_empty("backlog: worker memory, × empty table", "memory", must=1.3, aim=1.1),
    ),
    long=True,
)
