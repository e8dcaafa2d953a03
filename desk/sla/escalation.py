"""Taking an escalation step: once, with its audit row, in the transaction that finishes its message."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.errors import NotFound
from desk.sql import statement

PRIORITIES = ("low", "medium", "high", "urgent")  # ascending


@dataclass(frozen=True)
class Taken:
    """What became of a step. `outcome`: done or skipped, with the `reason`; `again`: it had been taken before."""

    act: str
    value: Any
    outcome: str
    reason: str | None
    again: bool = False


def take(connection: Connection, ticket_id: UUID | str, metric: str, cycle: int, threshold: int, place: int) -> Taken:
    """Take one step, in the caller's transaction of its organization. A step that makes no sense any more is skipped.

    Raises:
        NotFound: no such step was wanted; its ticket may have been deleted.
        psycopg2.errors.RaiseException: it names an actor that no worker ever declared.
    """
    key = {"ticket_id": ticket_id, "metric": metric, "cycle": cycle, "threshold": threshold, "place": place}
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.sla", "escalation"), key)
        step = cursor.fetchone()
        if step is None:
            raise NotFound(f"No escalation step {place} is wanted for ticket {ticket_id}; it may have been deleted.")
        if step["outcome"] is not None:
            return Taken(step["act"], step["value"], step["outcome"], step["reason"], again=True)
        reason = why_not(step["act"], step["value"], step)
        if reason is None:
            cursor.execute(statement("desk.sla", f"escalate_{step['act']}"), key | {"value": _plain(step["value"])})
        taken = Taken(step["act"], step["value"], "done" if reason is None else "skipped", reason)
        cursor.execute(
            statement("desk.sla", "escalated"),
            key
            | {"outcome": taken.outcome, "reason": reason, "action": f"sla_{taken.act}"}
            | {"detail": Json({**key, "ticket_id": str(ticket_id), "value": taken.value, "reason": reason})},
        )
    return taken


def why_not(act: str, value: Any, ticket: dict[str, Any]) -> str | None:
    """Why a step makes no sense for a ticket as it is now; None where it does. Pure."""
    if ticket["status"] in ("resolved", "closed"):
        return f"the ticket is {ticket['status']}"
    if act == "raise_priority" and PRIORITIES.index(ticket["priority"]) >= PRIORITIES.index(value):
        return f"its priority is {ticket['priority']} already"
    if act == "assign" and ticket["assignee"] == value:
        return f"it is {value}'s already"
    return None


def listed(connection: Connection, organization_id: UUID | str, limit: int = 50) -> list[dict[str, Any]]:
    """The newest steps that were wanted: when, for which ticket and crossing, what, and what became of it."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.sla", "escalations"), {"organization_id": organization_id, "limit": limit})
        return [dict(row) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    return value if isinstance(value, list) else str(value)
