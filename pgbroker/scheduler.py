"""Ticks: each (actor, minute) once, whatever happens to schedulers.

Promises: a slot and its message are inserted in one transaction, and a slot is unique: any number of schedulers,
restarts and retries send each tick once. A scheduler that was down, suspended or cut off from the database sends the
latest tick that each actor missed, if it is not older than the actor's `grace_seconds`. The database's clock rules,
read anew in every round. When it is set back, an actor's ticks wait until it has caught up with the last one; set back
by more than three hours it was wrong before, and they go on at once; a slot is not sent a second time in either case.
An actor whose tick cannot be sent holds up no other. SIGTERM and SIGINT end the process with status 0.

Who runs and what is late stands in the database: `schedulers` and `schedules` read it.

`periodiq` makes this class when `pgbroker.middleware.Ticks` is among the broker's middleware.
"""

import json
import logging
import os
import select
import signal
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import uuid4

from pgbroker.connections import Connections
from pgbroker.cron import Schedule, zone_named
from pgbroker.errors import DatabaseAway, PgBrokerError, ScheduleRefused
from pgbroker.outage import Outage
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

DEFAULT_GRACE_SECONDS = 3600
LONGEST_GRACE_SECONDS = 10 * 366 * 86_400
LONGEST_SLEEP_SECONDS = 20.0  # then the clock is read again: it may have been set, the machine may have slept
SILENT_SECONDS = 65.0  # three beats missed: that scheduler is gone
HOLD_SECONDS = 2.0  # the longest pause inside the transaction that sends a tick
KEEP_SLOTS_DAYS = 7


class Scheduler:
    """Sends the ticks of `actors`, each of which has a periodiq CronSpec as its option `periodic`."""

    def __init__(self, actors: Iterable[Any]) -> None:
        try:
            self._timetable = {actor.actor_name: _Entry(actor) for actor in actors}
        except ScheduleRefused as error:
            logger.error("%s", error)
            raise SystemExit(1) from None
        self.broker = next(iter(self._timetable.values())).actor.broker
        self._id = str(uuid4())
        self._started_at: datetime | None = None
        self._pruned_on: Any = None
        self._outage = Outage("The scheduler")
        self._wake, self._stop = socket.socketpair()  # an Event could deadlock: its lock is not for signal handlers
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def schedule(self) -> None:
        """periodiq calls this once before `loop`; the loop begins with it anyway."""

    def loop(self) -> None:
        """Send ticks until the process is told to stop."""
        pause = 0.0
        while not select.select([self._wake], [], [], pause)[0]:
            try:
                pause = self.send_due()
                self._outage.over()
            except PgBrokerError as error:
                pause = self._outage.failed(error)
        try:
            self.broker.connections.execute(sql("scheduler_gone"), {"scheduler_id": self._id})
        except PgBrokerError as error:
            logger.warning("The scheduler could not sign off, and will be missed instead: %s", error)
        logger.info("The scheduler stops")

    def stop(self) -> None:
        """End the loop. May be called by a signal handler and by any thread."""
        self._stop.send(b".")

    def send_due(self) -> float:
        """Send every tick that is due and was not sent; how many seconds until there is something to do again.

        A tick that cannot be sent is logged and tried again with the next round.

        Raises:
            PgBrokerError: the database cannot be used.
        """
        (now,) = self.broker.connections.execute("select now()")[0]
        read_at = monotonic()
        for entry in tuple(self._timetable.values()):
            try:
                self._send_latest(entry, now)
            except DatabaseAway:
                # Perhaps it is only this one that cannot be sent: the others come first the next time.
                self._timetable[entry.name] = self._timetable.pop(entry.name)
                raise
            except Exception as error:
                if entry.refused != entry.owed:
                    logger.error(
                        "The tick of %s at %s cannot be sent: %s", entry.name, entry.owed, error,
                        exc_info=None if isinstance(error, PgBrokerError) else error,
                    )  # fmt: skip
                entry.refused = entry.owed
        self._beat(now)
        nearest = min(entry.next_after(now) for entry in self._timetable.values())
        # A little late rather than a little early: the clock is read again after the wait.
        pause = (nearest - now).total_seconds() + 0.002 - (monotonic() - read_at)
        return max(0.0, min(LONGEST_SLEEP_SECONDS, pause))

    def _send_latest(self, entry: "_Entry", now: datetime) -> None:
        slot = entry.schedule.latest(now, entry.grace)
        if slot is None or slot == entry.asked:
            entry.owed = None
            return
        entry.owed = slot
        message = entry.message(slot)
        with (
            self.broker.connections.transaction() as connection,
            self.broker.enlist(connection),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                sql("take_slot"),
                entry.described()
                | {
                    "slot_at": slot,
                    "due_at": entry.next_after(now),
                    "open_seconds": entry.grace.total_seconds() + 60,
                    "message_id": message.message_id,
                    "hold_ms": int(HOLD_SECONDS * 1000),
                },
            )
            ours = cursor.fetchone() is not None
            if ours:
                carrier = self.broker.enqueue(message)
                if carrier.message_id != message.message_id:  # it does not pile up
                    cursor.execute(
                        "update pgbroker.slots set message_id = %s::uuid where actor_name = %s and slot_at = %s",
                        (carrier.message_id, entry.name, slot),
                    )
        entry.asked, entry.owed = slot, None
        if ours:
            late = (now - slot).total_seconds()
            logger.info("Sent the tick of %s at %s, %.1f s late", entry.name, slot.isoformat(), late)

    def _beat(self, now: datetime) -> None:
        """Show that this scheduler lives and what is due; forget those that do not live."""
        due = [
            entry.described() | {"due_at": (entry.owed or entry.next_after(now)).isoformat()}
            for entry in self._timetable.values()
        ]
        self._started_at = self._started_at or now
        execute = self.broker.connections.execute
        execute(
            sql("scheduler_beat"),
            {
                "scheduler_id": self._id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "started_at": self._started_at,
                "actors": list(self._timetable),
            },
        )
        execute(sql("note_due"), {"due": json.dumps(due)})
        execute(sql("forget_schedulers"), {"silent_seconds": SILENT_SECONDS})
        if self._pruned_on != now.date():
            execute(sql("prune_slots"), {"days": KEEP_SLOTS_DAYS})
            self._pruned_on = now.date()


class _Entry:
    """An actor in the timetable, and where one scheduler stands with it. Raises ScheduleRefused."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.name: str = actor.actor_name
        self.zone = str(actor.options.get("zone", "UTC"))
        grace_seconds = actor.options.get("grace_seconds", DEFAULT_GRACE_SECONDS)
        try:
            self.schedule = Schedule(actor.options["periodic"], zone_named(self.zone))
        except ScheduleRefused as error:
            raise ScheduleRefused(f"Actor {self.name}: {error}") from None
        if not isinstance(grace_seconds, int | float) or not 0 <= grace_seconds <= LONGEST_GRACE_SECONDS:
            raise ScheduleRefused(
                f"Actor {self.name}: Its grace_seconds must be 0 to {LONGEST_GRACE_SECONDS}, not {grace_seconds!r}."
            )
        if self.schedule.next(datetime.now(UTC)) is None:
            raise ScheduleRefused(f"Actor {self.name}: The schedule {str(self.schedule)!r} is never due. Correct it.")
        self.grace = timedelta(seconds=grace_seconds)
        self.asked: datetime | None = None  # the last slot that the database was asked for
        self.owed: datetime | None = None  # a slot that is due and could not be sent
        self.refused: datetime | None = None  # the last of those that was logged

    def described(self) -> dict[str, Any]:
        """What `pgbroker.schedules` says of it."""
        return {"actor_name": self.name, "schedule": str(self.schedule), "zone": self.zone}

    def next_after(self, at: datetime) -> datetime:
        """The first slot after an instant; there always is one."""
        slot = self.schedule.next(at)
        assert slot is not None
        return slot

    def message(self, slot: datetime) -> Any:
        """The message of a slot."""
        options = {} if self.actor.options.get("pile_up", True) else {"unique_key": f"tick:{self.name}"}
        return self.actor.message_with_options(scheduled_at=slot.isoformat(), **options)


def schedulers(connections: Connections) -> list[dict[str, Any]]:
    """The schedulers that live: host, pid, started_at, beat_seconds_ago. One that is gone is missed after a minute."""
    return connections.records(sql("schedulers"), {"silent_seconds": SILENT_SECONDS})


def schedules(connections: Connections) -> list[dict[str, Any]]:
    """Per periodic actor: actor, schedule, zone, last_slot_at (the last tick that was sent), due_at (the first that was
    not) and late_seconds, by how much that has passed: it grows while nobody sends it, also when no scheduler runs."""
    return connections.records(sql("schedules"))
