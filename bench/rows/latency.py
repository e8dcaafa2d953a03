"""How long a message takes from just before `send()` to the first line of its actor, where there is little to do.

One worker process with eight threads; the sender is another process and sends evenly, with jitter.
"""

import random
import time
from typing import Any

from bench.contenders import CONTENDERS
from bench.place import Place, fresh
from bench.processes import call, context, started
from bench.row import Found, Measure, Row, Target, quantile
from bench.stamps import WARM_UP, await_all, warm_sender, work
from desk.embedded import EmbeddedServer

MESSAGES_PER_SECOND = 50
SECONDS = 20.0
SEED = 20


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    library = CONTENDERS[contender]
    count = int(MESSAGES_PER_SECOND * max(3.0, SECONDS * scale))
    with fresh(server) as place:
        library.prepare(place)
        try:
            starts = context.RawArray("q", WARM_UP + count)
            with started(work, 1, contender, place, starts):
                took = call(send_evenly, contender, place, starts)
        finally:
            library.clear(place)
    return {contender: {f"p{share}": quantile(took, share / 100) for share in (50, 95, 99)}}


def send_evenly(contender: str, place: Place, starts: Any) -> list[float]:
    """Milliseconds from send to start, of each message."""
    queue = warm_sender(contender, place, starts)
    chance, interval = random.Random(SEED), 1 / MESSAGES_PER_SECOND
    sent = [0] * len(starts)
    began = time.monotonic()
    for number in range(WARM_UP, len(starts)):
        due = began + (number - WARM_UP + chance.random()) * interval
        time.sleep(max(0.0, due - time.monotonic()))
        sent[number] = time.monotonic_ns()
        queue.send(number)
    await_all(starts, len(starts))
    return [(starts[number] - sent[number]) / 1e6 for number in range(WARM_UP, len(starts))]


def _over_rabbitmq(measure: str, must: float, aim: float | None = None) -> Target:
    text = f"send to start {measure}, × RabbitMQ"
    return Target(text, ("pgbroker", measure), over=("RabbitMQ", measure), must=must, aim=aim, at_most=True)


ROW = Row(
    name="latency",
    title="send to start at 50 messages/s",
    contenders=("pgbroker", "RabbitMQ", "dramatiq-pg", "pgqueuer", "procrastinate", "Redis"),
    measures=(Measure("p50", "p50 ms", 1), Measure("p95", "p95 ms", 1), Measure("p99", "p99 ms", 1)),
    measure=_measure,
    base="RabbitMQ",
    targets=(_over_rabbitmq("p50", must=2.0), _over_rabbitmq("p99", must=1.5, aim=1.0)),
    long=True,
)
