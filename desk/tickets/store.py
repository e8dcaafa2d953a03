"""Tickets in the database: one made, one read. Each call works inside the caller's transaction of that organization."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk import organizations
from desk.errors import InvalidInput, NotFound
from desk.sql import statement

STATUSES = ("new", "accepted", "assigned", "in_progress", "waiting_customer", "resolved", "closed")
CLOSED = ("resolved", "closed")
PRIORITIES = ("low", "medium", "high", "urgent")
LONGEST_SUBJECT = 1_000  # characters
LONGEST_NAME = 500  # characters of category, intent and assignee: an index holds them, whatever script they are in
LONGEST_BODY = 1_000_000  # characters


@dataclass(frozen=True)
class Ticket:
    """A ticket as the jobs see it. Instants are aware; `read_at` is when it was read, by the database's clock."""

    id: UUID
    organization_id: UUID
    subject: str
    body: str
    status: str
    priority: str
    category: str | None
    category_by: str | None
    tags: list[str]
    intent: str | None
    language: str | None
    requester: str | None
    assignee: str | None
    revision: int
    created_at: datetime
    read_at: datetime

    @property
    def text(self) -> str:
        """What the customer wrote, subject first."""
        return f"{self.subject}\n\n{self.body}".strip()


def create(
    connection: Connection,
    organization_id: UUID | str,
    *,
    subject: str,
    body: str = "",
    status: str = "new",
    priority: str = "medium",
    category: str | None = None,
    tags: list[str] | None = None,
    language: str | None = None,
    requester: str | None = None,
    assignee: str | None = None,
    created_at: datetime | None = None,
) -> UUID:
    """Make a ticket; its events and the messages of its jobs are written in the same transaction.

    A `category` given here was chosen by a person: triage learns from it.

    Raises:
        InvalidInput: a value cannot be used; the message names the field.
    """
    check_text("subject", subject, LONGEST_SUBJECT)
    if not subject.strip():
        raise InvalidInput("subject must not be empty")
    check_text("body", body, LONGEST_BODY)
    for field, value, longest in (
        ("category", category, LONGEST_NAME),
        ("language", language, LONGEST_SUBJECT),
        ("requester", requester, LONGEST_SUBJECT),
        ("assignee", assignee, LONGEST_NAME),
    ):
        check_text(field, value or "", longest)
    for tag in tags or []:
        check_text("tags", tag, LONGEST_SUBJECT)
    check_choice("status", status, STATUSES)
    check_choice("priority", priority, PRIORITIES)
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "create"),
            {
                "organization_id": organizations.identifier(organization_id, "organization"),
                "subject": subject.strip(),
                "body": body,
                "status": status,
                "priority": priority,
                "category": category or None,
                "tags": tags or [],
                "language": language,
                "requester": requester,
                "assignee": assignee,
                "created_at": created_at,
            },
        )
        return cursor.fetchone()[0]  # type: ignore[index]  # "returning" returns


def get(connection: Connection, organization_id: UUID | str, ticket_id: UUID | str, *, lock: bool = False) -> Ticket:
    """The ticket with this id; with `lock` nobody else changes it before this transaction ends.

    Raises:
        NotFound: this organization has no such ticket.
    """
    key = {
        "organization_id": organizations.identifier(organization_id, "organization"),
        "ticket_id": organizations.identifier(ticket_id, "ticket"),
    }
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.tickets", "get_locked" if lock else "get"), key)
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no ticket with the id {ticket_id} in this organization.")
    return Ticket(**row)


def check_text(field: str, value: str, longest: int) -> None:
    """Raises InvalidInput where Postgres could not store `value` or where it is longer than is sensible."""
    if "\x00" in value:
        raise InvalidInput(f"{field} holds a NUL character")
    check_half_characters(field, value)
    check_length(field, value, longest)


def check_half_characters(field: str, value: str) -> None:
    """Raises InvalidInput where `value` holds a lone surrogate, which neither UTF-8 nor a tokenizer can take."""
    if not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidInput(f"{field} holds half a character (a lone surrogate)")


def check_length(field: str, value: str, longest: int) -> None:
    """Raises InvalidInput where `value` has more than `longest` characters."""
    if len(value) > longest:
        raise InvalidInput(f"{field} has {len(value):,} characters; at most {longest:,} are taken")


def check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises InvalidInput where `value` is none of `choices`."""
    if value not in choices:
        raise InvalidInput(f"{field} {value[:40]!r} is none of {', '.join(choices)}")
