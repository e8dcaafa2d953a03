"""What is offered: before a ticket is sent (POST /api/v1/suggestions) and for a ticket that is there.

The former is for customers, through the desk's own application, and tells nothing of anybody. The latter is for agents.
"""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from app.web.fields import Line, Text, organization_id
from desk import database
from desk.tickets import similar
from desk.tickets.offers import deflecting, offering

router = APIRouter(prefix="/api/v1")

Name = Annotated[Line, StringConstraints(max_length=offering.LONGEST_NAME)]


class Question(BaseModel):
    """What somebody is about to send as a ticket."""

    model_config = ConfigDict(extra="forbid")

    organization: Line
    subject: Line
    body: Text = ""


class Vote(BaseModel):
    """Whether a suggested article helped, and who says so."""

    model_config = ConfigDict(extra="forbid")

    voter: Name
    helpful: bool
    article_revision: Annotated[int, Field(ge=1, lt=2**31)] | None = None


class Decision(BaseModel):
    """What an agent did with a draft: the one made at `made_at`, as it was read; without that, the one there is."""

    model_config = ConfigDict(extra="forbid")

    agent: Name
    outcome: Literal["used", "edited", "discarded"]
    made_at: AwareDatetime | None = None


@router.post("/suggestions")
def suggest(question: Question) -> dict[str, Any]:
    """Up to three public articles and an answer that ended the same problem. Of the question nothing is stored."""
    found = deflecting.offer(organization_id(question.organization), question.subject, question.body)
    return {"organization": question.organization} | asdict(found)


@router.post("/suggestions/{offer_id}/{event}", status_code=204)
def note(offer_id: str, event: Literal["clicked", "submitted"], org: Line) -> Response:
    """Count that what was offered was clicked, or that a ticket was submitted all the same."""
    with database.transaction(organization := organization_id(org)) as connection:
        deflecting.note(connection, organization, offer_id, event)
    return Response(status_code=204)


@router.get("/tickets/{ticket_id}/similar")
def similar_tickets(ticket_id: str, org: Line, top: Annotated[int, Query(ge=1, le=similar.MOST)] = 5) -> dict[str, Any]:
    """Tickets with the same problem, resolved ones first, with what helped; and possible duplicates among open ones.

    For agents: other customers' words are in it.
    """
    organization = organization_id(org)
    found = similar.to_ticket(organization, ticket_id, top=top)
    with database.transaction(organization) as connection:
        duplicates = similar.flagged(connection, organization, ticket_id)
    return {"ticket_id": ticket_id, "similar": [asdict(one) for one in found], "duplicates": duplicates}


@router.get("/tickets/{ticket_id}/suggestions")
def suggestions(ticket_id: str, org: Line) -> dict[str, Any]:
    """The articles suggested for a ticket, with their votes."""
    with database.transaction(organization := organization_id(org)) as connection:
        return offering.suggestions(connection, organization, ticket_id)


@router.post("/tickets/{ticket_id}/suggestions/{article_id}/votes", status_code=201)
def vote(ticket_id: str, article_id: str, org: Line, vote: Vote) -> dict[str, Any]:
    """Keep whether a suggested article helped. Voting again replaces the vote."""
    with database.transaction(organization := organization_id(org)) as connection:
        revision = offering.vote(connection, organization, ticket_id, article_id, **vote.model_dump())
    return vote.model_dump() | {"article_id": article_id, "article_revision": revision}


@router.get("/tickets/{ticket_id}/draft")
def draft(ticket_id: str, org: Line) -> dict[str, Any]:
    """The draft of a reply with its citations, or the reason why there is none."""
    with database.transaction(organization := organization_id(org)) as connection:
        return offering.draft(connection, organization, ticket_id)


@router.post("/tickets/{ticket_id}/draft/used", status_code=204)
def used(ticket_id: str, org: Line, decision: Decision) -> Response:
    """Keep what an agent did with the draft; 409 where the one they saw has been replaced."""
    with database.transaction(organization := organization_id(org)) as connection:
        offering.decide(connection, organization, ticket_id, **decision.model_dump())
    return Response(status_code=204)
