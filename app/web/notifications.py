"""GET /api/v1/notifications: an agent's inbox; POST …/{id}/read: it was read."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.web.fields import Line, organization_id
from desk import database
from desk.notices.inbox import MOST, USUAL, inbox, mark_read

router = APIRouter(prefix="/api/v1")


@router.get("/notifications")
def notifications(
    org: Line, agent: Line | None = None, unread: bool = False, top: Annotated[int, Query(ge=1, le=MOST)] = USUAL
) -> dict[str, Any]:
    """The newest `top` notifications of an agent of the organization `org`; without `agent`, those about tickets that
    nobody has. `unread`: only those that were not read."""
    with database.transaction(organization := organization_id(org)) as connection:
        found = inbox(connection, organization, agent, unread=unread, limit=top)
    return {"organization": org, "agent": agent, "notifications": found}


@router.post("/notifications/{notification_id}/read")
def read(notification_id: str, org: Line) -> dict[str, Any]:
    """Note that a notification of the organization `org` was read. A second time changes nothing."""
    with database.transaction(organization_id(org)) as connection:
        return mark_read(connection, notification_id)
