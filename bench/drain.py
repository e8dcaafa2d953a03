"""One contender drains no-op messages with 1 process × 8 threads; prints messages a second.

Run by `python -m bench`, each time in a process of its own: `python -m bench.drain CONTENDER URL MESSAGES`.
"""

import sys
import threading
import time
from collections.abc import Callable
from importlib.resources import files

import dramatiq
import psycopg2
from dramatiq.brokers.stub import StubBroker

THREADS = 8


def _stub(url: str) -> dramatiq.Broker:
    return StubBroker()


def _pgbroker(url: str) -> dramatiq.Broker:
    from pgbroker import PostgresBroker
    from pgbroker.migrate import migrate

    connection = psycopg2.connect(url)
    migrate(connection)
    connection.close()
    return PostgresBroker(url)


def _dramatiq_pg(url: str) -> dramatiq.Broker:
    from dramatiq_pg import PostgresBroker

    # Its schema is written for psql: the variables are filled in as psql would.
    schema = files("dramatiq_pg").joinpath("schema.sql").read_text()
    for name in ("schema", "state", "queue"):
        schema = schema.replace(f':"{name}"', {"schema": "dramatiq", "state": "state", "queue": "queue"}[name])
    statements = "\n".join(line for line in schema.splitlines() if not line.startswith("\\"))
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statements)
    connection.close()
    return PostgresBroker(url=url, results=False, schema="dramatiq", prefix="")


CONTENDERS: dict[str, Callable[[str], dramatiq.Broker]] = {
    "StubBroker": _stub,
    "pgbroker": _pgbroker,
    "dramatiq-pg": _dramatiq_pg,
}


def drain(contender: str, url: str, messages: int) -> float:
    """Messages a second from the start of the worker until the last one was processed."""
    broker = CONTENDERS[contender](url)
    dramatiq.set_broker(broker)
    finished = threading.Event()
    lock = threading.Lock()
    done = 0

    @dramatiq.actor(queue_name="bench", broker=broker)
    def nothing() -> None:
        nonlocal done
        with lock:
            done += 1
            if done >= messages:
                finished.set()

    if contender == "pgbroker":
        broker.send_many([nothing.message() for _ in range(messages)])
    else:
        for _ in range(messages):
            nothing.send()
    worker = dramatiq.Worker(broker, worker_threads=THREADS)
    started = time.perf_counter()
    worker.start()
    finished.wait()
    seconds = time.perf_counter() - started
    # Stock dramatiq-pg takes long to let go; the figure is in, so the process just ends.
    return messages / seconds


if __name__ == "__main__":
    _, name, where, count = sys.argv
    rate = drain(name, where, int(count))
    sys.stdout.write(f"{rate:.1f}\n")
    sys.stdout.flush()
    import os

    os._exit(0)
