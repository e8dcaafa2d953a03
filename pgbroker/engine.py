"""What a process does for all its queues together: claim, hand out, finish.

Promises: one budget of free slots for all queues, so that no process takes what it cannot start; one connection that
claims; whichever consumer thread finds nothing at hand claims for all of them. A queue that was found empty is looked
at again after 20 ms, then less and less often down to once a second, and in time for its next due message.

While the database is away `take` returns None; Dramatiq's consumers need not restart.
"""

import logging
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition
from time import monotonic
from typing import Any

from dramatiq.message import Message

from pgbroker.connections import Connections, Line
from pgbroker.encoding import message_of
from pgbroker.errors import NotAMessage, PgBrokerError
from pgbroker.finish import Finisher, Outcome
from pgbroker.lease import Lifeline
from pgbroker.leased import DeadLetter, Lease, LeasedMessage, Release
from pgbroker.outage import Outage
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
DOUBT_SECONDS = 15.0  # a claim whose answer was lost may commit this much later


@dataclass
class _Queue:
    """One queue of this process: what was claimed and not handed out, and when to look again."""

    claimed: deque[LeasedMessage] = field(default_factory=deque)
    look_at: float = 0.0
    pause: float = SHORTEST_PAUSE_SECONDS


class Engine:
    """The claims and finishes of one process with `threads` worker threads.

    `knows_actor` tells whether an actor is declared here; `actors` describes them all for pgbroker.actors.
    """

    def __init__(
        self,
        connections: Connections,
        threads: int,
        lease_seconds: float,
        knows_actor: Callable[[str], bool],
        actors: Callable[[], str],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.lifeline = Lifeline(connections, lease_seconds, self.queue_names, self._registered, self.look_now)
        self._finisher = Finisher(connections, self.counters)
        self._line = Line(connections)
        self._threads = threads
        self._knows_actor = knows_actor
        self._actors = actors
        self._condition = Condition()
        self._queues: dict[str, _Queue] = {}
        self._held: dict[str, LeasedMessage] = {}  # by token, from the claim to the finish
        self._claiming = False
        self._draining = False
        self._doubt_until = 0.0
        self._outage = Outage("The claim")

    # Life

    def start(self) -> None:
        """Begin to beat; claims follow the first beat."""
        self.lifeline.start()

    def drain(self) -> None:
        """Claim and hand out nothing more."""
        with self._condition:
            self._draining = True
            self._condition.notify_all()

    def stop(self) -> None:
        """Give back what was not started and end the beat. Messages still running keep the process's row: others
        rescue them when the process is gone."""
        self.drain()
        with self._condition:
            self._condition.wait_for(lambda: not self._claiming, timeout=5)
            left = [message for queue in self._queues.values() for message in queue.claimed]
            for queue in self._queues.values():
                queue.claimed.clear()
        try:
            self.release(left)
        except PgBrokerError as error:
            logger.warning("%d messages could not be given back, others rescue them: %s", len(left), error)
        self.lifeline.stop(sign_off=not self._held)
        self._line.close()

    def _registered(self, line: Line) -> None:
        line.execute(sql("register_actors"), {"actors": self._actors()})
        logger.info("connected_to_database")
        with self._condition:
            self._condition.notify_all()

    # Taking

    def add_queue(self, name: str) -> None:
        """Claim messages of this queue as well."""
        with self._condition:
            self._queues.setdefault(name, _Queue())

    def queue_names(self) -> list[str]:
        """The queues of this process, sorted."""
        return sorted(self._queues)

    def look_now(self, queue_names: set[str]) -> None:
        """Something may have come into these queues: end the wait."""
        with self._condition:
            for name in queue_names & self._queues.keys():
                self._queues[name].look_at = 0.0
            self._condition.notify_all()

    def take(self, queue_name: str, timeout_seconds: float) -> LeasedMessage | None:
        """The next message of a queue; None when there is none for `timeout_seconds`."""
        deadline = monotonic() + timeout_seconds
        while True:
            with self._condition:
                claimed = self._queues[queue_name].claimed
                if claimed and not self._draining:
                    return claimed.popleft()
                now = monotonic()
                if now >= deadline:
                    return None
                wanted = self._wanted(now)
                if not wanted:
                    self._condition.wait(min(deadline, self._next_look(now)) - now)
                    continue
                self._claiming = True
            try:
                self._claim(wanted)
            finally:
                with self._condition:
                    self._claiming = False
                    self._condition.notify_all()

    def may_start(self, message: LeasedMessage) -> bool:
        """Whether the lease of a message is still safe. Where not, others run it: forget it."""
        if self.lifeline.holds(message.lease.process_id):
            return True
        self._forget([message])
        self._doubt_until = monotonic() + DOUBT_SECONDS  # if nobody took it over, the next claim gives it back
        self.counters["not_started"] += 1
        return False

    def _wanted(self, now: float) -> dict[str, int]:
        """How many messages to claim from which queue; empty when it is not the time."""
        free = self._threads - len(self._held)
        if self._claiming or self._draining or free <= 0 or not self.lifeline.holds():
            return {}
        if not any(queue.look_at <= now for queue in self._queues.values()):
            return {}
        # Those that would be looked at soon anyway come along: one statement instead of two.
        names = [name for name, queue in self._queues.items() if queue.look_at <= now + queue.pause / 2]
        random.shuffle(names)  # who gets the odd slot
        share, odd = divmod(free, len(names))
        limits = {name: share + (position < odd) for position, name in enumerate(names)}
        return {name: limit for name, limit in limits.items() if limit}

    def _next_look(self, now: float) -> float:
        if not self.lifeline.holds():
            return now + 0.25
        if self._claiming or self._draining or len(self._held) >= self._threads:
            return float("inf")  # the end of a claim and of a message wake us
        return max(now, min(queue.look_at for queue in self._queues.values()))

    # Claiming, by one thread at a time

    def _claim(self, wanted: dict[str, int]) -> None:
        process_id = self.lifeline.process_id
        try:
            self._give_back_unknown(process_id)
            found = self._line.execute(
                sql("claim"),
                {"queues": list(wanted), "limits": list(wanted.values()), "process_id": process_id},
            )
            due_in = None if found else self._line.execute(sql("next_due"), {"queues": list(wanted)})[0][0]
        except PgBrokerError as error:
            self._claim_failed(error)
            return
        self._outage.over()
        found.sort(key=lambda row: row[-3:])
        counts: Counter[str] = Counter(row[1] for row in found)
        messages = [message for row in found if (message := self._message(row, process_id))]
        self.counters["claimed"] += len(found)
        now = monotonic()
        with self._condition:
            for message in messages:
                self._queues[message.queue_name].claimed.append(message)
            for name, limit in wanted.items():
                self._queues[name] = _looked(self._queues[name], now, counts[name], limit, due_in)

    def _message(self, row: tuple[Any, ...], process_id: str) -> LeasedMessage | None:
        """The claimed row as a message; None where it cannot be one and is a dead letter now."""
        message_id, queue_name, text, token, deliveries, retries, *order = row
        lease = Lease(token, process_id, deliveries, retries, tuple(order))
        try:
            message = LeasedMessage(message_of(text, message_id, queue_name), lease, self)
            problem = None if self._knows_actor(message.actor_name) else "unknown actor"
            error: Exception = LookupError(f"no actor named {message.actor_name!r} is declared in this worker")
        except NotAMessage as reason:
            message = LeasedMessage(_shell(message_id, queue_name), lease, self)
            problem, error = "not a message", reason
        self._held[token] = message
        if problem is None:
            return message
        logger.error("Message %s of queue %s is a dead letter, %s: %s", message_id, queue_name, problem, error)
        message.stuff_exception(error)
        try:
            self.finish(message, DeadLetter(problem))
        except PgBrokerError:
            self._forget([message])
            self._doubt_until = monotonic() + DOUBT_SECONDS  # given back, claimed and buried later
        return None

    def _claim_failed(self, error: PgBrokerError) -> None:
        pause = self._outage.failed(error) if not self.lifeline.outage.on else 0.5
        now = monotonic()
        with self._condition:
            self._doubt_until = now + DOUBT_SECONDS
            for queue in self._queues.values():
                queue.look_at = now + pause

    def _give_back_unknown(self, process_id: str) -> None:
        """After a claim whose answer was lost: what it took is ours by the table, and nobody would ever start it."""
        if monotonic() < self._doubt_until:
            given_back = self._line.execute(sql("disown"), {"process_id": process_id, "tokens": list(self._held)})
            if given_back:
                logger.warning("Gave back %d messages whose claim was not answered", len(given_back))

    # Finishing

    def finish(self, message: LeasedMessage, outcome: Outcome) -> None:
        """Write what became of a message. Raises DatabaseAway: call again."""
        if message.lease.token not in self._held:
            return  # its lease was lost before it began
        self._finisher.finish([(message, outcome)])
        self._forget([message])

    def finish_in(self, connection: Any, message: LeasedMessage) -> bool:
        """Mark a message done in the actor's own transaction. False: its lease is lost."""
        return self._finisher.finish_in(connection, message)

    def release(self, messages: list[LeasedMessage]) -> None:
        """Give messages back that were claimed and not started."""
        held = [message for message in messages if message.lease.token in self._held]
        if held:
            self._finisher.finish([(message, Release()) for message in held])
            self._forget(held)

    def _forget(self, messages: list[LeasedMessage]) -> None:
        with self._condition:
            for message in messages:
                self._held.pop(message.lease.token, None)
            self._condition.notify_all()


def _looked(queue: _Queue, now: float, found: int, limit: int, due_in: float | None) -> _Queue:
    """When to look at a queue again, after `found` of at most `limit` messages were there."""
    if found >= limit:
        queue.look_at, queue.pause = 0.0, SHORTEST_PAUSE_SECONDS
        return queue
    queue.pause = SHORTEST_PAUSE_SECONDS if found else min(LONGEST_PAUSE_SECONDS, queue.pause * 2)
    queue.look_at = now + queue.pause * random.uniform(0.5, 1.0)  # noqa: S311  jitter
    if due_in is not None:
        queue.look_at = min(queue.look_at, now + max(0.001, due_in))
    return queue


def _shell(message_id: str, queue_name: str) -> Any:
    """Stands for a row that is no message, only to be buried."""
    return Message(queue_name, "", (), {}, {}, message_id=message_id)
