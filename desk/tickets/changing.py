"""What a person changes about a ticket. The category, priority, tags and intent that a person sets
are labels for triage."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from desk.errors import InvalidInput
from desk.sql import statement
from desk.tickets import store
from desk.tickets.store import Ticket

FIELDS = ("status", "category", "priority", "tags", "intent", "assignee")
MOST_TAGS = 50


def change(
    connection: Connection, organization_id: UUID, ticket_id: UUID | str, changes: Mapping[str, Any], *, by: str
) -> Ticket:
    """Make `changes` (some of `FIELDS`) in the caller's transaction of the organization; the ticket as it is then.

    `by` is who does it, for the audit log. A category, intent or assignee of None is taken away. A category that triage
    set and that is given once more counts as confirmed.

    Raises:
        NotFound: there is no such ticket.
        InvalidInput: a value cannot be used, or there is nothing to change; the message names the field.
    """
    _check(changes, by)
    before = store.get(connection, organization_id, ticket_id, lock=True)
    values = {name: changes.get(name) for name in FIELDS}
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "change"),
            values | {"given": list(changes), "organization_id": organization_id, "ticket_id": before.id},
        )
        after = store.get(connection, organization_id, ticket_id)
        detail = {name: {"from": getattr(before, name), "to": getattr(after, name)} for name in changes}
        cursor.execute(
            """insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)
               values (%s, %s, 'ticket_changed', 'ticket', %s, %s)""",
            (organization_id, by, str(before.id), Json(detail)),
        )
    return after


def _check(changes: Mapping[str, Any], by: str) -> None:
    if not changes:
        raise InvalidInput(f"There is nothing to change; name some of {', '.join(FIELDS)}")
    store.check_text("by", by, store.LONGEST_SUBJECT)
    if not by.strip():
        raise InvalidInput("by must not be empty")
    for name, value in changes.items():
        if name in ("category", "intent", "assignee"):
            if value is not None:
                store.check_text(name, value, store.LONGEST_NAME)
                if value != value.strip() or not value:
                    raise InvalidInput(f"{name} must not be empty, nor begin or end with a space")
        elif name == "tags":
            if value is None or len(value) > MOST_TAGS:
                raise InvalidInput(f"tags must be a list of at most {MOST_TAGS}")
            for tag in value:
                store.check_text("tags", tag, store.LONGEST_SUBJECT)
        elif name in ("status", "priority"):
            choices = store.STATUSES if name == "status" else store.PRIORITIES
            store.check_choice(name, str(value), choices)
        else:
            raise InvalidInput(f"{name[:40]!r} cannot be changed; {', '.join(FIELDS)} can")
