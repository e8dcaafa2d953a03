"""10,000 messages at once, with what it takes to make them, beside bare statements that insert as many rows.

Ours and the bare ones take turns in one process, on one table. Each is called several times; the median counts.
"""

import time
from collections.abc import Callable

from psycopg2.extras import execute_values

from bench.contenders import CONTENDERS, nothing
from bench.place import Place, connected, fresh
from bench.processes import call
from bench.row import Found, Measure, Row, Target, median
from bench.rows.send import bare_row
from desk.embedded import EmbeddedServer

MESSAGES = 10_000
CALLS = 5
UNNEST = "bare insert … unnest"
VALUES = "bare execute_values"


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    library = CONTENDERS[contender]
    with fresh(server) as place:
        library.prepare(place)
        return call(send_all, contender, place, max(1_000, int(MESSAGES * scale)))


def send_all(contender: str, place: Place, messages: int) -> Found:
    """Messages a second of everyone who is compared in one process."""
    queue = CONTENDERS[contender].open(place, nothing)
    senders: dict[str, Callable[[int], None]] = {contender: lambda count: queue.send_all(range(count))}
    if contender == "pgbroker":
        senders |= {UNNEST: unnest(place), VALUES: values(place)}
    took: dict[str, list[float]] = {who: [] for who in senders}
    for one in senders.values():
        one(100)  # connections are opened
    for _ in range(CALLS):
        for who, one in senders.items():
            began = time.perf_counter()
            one(messages)
            took[who].append(time.perf_counter() - began)
    return {who: {"rate": messages / median(seconds)} for who, seconds in took.items()}


def unnest(place: Place) -> Callable[[int], None]:
    """One statement, its rows in three arrays."""
    cursor = connected(place.url).cursor()

    def insert(count: int) -> None:
        columns = [list(column) for column in zip(*(bare_row(place) for _ in range(count)), strict=True)]
        cursor.execute(
            "insert into dramatiq.queue (message_id, queue_name, state, message) "
            "select id, name, 'queued', message from unnest(%s::uuid[], %s::text[], %s::jsonb[]) r (id, name, message)",
            columns,
        )

    return insert


def values(place: Place) -> Callable[[int], None]:
    """One statement, its rows as psycopg2's helper writes them."""
    cursor = connected(place.url).cursor()

    def insert(count: int) -> None:
        execute_values(
            cursor,
            "insert into dramatiq.queue (message_id, queue_name, state, message) values %s",
            [bare_row(place) for _ in range(count)],
            template="(%s, %s, 'queued', %s)",
            page_size=count,
        )

    return insert


_OURS = ("pgbroker", "rate")

ROW = Row(
    name="bulk",
    title="send_many of 10,000",
    contenders=("pgbroker", "pgqueuer", "procrastinate"),
    measures=(Measure("rate", "messages/s"),),
    measure=_measure,
    base=UNNEST,
    targets=(
        Target("send_many, × pgqueuer", _OURS, over=("pgqueuer", "rate"), must=1.3),
        Target("send_many, × bare insert … unnest", _OURS, over=(UNNEST, "rate"), aim=0.6),
        Target("send_many, × bare execute_values", _OURS, over=(VALUES, "rate")),
    ),
)
