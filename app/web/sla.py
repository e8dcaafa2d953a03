"""GET /api/v1/sla/urgent: what an agent should look at first."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.web.fields import Line, organization_id
from desk import database
from desk.sla.urgent import MOST, USUAL, urgent

router = APIRouter(prefix="/api/v1")


@router.get("/sla/urgent")
def most_urgent(org: Line, top: Annotated[int, Query(ge=1, le=MOST)] = USUAL) -> dict[str, Any]:
    """The `top` running clocks of the organization `org` that are due first, late ones included, as of this moment."""
    with database.transaction(organization := organization_id(org)) as connection:
        return {"organization": org, "clocks": urgent(connection, organization, top)}
