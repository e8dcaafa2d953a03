"""What keeps a process's leases: its row, its beat, and the rescue of those whose beat stopped.

Promises: one thread and one connection a process for all of it, apart from those that claim and finish. A process that
could not beat for most of its lease starts no more work (`holds` turns False) before others take its messages over. A
process that was thought dead and comes back begins anew under another id; what it held then is lost to it.

While the database is away it waits, says so once, and goes on. After an outage it rescues nobody for the length of a
lease: the others have to come back first.
"""

import logging
import os
import random
import socket
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from uuid import uuid4

from pgbroker.connections import Connections, Line
from pgbroker.errors import PgBrokerError
from pgbroker.outage import Outage
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
MISSED_SECONDS = 1.25  # without a beat, and without its connection: a process is dead
BEATS_BETWEEN_LOOKS = 20  # for messages whose process has no row at all
MOST_DEATHS = 3  # of workers while they held a message; then it is a dead letter
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps, as the lease does


def clock() -> float:
    """Seconds on a clock that never jumps."""
    return time.clock_gettime(_CLOCK)


class Lifeline:
    """The beat of one process.

    `queues` are named in its row; `on_registered` runs after the row was made; `on_rescue` gets the names of queues in
    which messages became free.
    """

    def __init__(
        self,
        connections: Connections,
        lease_seconds: float,
        queues: Callable[[], list[str]],
        on_registered: Callable[[Line], None],
        on_rescue: Callable[[set[str]], None],
    ) -> None:
        self.outage = Outage("The worker")
        self.process_id = str(uuid4())
        self._line = Line(connections)
        self._lease_seconds = lease_seconds
        self._queues = queues
        self._on_registered = on_registered
        self._on_rescue = on_rescue
        self._state = Lock()
        self._beaten_at: float | None = None
        self._rescues_from = 0.0
        self._beats = 0
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="pgbroker-beat", daemon=True)

    def start(self) -> None:
        """Begin to beat. Returns at once; `holds` turns True after the first beat."""
        self._thread.start()

    def stop(self, *, sign_off: bool) -> None:
        """Stop beating; with `sign_off` take the row away, as nothing is held any more."""
        self._stopping.set()
        self._thread.join(timeout=15)
        if sign_off and self._beaten_at is not None and not self._thread.is_alive():
            try:
                self._line.execute(sql("sign_off"), {"process_id": self.process_id})
            except PgBrokerError as error:  # the others find the row without a beat
                logger.debug("No sign-off: %s", error)
        self._line.close()

    def holds(self, process_id: str | None = None) -> bool:
        """Whether the leases of this process are safe to start work on; those it took as `process_id`, where given."""
        with self._state:
            if self._beaten_at is None or process_id not in (None, self.process_id):
                return False
            return clock() - self._beaten_at < 0.8 * self._lease_seconds

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                self._beat()
                self.outage.over()
                pause = BEAT_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311  jitter
            except PgBrokerError as error:
                self._rescues_from = clock() + self._lease_seconds
                pause = self.outage.failed(error)
            except Exception:
                logger.exception("The beat failed")
                pause = BEAT_SECONDS

    def _beat(self) -> None:
        asked_at = clock()
        if self._beaten_at is None:
            self._register()
            missing = True
        else:
            answer = self._line.execute(
                sql("beat"),
                {"process_id": self.process_id, "queues": self._queues(), "missed_seconds": MISSED_SECONDS},
            )
            if not answer:
                logger.warning("This process was taken for dead and its messages given to others; it begins anew")
                with self._state:
                    self.process_id, self._beaten_at = str(uuid4()), None
                return self._beat()
            missing = answer[0][0]
        with self._state:
            self._beaten_at = asked_at
        self._beats += 1
        if (missing or self._beats % BEATS_BETWEEN_LOOKS == 0) and clock() >= self._rescues_from:
            self._rescue()
        return None

    def _register(self) -> None:
        self._line.execute(
            sql("register"),
            {
                "process_id": self.process_id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "queues": self._queues(),
                "lease_seconds": self._lease_seconds,
            },
        )
        self._on_registered(self._line)

    def _rescue(self) -> None:
        rescued = self._line.execute(sql("rescue"), {"missed_seconds": MISSED_SECONDS, "most_deaths": MOST_DEATHS})
        for message_id, actor_name, queue_name, dead in rescued:
            became = f"dead letter: it was there when {MOST_DEATHS} of them died" if dead else "waits again"
            logger.warning(
                "Rescued %s (%s, queue %s) from a lost worker: %s", message_id, actor_name, queue_name, became
            )
        if rescued:
            self._on_rescue({queue_name for _, _, queue_name, dead in rescued if not dead})
