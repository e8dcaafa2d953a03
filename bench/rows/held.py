"""Claims under a steady load while somebody keeps a snapshot open, so that no dead row can be cleaned up.

Runs only when asked for: `python -m bench --only held --minutes 10`.
"""

import random
import time
from contextlib import closing

import psycopg2

from bench.claims import Claims
from bench.contenders import CONTENDERS, nothing
from bench.place import Place, fresh
from bench.processes import RunFailed, check_alive, started
from bench.row import Found, Measure, Row, Target, quantile
from desk.embedded import EmbeddedServer

MESSAGES_PER_SECOND = 150
THREADS = 8
WARM_UP_SECONDS = 5.0
USUAL_MINUTES = 10
MINUTE_SECONDS = 60.0


def row(minutes: int = USUAL_MINUTES) -> Row:
    """The line for so many minutes; `--scale` does not shorten them."""

    def measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
        return {contender: _minutes(server, contender, minutes)}

    return Row(
        name="held",
        title=f"a snapshot held for {minutes} minutes at {MESSAGES_PER_SECOND} messages/s",
        contenders=("pgbroker",),
        measures=(
            Measure("first", "claim p99 ms, first minute", 1),
            Measure("last", "last minute", 1),
            Measure("worst", "worst minute", 1),
            Measure("middle", "median, last minute", 1),
        ),
        measure=measure,
        targets=(
            Target(
                "held snapshot: claim p99 of the last minute, × the first's", ("pgbroker", "last"),
                over=("pgbroker", "first"), must=3.0, aim=1.5, at_most=True,
            ),
            Target(
                "held snapshot: claim p99 of the worst minute, × the first's", ("pgbroker", "worst"),
                over=("pgbroker", "first"), must=3.0, aim=1.5, at_most=True,
            ),
        ),
        long=True,
        on_request=True,
    )  # fmt: skip


def _minutes(server: EmbeddedServer, contender: str, minutes: int) -> dict[str, float]:
    with fresh(server) as place:
        CONTENDERS[contender].prepare(place)
        claims = Claims()
        with (
            started(work, 1, contender, place, claims) as workers,
            started(send_steadily, 1, contender, place) as senders,
            closing(psycopg2.connect(place.url)) as holder,
        ):
            time.sleep(WARM_UP_SECONDS)
            holder.set_session(isolation_level="REPEATABLE READ")
            with holder.cursor() as cursor:
                cursor.execute("select count(*) from dramatiq.queue")  # takes the snapshot
            began = time.monotonic()
            for minute in range(minutes):
                time.sleep(max(0.0, began + (minute + 1) * MINUTE_SECONDS - time.monotonic()))
                check_alive(workers + senders)
        spans = [(began + minute * MINUTE_SECONDS, began + (minute + 1) * MINUTE_SECONDS) for minute in range(minutes)]
        by_minute = [claims.between(*span) for span in spans]
    if not all(by_minute):
        raise RunFailed("a minute passed without a claim")
    p99 = [quantile(took, 0.99) for took in by_minute]
    return {
        "first": p99[0], "last": p99[-1], "worst": max(p99), "middle": quantile(by_minute[-1], 0.5),
        **{f"minute_{minute}": value for minute, value in enumerate(p99, start=1)},
    }  # fmt: skip


def work(position: int, contender: str, place: Place, claims: Claims) -> None:
    """A worker process that notes its claims."""
    claims.watch()
    CONTENDERS[contender].open(place, nothing).work(THREADS)


def send_steadily(position: int, contender: str, place: Place) -> None:
    """Sends until it is killed."""
    queue, interval = CONTENDERS[contender].open(place, nothing), 1 / MESSAGES_PER_SECOND
    began, number = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, began + (number + random.random()) * interval - time.monotonic()))
        queue.send(number)
        number += 1
