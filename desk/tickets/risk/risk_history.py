"""Reads what predictions need, and keeps what was learnt from it: per process, organization and calendar.

Nothing of it serves another organization. A fit is used again until enough has changed: more than `CHANGED` of the
closed tickets, or a quarter of a day; and then for at least `REST` times as long as it took, so that fitting costs a
busy desk five per cent of one core at the most. How many tickets are open at the moment is asked anew for each call.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import database
from desk.sql import statement
from desk.tickets import store
from desk.tickets.risk import hazard
from desk.tickets.risk import prediction as risk
from desk.tickets.risk.curves import Curves
from desk.tickets.risk.prediction import Asked, History, Prediction, Spell

NEWEST = 5_000  # closed tickets that count
NEWEST_OPEN = 5_000  # open ones, of each status
CHANGED = 0.02
OLDEST_FIT_SECONDS = 6 * 3_600
REST = 20
KEPT = 64
BATCH = 2_000  # clocks of one transaction

_Key = tuple[UUID, UUID | None]


@dataclass
class _Fitted:
    history: History
    closed_tickets: int
    known_until: datetime
    fitted_at: float
    fresh_until: float


_kept: OrderedDict[_Key, _Fitted] = OrderedDict()
_locks: dict[UUID, Lock] = {}
_guard = Lock()


def of_ticket(organization_id: UUID | str, ticket_id: UUID | str) -> Prediction:
    """The prediction for one ticket, now; without a running clock a prediction that says so.

    Raises:
        NotFound: this organization has no such ticket.
    """
    with database.transaction(organization_id) as connection:
        ticket = store.get(connection, organization_id, ticket_id)
        with connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute(
                statement("desk.tickets.risk", "clock"),
                {"organization_id": ticket.organization_id, "ticket_id": ticket.id},
            )
            clock = cursor.fetchone()
        if clock is None:
            return Prediction(None, "no running clock: none has started")
        if clock["stopped"]:
            return Prediction(None, f"no running clock: it has stopped, {clock['state']}")
        if clock["state"] in ("paused", "paused_breached"):
            return Prediction(None, "no running clock: it is paused")
        history = _history(connection, ticket.organization_id, clock["calendar_version_id"])
        open_tickets = _open_tickets(connection, ticket.organization_id)
    asked = Asked(ticket.priority, ticket.category, clock["elapsed_seconds"], clock["target_seconds"],
                  ticket.assignee, clock["started_at"])  # fmt: skip
    return history.predict([asked], open_tickets)[0]


def of_running_clocks(organization_id: UUID) -> Iterator[list[tuple[UUID, Prediction]]]:
    """Predictions for all running clocks that are not late, in batches, the earliest deadline first."""
    key: dict[str, Any] = {"organization_id": organization_id, "batch": BATCH}
    key |= {"after_due_at": datetime.min.replace(tzinfo=UTC), "after_ticket_id": UUID(int=0)}
    while True:
        with database.transaction(organization_id) as connection:
            with connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(statement("desk.tickets.risk", "running_clocks"), key)
                rows = cursor.fetchall()
            if not rows:
                return
            calendars = {row["calendar_version_id"] for row in rows}
            histories = {calendar: _history(connection, organization_id, calendar) for calendar in calendars}
            open_tickets = _open_tickets(connection, organization_id)
        found: list[tuple[UUID, Prediction]] = []
        for calendar, history in histories.items():
            same = [row for row in rows if row["calendar_version_id"] == calendar]
            asked = [Asked(row["priority"], row["category"], row["elapsed_seconds"], row["target_seconds"],
                           row["assignee"], row["started_at"]) for row in same]  # fmt: skip
            predictions = history.predict(asked, open_tickets)
            found += [(row["ticket_id"], each) for row, each in zip(same, predictions, strict=True)]
        yield found
        key |= {"after_due_at": rows[-1]["due_at"], "after_ticket_id": rows[-1]["ticket_id"]}


def organizations_that_predict(connection: Connection) -> list[UUID]:
    """Those with predictions switched on. In a transaction of no organization."""
    with connection.cursor() as cursor:
        cursor.execute("select organization_id from organizations_that_predict()")
        return [found for (found,) in cursor.fetchall()]


def fit(spells: list[Spell], now: float) -> History:
    """What can be learnt from `spells`, which tell what was known at `now` (seconds since 1970)."""
    times = [spell.seconds for spell in spells if spell.closed]
    if len(times) < risk.LEAST_HISTORY:
        return History(spells, None)
    if len(times) < hazard.LEAST_HISTORY or len(set(times)) < hazard.LEAST_TIMES:
        return History(spells, Curves(spells))
    return History(spells, hazard.Hazard(spells, now))


def _history(connection: Connection, organization_id: UUID, calendar_version_id: UUID | None) -> History:
    key = (organization_id, calendar_version_id)
    with _guard:
        lock = _locks.setdefault(organization_id, Lock())
    with lock:  # several threads with tickets of one organization: one fits, the others wait for it
        known = _kept.get(key)
        if known and (time.monotonic() < known.fresh_until or not _stale(connection, organization_id, known)):
            return known.history
        started = time.monotonic()
        fitted = _fit(connection, organization_id, calendar_version_id)
        now = time.monotonic()
        fitted.fitted_at, fitted.fresh_until = now, now + REST * (now - started) if known else now
        with _guard:
            _kept[key] = fitted
            _kept.move_to_end(key)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return fitted.history


def _stale(connection: Connection, organization_id: UUID, known: _Fitted) -> bool:
    if time.monotonic() - known.fitted_at > OLDEST_FIT_SECONDS:
        return True
    closed, newer, _ = _version(connection, organization_id, known.known_until)
    return max(newer, abs(closed - known.closed_tickets)) > CHANGED * known.closed_tickets


def _fit(connection: Connection, organization_id: UUID, calendar_version_id: UUID | None) -> _Fitted:
    key = {"organization_id": organization_id, "calendar_version_id": calendar_version_id}
    closed, _, newest = _version(connection, organization_id, datetime.max.replace(tzinfo=UTC))
    with connection.cursor() as cursor:
        cursor.execute("select extract(epoch from happening_at())::double precision")
        (now,) = cursor.fetchone()  # type: ignore[misc]  # one row
        cursor.execute(statement("desk.tickets.risk", "spells"), {**key, "newest": NEWEST, "newest_open": NEWEST_OPEN})
        spells = [Spell(*row) for row in cursor.fetchall()]
    return _Fitted(fit(spells, now), closed, newest or datetime.min.replace(tzinfo=UTC), 0.0, 0.0)


def _version(connection: Connection, organization_id: UUID, known_until: datetime) -> tuple[int, int, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.risk", "spells_version"),
            {"organization_id": organization_id, "newest": NEWEST, "known_until": known_until},
        )
        return cursor.fetchone()  # type: ignore[return-value]  # an aggregate has one row


def _open_tickets(connection: Connection, organization_id: UUID) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.risk", "open_tickets"), {"organization_id": organization_id, "most": NEWEST_OPEN}
        )
        return cursor.fetchone()[0]  # type: ignore[index]  # an aggregate has one row
