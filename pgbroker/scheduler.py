"""Ticks: each (actor, minute) once, whatever happens to schedulers.

Promises: the slot and its message are inserted in one transaction, and the slot is unique: any number of schedulers,
restarts and retries send each tick once. A scheduler that was down, or cut off from the database, sends the latest tick
that each actor missed, if it is not older than the actor's `grace_seconds`. The database's clock rules; when it is set
back, no slot is sent a second time. SIGTERM and SIGINT end the process with status 0.

`periodiq` makes this class when `pgbroker.middleware.Ticks` is among the broker's middleware.
"""

import logging
import os
import select
import signal
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from pgbroker.cron import latest_slot, next_slot
from pgbroker.errors import PgBrokerError, ScheduleRefused
from pgbroker.outage import Outage
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

DEFAULT_GRACE_SECONDS = 3600
LONGEST_SLEEP_SECONDS = 20.0  # then the clock is read again: it may have been set, the machine may have slept
KEEP_SLOTS_DAYS = 7


class Scheduler:
    """Sends the ticks of `actors`, each of which has a periodiq CronSpec as its option `periodic`."""

    def __init__(self, actors: Iterable[Any]) -> None:
        self.actors = list(actors)
        self.broker = self.actors[0].broker
        self._sent: dict[str, datetime] = {}
        self._pruned_on: Any = None
        self._outage = Outage("The scheduler")
        self._wake, self._stop = os.pipe()  # an Event could deadlock: its lock is not for signal handlers
        try:
            self.check()
        except ScheduleRefused as error:
            logger.error("%s", error)
            raise SystemExit(1) from None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop())

    def check(self) -> None:
        """Raises ScheduleRefused where an actor would never run."""
        for actor in self.actors:
            if next_slot(actor.options["periodic"], datetime.now(UTC)) is None:
                raise ScheduleRefused(f"The schedule {actor.options['periodic']} of {actor.actor_name} is never due.")

    def schedule(self) -> None:
        """Dramatiq's periodiq calls this once before `loop`; the loop begins with it anyway."""

    def loop(self) -> None:
        """Send ticks until the process is told to stop."""
        pause = 0.0
        while not select.select([self._wake], [], [], pause)[0]:
            try:
                pause = self.send_due()
                self._outage.over()
            except PgBrokerError as error:
                pause = self._outage.failed(error)
        logger.info("The scheduler stops")

    def stop(self) -> None:
        """End the loop. May be called by a signal handler and by any thread."""
        os.write(self._stop, b".")

    def send_due(self) -> float:
        """Send every tick that is due and was not sent; how many seconds until the next is due.

        Raises:
            PgBrokerError: of the first actor whose tick could not be sent; the others were served.
        """
        (now,) = self.broker.connections.execute("select now()")[0]
        failure: PgBrokerError | None = None
        for actor in self.actors:
            try:
                self._send_latest(actor, now)
            except PgBrokerError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        self._prune(now)
        nearest = min(slot for actor in self.actors if (slot := next_slot(actor.options["periodic"], now)))
        # A little late rather than a little early: the clock is read again after the wait.
        return min(LONGEST_SLEEP_SECONDS, (nearest - now).total_seconds() + 0.002)

    def _send_latest(self, actor: Any, now: datetime) -> None:
        grace = timedelta(seconds=actor.options.get("grace_seconds", DEFAULT_GRACE_SECONDS))
        slot = latest_slot(actor.options["periodic"], now, grace)
        if slot is None or slot <= self._sent.get(actor.actor_name, datetime.min.replace(tzinfo=UTC)):
            return
        message = actor.message_with_options(scheduled_at=slot.isoformat())
        with self.broker.connections.transaction() as connection, self.broker.enlist(connection):
            with connection.cursor() as cursor:
                cursor.execute(
                    sql("take_slot"),
                    {"actor_name": actor.actor_name, "slot_at": slot, "message_id": message.message_id},
                )
                ours = cursor.fetchone() is not None
            if ours:
                self.broker.enqueue(message)
        self._sent[actor.actor_name] = slot
        if ours:
            late = (now - slot).total_seconds()
            logger.info("Sent the tick of %s at %s, %.1f s late", actor.actor_name, slot.isoformat(), late)

    def _prune(self, now: datetime) -> None:
        if self._pruned_on != now.date():
            self.broker.connections.execute(sql("prune_slots"), {"days": KEEP_SLOTS_DAYS})
            self._pruned_on = now.date()
