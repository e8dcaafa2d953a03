"""GET /api/v1/search: the articles that answer a question."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.web.fields import Line, organization_id
from desk import database, kb

router = APIRouter(prefix="/api/v1")


@router.get("/search")
def search(org: Line, q: Line, top: Annotated[int, Query(ge=1, le=20)] = 3) -> dict[str, Any]:
    """The `top` public articles of the organization `org` for the question `q`, best first; none if none fits."""
    with database.transaction(organization := organization_id(org)) as connection:
        hits = kb.search(connection, organization, q, top=top)
    return {"organization": org, "question": q, "hits": [asdict(hit) for hit in hits]}
