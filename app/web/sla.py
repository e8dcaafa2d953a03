"""GET /api/v1/sla/urgent and /api/v1/sla/risk: what an agent should look at first, by deadline and by probability."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.web.fields import Line, organization_id
from desk import database
from desk.sla.urgent import MOST, USUAL, urgent
from desk.tickets.risk import forecast

router = APIRouter(prefix="/api/v1")


@router.get("/sla/urgent")
def most_urgent(org: Line, top: Annotated[int, Query(ge=1, le=MOST)] = USUAL) -> dict[str, Any]:
    """The `top` running clocks of the organization `org` that are due first, late ones included, as of this moment."""
    with database.transaction(organization := organization_id(org)) as connection:
        return {"organization": org, "clocks": urgent(connection, organization, top)}


@router.get("/sla/risk")
def most_likely(org: Line, top: Annotated[int, Query(ge=1, le=forecast.MOST)] = forecast.USUAL) -> dict[str, Any]:
    """The `top` running clocks of `org` that are most likely to breach, and how many of all are expected to.

    `low` to `high` holds nine times of ten; a clock without a `sla_risk_score` has a `sla_risk_reason`.
    """
    with database.transaction(organization := organization_id(org)) as connection:
        found = forecast.current(connection, organization)
        clocks = forecast.at_risk(connection, organization, top)
    return {"organization": org, "forecast": asdict(found), "clocks": clocks}
