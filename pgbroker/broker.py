"""The broker: Dramatiq's face of the queue.

Promises: a message that `enqueue` returned is committed (or commits with the transaction that it joined) and will run
at least once; what cannot be stored is refused here, in one line. Constructing it does no I/O, and it may be forked.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import dramatiq_pg
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from dramatiq.message import Message
from dramatiq.middleware import Middleware, MiddlewareError, SkipMessage, default_middleware
from dramatiq.middleware import Retries as DramatiqRetries
from dramatiq.results import Results
from psycopg2.extensions import connection as Connection

from pgbroker.connections import Connections
from pgbroker.consumer import PostgresConsumer
from pgbroker.doorbell import Doorbell
from pgbroker.encoding import Row, Rows, row_of
from pgbroker.engine import Engine
from pgbroker.errors import AlreadyFinished, LeaseLost
from pgbroker.joining import enlisted
from pgbroker.leased import DeadLetter, LeasedMessage, Reschedule, current, in_hand
from pgbroker.lifecycle import Lifecycle
from pgbroker.middleware.retries import Retries
from pgbroker.results import PostgresBackend
from pgbroker.retention import Retention
from pgbroker.sending import Sender
from pgbroker.statements import sql

# What runs after a message and must not be lost with a process that dies between the actor's commit and its finish.
_CONTINUATIONS = ("pipe_target", "on_success", "group_completion_callbacks")


class PostgresBroker(dramatiq_pg.PostgresBroker):
    """Dramatiq's messages in Postgres.

    `url` names the database, or is a callable that does (asked at the first use in each process). `middleware` is the
    whole list, as for every Dramatiq broker; without it Dramatiq's defaults with this package's `Retries`. `results`
    adds Dramatiq's Results with a backend in the same database. A worker that is cut off loses its messages after
    `lease_seconds`. With `doorbell` idle workers are woken by NOTIFY, where no pooler stands between; without it they
    find what comes in by looking, a second later at the most. `pool_size` bounds the connections with which a process
    sends. Workers delete what was done or dead for longer than `keep_finished_days` and `keep_dead_days`; None keeps it
    for ever. `install_hint` ends the error about a missing schema.
    """

    def __init__(
        self,
        url: str | Callable[[], str] = "",
        *,
        middleware: list[Middleware] | None = None,
        results: bool = True,
        lease_seconds: float = 15.0,
        largest_message_bytes: int = 1_048_576,
        pool_size: int = 8,
        doorbell: bool = True,
        keep_finished_days: float | None = 7,
        keep_dead_days: float | None = 90,
        install_hint: str = "Run pgbroker.migrate.migrate(connection) on it once.",
    ) -> None:
        self.connections = Connections(url, install_hint, pool_size=pool_size)
        self._lease_seconds = lease_seconds
        self._largest_message_bytes = largest_message_bytes
        self._doorbell = doorbell
        self._keep_finished = None if keep_finished_days is None else timedelta(days=keep_finished_days)
        self._keep_dead = None if keep_dead_days is None else timedelta(days=keep_dead_days)
        self._bell = Doorbell()
        self._engines: dict[int, Engine] = {}
        self._sender = Sender(self.connections, self._bell)
        self._hooks: dict[str, list[Callable[..., None]]] = {}
        self._hooks_of: list[Middleware] | None = None  # the list that they were read from
        self._hooks_count = 0
        if middleware is None:
            middleware = [Retries() if kind is DramatiqRetries else kind() for kind in default_middleware]
        super().__init__(pool=self.connections, results=False, middleware=middleware)
        if results:
            self.backend = PostgresBackend(self.connections)
            self.add_middleware(Results(backend=self.backend))
        self.add_middleware(Lifecycle())

    # Sending

    def enqueue(self, message: Message[Any], *, delay: float | None = None) -> Message[Any]:
        """Send a message, `delay` milliseconds from now by the database's clock at the earliest.

        With a `unique_key` under which a message waits already, that one is returned and nothing is sent. In the hooks
        of a message that is being processed, what is sent commits with that message's finish; sending the message
        itself again is its outcome.

        Raises:
            MessageRefused: it could not be stored, or Dramatiq could not read it.
            DatabaseAway: the database cannot be used.
        """
        if isinstance(message, LeasedMessage) and message is in_hand(self.connections):
            return self._reschedule(message, delay)
        self.emit_before("enqueue", message, delay)
        row = self._row(message, delay)
        message = self._sender.send(message, row)
        self._look(row.queue_name)
        self.emit_after("enqueue", message, delay)
        return message

    def send_many(self, messages: Iterable[Message[Any]], *, delay: float | None = None) -> list[Message[Any]]:
        """Send messages in one statement: all of them or, when it raises, none. Errors as in `enqueue`.

        They are drawn from `messages` while the database takes in those before: with a generator, making them takes no
        time of its own.
        """

        def row(message: Message[Any]) -> Row:
            self.emit_before("enqueue", message, delay)
            return self._row(message, delay)

        rows = Rows(messages, row)
        sent = self._sender.send_many(rows)
        for queue_name in rows.queue_names():
            self._look(queue_name)
        for message in sent:
            self.emit_after("enqueue", message, delay)
        return sent

    def ring(self, *queue_names: str) -> None:
        """Wake idle workers of these queues, all of this broker's by default: for whoever sent inside a transaction of
        his own, after its commit. Without it they find the messages within a second. Raises DatabaseAway."""
        self._bell.ring(self.connections, queue_names or self.queues)

    def enlist(self, connection: Any) -> AbstractContextManager[None]:
        """`with broker.enlist(connection): actor.send(…)`: sends of this thread join the connection's transaction.

        `connection` is anything that leads to a DB-API cursor. Blocks nest; threads started inside do not inherit it.
        """
        return enlisted(connection)

    @contextmanager
    def finish_in(self, connection: Any) -> Iterator[None]:
        """`with broker.finish_in(connection): …` around an actor's writes, inside their transaction, as its last act.

        Sends join the transaction, and at the end of the block the message that the actor works on is marked done in
        it: writes, sends and completion commit together or not at all. Outside a worker it only enlists. A message
        with a continuation (a pipeline, a callback) is finished after that, as without this block.

        Raises:
            LeaseLost: the message runs elsewhere by now; the transaction must roll back.
            AlreadyFinished: the actor opened a second block.
        """
        message = in_hand(self.connections)
        with enlisted(connection):
            if message is None or message.in_hooks or self._continues(message):
                yield
                return
            if message.finished_by_actor:
                raise AlreadyFinished(
                    f"{message.actor_name!r} was finished by its first finish_in block. Do all its writes in one."
                )
            yield
            if not message.engine.finish_in(connection, message):
                raise LeaseLost(f"The lease of message {message.message_id} ran out; another worker has it.")
            message.finished_by_actor = True

    def _row(self, message: Message[Any], delay: float | None) -> Row:
        actor = self.actors.get(message.actor_name)
        priority, options = (actor.priority, actor.options) if actor else (0, {})
        return row_of(message, delay, options, priority, self._largest_message_bytes)

    def _reschedule(self, message: LeasedMessage, delay: float | None) -> Any:
        self.emit_before("enqueue", message, delay)
        message.outcome = Reschedule(max(0, delay or 0))
        self.emit_after("enqueue", message, delay)
        return message

    def _continues(self, message: LeasedMessage) -> bool:
        options = self.actors[message.actor_name].options | message.options
        if any(options.get(name) for name in _CONTINUATIONS):
            return True
        return any(options.get("store_results", m.store_results) for m in self.middleware if isinstance(m, Results))

    # Receiving

    def declare_queue(self, queue_name: str) -> None:
        """Make a queue known. There is no delay queue beside it: delays are the database's."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = True
            self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> PostgresConsumer:
        """A consumer of one queue. `timeout` in milliseconds; the engine's free slots rule, not `prefetch`."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        engine = self._engines.get(os.getpid()) or self.start_engine(prefetch)
        limited = any("run_at_most" in a.options and a.queue_name == queue_name for a in self.actors.values())
        engine.add_queue(queue_name, limited=limited)
        retries_are_on = any(isinstance(m, DramatiqRetries) for m in self.middleware)
        return PostgresConsumer(engine, queue_name, timeout, retries_are_on)

    def start_engine(self, threads: int) -> Engine:
        """Begin to hold messages in this process, as many as it has threads. Called when a worker starts."""
        engine = Engine(
            self.connections,
            threads,
            self._lease_seconds,
            self.actors.__contains__,
            self._described_actors,
            self._bell,
            Retention(finished_older_than=self._keep_finished, dead_older_than=self._keep_dead),
            doorbell=self._doorbell,
        )
        self._engines[os.getpid()] = engine
        engine.start()
        return engine

    def drain_engine(self) -> None:
        """Take no more messages. Called when a worker begins to stop."""
        if engine := self.engine:
            engine.drain()

    def stop_engine(self) -> None:
        """Give back what was not started. Called when a worker has stopped."""
        if engine := self._engines.pop(os.getpid(), None):
            engine.stop()

    @property
    def engine(self) -> Engine | None:
        """This process's engine; None where no worker runs."""
        return self._engines.get(os.getpid())

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """As Dramatiq's, and remembers which message this thread works on."""
        if signal == "process_message" and isinstance(args[0], LeasedMessage):
            message = args[0]
            current.set(message)
            if not message.engine.may_start(message):
                raise SkipMessage("its lease ran out before it began")
            if isinstance(message.outcome, DeadLetter):
                raise SkipMessage("it was cancelled before it began")
        for hook in self._hooks_for("before_" + signal):
            try:
                hook(self, *args, **kwargs)
            except MiddlewareError:
                raise
            except Exception:
                self.logger.critical("Unexpected failure in %s.", hook, exc_info=True)

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """As Dramatiq's; what hooks of a message send is kept for its finish."""
        ends = signal in ("process_message", "skip_message") and isinstance(args[0], LeasedMessage)
        if ends:
            args[0].engine.ran(args[0])
            args[0].followers.clear()  # an interrupt may end the hooks and start them again
            args[0].result = None
        try:
            for hook in self._hooks_for("after_" + signal):
                try:
                    hook(self, *args, **kwargs)
                except Exception:
                    self.logger.critical("Unexpected failure in %s.", hook, exc_info=True)
        finally:
            if ends:
                current.set(None)

    def _hooks_for(self, name: str) -> list[Callable[..., None]]:
        """What is to be called for a signal, in order: most middleware has nothing to say about most of them."""
        members: list[Middleware] = self.middleware
        if self._hooks_of is not members or self._hooks_count != len(members):
            self._hooks, self._hooks_of, self._hooks_count = {}, members, len(members)
        hooks = self._hooks.get(name)
        if hooks is None:
            ordered = members if name.startswith("before_") else reversed(members)
            nothing = getattr(Middleware, name, None)
            bound = [getattr(middleware, name, None) for middleware in ordered]
            hooks = [hook for hook in bound if hook is not None and getattr(hook, "__func__", None) is not nothing]
            self._hooks[name] = hooks
        return hooks

    # Looking after it

    def register_actors(self, connection: Connection | None = None) -> None:
        """Write where each actor's messages go, so that `pgbroker.enqueue` knows. Workers do it when they start."""
        parameters = {"actors": self._described_actors()}
        if connection is None:
            self.connections.execute(sql("register_actors"), parameters)
        else:
            with connection.cursor() as cursor:
                cursor.execute(sql("register_actors"), parameters)

    def join(self, queue_name: str, *, timeout: float | None = None) -> None:
        """Wait until a queue is empty, `timeout` milliseconds at the most. For tests.

        Raises:
            QueueJoinTimeout: messages are left.
        """
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        while left := self.connections.execute(sql("depth"), {"queue_name": queue_name})[0][0]:
            if deadline is not None and time.monotonic() >= deadline:
                raise QueueJoinTimeout(f"{left} messages of queue {queue_name!r} were left after {timeout:g} ms")
            time.sleep(0.02)

    def flush(self, queue_name: str) -> None:
        """Drop every message of a queue; what runs at the moment finishes into nothing."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        self.connections.execute(sql("flush"), {"queues": [queue_name]})

    def flush_all(self) -> None:
        """Drop every message of every declared queue."""
        self.connections.execute(sql("flush"), {"queues": list(self.queues)})

    def close(self) -> None:
        """Stop the engine, if one runs, and close this process's connections. A later use opens them again."""
        self.stop_engine()
        self._sender.close()
        self.connections.close()

    def _look(self, queue_name: str) -> None:
        if engine := self.engine:
            engine.look_now({queue_name})

    def _described_actors(self) -> str:
        default = next((m.max_retries for m in self.middleware if isinstance(m, DramatiqRetries)), None)
        return json.dumps(
            [
                {
                    "actor_name": actor.actor_name,
                    "queue_name": actor.queue_name,
                    "priority": actor.priority,
                    "max_retries": actor.options.get("max_retries", default),
                    "run_at_most": actor.options.get("run_at_most"),
                }
                for actor in self.actors.values()
            ]
        )
