"""What a process does for all its queues together: claim, hand out, finish.

Promises: one budget of free slots for all queues, so that no process takes what it cannot start (see `pace`); what was
taken and could not be started after all is given back within a second. One connection claims, one finishes, one beats.
Of the consumer threads one is on the lookout: it waits for the next look and claims for all of them.

While the database is away `take` returns None; Dramatiq's consumers need not restart.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from threading import Condition, Event, RLock, Thread, get_ident
from time import monotonic
from typing import Any

from dramatiq.message import Message
from dramatiq.threading import raise_thread_exception

from pgbroker.claim import Claims, Survey
from pgbroker.connections import Connections, Line
from pgbroker.counters import Counters
from pgbroker.doorbell import Doorbell
from pgbroker.encoding import message_of
from pgbroker.errors import Cancelled, NotAMessage, PgBrokerError
from pgbroker.finish import Finisher, Outcome
from pgbroker.lease import MOST_DEATHS, Lifeline
from pgbroker.leased import DeadLetter, Lease, LeasedMessage, Release
from pgbroker.outage import Outage
from pgbroker.pace import Pace
from pgbroker.retention import Retention
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

DOUBT_SECONDS = 15.0  # a claim whose answer was lost may commit this much later
RECALL_SECONDS = 0.5  # a message that no thread began by then is given back
SECONDS_BETWEEN_CALLS = 1.0  # for others, while there is more than this process can take
PUT_OFF_MS = 1_000  # for a message that may be claimed, but not beside another one that is suspect as well
STAND_IN_SECONDS = 0.1  # without a lookout; then another thread takes over


class _Inbox:
    """What was claimed from one queue and not handed out."""

    def __init__(self, lock: Any) -> None:
        self.messages: deque[LeasedMessage] = deque()
        self.filled = Condition(lock)


class Engine:
    """The claims and finishes of one process with `threads` worker threads.

    `knows_actor` tells whether an actor is declared here; `actors` describes them all for pgbroker.actors. With
    `doorbell` it listens for senders while it is idle.
    """

    def __init__(
        self,
        connections: Connections,
        threads: int,
        lease_seconds: float,
        knows_actor: Callable[[str], bool],
        actors: Callable[[], str],
        bell: Doorbell,
        retention: Retention,
        *,
        doorbell: bool = True,
    ) -> None:
        self.counters = Counters()
        self.lifeline = Lifeline(connections, lease_seconds, self, self.counters, retention, doorbell=doorbell)
        self.connections = connections
        self._bell = bell
        self._line = Line(connections)
        self._claims = Claims(self._line)
        self._finisher = Finisher(connections, self.counters)
        self._threads = threads
        self._knows_actor = knows_actor
        self._actors = actors
        self._lock = RLock()
        self._inboxes: dict[str, _Inbox] = {}
        self._held: dict[str, LeasedMessage] = {}  # by token, from the claim to the finish
        self._sequence = count()
        self._pace = Pace()
        self._lookout: str | None = None  # the queue whose thread is on the lookout
        self._lookout_seen = 0.0
        self._claiming = False
        self._draining = False
        self._short_of_room = False  # the lookout waits for the end of a message
        self._recall_at = float("inf")
        self._owed: set[LeasedMessage] = set()  # recalled, and not given back: the database was away
        self._claimed_at = 0.0
        self._call_at = 0.0
        self._doubt_until = 0.0  # 0: none
        self._opened = 0  # how many connections the claims have had
        self._outage = Outage("The claim")
        self._lease_seconds = lease_seconds
        self._stopped = Event()
        self._finish_outage = Outage("The finish")

    # Life

    def start(self) -> None:
        """Begin to beat; claims follow the first beat."""
        self.lifeline.start()
        Thread(target=self._watch, name="pgbroker-watch", daemon=True).start()

    def _watch(self) -> None:
        """End connections that have been silent for a lease's time: who waits for their answers would wait for ever."""
        while not self._stopped.wait(self._lease_seconds / 3):
            for line in (self._line, self._finisher, self.lifeline):
                line.give_up(self._lease_seconds)

    def drain(self) -> None:
        """Claim and hand out nothing more."""
        with self._lock:
            self._draining = True
            self._wake_all()

    def stop(self) -> None:
        """Give back what was not started and end the beat. Messages still running keep the process's row: others
        rescue them when the process is gone."""
        self.drain()
        with self._lock:
            if self._claiming and self._lookout is not None:
                self._inboxes[self._lookout].filled.wait_for(lambda: not self._claiming, timeout=5)
            left = [message for inbox in self._inboxes.values() for message in inbox.messages]
            for inbox in self._inboxes.values():
                inbox.messages.clear()
        try:
            self.release(left)
        except PgBrokerError as error:
            logger.warning("%d messages could not be given back, others rescue them: %s", len(left), error)
        self.lifeline.stop(sign_off=not self._held)
        self._finisher.close()
        self._line.close()
        self._stopped.set()

    # What the beat asks and tells

    def registered(self, line: Line) -> None:
        """The process has a row: tell what it runs, and begin to claim."""
        line.execute(sql("register_actors"), {"actors": self._actors()})
        logger.info("connected_to_database")
        with self._lock:
            self._wake_all()

    def queue_names(self) -> list[str]:
        """The queues of this process, sorted."""
        with self._lock:
            return self._claims.names()

    def holding(self) -> bool:
        """Whether it holds messages or did a moment ago."""
        return bool(self._held) or monotonic() - self._claimed_at < 2.0

    def listens(self) -> bool:
        """Whether it could take more than it finds, so that senders should ring."""
        return not self._draining and len(self._held) < self._threads

    def idle(self) -> bool:
        """Whether it has nothing to do and found nothing for a while."""
        with self._lock:
            return not (self._draining or self._claiming or self._held) and self._claims.resting()

    def watched(self, survey: Survey, took_seconds: float, rest_seconds: float) -> None:
        """The beat has looked into all queues, and does so again within `rest_seconds`."""
        with self._lock:
            if self._claiming:  # who looks this moment knows better
                return
            before = self._claims.next_look()
            self._claims.watched(survey, took_seconds, rest_seconds)
            if self._claims.next_look() < before:
                self._wake_lookout()

    def look_now(self, queue_names: Iterable[str], *, from_the_bottom: bool = False) -> None:
        """Something may have come into these queues: end the wait."""
        with self._lock:
            self._claims.look_now(queue_names, from_the_bottom=from_the_bottom)
            self._wake_lookout()

    def cancel(self, message_ids: Iterable[str]) -> None:
        """Interrupt those of these messages that run here."""
        wanted = set(message_ids)
        with self._lock:
            for message in self._held.values():
                if message.message_id in wanted and not message.cancel_asked and not message.in_hooks:
                    message.cancel_asked = True
                    if message.thread_id is not None:
                        raise_thread_exception(message.thread_id, Cancelled)
                        self.counters["cancelled"] += 1

    # Taking

    def add_queue(self, name: str, *, limited: bool = False) -> None:
        """Claim messages of this queue as well; `limited`: actors with run_at_most use it."""
        with self._lock:
            new = name not in self._inboxes
            if new:
                self._inboxes[name] = _Inbox(self._lock)
                self._claims.add(name, limited=limited)
        if new:
            self.lifeline.queues_changed()

    def take(self, queue_name: str, timeout_seconds: float) -> LeasedMessage | None:
        """The next message of a queue; None when there is none for `timeout_seconds`."""
        inbox = self._inboxes[queue_name]
        if inbox.messages and not self._draining:
            with suppress(IndexError):
                return inbox.messages.popleft()
        deadline = monotonic() + timeout_seconds
        while True:
            with self._lock:
                wanted = self._wait(queue_name, inbox, deadline)
                if wanted is None:
                    return inbox.messages.popleft() if inbox.messages and not self._draining else None
            try:
                self._recall()
                if wanted:
                    self._claim(wanted)
            finally:
                with self._lock:
                    self._claiming = False
                    self._lookout_seen = monotonic()
                    inbox.filled.notify_all()

    def _wait(self, queue_name: str, inbox: _Inbox, deadline: float) -> dict[str, int] | None:
        """Until this thread has something to take (None), or, as the lookout, until it is time to claim."""
        while True:
            if inbox.messages and not self._draining:
                return None
            now = monotonic()
            if now >= deadline:
                if self._lookout == queue_name:
                    self._lookout_seen = now
                return None
            if self._draining or self._claiming or not self._stands_lookout(queue_name, now):
                inbox.filled.wait(deadline - now)
                continue
            wanted = self._wanted(now)
            if wanted or now >= self._recall_at:
                self._claiming = True
                return wanted
            inbox.filled.wait(max(0.0, min(deadline, self._next_look(now)) - now))
            self._lookout_seen = monotonic()

    def _stands_lookout(self, queue_name: str, now: float) -> bool:
        """Whether this thread is the one that looks for all: the last that was, or who finds it gone."""
        if self._lookout != queue_name and self._lookout is not None and now - self._lookout_seen < STAND_IN_SECONDS:
            return False
        self._lookout, self._lookout_seen = queue_name, now
        return True

    def _wanted(self, now: float) -> dict[str, int]:
        """How many messages to claim from which queue; empty when it is not the time."""
        if not self._has_room(now) or not self.lifeline.holds():
            return {}
        return self._claims.wanted(now, self._threads + self._pace.ahead(now) - len(self._held))

    def _has_room(self, now: float) -> bool:
        """Whether a claim is worth it: for one slot where work is long, for half of what is held ahead where it is
        short."""
        ahead = self._pace.ahead(now)
        return self._threads + ahead - len(self._held) >= max(1, ahead // 2)

    def _next_look(self, now: float) -> float:
        if not self.lifeline.holds():
            return now + 0.25
        self._short_of_room = not self._has_room(now)
        if self._short_of_room:
            return min(self._recall_at, now + 0.25)  # the end of a message wakes us before
        return max(now, min(self._claims.next_look(), self._recall_at))

    def _wake_lookout(self) -> None:
        if self._lookout is not None:
            self._inboxes[self._lookout].filled.notify_all()

    def _wake_all(self) -> None:
        for inbox in self._inboxes.values():
            inbox.filled.notify_all()

    # Claiming, by one thread at a time

    def _claim(self, wanted: dict[str, int]) -> None:
        process_id = self.lifeline.process_id
        began = monotonic()
        try:
            self._give_back_unknown(process_id)
            found = self._claims.take(wanted, process_id, self.lifeline.hurry_seconds())
        except PgBrokerError as error:
            self._claim_failed(error)
            return
        self._outage.over()
        if not found:
            return
        self.lifeline.hurry()
        now = self._claimed_at = monotonic()
        self.counters.observe("claim", now - began)
        self.counters["claimed"] += len(found)
        found.sort(key=lambda row: row[-3:])
        messages = [message for row in found if (message := self._message(row, process_id, now))]
        with self._lock:
            self._recall_at = min(self._recall_at, now + RECALL_SECONDS)
            for message in messages:
                inbox = self._inboxes[message.queue_name]
                inbox.messages.append(message)
                if len(inbox.messages) == 1:
                    inbox.filled.notify_all()
        if now >= self._call_at and (crowded := self._claims.crowded()):
            self._call_at = now + SECONDS_BETWEEN_CALLS
            self._bell.ring_if_possible(self._line, crowded)  # those that are idle sleep until their turn

    def _message(self, row: tuple[Any, ...], process_id: str, now: float) -> LeasedMessage | None:
        """The claimed row as a message; None where it cannot be one and is a dead letter now."""
        message_id, queue_name, text, token, deliveries, retries, deaths, is_cancelled = row[:8]
        limited, priority = row[10:12]
        order = (priority, next(self._sequence))
        lease = Lease(token, process_id, deliveries, retries, deaths, is_cancelled, limited, now, order)
        problem: str | None = None
        error: Exception | None = None
        try:
            message = LeasedMessage(message_of(text, message_id, queue_name), lease, self)
        except NotAMessage as reason:
            message = LeasedMessage(_shell(message_id, queue_name), lease, self)
            problem, error = "not a message", reason
        with self._lock:
            self._held[token] = message
        if problem is None and is_cancelled:
            problem = "cancelled"
        elif problem is None and not self._knows_actor(message.actor_name):
            problem = "unknown actor"
            error = LookupError(f"no actor named {message.actor_name!r} is declared in this worker")
        if problem is None:
            if self._alone(message):
                return message
            self._put_off(message)
            return None
        if error is not None:
            logger.error("Message %s of queue %s is a dead letter, %s: %s", message_id, queue_name, problem, error)
            message.stuff_exception(error)
        try:
            self.finish(message, DeadLetter(problem))
        except PgBrokerError:
            self._forget([message])
            self._doubt_until = monotonic() + DOUBT_SECONDS  # given back, claimed and buried later
        return None

    def _alone(self, message: LeasedMessage) -> bool:
        """Whether a message whose next death is its last is the only such one here: whoever dies then is the killer."""
        if message.lease.deaths < MOST_DEATHS - 1:
            return True
        with self._lock:
            return [held for held in self._held.values() if held.lease.deaths >= MOST_DEATHS - 1] == [message]

    def _put_off(self, message: LeasedMessage) -> None:
        try:
            self.finish(message, Release(PUT_OFF_MS * random.uniform(0.5, 1.5)))  # noqa: S311  so that they part
        except PgBrokerError:
            self._forget([message])
            self._doubt_until = monotonic() + DOUBT_SECONDS

    def _claim_failed(self, error: PgBrokerError) -> None:
        pause = self._outage.failed(error) if not self.lifeline.outage.on else 0.5
        with self._lock:
            self._doubt_until = monotonic() + DOUBT_SECONDS
            self._claims.put_off(pause)

    def _give_back_unknown(self, process_id: str) -> None:
        """After a claim whose answer was lost, or a crash of the server that forgot a finish (it does not wait for the
        disk): the message is ours by the table, and nobody would ever start it."""
        self._line.open()
        reconnected, self._opened = self._opened not in (0, self._line.opened), self._line.opened
        if reconnected or self._doubt_until:
            if self._doubt_until <= monotonic():  # it ends with a look after its time: there may be no claim for long
                self._doubt_until = 0.0
            with self._lock:
                tokens = list(self._held)
            given_back = self._line.execute(sql("disown"), {"process_id": process_id, "tokens": tokens})
            if given_back:
                logger.warning("Gave back %d messages that are ours and not at hand", len(given_back))

    def _recall(self) -> None:
        """Give back what was claimed ahead and could not be started: all threads are busy with something long."""
        now = monotonic()
        with self._lock:
            if now < self._recall_at:
                return
            unbegun = [message for message in self._held.values() if message.thread_id is None]
            late = {message for message in unbegun if now - message.lease.claimed_at >= RECALL_SECONDS}
            on_time = [message.lease.claimed_at for message in unbegun if message not in late]
            self._recall_at = min(on_time) + RECALL_SECONDS if on_time else float("inf")
            for message in late:
                del self._held[message.lease.token]  # from here on nobody starts it
            for name in {message.queue_name for message in late}:
                waiting = self._inboxes[name].messages
                for _ in range(len(waiting)):
                    with suppress(IndexError):  # its thread takes without the lock: each message is popped once
                        message = waiting.popleft()
                        if message not in late:
                            waiting.append(message)
        self.counters["recalled"] += len(late)
        late |= self._owed
        if not late:
            return
        try:
            self._finisher.finish([(message, Release()) for message in late])
        except PgBrokerError:
            # A claim would give them back as well, but there may be none for as long as the threads are busy.
            self._owed, self._recall_at = late, min(self._recall_at, monotonic() + RECALL_SECONDS)
        else:
            self._owed = set()
            _restore_keys(self._line, late)

    # Running

    def may_start(self, message: LeasedMessage) -> bool:
        """Whether the lease of a message is still safe; then this thread runs it. Where not, others do: forget it."""
        with self._lock:
            if message.lease.token not in self._held:
                return False
            if self.lifeline.holds(message.lease.process_id):
                message.thread_id = get_ident()
                if message.cancel_asked:  # while it had no thread to be interrupted in
                    message.outcome = DeadLetter("cancelled")
                return True
        self._forget([message])
        self._doubt_until = monotonic() + DOUBT_SECONDS  # if nobody took it over, the next claim gives it back
        self.counters["not_started"] += 1
        return False

    def ran(self, message: LeasedMessage) -> None:
        """The actor has returned: from here on nothing interrupts."""
        with self._lock:
            message.in_hooks = True

    # Finishing

    def finish(self, message: LeasedMessage, outcome: Outcome) -> None:
        """Write what became of a message. Raises DatabaseAway: call again."""
        if message.lease.token not in self._held:
            return  # its lease was lost before it began
        self._finisher.finish([(message, outcome)])
        if self._finish_outage.on:
            self._finish_outage.over()
        self._forget([message])
        if message.sent_to or message.followers:
            self._announce(message.sent_to | {row.queue_name for row in message.followers})

    def finish_failed(self, error: PgBrokerError) -> None:
        """Say so, once for all threads, unless the beat has said it."""
        if not self.lifeline.outage.on:
            self._finish_outage.failed(error)

    def finish_in(self, connection: Any, message: LeasedMessage) -> bool:
        """Mark a message done in the actor's own transaction. False: its lease is lost."""
        return self._finisher.finish_in(connection, message)

    def release(self, messages: list[LeasedMessage]) -> None:
        """Give messages back that were claimed and not started."""
        held = [message for message in messages if message.lease.token in self._held]
        if held:
            self._finisher.finish([(message, Release()) for message in held])
            self._forget(held)
            _restore_keys(self.connections, held)

    def _forget(self, messages: list[LeasedMessage]) -> None:
        now = monotonic()
        with self._lock:
            for message in messages:
                self._held.pop(message.lease.token, None)
            self._pace.note(len(messages), now)
            if limited := {message.queue_name for message in messages if message.lease.limited}:
                self.look_now(limited)  # the next with its key may run
            if self._short_of_room and self._has_room(now):
                self._short_of_room = False
                self._wake_lookout()

    def _announce(self, queue_names: set[str]) -> None:
        """What a message sent is there now: look ourselves, or ring for others."""
        self.look_now(queue_names)
        if elsewhere := queue_names - self._inboxes.keys():
            self._bell.ring_if_possible(self.connections, elsewhere)


def _restore_keys(through: Line | Connections, messages: Iterable[LeasedMessage]) -> None:
    """What was given back unbegun has its unique_key again, so that a second send finds it."""
    for message in messages:
        if isinstance(key := message.options.get("unique_key"), str):
            try:
                through.execute(sql("restore_key"), {"message_id": message.message_id, "unique_key": key})
            except PgBrokerError as error:  # somebody sent with this key meanwhile, and that one waits under it
                logger.debug("Message %s stays without its unique_key: %s", message.message_id, error)


def _shell(message_id: str, queue_name: str) -> Any:
    """Stands for a row that is no message, only to be buried."""
    return Message(queue_name, "", (), {}, {}, message_id=message_id)
