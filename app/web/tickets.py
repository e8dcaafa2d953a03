"""POST /api/v1/tickets: a new ticket. Its jobs are sent by trigger, in the transaction that stores it.

GET /api/v1/tickets/metrics: figures of an organization's tickets per hour, day or week.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.web.fields import Line, Text, organization_id
from desk import database
from desk.tickets import store
from desk.upkeep import snapshot

router = APIRouter(prefix="/api/v1")


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


@router.post("/tickets", status_code=201)
def create(ticket: NewTicket) -> dict[str, Any]:
    """Store the ticket and send its jobs: both or neither."""
    with database.transaction(organization := organization_id(ticket.organization)) as connection:
        ticket_id = store.create(
            connection, organization, **ticket.model_dump(exclude={"organization"}, exclude_none=True)
        )
    return {"id": ticket_id, "organization": ticket.organization, "status": "new"}


@router.get("/tickets/metrics")
def metrics(
    org: Line, bucket: snapshot.Bucket = "hour", last: Annotated[int, Query(ge=1)] = snapshot.USUAL
) -> dict[str, Any]:
    """The `last` buckets of UTC, the newest first. Hours as the hourly job left them; a figure over nothing is null."""
    with database.transaction(organization := organization_id(org)) as connection:
        return {"organization": org, "bucket": bucket, "buckets": snapshot.read(connection, organization, bucket, last)}
