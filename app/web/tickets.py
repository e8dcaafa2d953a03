"""Tickets: POST /api/v1/tickets makes one, GET …/{id} tells all about it, PATCH …/{id} is what a person changes.

The jobs that a new ticket or a change needs are sent by trigger, in the transaction that stores it; the bell wakes an
idle worker after the commit. GET …/metrics: figures of an organization's tickets per hour, day or week.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app import bell
from app.web.fields import Line, Text, organization_id
from desk import database
from desk.tickets import changing, findings, store
from desk.upkeep import snapshot

router = APIRouter(prefix="/api/v1")

TICKET_QUEUE = "tickets"  # where the triggers of `tickets` send


class NewTicket(BaseModel):
    """What a customer says. `category` is given only where a person has decided it."""

    model_config = ConfigDict(extra="forbid")

    organization: Line
    subject: Line
    body: Text = ""
    requester: Line | None = None
    priority: Literal["low", "medium", "high", "urgent"] = "medium"
    category: Line | None = None
    tags: list[Line] = Field(default_factory=list, max_length=50)
    language: Line | None = None


class Change(BaseModel):
    """What a person changes; what is not named stays. A category, a priority, tags and an intent that are set teach
    triage."""

    model_config = ConfigDict(extra="forbid")

    by: Line
    status: Literal["new", "accepted", "assigned", "in_progress", "waiting_customer", "resolved", "closed"] = "new"
    category: Line | None = None
    priority: Literal["low", "medium", "high", "urgent"] = "medium"
    tags: list[Line] = Field(default_factory=list, max_length=changing.MOST_TAGS)
    intent: Line | None = None
    assignee: Line | None = None


@router.post("/tickets", status_code=201)
def create(ticket: NewTicket) -> dict[str, Any]:
    """Store the ticket and send its jobs: both or neither."""
    with database.transaction(organization := organization_id(ticket.organization)) as connection:
        ticket_id = store.create(
            connection, organization, **ticket.model_dump(exclude={"organization"}, exclude_none=True)
        )
    bell.ring(TICKET_QUEUE)
    return {"id": ticket_id, "organization": ticket.organization, "status": "new"}


@router.get("/tickets/metrics")
def metrics(
    org: Line, bucket: snapshot.Bucket = "hour", last: Annotated[int, Query(ge=1)] = snapshot.USUAL
) -> dict[str, Any]:
    """The `last` buckets of UTC, the newest first. Hours as the hourly job left them; a figure over nothing is null."""
    with database.transaction(organization := organization_id(org)) as connection:
        return {"organization": org, "bucket": bucket, "buckets": snapshot.read(connection, organization, bucket, last)}


@router.get("/tickets/{ticket_id}")
def show(ticket_id: str, org: Line) -> dict[str, Any]:
    """The ticket and all that its jobs found out: triage, suggestions, draft, sentiment, prediction, duplicates.

    For agents: other tickets are named in it.
    """
    with database.transaction(organization := organization_id(org)) as connection:
        return findings.of(connection, organization, ticket_id)


@router.patch("/tickets/{ticket_id}")
def change(ticket_id: str, org: Line, change: Change) -> dict[str, Any]:
    """Make the changes, all or none; the ticket as it is then."""
    given = change.model_dump(include=change.model_fields_set - {"by"})
    with database.transaction(organization := organization_id(org)) as connection:
        ticket = changing.change(connection, organization, ticket_id, given, by=change.by)
    bell.ring(TICKET_QUEUE)
    return {name: value for name, value in vars(ticket).items() if name != "organization_id"}
