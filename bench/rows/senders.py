"""Eight senders at once against one: whether commits are made in groups."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.contenders import CONTENDERS, nothing
from bench.place import Place, fresh
from bench.processes import call, call_at_once, context
from bench.row import Found, Measure, Row, Target
from bench.rows.send import TURN_SECONDS, WARM_UP, bare_autocommit, send_for
from desk.embedded import EmbeddedServer

SENDERS = 8
SECONDS = 2.0
BARE = "bare, autocommit"


def _measure(server: EmbeddedServer, contender: str, scale: float) -> Found:
    seconds = SECONDS * max(scale, 0.25)
    with fresh(server) as place:
        CONTENDERS["pgbroker" if contender == BARE else contender].prepare(place)
        one, eight = call(send_in_threads, contender, place, seconds)
        together = context.Barrier(SENDERS)
        rates = call_at_once([(send_alone, contender, place, seconds, together)] * SENDERS)
        return {contender: {"eight": eight, "processes": sum(rates), "one": one}}


def send_in_threads(contender: str, place: Place, seconds: float) -> tuple[float, float]:
    """Messages a second of one thread, and of eight; they take turns."""
    send = _sender(contender, place)
    senders = [send() for _ in range(SENDERS)]
    sent, spent = [0, 0], [0.0, 0.0]
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(_warm_up, senders))
        while min(spent) < seconds:
            for turn, threads in enumerate((1, SENDERS)):
                began = time.perf_counter()
                counts = pool.map(lambda one: send_for(one, TURN_SECONDS)[0], senders[:threads])
                sent[turn] += sum(counts)
                spent[turn] += time.perf_counter() - began
    return sent[0] / spent[0], sent[1] / spent[1]


def send_alone(contender: str, place: Place, seconds: float, together: Any) -> float:
    """Messages a second of this process, which begins when the others are ready."""
    one = _sender(contender, place)()
    _warm_up(one)
    together.wait()
    count, took = send_for(one, seconds)
    return count / took


def _warm_up(one: Callable[[int], None]) -> None:
    for number in range(WARM_UP):
        one(number)


def _sender(contender: str, place: Place) -> Any:
    """Gives each thread what it sends with: a library's queue is shared, a bare connection is each thread's own."""
    if contender == BARE:
        return lambda: bare_autocommit(place)
    send = CONTENDERS[contender].open(place, nothing).send
    return lambda: send


def _over_one(text: str, who: str, measure: str, **target: Any) -> Target:
    return Target(text, (who, measure), over=(who, "one"), **target)


ROW = Row(
    name="senders",
    title="8 senders at once",
    contenders=("pgbroker", "dramatiq-pg", BARE),
    measures=(
        Measure("one", "1 sender/s"),
        Measure("eight", "8 threads/s"),
        Measure("processes", "8 processes/s"),
    ),
    measure=_measure,
    base=BARE,
    targets=(
        _over_one("8 threads, × one sender", "pgbroker", "eight", must=4.0, aim=6.0),
        _over_one("8 processes, × one sender", "pgbroker", "processes"),
        _over_one("8 processes, × one sender, bare", BARE, "processes"),
    ),
)
