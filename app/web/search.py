"""GET /api/v1/search: the articles that answer a question.

Who may call (`app.web.access`) may read internal articles, too: it is a system of the desk's, not its customer. It gets
them only where it asks for them, so that what is shown to customers by default is what they may see.
"""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from app.web.fields import Line, organization_id
from desk import database, kb

router = APIRouter(prefix="/api/v1")

VISIBLE: dict[str, tuple[str, ...]] = {
    "public": ("public",),
    "internal": ("internal",),
    "all": ("public", "internal"),
}


@router.get("/search")
def search(
    org: Line,
    q: Line,
    top: Annotated[int, Query(ge=1, le=20)] = 3,
    visibility: Annotated[Literal["public", "internal", "all"], Query(description="for agents: all")] = "public",
    language: Annotated[Line | None, Query(description="of the article: en, pt-BR")] = None,
    category: Annotated[Line | None, Query(description="of the article")] = None,
) -> dict[str, Any]:
    """The `top` articles of the organization `org` for the question `q`, best first; none if none fits."""
    with database.transaction(organization := organization_id(org)) as connection:
        hits = kb.search(
            connection, organization, q, top=top, visibility=VISIBLE[visibility], language=language, category=category
        )
    return {"organization": org, "question": q, "hits": [asdict(hit) for hit in hits]}
