"""Writing what became of messages: one statement per outcome, fenced by the lease's token.

Promises: `finish` returns after the commit. Threads that finish at the same time share one transaction: whoever gets
the writer's lock takes all that is there. A finish whose lease was lost changes nothing and is counted as late. What
the database refuses to store becomes a dead letter that says so; while the database is away DatabaseAway is raised and
Dramatiq asks again.
"""

import json
import logging
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from dramatiq.middleware import SkipMessage
from psycopg2.extensions import connection as Connection

from pgbroker.connections import Connections, rows
from pgbroker.encoding import storable, storable_options
from pgbroker.errors import DatabaseAway, PgBrokerError
from pgbroker.leased import DeadLetter, Done, LeasedMessage, Release, Reschedule
from pgbroker.statements import sql

logger = logging.getLogger(__name__)

LONGEST_ERROR = 2_000  # characters
LONGEST_TRACEBACK = 20_000
MOST_FAILED_HOOKS = 20  # reschedules that no middleware decided

Outcome = Reschedule | DeadLetter | Release | Done
_STATEMENTS = {
    Done: "finish_done",
    Reschedule: "finish_rescheduled",
    DeadLetter: "finish_dead",
    Release: "finish_released",
}


def outcome_of(message: LeasedMessage, retries_are_on: bool) -> Outcome:
    """What is to become of a message that was processed, from what middleware did to it."""
    if isinstance(message.outcome, DeadLetter):
        return message.outcome
    if message.failed:
        return DeadLetter("too old" if isinstance(message._exception, SkipMessage) else "rejected")
    if message.outcome is not None:
        return message.outcome
    if message._exception is None:
        return Done()
    # An exception that nobody decided about: the middleware for it failed itself, or there is none. Never done.
    if retries_are_on and message.lease.retries < MOST_FAILED_HOOKS:
        return Reschedule(15_000 * 2 ** min(message.lease.retries, 8))
    return DeadLetter("rejected")


@dataclass
class _Finish:
    message: LeasedMessage
    outcome: Outcome
    written: bool = False
    error: PgBrokerError | None = None


class Finisher:
    """Writes outcomes through `connections` and counts them in `counters`."""

    def __init__(self, connections: Connections, counters: Counter[str]) -> None:
        self._connections = connections
        self._counters = counters
        self._waiting: list[_Finish] = []
        self._waiting_lock = Lock()
        self._writing = Lock()

    def finish(self, finishes: Iterable[tuple[LeasedMessage, Outcome]]) -> None:
        """Write these outcomes and whatever else waits. Raises DatabaseAway: nothing is lost, finish again."""
        ours = [_Finish(message, outcome) for message, outcome in finishes]
        with self._waiting_lock:
            self._waiting += ours
        with self._writing:
            with self._waiting_lock:
                batch, self._waiting = self._waiting, []
            if batch:
                self._write_or_tell(batch)
        for finish in ours:
            if finish.error is not None:
                raise finish.error

    def finish_in(self, connection: Any, message: LeasedMessage) -> bool:
        """Mark `message` done in the caller's transaction. False: its lease is lost."""
        with connection.cursor() as cursor:
            cursor.execute(sql("finish_done"), {"outcomes": json.dumps([_described(message, Done())])})
            return cursor.fetchone() is not None

    def _write_or_tell(self, batch: list[_Finish]) -> None:
        try:
            self._write(batch)
        except DatabaseAway as error:
            for finish in batch:
                finish.error = error
        except Exception as error:
            if len(batch) > 1:  # one of them spoils it for all
                for finish in batch:
                    self._write_or_tell([finish])
                return
            logger.exception("Message %s cannot be finished as it is", batch[0].message.message_id)
            self._bury(batch[0], error)

    def _bury(self, finish: _Finish, error: Exception) -> None:
        finish.outcome = DeadLetter("could not be finished")
        finish.message.stuff_exception(error)
        finish.message.lease.rows.clear()
        try:
            self._write([finish])
        except Exception as second:  # Dramatiq asks again, as it does when the database is away
            finish.error = DatabaseAway(str(second))

    def _write(self, batch: list[_Finish]) -> None:
        batch.sort(key=lambda finish: finish.message.message_id)  # no two writers lock rows in opposite orders
        by_kind: dict[type, list[_Finish]] = {}
        for finish in batch:
            by_kind.setdefault(type(finish.outcome), []).append(finish)
        if list(by_kind) == [Done] and not any(finish.message.lease.rows for finish in batch):
            held = {row[0] for row in self._connections.execute(*_statement(Done, batch))}
        else:
            with self._connections.transaction() as connection:
                held = set()
                for kind, finishes in by_kind.items():
                    held |= {row[0] for row in rows(connection, *_statement(kind, finishes))}
                _send_followers(connection, batch, held)
        for finish in batch:
            self._count(finish, finish.message.message_id in held)

    def _count(self, finish: _Finish, held: bool) -> None:
        if held:
            self._counters[_STATEMENTS[type(finish.outcome)]] += 1
        elif finish.message.finished_by_actor:
            self._counters["finish_done"] += 1
        else:
            self._counters["finish_late"] += 1
            logger.warning(
                "Late finish of %s: its lease was lost, so this run of it changes nothing", finish.message.message_id
            )


def _send_followers(connection: Connection, batch: list[_Finish], held: set[str]) -> None:
    """Insert what hooks sent (callbacks, the next of a pipeline), for those messages whose finish counts."""
    followers: list[str] = []
    for finish in batch:
        if finish.message.message_id in held or finish.message.finished_by_actor:
            followers += finish.message.lease.rows
    if followers:
        rows(connection, sql("send"), {"rows": "[" + ",".join(followers) + "]"})


def _statement(kind: type, finishes: list[_Finish]) -> tuple[str, dict[str, str]]:
    described = [_described(finish.message, finish.outcome) for finish in finishes]
    return sql(_STATEMENTS[kind]), {"outcomes": json.dumps(described)}


def _described(message: LeasedMessage, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"message_id": message.message_id, "lease_token": message.lease.token}
    if isinstance(outcome, Reschedule):
        row |= {"delay_ms": outcome.delay_ms, "options": storable_options(message.options), "error": _error(message)}
    elif isinstance(outcome, DeadLetter):
        error = message._exception
        lines = traceback.format_exception(error, limit=-30) if error is not None else []
        row |= {
            "reason": outcome.reason,
            "error": _error(message),
            "traceback": storable("".join(lines), LONGEST_TRACEBACK) or None,
            "options": storable_options(message.options) if message.actor_name else None,
        }
    return row


def _error(message: LeasedMessage) -> str | None:
    error = message._exception
    if error is None:
        return None
    return storable("".join(traceback.format_exception_only(error)).strip(), LONGEST_ERROR)
