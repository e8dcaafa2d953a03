"""`.send()`, one message after the other, beside a bare loop that inserts and commits the same row.

Ours and the bare loops take turns of a quarter of a second in one process, on one table: the disk's mood is the same
for all of them.
"""

import time
from collections.abc import Callable
from functools import cache
from uuid import uuid4

import psycopg2
from dramatiq.message import Message

from bench.contenders import CONTENDERS, nothing
from bench.place import Place, connected, fresh
from bench.processes import call
from bench.row import Found, Measure, Row, Target
from desk.embedded import EmbeddedServer

SECONDS = 3.0  # of sending, for each
TURN_SECONDS = 0.25
WARM_UP = 20  # sends before the clock: connections are opened, statements are known
BARE = "bare insert, commit"
BARE_AUTOCOMMIT = "bare, autocommit"
# What the row of a plain message holds; everything else has its column's default.
INSERT = "insert into dramatiq.queue (message_id, queue_name, state, message) values (%s, %s, 'queued', %s)"


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    library = CONTENDERS[contender]
    with fresh(server) as place:
        library.prepare(place)
        try:
            return call(send, contender, place, SECONDS * max(scale, 0.2))
        finally:
            library.clear(place)


def send(contender: str, place: Place, seconds: float) -> Found:
    """Sends a second of everyone who is compared in one process."""
    senders = {contender: CONTENDERS[contender].open(place, nothing).send}
    if contender == "pgbroker":
        senders |= {BARE: bare(place), BARE_AUTOCOMMIT: bare_autocommit(place)}
    sent, spent = dict.fromkeys(senders, 0), dict.fromkeys(senders, 0.0)
    for one in senders.values():
        for number in range(WARM_UP):
            one(number)
    while min(spent.values()) < seconds:
        for who, one in senders.items():
            count, took = send_for(one, TURN_SECONDS)
            sent[who] += count
            spent[who] += took
    return {who: {"rate": sent[who] / spent[who]} for who in senders}


def send_for(one: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """How many messages were sent, and in how many seconds, `seconds` at the least."""
    count, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        one(count)
        count += 1
    return count, took


def bare(place: Place) -> Callable[[int], None]:
    """Inserts a row and commits, in psycopg2's usual mode: begin, insert and commit are three exchanges."""
    connection = psycopg2.connect(place.url)
    cursor = connection.cursor()

    def insert(number: int) -> None:
        cursor.execute(INSERT, bare_row(place))
        connection.commit()

    return insert


def bare_autocommit(place: Place) -> Callable[[int], None]:
    """Inserts a row that commits by itself: one exchange."""
    cursor = connected(place.url).cursor()

    def insert(number: int) -> None:
        cursor.execute(INSERT, bare_row(place))

    return insert


def bare_row(place: Place) -> tuple[str, str, str]:
    """The parameters of INSERT: a new id, and a message as Dramatiq encodes it that was made before, so that the bare
    loops do nothing but insert."""
    return str(uuid4()), place.queue, message_text(place.queue)


@cache
def message_text(queue_name: str) -> str:
    """A message in JSON, as long as those that are sent."""
    return Message(queue_name, "job", (12_345,), {}, {}).encode().decode()


ROW = Row(
    name="send",
    title=".send(), one by one",
    contenders=("pgbroker", "dramatiq-pg", "pgqueuer", "procrastinate", "Redis", "RabbitMQ"),
    measures=(Measure("rate", "messages/s"),),
    measure=_measure,
    base=BARE,
    targets=(
        Target(".send(), × bare insert and commit", ("pgbroker", "rate"), over=(BARE, "rate"), must=0.95, aim=1.0),
        Target(".send(), × bare with autocommit", ("pgbroker", "rate"), over=(BARE_AUTOCOMMIT, "rate")),
    ),
    notes=("Redis as it comes does not sync each write; Dramatiq on RabbitMQ does not wait for a confirmation.",),
)
