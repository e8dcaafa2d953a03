"""How late delayed messages start: many, due at random instants of some ten seconds, sent before the first is due."""

import random
import time
from typing import Any

from bench.contenders import CONTENDERS
from bench.place import Place, fresh
from bench.processes import call, context, started
from bench.row import Found, Measure, Row, Target, quantile
from bench.stamps import WARM_UP, await_all, warm_sender, work
from desk.embedded import EmbeddedServer

MESSAGES = 5_000
SECONDS = 10.0  # in which they are due
SENDS_PER_SECOND = 500  # that much is expected of every sender; who is slower finds the first ones due
SHORTEST_DELAY_SECONDS = 1.0
SEED = 5


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    library = CONTENDERS[contender]
    with fresh(server) as place:
        library.prepare(place)
        try:
            starts = context.RawArray("q", WARM_UP + max(200, int(MESSAGES * scale)))
            with started(work, 1, contender, place, starts):
                late = call(send_delayed, contender, place, starts)
        finally:
            library.clear(place)
    return {contender: {"p50": quantile(late, 0.5), "p99": quantile(late, 0.99), "worst": max(late)}}


def send_delayed(contender: str, place: Place, starts: Any) -> list[float]:
    """Milliseconds that each message started after it was due."""
    queue = warm_sender(contender, place, starts)
    chance, count = random.Random(SEED), len(starts) - WARM_UP
    first = time.monotonic() + max(2.0, count / SENDS_PER_SECOND)
    due = [0] * len(starts)
    for number in range(WARM_UP, len(starts)):
        wished = first + chance.random() * SECONDS * count / MESSAGES
        now = time.monotonic_ns()
        delay_ms = round(max(wished - now / 1e9, SHORTEST_DELAY_SECONDS) * 1000)
        due[number] = now + delay_ms * 1_000_000
        queue.send_later(number, delay_ms)
    time.sleep(max(0.0, (max(due) - time.monotonic_ns()) / 1e9))
    await_all(starts, len(starts))
    return [(starts[number] - due[number]) / 1e6 for number in range(WARM_UP, len(starts))]


ROW = Row(
    name="delayed",
    title="5,000 delayed messages, ms late",
    contenders=("pgbroker", "dramatiq-pg", "pgqueuer", "Redis", "RabbitMQ"),
    measures=(Measure("p50", "p50 ms", 1), Measure("p99", "p99 ms", 1), Measure("worst", "worst ms", 1)),
    measure=_measure,
    targets=(Target("5,000 delayed, p99 ms late", ("pgbroker", "p99"), must=50, aim=20, at_most=True, digits=1),),
    long=True,
)
