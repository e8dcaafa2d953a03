"""POST /api/v1/tickets: a new ticket. Its jobs are sent by trigger, in the transaction that stores it."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.web.fields import Line, Text, organization_id
from desk import database
from desk.tickets import store

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
