"""Who takes part, each through its own library as its documentation has it.

All of Dramatiq's brokers get the same middleware, Dramatiq's default list, and are started as the `dramatiq` command
starts them: without its signal `process_boot` Prometheus would raise and log for every message, and the figures would
measure logging.
"""

import importlib.util
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.resources import files
from typing import Any, Protocol

import dramatiq
from dramatiq.middleware import Middleware, Retries, default_middleware

from bench.peers import PgQueuerQueue, ProcrastinateQueue
from bench.place import Place, connected

Job = Callable[[int], None]
REDIS = ("localhost", 6379)
RABBITMQ = ("localhost", 5672)
RABBITMQ_URL = "amqp://guest:guest@localhost:5672/"


class Queue(Protocol):
    """One library at one place. A message carries one whole number."""

    def send(self, number: int) -> None:
        """Send one message; returns when the library says that it is stored."""

    def send_later(self, number: int, delay_ms: int) -> None:
        """Send one message that is due in `delay_ms` milliseconds."""

    def send_all(self, numbers: Sequence[int]) -> None:
        """Send many messages by the quickest way that the library has."""

    def work(self, threads: int) -> None:
        """Run the job for every message, `threads` at a time. Never returns."""


class Contender:
    """Makes the queues of one library. `in_memory`: it has no other process to work in than the sender's."""

    name: str
    packages: tuple[str, ...] = ()
    server: tuple[str, int] | None = None
    in_memory = False

    def absent(self) -> str | None:
        """Why it cannot take part here; None where it can."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return f"the package {package} is not installed: pip install '.[bench]'"
        if self.server is not None:
            try:
                socket.create_connection(self.server, timeout=2).close()
            except OSError:
                return "nothing answers on {}:{}".format(*self.server)
        return None

    def prepare(self, place: Place) -> None:
        """Make its schema."""

    def open(self, place: Place, job: Job) -> Queue:
        """Its queue, for a sender or a worker that runs `job`."""
        raise NotImplementedError

    def clear(self, place: Place) -> None:
        """Remove what is left of a run outside the run's database."""


def middleware(retries: Middleware | None = None) -> list[Middleware]:
    """Dramatiq's default list, `retries` in place of Dramatiq's own where it is given."""
    return [retries if retries is not None and kind is Retries else kind() for kind in default_middleware]


class DramatiqQueue:
    """A queue of any of Dramatiq's brokers."""

    def __init__(self, broker: dramatiq.Broker, queue_name: str, job: Job) -> None:
        self.broker = broker
        self.actor = dramatiq.actor(job, actor_name="job", queue_name=queue_name, broker=broker)

    def send(self, number: int) -> None:
        self.actor.send(number)

    def send_later(self, number: int, delay_ms: int) -> None:
        self.actor.send_with_options(args=(number,), delay=delay_ms)

    def send_all(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.actor.send(number)

    def work(self, threads: int) -> None:
        self.broker.emit_after("process_boot")
        dramatiq.Worker(self.broker, worker_threads=threads).start()
        threading.Event().wait()


class BulkQueue(DramatiqQueue):
    """A queue of ours, which takes many messages at once."""

    def send_all(self, numbers: Sequence[int]) -> None:
        self.broker.send_many(self.actor.message(number) for number in numbers)


class Stub(Contender):
    """Dramatiq's broker in memory: what Dramatiq itself costs, without any I/O."""

    name = "StubBroker"
    in_memory = True

    def open(self, place: Place, job: Job) -> Queue:
        from dramatiq.brokers.stub import StubBroker

        return DramatiqQueue(StubBroker(middleware=middleware()), place.queue, job)


class Ours(Contender):
    """This project's broker."""

    name = "pgbroker"

    def prepare(self, place: Place) -> None:
        from pgbroker.migrate import migrate

        with closing(connected(place.url)) as connection:
            connection.autocommit = False
            migrate(connection)

    def open(self, place: Place, job: Job) -> Queue:
        from pgbroker import PostgresBroker
        from pgbroker import middleware as ours

        broker = PostgresBroker(place.url, middleware=middleware(ours.Retries()), results=False)
        return BulkQueue(broker, place.queue, job)


class DramatiqPg(Contender):
    """Stock dramatiq-pg."""

    name = "dramatiq-pg"
    packages = ("dramatiq_pg",)

    def prepare(self, place: Place) -> None:
        # Its schema is written for psql: the variables are filled in as psql would.
        schema = files("dramatiq_pg").joinpath("schema.sql").read_text()
        for variable, value in (("schema", "dramatiq"), ("state", "state"), ("queue", "queue")):
            schema = schema.replace(f':"{variable}"', value)
        statements = "\n".join(line for line in schema.splitlines() if not line.startswith("\\"))
        with closing(connected(place.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statements)

    def open(self, place: Place, job: Job) -> Queue:
        from dramatiq_pg import PostgresBroker

        broker = PostgresBroker(url=place.url, results=False, schema="dramatiq", prefix="", middleware=middleware())
        return DramatiqQueue(broker, place.queue, job)


class Redis(Contender):
    """Dramatiq on Redis."""

    name = "Redis"
    packages = ("redis",)
    server = REDIS

    def open(self, place: Place, job: Job) -> Queue:
        from dramatiq.brokers.redis import RedisBroker

        broker = RedisBroker(host=REDIS[0], port=REDIS[1], namespace=place.queue, middleware=middleware())
        return DramatiqQueue(broker, place.queue, job)

    def clear(self, place: Place) -> None:
        import redis

        with redis.Redis(*REDIS) as client:
            for key in client.scan_iter(f"{place.queue}*", count=10_000):
                client.unlink(key)


class RabbitMQ(Contender):
    """Dramatiq on RabbitMQ."""

    name = "RabbitMQ"
    packages = ("pika",)
    server = RABBITMQ

    def prepare(self, place: Place) -> None:
        self.open(place, nothing).broker.declare_queue(place.queue, ensure=True)

    def open(self, place: Place, job: Job) -> DramatiqQueue:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        return DramatiqQueue(RabbitmqBroker(url=RABBITMQ_URL, middleware=middleware()), place.queue, job)

    def clear(self, place: Place) -> None:
        import pika

        with closing(pika.BlockingConnection(pika.URLParameters(RABBITMQ_URL))) as connection:
            channel = connection.channel()
            for suffix in ("", ".DQ", ".XQ"):
                channel.queue_delete(place.queue + suffix)


class PgQueuer(Contender):
    """pgqueuer on asyncpg and uvloop, as its command runs it: no limit of jobs at a time."""

    name = "pgqueuer"
    packages = ("pgqueuer", "asyncpg", "uvloop")

    def prepare(self, place: Place) -> None:
        PgQueuerQueue(place, None).install()

    def open(self, place: Place, job: Job) -> Queue:
        return PgQueuerQueue(place, job)


class Procrastinate(Contender):
    """procrastinate with asynchronous tasks."""

    name = "procrastinate"
    packages = ("procrastinate",)

    def prepare(self, place: Place) -> None:
        ProcrastinateQueue(place, None).install()

    def open(self, place: Place, job: Job) -> Queue:
        return ProcrastinateQueue(place, job)


CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (Ours(), Stub(), DramatiqPg(), PgQueuer(), Procrastinate(), Redis(), RabbitMQ())
}


def nothing(number: Any) -> None:
    """The job of a process that only sends."""
