"""What keeps a process's leases: its row, its beat, and the rescue of those whose beat stopped.

Promises: one thread and one connection a process for all of it, apart from those that claim and finish. A process that
could not beat for most of its lease starts no more work (`holds` turns False) before others take its messages over. A
process that was thought dead and comes back begins anew under another id; what it held then is lost to it. The same
connection listens to the doorbell, unless a pooler stands between: then polling alone finds what comes in, and as a
pooler's connections say nothing about a process, a dead one is known by its lease alone. Where the bell can wake it,
the thread of the beat looks for work while there is nothing to do, and the lookout sleeps; it beats rarely then.

While the database is away it waits, says so once, and goes on. After an outage, and be it that its connection was lost
for a moment, it rescues nobody for the length of a lease: the others have to come back first.
"""

import json
import logging
import os
import random
import select
import socket
import time
from threading import Lock, Thread
from typing import Any, Protocol
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection as Connection

from pgbroker.claim import Survey, note_levels
from pgbroker.connections import Connections, Line
from pgbroker.counters import Counters
from pgbroker.doorbell import channel
from pgbroker.errors import DatabaseAway, PgBrokerError
from pgbroker.outage import Outage
from pgbroker.retention import Retention
from pgbroker.statements import sql
from pgbroker.watch import TURN_SECONDS, most_watchers, next_turn

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.5  # while messages are held
IDLE_BEAT_SECONDS = 1.0
WATCHING_SHARE = 0.7  # of the lease: how far a beat reaches while turns are taken, as nothing is held
BEAT_SLACK_SECONDS = 0.3  # a beat later than promised by this much, and a connection that is gone: a dead process
YOUNG_SECONDS = 0.5  # a claim so young may be newer than what its rescuer knows of processes
HEARS_SECONDS = 2.0  # senders ring for an idle process this long after its next beat was due
SECONDS_BETWEEN_LOOKS = 10.0  # for messages whose process has no row at all; by whichever process
SECONDS_BETWEEN_PRUNES = 60.0
MOST_DEATHS = 3  # of workers while they held a message; then it is a dead letter
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps, as the lease does


def clock() -> float:
    """Seconds on a clock that never jumps."""
    return time.clock_gettime(_CLOCK)


class Holder(Protocol):
    """Whose leases they are, as far as the beat has to know: the engine."""

    def queue_names(self) -> list[str]:
        """The queues it takes from."""

    def holding(self) -> bool:
        """Whether it holds messages."""

    def listens(self) -> bool:
        """Whether it has nothing to do, so that senders should ring."""

    def idle(self) -> bool:
        """Whether it has nothing to do and found nothing for a while."""

    def watched(self, survey: Survey, took_seconds: float, rest_seconds: float) -> None:
        """All queues were looked into, and are again within `rest_seconds`."""

    def look_now(self, queue_names: set[str], *, from_the_bottom: bool = False) -> None:
        """Something came into these queues."""

    def cancel(self, message_ids: list[str]) -> None:
        """Somebody wants these messages cancelled."""

    def registered(self, line: Line) -> None:
        """The process has a row."""


class Lifeline:
    """The beat of one process, for `holder`, with what it counted in `counters`. With `doorbell` it listens as well.

    Now and then it also deletes a batch of what `retention` says was kept long enough: some process has to.
    """

    def __init__(
        self,
        connections: Connections,
        lease_seconds: float,
        holder: Holder,
        counters: Counters,
        retention: Retention,
        *,
        doorbell: bool,
    ) -> None:
        self.outage = Outage("The worker")
        self.process_id = str(uuid4())
        self._line = Line(connections)
        self._lease_seconds = lease_seconds
        self._most_watchers = most_watchers(lease_seconds)
        self._holder = holder
        self._counters = counters
        self._doorbell = doorbell
        self._state = Lock()
        self._beaten_at: float | None = None
        self._rescues_from = 0.0
        self._look_at = 0.0
        self._look_until = 0.0  # with every beat until then: somebody died a moment ago
        self._watchers = 1  # how many processes look together, this one included
        self._retention = retention
        self._prune_at = clock() + SECONDS_BETWEEN_PRUNES * random.random()  # noqa: S311  jitter
        self._counted: Counters | None = None  # as it stands in the database
        self._taken_away = Counters()  # what rows of this process had counted that were given to the totals
        self._wake, self._nudge = os.pipe()
        self._stopping = False
        self._promised = BEAT_SECONDS
        self._reaches_to = 0.0  # as promised, while turns are taken
        self._said: dict[str, Any] = {}  # about itself
        self._connection: Connection | None = None  # what the next two are true of
        self._backend_pid: int | None = None
        self._channels: dict[str, str] = {}
        self._thread = Thread(target=self._run, name="pgbroker-beat", daemon=True)

    def start(self) -> None:
        """Begin to beat. Returns at once; `holds` turns True after the first beat."""
        self._thread.start()

    def stop(self, *, sign_off: bool) -> None:
        """Stop beating; with `sign_off` take the row away, as nothing is held any more."""
        if self._stopping:
            return
        self._stopping = True
        os.write(self._nudge, b".")
        self._thread.join(timeout=15)
        if self._thread.is_alive():
            return
        if sign_off and self._beaten_at is not None:
            try:
                self._line.execute(
                    sql("sign_off"), {"process_id": self.process_id, "counters": json.dumps(self._newly_counted())}
                )
            except PgBrokerError as error:  # the others find the row without a beat
                logger.debug("No sign-off: %s", error)
        self._line.close()
        os.close(self._wake)
        os.close(self._nudge)

    def give_up(self, seconds: float) -> None:
        """End the connection if an answer has not come for so long. For any thread."""
        self._line.give_up(seconds)

    def hurry(self) -> None:
        """Messages were taken: who promised a slow beat beats now, so that a death would be noticed soon."""
        self._reaches_to = 0.0  # the claim has shortened it
        if self._promised > BEAT_SECONDS and not self._stopping:
            os.write(self._nudge, b".")

    def hurry_seconds(self) -> float | None:
        """When it will have beaten after a claim that makes it hurry; None where that was promised before."""
        return BEAT_SECONDS + BEAT_SLACK_SECONDS if self._promised > BEAT_SECONDS else None

    def queues_changed(self) -> None:
        """Tell the others at once which queues these are, and listen for them."""
        os.write(self._nudge, b".")

    def holds(self, process_id: str | None = None) -> bool:
        """Whether the leases of this process are safe to start work on; those it took as `process_id`, where given."""
        with self._state:
            if self._beaten_at is None or process_id not in (None, self.process_id):
                return False
            return clock() - self._beaten_at < 0.8 * self._lease_seconds

    def _run(self) -> None:
        pause = 0.0
        while not self._wait(pause):
            try:
                pause = self._beat()
                self.outage.over()
            except PgBrokerError as error:
                self._rescues_from = clock() + self._lease_seconds
                pause = self.outage.failed(error)
            except Exception:
                logger.exception("The beat failed")
                pause = BEAT_SECONDS

    def _interval(self) -> float:
        """Seconds to the next beat, as promised to the others with this one."""
        self._promised = BEAT_SECONDS if self._holder.holding() else IDLE_BEAT_SECONDS
        return self._promised

    def _wait(self, seconds: float) -> bool:
        """Until the next beat, handing on what the doorbell says meanwhile; whether it is time to stop."""
        until = clock() + seconds
        while not self._stopping:
            watched = select.poll()  # select() takes no descriptor above 1,023
            watched.register(self._wake, select.POLLIN)
            if self._connection is not None and not self._connection.closed:
                watched.register(self._connection.fileno(), select.POLLIN)
            ready = [descriptor for descriptor, _ in watched.poll(max(0.0, until - clock()) * 1000)]
            if not ready:
                return self._stopping
            if self._wake in ready:
                os.read(self._wake, 64)
                return self._stopping
            if not self._hear():
                return self._stopping  # the connection is gone: beat at once over another
        return True

    def _hear(self) -> bool:
        """Take in what came over the connection; whether it still lives."""
        connection = self._connection
        if connection is None:
            return False
        try:
            connection.poll()
        except psycopg2.Error:
            self._connection = None
            return False
        self._hand_on(connection)
        return True

    def _hand_on(self, connection: Connection) -> None:
        rung = {self._channels[notice.channel] for notice in connection.notifies if notice.channel in self._channels}
        connection.notifies.clear()
        if rung:
            self._holder.look_now(rung)

    def _connected(self) -> Connection:
        """The connection, listening where it can."""
        connection = self._line.open()
        try:
            if connection is not self._connection:
                self._backend_pid = None if self._line.pooled else connection.info.backend_pid
                self._channels = {}
                self._connection = connection
                if self._line.opened > 1:  # whatever ended the last one may have ended those of the others
                    self._rescues_from = clock() + self._lease_seconds
            if self._doorbell and not self._line.pooled:
                new = {channel(name): name for name in self._holder.queue_names()}
                with connection.cursor() as cursor:
                    for name in new.keys() - self._channels.keys():
                        cursor.execute(f"listen {name}")  # made of a hash
                self._channels = new
        except psycopg2.Error as error:
            self._connection = None
            self._line.close()
            raise DatabaseAway(f"The database cannot be used: {error}") from error
        return connection

    def _beat(self) -> float:
        """Beat, and see to what the answer says; seconds until the next one."""
        asked_at = clock()
        connection = self._connected()
        if self._beaten_at is None:
            self._register(asked_at)
            missing, pause = True, self._jittered()
        else:
            watches = bool(self._channels) and self._most_watchers > 1 and self._holder.idle()
            answer = self._watch(asked_at) if watches else self._say(asked_at)
            if answer is None:
                logger.warning("This process was taken for dead and its messages given to others; it begins anew")
                self._taken_away.update(self._counted or {})
                with self._state:
                    self.process_id, self._beaten_at = str(uuid4()), None
                return self._beat()
            missing, pause = answer
        self._hand_on(connection)  # what arrived with the answer
        looks = missing or asked_at >= self._look_at or asked_at < self._look_until
        if looks and clock() >= self._rescues_from:
            self._look_at = asked_at + SECONDS_BETWEEN_LOOKS * self._watchers
            if self._rescue():  # its latest claims are too young to be rescued with the others
                self._look_until = clock() + 3 * YOUNG_SECONDS
        if asked_at < self._look_until:
            pause = min(pause, YOUNG_SECONDS)
        if asked_at >= self._prune_at:
            more = self._retention.prune_batch(self._line)
            self._prune_at = asked_at if more else asked_at + SECONDS_BETWEEN_PRUNES
        return pause

    def _jittered(self) -> float:
        return self._promised * random.uniform(0.8, 1.0)  # noqa: S311

    def _say(self, asked_at: float, *, watches: bool = False) -> tuple[bool, float] | None:
        """Beat: whether some process missed its own, and seconds until the next; None: ours is gone."""
        counters, about_itself = self._newly_counted(), self._about_itself()
        if watches:
            self._promised = due_seconds = self._lease_seconds * WATCHING_SHARE
        else:
            due_seconds = self._interval() + BEAT_SLACK_SECONDS
            self._watchers = 1
        answer = self._line.execute(
            sql("beat"),
            about_itself
            | {
                "process_id": self.process_id,
                "counters": None if counters == self._counted else json.dumps(counters),
                "watches": watches,
                "hears": bool(self._channels) and self._holder.listens(),
                "hears_seconds": HEARS_SECONDS + due_seconds,
                "due_seconds": due_seconds,
            },
        )
        if not answer:
            return None
        self._beaten(asked_at)
        self._said, self._counted = about_itself, counters
        self._reaches_to = asked_at + due_seconds if watches else 0.0
        missing, cancelled = answer[0]
        if cancelled:
            self._holder.cancel(cancelled)
        return missing, self._jittered()

    def _watch(self, asked_at: float) -> tuple[bool, float] | None:
        """Look for work, it is this process's turn; beat first, if there is news or the last beat does not reach far
        enough. Answers as `_say`."""
        turns = self._most_watchers * TURN_SECONDS + BEAT_SLACK_SECONDS
        if (
            self._reaches_to < asked_at + turns
            or self._said != self._about_itself()
            or self._counted != self._newly_counted()
        ) and not self._say(asked_at, watches=True):
            return None
        began = clock()
        queues = self._holder.queue_names()
        answer = self._line.execute(sql("look"), {"process_id": self.process_id, "queues": queues})[0]
        known, missing, place, watchers, anything, now = answer
        if not known:
            return None
        survey = Survey(now, None, [], {})
        if anything:
            survey = Survey(*self._line.execute(sql("survey"), {"queues": queues})[0])
            note_levels(self._line, survey)
        self._watchers = min(watchers, self._most_watchers)
        self._holder.watched(survey, clock() - began, self._watchers * TURN_SECONDS * 2)
        return missing, next_turn(survey.now.timestamp(), place, self._watchers)

    def _about_itself(self) -> dict[str, Any]:
        return {"backend_pid": self._backend_pid, "queues": self._holder.queue_names()}

    def _beaten(self, asked_at: float) -> None:
        with self._state:
            self._beaten_at = asked_at

    def _newly_counted(self) -> Counters:
        """What was counted since the process registered."""
        return Counters({name: count - self._taken_away[name] for name, count in dict(self._counters).items()})

    def _register(self, asked_at: float) -> None:
        due_seconds = self._interval() + BEAT_SLACK_SECONDS
        self._line.execute(
            sql("register"),
            {
                "process_id": self.process_id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "queues": self._holder.queue_names(),
                "lease_seconds": self._lease_seconds,
                "backend_pid": self._backend_pid,
                "due_seconds": due_seconds,
                "hears": bool(self._channels) and self._holder.listens(),
                "hears_seconds": HEARS_SECONDS + due_seconds,
            },
        )
        self._counted, self._reaches_to = None, 0.0
        self._holder.registered(self._line)
        self._beaten(asked_at)

    def _rescue(self) -> bool:
        """Let what lost workers held wait again; whether such a worker was found."""
        rescued = self._line.execute(sql("rescue"), {"young_seconds": YOUNG_SECONDS, "most_deaths": MOST_DEATHS})
        messages = [row for row in rescued if row[0] is not None]
        for message_id, actor_name, queue_name, dead in messages:
            became = f"dead letter: it was there when {MOST_DEATHS} of them died" if dead else "waits again"
            logger.warning(
                "Rescued %s (%s, queue %s) from a lost worker: %s", message_id, actor_name, queue_name, became
            )
            self._counters["rescued"] += 1
        if messages:
            self._holder.look_now({queue_name for _, _, queue_name, dead in messages if not dead}, from_the_bottom=True)
        return len(messages) < len(rescued)
