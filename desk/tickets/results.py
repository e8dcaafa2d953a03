"""Writes what the ticket jobs found, inside the caller's transaction of the organization.

Promises: a result is written for the revision it was made from, or not at all: each call locks the ticket and compares.
An edit in the meantime has sent another message, which will write its own. Written twice, it stands there once.
"""

from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, execute_values

from desk.errors import DeskError
from desk.sql import statement
from desk.tickets import store
from desk.tickets.duplicates import Duplicate
from desk.tickets.mood.sentiment import Sentiment
from desk.tickets.risk.prediction import Prediction
from desk.tickets.store import Ticket
from desk.tickets.triage.explaining import Explanation
from desk.tickets.triage.triaging import NEIGHBOURS, Triage

LABELS = ("category", "priority", "intent")  # of which evidence may name tickets


class CitationChanged(DeskError):
    """A source changed between the search and the draft that cites it; the job runs again."""


def keep_triage(connection: Connection, ticket: Ticket, found: Triage, model: str) -> bool:
    """Keep a triage and apply it where its outcome says so and the organization still wants that; False where the
    ticket was edited or labelled meanwhile."""
    now = _current(connection, ticket)
    if now is None or now.category_by == "person":
        return False
    if found.outcome == "applied" and not _may_apply(connection, ticket, found):
        found = replace(found, outcome="suggested")
    found = replace(
        found,
        tags=_carried(connection, ticket, found.tags),
        evidence=_as_it_is(connection, ticket, found.evidence),
    )
    values = vars(found) | {"tags": Json(found.tags), "evidence": Json(found.evidence), "model": model}
    _execute(connection, "keep_triage", values, ticket)
    if found.outcome == "applied":
        _execute(connection, "apply_triage", {**values, "tags": [tag["tag"] for tag in found.tags]}, ticket)
        _audit(
            connection, ticket, "triage_applied", {"category": found.category, "confidence": found.category_confidence}
        )
    return True


def keep_suggestions(
    connection: Connection, ticket: Ticket, hits: list[dict[str, Any]], searched_at: datetime | None = None
) -> bool:
    """Replace the ticket's suggestions by these, found at `searched_at` by the database's clock (None: now); an article
    that changed meanwhile is left out. That there are none is kept as well. False where the ticket was edited, or
    searched for again, meanwhile."""
    if _current(connection, ticket) is None:
        return False
    if not _execute(connection, "keep_suggestion_run", {"articles": len(hits), "searched_at": searched_at}, ticket):
        return False
    with connection.cursor() as cursor:
        cursor.execute("delete from suggestions where organization_id = %s and ticket_id = %s", _key(ticket))
        rows = [(*_key(ticket), ticket.revision, position, *hit.values()) for position, hit in enumerate(hits, start=1)]
        if rows:
            execute_values(cursor, statement("desk.tickets", "keep_suggestions"), rows)
    return True


def keep_duplicates(connection: Connection, ticket: Ticket, found: list[Duplicate], looked_at: datetime) -> bool:
    """Replace the tickets that this one may say the same as; False where it was edited meanwhile.

    What another ticket's job has flagged since `looked_at`, by the database's clock, stays: this one may have looked
    before the other was there.
    """
    if _current(connection, ticket) is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            "delete from possible_duplicates"
            " where organization_id = %(organization_id)s and %(ticket_id)s in (ticket_id, of_ticket_id)"
            "   and found_at < %(looked_at)s",
            _named(ticket) | {"looked_at": looked_at},
        )
        rows = [(*_key(ticket), *astuple(one)) for one in sorted(found, key=lambda one: one.ticket_id)]
        if rows:
            execute_values(cursor, statement("desk.tickets", "keep_duplicates"), rows)
    return True


def keep_draft(
    connection: Connection,
    ticket: Ticket,
    body: str | None,
    citations: list[dict[str, Any]],
    *,
    reason: str | None,
    method: str,
) -> bool:
    """Replace the ticket's draft; False where the ticket was edited meanwhile, or drafted from a later reading.

    Raises:
        CitationChanged: an article or a reply that it cites was changed, taken from the public or deleted meanwhile.
    """
    if _current(connection, ticket) is None:
        return False
    values = {
        "body": body,
        "citations": Json(citations),
        "reason": reason,
        "method": method,
        "read_at": ticket.read_at,
    }
    try:
        return _execute(connection, "keep_draft", values, ticket)
    except psycopg2.errors.CheckViolation as error:
        if error.diag.constraint_name != "drafts_citations_exist":
            raise
        raise CitationChanged(f"What the draft for ticket {ticket.id} cites was changed meanwhile: {error}") from error


def keep_explanation(connection: Connection, ticket: Ticket, found: Explanation) -> bool:
    """Keep why triage gives the ticket its category; False where the ticket was edited, or triaged anew, meanwhile."""
    if _current(connection, ticket) is None:
        return False
    with connection.cursor() as cursor:
        values = asdict(found) | _named(ticket) | {"revision": ticket.revision}
        cursor.execute(statement("desk.tickets", "keep_explanation"), values)
        return cursor.rowcount == 1


def keep_sentiment(connection: Connection, ticket: Ticket, found: Sentiment, message_seq: int | None = None) -> bool:
    """Keep a sentiment, read from the customer's message `message_seq` (None: from the ticket's own text); raises the
    ticket to urgent, once in its life, where the organization asks for that. False where the ticket was edited
    meanwhile, or later words were read."""
    now = _current(connection, ticket)
    if now is None:
        return False
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets", "may_escalate"), {"anger": found.anger, **_named(ticket)})
        may = cursor.fetchone() is not None
    escalate = may and now.priority != "urgent" and now.status not in store.CLOSED
    values = asdict(found) | {
        "reasons": Json(found.reasons),
        "escalated": escalate,
        "message_seq": message_seq,
    }
    if not _execute(connection, "keep_sentiment", values, ticket):
        return False  # nor is anybody alarmed by it: that it was escalated would be remembered nowhere
    if escalate:
        with connection.cursor() as cursor:
            cursor.execute(
                "update tickets set priority = 'urgent', priority_by = 'escalation'"
                " where organization_id = %s and id = %s",
                _key(ticket),
            )
        _audit(connection, ticket, "escalated", {"anger": found.anger, "from": now.priority, "reasons": found.reasons})
    return True


def keep_prediction(connection: Connection, organization_id: UUID, ticket_id: UUID, found: Prediction) -> None:
    """Replace the ticket's prediction."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "keep_prediction"),
            {
                "organization_id": organization_id,
                "ticket_id": ticket_id,
                "probability": found.probability,
                "reason": found.reason,
                "basis": Json(found.basis),
            },
        )


def keep_predictions(connection: Connection, organization_id: UUID, found: Sequence[tuple[UUID, Prediction]]) -> int:
    """Replace the predictions of many tickets, those that are gone left out; how many were kept."""
    rows = [
        (organization_id, ticket_id, each.probability, each.reason, Json(each.basis)) for ticket_id, each in found
    ]  # fmt: skip
    with connection.cursor() as cursor:
        kept = execute_values(
            cursor, statement("desk.tickets", "keep_predictions"), rows, page_size=len(rows) or 1, fetch=True
        )
    return len(kept)


def _may_apply(connection: Connection, ticket: Ticket, found: Triage) -> bool:
    """Whether the organization lets triage set categories by itself, as of now: it may have thought better of it while
    the ticket waited or was read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select triage and triage_applies_above <= %s from organization_settings where organization_id = %s",
            (found.category_confidence, ticket.organization_id),
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _carried(connection: Connection, ticket: Ticket, tags: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of `tags` that their tickets carry by a person's choice to this day, with the nearest of these."""
    if not tags:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "carriers"),
            {
                "organization_id": ticket.organization_id,
                "ids": sorted({ticket_id for tag in tags for ticket_id in tag["ticket_ids"]}),
            },
        )
        carried = dict(cursor.fetchall())
    shown = [
        tag | {"ticket_ids": [one for one in tag["ticket_ids"] if tag["tag"] in carried.get(one, [])][:NEIGHBOURS]}
        for tag in tags
    ]
    return [tag for tag in shown if tag["ticket_ids"]]


def _as_it_is(connection: Connection, ticket: Ticket, evidence: dict[str, Any]) -> dict[str, Any]:
    """`evidence` without the tickets that are gone, and with the labels of the others as they are: what was learnt may
    be older than both."""
    named = {
        name: shown
        for name in LABELS
        if isinstance(shown := evidence.get(name), list) and all("ticket_id" in one for one in shown)
    }  # rules give words instead
    ids = sorted({one["ticket_id"] for shown in named.values() for one in shown})
    if not ids:
        return evidence
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "evidence_now"), {"organization_id": ticket.organization_id, "ids": ids}
        )
        now = {ticket_id: dict(zip(LABELS, labels, strict=True)) for ticket_id, *labels in cursor.fetchall()}
    return evidence | {
        name: [one | {name: now[one["ticket_id"]][name]} for one in shown if now.get(one["ticket_id"], {}).get(name)]
        for name, shown in named.items()
    }


def _current(connection: Connection, ticket: Ticket) -> Ticket | None:
    """The ticket as it is now, locked; None where its text is another by now."""
    now = store.get(connection, ticket.organization_id, ticket.id, lock=True)
    return now if now.revision == ticket.revision else None


def _execute(connection: Connection, name: str, values: dict[str, Any], ticket: Ticket) -> bool:
    """Whether a row was written."""
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets", name), {**values, **_named(ticket), "revision": ticket.revision})
        return cursor.rowcount > 0


def _audit(connection: Connection, ticket: Ticket, action: str, detail: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)
               values (%s, 'atum', %s, 'ticket', %s, %s)""",
            (ticket.organization_id, action, str(ticket.id), Json(detail)),
        )


def _key(ticket: Ticket) -> tuple[UUID, UUID]:
    return ticket.organization_id, ticket.id


def _named(ticket: Ticket) -> dict[str, UUID]:
    return {"organization_id": ticket.organization_id, "ticket_id": ticket.id}
