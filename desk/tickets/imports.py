"""Tickets from a file: which are taken, which are refused and why.

Promises: all of a file or none of it, unless the caller skips bad rows; every refusal names its row and field; a file
of some thousand rows takes seconds. A category, tags and an intent that a file gives count as
chosen by a person: triage learns from them.

`read` is pure parsing; `store` writes what it found inside the caller's transaction of the organization.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from desk.errors import InvalidInput
from desk.sql import statement
from desk.tickets import rows, store

FIELDS = (
    "subject", "body", "category", "priority", "status", "created_at", "first_response_at", "resolved_at", "requester",
    "assignee", "language", "tags", "intent",
)  # fmt: skip
INSTANTS = ("created_at", "first_response_at", "resolved_at")
SHORT = ("category", "requester", "assignee", "language", "intent")
SUBJECT_FROM_BODY = 80  # characters


@dataclass(frozen=True)
class Refusal:
    """Why the row that begins on line `row` was not taken."""

    row: int
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}"


@dataclass
class Reading:
    """What a file holds: `tickets` ready to store, `refusals`, and `ignored` columns that mean nothing to us."""

    tickets: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def read(
    path: Path, *, columns: Mapping[str, str] | None = None, limit: int | None = None, status: str = "new"
) -> Reading:
    """The tickets of the CSV or JSONL file at `path`.

    `columns` says which column holds a field where the names differ, e.g. {"subject": "title"}; a file without
    `subject` may call it `text`. `limit` takes the first so many rows. `status` is that of rows which do not name one.
    Instants are ISO 8601; one without a zone is UTC.

    Raises:
        InvalidInput: the file cannot be read, or lacks a column that is needed.
    """
    store.check_choice("status", status, store.STATUSES)
    found, read_rows = rows.read(path)
    source = _sources(path, found, columns or {})
    reading = Reading(ignored=[name for name in found if name not in source.values()])
    now = datetime.now(UTC)
    for row in read_rows[:limit]:
        if row.refused:
            reading.refusals.append(Refusal(row.number, row.refused))
            continue
        values = {name: row.values.get(column, "").strip() for name, column in source.items()}
        try:
            reading.tickets.append(_ticket(values, status, now))
        except InvalidInput as error:
            reading.refusals.append(Refusal(row.number, str(error)))
    return reading


def store_all(connection: Connection, organization_id: UUID, tickets: Sequence[Mapping[str, Any]]) -> int:
    """Store `tickets` as `read` gave them; how many. Their events and messages are written with them."""
    template = "(" + ", ".join(f"%({name})s" for name in ("organization_id", *_COLUMNS)) + ")"
    with connection.cursor() as cursor:
        execute_values(
            cursor,
            statement("desk.tickets", "import"),
            [{"organization_id": organization_id, **ticket} for ticket in tickets],
            template=template,
            page_size=500,
        )
    return len(tickets)


_COLUMNS = (*FIELDS, "category_by", "tags_by", "intent_by")


def _sources(path: Path, found: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Which column of the file each field comes from."""
    for name, column in columns.items():
        if name not in FIELDS:
            raise InvalidInput(f"There is no field {name!r} to fill. There are: {', '.join(FIELDS)}.")
        if column not in found:
            raise InvalidInput(f"{path}: there is no column {column!r}. The file has: {', '.join(found)}.")
    source = {name: columns.get(name, name) for name in FIELDS if columns.get(name, name) in found}
    if "subject" not in source and "text" in found:
        source["subject"] = "text"
    if "subject" not in source and "body" not in source:
        raise InvalidInput(
            f"{path}: the column subject is missing. The file has: {', '.join(found) or 'none'}. "
            "Name the column that holds it with --column subject=NAME."
        )
    return source


def _ticket(values: Mapping[str, str], status: str, now: datetime) -> dict[str, Any]:
    """One ticket from the texts of a row.

    Raises:
        InvalidInput: a field cannot be used; the message names it.
    """
    ticket: dict[str, Any] = dict.fromkeys(_COLUMNS)
    ticket["body"] = values.get("body", "")
    store.check_text("body", ticket["body"], store.LONGEST_BODY)
    ticket["subject"] = values.get("subject", "")
    store.check_text("subject", ticket["subject"], store.LONGEST_SUBJECT)
    if not ticket["subject"]:
        ticket["subject"] = " ".join(ticket["body"][: 4 * SUBJECT_FROM_BODY].split())[:SUBJECT_FROM_BODY].strip()
    if not ticket["subject"]:
        raise InvalidInput("subject is empty" + (" and so is body" if "body" in values else ""))
    for name in SHORT:
        longest = store.LONGEST_NAME if name in ("category", "assignee", "intent") else store.LONGEST_SUBJECT
        store.check_text(name, values.get(name, ""), longest)
        ticket[name] = values.get(name) or None
    ticket["category_by"] = "person" if ticket["category"] else None
    store.check_text("tags", values.get("tags", ""), store.LONGEST_BODY)
    ticket["tags"] = list(dict.fromkeys(filter(None, (tag.strip() for tag in values.get("tags", "").split(",")))))
    ticket["tags_by"] = "person" if ticket["tags"] else None
    ticket["intent_by"] = "person" if ticket["intent"] else None
    ticket["status"] = values.get("status", "").lower() or status
    store.check_choice("status", ticket["status"], store.STATUSES)
    ticket["priority"] = values.get("priority", "").lower() or "medium"
    store.check_choice("priority", ticket["priority"], store.PRIORITIES)
    for name in INSTANTS:
        ticket[name] = _instant(name, values.get(name, ""))
    ticket["created_at"] = ticket["created_at"] or min(
        filter(None, (now, ticket["first_response_at"], ticket["resolved_at"]))
    )
    _check_order(ticket, now)
    return ticket


def _check_order(ticket: dict[str, Any], now: datetime) -> None:
    """A closed ticket without `resolved_at` gets `created_at`: an open time of nothing, which no figure counts."""
    for name in INSTANTS:
        if ticket[name] and ticket[name] > now:
            raise InvalidInput(f"{name} {ticket[name].isoformat()} is in the future")
    for name in ("first_response_at", "resolved_at"):
        if ticket[name] and ticket[name] < ticket["created_at"]:
            raise InvalidInput(f"{name} is before created_at")
    closed = ticket["status"] in store.CLOSED
    if ticket["resolved_at"] and not closed:
        raise InvalidInput(f"resolved_at is given, but status is {ticket['status']}")
    if closed:
        ticket["resolved_at"] = ticket["resolved_at"] or ticket["created_at"]


def _instant(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{name} {text[:40]!r} is no ISO 8601 instant, e.g. 2026-03-02T09:30:00Z") from None
