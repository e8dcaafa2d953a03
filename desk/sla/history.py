"""Reading what happened to tickets elsewhere: CSV or JSONL of events, ServiceNow's audit log among them.

A ServiceNow log has the columns `number, incident_state, priority, opened_at, sys_updated_at`; its clock starts when
the incident is opened, so New counts as accepted, and every Awaiting … as a pause. Any other file has `ticket, at,
status` and may have `priority` and `reply` (agent or customer), in this desk's words. Instants without a zone are UTC.
Events may come in any order.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from desk.errors import InvalidInput

STATUSES = ("new", "accepted", "assigned", "in_progress", "waiting_customer", "resolved", "closed")
PRIORITIES = ("low", "medium", "high", "urgent")
_SERVICENOW_STATES = {
    "new": "accepted",
    "active": "in_progress",
    "in progress": "in_progress",
    "on hold": "waiting_customer",
    "resolved": "resolved",
    "closed": "closed",
    "canceled": "closed",
}
_SERVICENOW_PRIORITIES = {"1": "urgent", "2": "high", "3": "medium", "4": "low", "5": "low"}


@dataclass
class History:
    """One ticket: its fields as first seen, and its story for `desk.sla.story`."""

    ticket: str
    fields: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Events:
    """The tickets of an event file, in order of appearance, how many rows it had, and what was odd about it."""

    histories: list[History]
    rows: int
    warnings: tuple[str, ...] = ()


def read_events(text: str) -> Events:
    """The tickets of an event file. An event before its incident's opening counts as of the opening, with a warning.

    Raises:
        InvalidInput: one line that names the row and the field.
    """
    rows = list(_rows(text))
    if not rows:
        raise InvalidInput("The event file holds no events.")
    servicenow = "incident_state" in rows[0][1]
    needed = ("number", "incident_state", "opened_at", "sys_updated_at") if servicenow else ("ticket", "at", "status")
    missing = [name for name in needed if name not in rows[0][1]]
    if missing:
        raise InvalidInput(f"The event file has no column {missing[0]!r}; it needs {', '.join(needed)}.")
    found: dict[str, History] = {}
    early: list[int] = []
    for number, row in rows:
        try:
            if not servicenow:
                _event(found, row)
            elif _incident(found, row):
                early.append(number)
        except InvalidInput as error:
            raise InvalidInput(f"row {number}: {error}") from None
    for history in found.values():
        history.events.sort(key=lambda event: event["at"])
    if not early:
        return Events(list(found.values()), len(rows))
    count = "1 event lies" if len(early) == 1 else f"{len(early)} events lie"
    warning = f"{count} before the opening of the incident (row {early[0]}); taken as of the opening."
    return Events(list(found.values()), len(rows), (warning,))


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = text.removeprefix("\ufeff")
    if "\x00" in text:
        raise InvalidInput(f"row {text[: text.index(chr(0))].count(chr(10)) + 1}: it holds a NUL character.")
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidInput(f"row {number} is no JSON: {error}.") from None
            if not isinstance(row, dict):
                raise InvalidInput(f"row {number} is no JSON object.")
            yield number, row
        return
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InvalidInput(f"row {reader.line_num}: it has not as many fields as the first row.")
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidInput(f"row {reader.line_num} is no CSV: {error}.") from None


def _incident(found: dict[str, History], row: Mapping[str, Any]) -> bool:
    """Take one row; whether it lies before its incident was opened."""
    at, opened_at = _instant(row, "sys_updated_at"), _instant(row, "opened_at")
    state = str(row["incident_state"]).strip().lower()
    status = "waiting_customer" if state.startswith("awaiting") else _SERVICENOW_STATES.get(state)
    if status is None:
        raise InvalidInput(f"incident_state: {row['incident_state']!r} is unknown.")
    given = str(row.get("priority") or "").strip()
    priority = _SERVICENOW_PRIORITIES.get(given[:1]) if given else None
    if given and priority is None:
        raise InvalidInput(f"priority: {given!r} is none of 1 to 5.")
    history = found.get(str(row["number"]))
    if history is None:
        fields = {"priority": priority or "medium", "category": row.get("category") or None}
        history = found[str(row["number"])] = History(str(row["number"]), fields)
        history.events.append({"at": opened_at, "status": "accepted"})
    history.events.append({"at": max(at, opened_at), "status": status, **({"priority": priority} if priority else {})})
    return at < opened_at


def _event(found: dict[str, History], row: Mapping[str, Any]) -> None:
    ticket = str(row.get("ticket") or "").strip()
    if not ticket:
        raise InvalidInput("ticket is empty.")
    event: dict[str, Any] = {"at": _instant(row, "at")}
    for name, known in (("status", STATUSES), ("priority", PRIORITIES), ("reply", ("agent", "customer"))):
        value = str(row.get(name) or "").strip()
        if value and value not in known:
            raise InvalidInput(f"{name}: {value!r} is none of {', '.join(known)}.")
        if value:
            event[name] = value
    if len(event) == 1:
        raise InvalidInput("nothing happens in it: status, priority and reply are empty.")
    history = found.get(ticket)
    if history is None:
        tags = row.get("tags") or []
        fields = {name: row.get(name) or None for name in ("category", "language", "requester", "assignee")}
        fields |= {"priority": event.get("priority", "medium"), "tags": tags.split() if isinstance(tags, str) else tags}
        history = found[ticket] = History(ticket, fields)
    history.events.append(event)


def _instant(row: Mapping[str, Any], name: str) -> datetime:
    try:
        at = datetime.fromisoformat(str(row.get(name)).strip())
    except ValueError:
        raise InvalidInput(f"{name}: {row.get(name)!r} is no ISO date.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
