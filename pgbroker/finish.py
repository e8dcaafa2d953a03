"""Writing what became of messages: one statement per outcome, fenced by the lease's token.

Promises: `finish` returns after the commit. Threads that finish at the same time share one transaction on the
process's one finishing connection: the first writes, whoever comes meanwhile waits, and one of those writes the next
lot. One whose hooks sent a message with a unique_key may have to wait for somebody's open transaction: it takes a
connection of the pool and holds up nobody else. A finish whose lease was lost changes nothing and is counted as late.
What the database refuses to store becomes a dead letter that says so; while the database is away DatabaseAway is raised
and Dramatiq asks again.
"""

import json
import logging
import traceback
from collections.abc import Iterable
from functools import partial
from threading import Lock
from time import monotonic
from typing import Any

import psycopg2
from dramatiq.middleware import SkipMessage
from psycopg2.extensions import connection as Connection

from pgbroker.connections import Connections, Line, rows
from pgbroker.counters import Counters
from pgbroker.encoding import changes_of, storable
from pgbroker.errors import Cancelled, DatabaseAway, MessageRefused, PgBrokerError
from pgbroker.grouping import Group, Item
from pgbroker.joining import run_in
from pgbroker.leased import DeadLetter, Done, LeasedMessage, Release, Reschedule
from pgbroker.results import parameters_of
from pgbroker.sending import rows_json
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
    if isinstance(message._exception, Cancelled):
        return cancelled(message)
    # An exception that nobody decided about: the middleware for it failed itself, or there is none. Never done.
    if retries_are_on and message.lease.retries < MOST_FAILED_HOOKS:
        return Reschedule(15_000 * 2 ** min(message.lease.retries, 8))
    return DeadLetter("rejected")


def cancelled(message: LeasedMessage) -> DeadLetter | Release:
    """The end of a message that `Cancelled` interrupted; one that was hit in place of another starts afresh."""
    return DeadLetter("cancelled") if message.cancel_asked else Release()


class _Finish(Item):
    def __init__(self, message: LeasedMessage, outcome: Outcome) -> None:
        self.message = message
        self.outcome = outcome


class Finisher:
    """Writes outcomes through `connections` and counts them in `counters`."""

    def __init__(self, connections: Connections, counters: Counters) -> None:
        self._connections = connections
        self._line = Line(connections)
        self._counters = counters
        self._counting = Lock()
        self._group: Group[_Finish] = Group(partial(self._write_or_tell, self._line))

    def finish(self, finishes: Iterable[tuple[LeasedMessage, Outcome]]) -> None:
        """Write these outcomes and whatever else waits. Raises DatabaseAway: nothing is lost, finish again."""
        together = []
        for finish in [_Finish(message, outcome) for message, outcome in finishes]:
            if any(row.unique_key is not None for row in finish.message.followers):
                self._write_or_tell(self._connections, [finish])
                if finish.error is not None:
                    raise finish.error
            else:
                together.append(finish)
        if together:
            self._group.submit(together)

    def give_up(self, seconds: float) -> None:
        """End the connection if an answer has not come for so long. For any thread."""
        self._line.give_up(seconds)

    def close(self) -> None:
        """Close the connection. A later finish opens it again."""
        if not self._group.busy:
            self._line.close()

    def finish_in(self, connection: Any, message: LeasedMessage) -> bool:
        """Mark `message` done in the caller's transaction. False: its lease is lost."""
        try:
            return bool(run_in(connection, sql("finish_done"), _done([message], quiet=False)))
        except psycopg2.Error as error:
            raise self._connections.translated(error) from error

    def _write_or_tell(self, through: Line | Connections, batch: list[_Finish]) -> None:
        try:
            try:
                self._write(through, batch)
            except MessageRefused:
                raise
            except PgBrokerError:
                # The connection alone may have been lost, or a prepared plan be out of date. The second attempt has a
                # new connection, and Dramatiq would ask again in 5 seconds only.
                self._write(through, batch)
        except DatabaseAway as error:
            for finish in batch:
                finish.error = error
        except Exception as error:
            if len(batch) > 1:  # one of them spoils it for all
                for finish in batch:
                    self._write_or_tell(through, [finish])
                return
            logger.exception("Message %s cannot be finished as it is", batch[0].message.message_id)
            self._bury(through, batch[0], error)

    def _bury(self, through: Line | Connections, finish: _Finish, error: Exception) -> None:
        finish.outcome = DeadLetter("could not be finished")
        finish.message.stuff_exception(error)
        finish.message.followers.clear()
        try:
            self._write(through, [finish])
        except Exception as second:  # Dramatiq asks again, as it does when the database is away
            finish.error = DatabaseAway(str(second))

    def _write(self, through: Line | Connections, batch: list[_Finish]) -> None:
        began = monotonic()
        batch.sort(key=lambda finish: finish.message.message_id)  # no two writers lock rows in opposite orders
        by_kind: dict[type, list[_Finish]] = {}
        for finish in batch:
            by_kind.setdefault(type(finish.outcome), []).append(finish)
        if list(by_kind) == [Done] and not any(finish.message.followers or finish.message.result for finish in batch):
            done = _done([finish.message for finish in batch], quiet=True)
            held = {row[0] for row in through.execute(sql("finish_done"), done)}
        else:
            with through.transaction() as connection:
                held = set()
                for kind, finishes in by_kind.items():
                    held |= {row[0] for row in rows(connection, sql(_STATEMENTS[kind]), _parameters(kind, finishes))}
                _send_followers(connection, batch, held)
                _store_results(connection, batch, held)
        with self._counting:
            self._counters.observe("finish", monotonic() - began)
            for finish in batch:
                finish.written = True
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
    followers = []
    for finish in batch:
        if finish.message.message_id in held or finish.message.finished_by_actor:
            followers += finish.message.followers
    if followers:
        rows(connection, sql("send"), {"rows": rows_json(followers)})


def _store_results(connection: Connection, batch: list[_Finish], held: set[str]) -> None:
    """Store what actors returned, for those messages whose finish counts."""
    messages = [finish.message for finish in batch if isinstance(finish.outcome, Done)]
    results = [(m.message_id, m.result) for m in messages if m.result and m.message_id in held]
    if results:
        rows(connection, sql("result_store"), parameters_of(results))


def _done(messages: list[LeasedMessage], *, quiet: bool) -> dict[str, Any]:
    return {
        "message_ids": [message.message_id for message in messages],
        "lease_tokens": [message.lease.token for message in messages],
        "quiet": quiet,
    }


def _parameters(kind: type, finishes: list[_Finish]) -> dict[str, Any]:
    if kind is Done:
        return _done([finish.message for finish in finishes], quiet=False)
    return {"outcomes": json.dumps([_described(finish.message, finish.outcome) for finish in finishes])}


def _described(message: LeasedMessage, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"message_id": message.message_id, "lease_token": message.lease.token}
    if isinstance(outcome, Reschedule):
        row |= {"delay_ms": outcome.delay_ms, "changes": changes_of(message._message), "error": _error(message)}
    elif isinstance(outcome, Release):
        row |= {"delay_ms": outcome.delay_ms}
    elif isinstance(outcome, DeadLetter):
        error = message._exception
        lines = traceback.format_exception(error, limit=-30) if error is not None else []
        row |= {
            "reason": outcome.reason,
            "error": _error(message),
            "traceback": storable("".join(lines), LONGEST_TRACEBACK) or None,
            "changes": changes_of(message._message) if message.actor_name else None,
        }
    return row


def _error(message: LeasedMessage) -> str | None:
    error = message._exception
    if error is None:
        return None
    return storable("".join(traceback.format_exception_only(error)).strip(), LONGEST_ERROR)
