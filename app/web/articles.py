"""PUT and DELETE /api/v1/articles/{id}?org=NAME: the knowledge base, as another system keeps it up to date.

The id is the article's id in that system; it may contain slashes. A trigger marks the article for indexing in the same
transaction, so a 200 means that it will be found, and a deleted one is not found from the answer on. An idle worker is
woken after the commit: it is found within a moment.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict

from app import bell
from app.web.fields import Line, Text, organization_id
from desk import database
from desk.kb import articles

router = APIRouter(prefix="/api/v1/articles")

KB_QUEUE = "kb"  # where the trigger of `articles` sends

ExternalId = Annotated[Line, Path(description="the id in the system that the article comes from")]


class Article(BaseModel):
    """What an article says and who may see it."""

    model_config = ConfigDict(extra="forbid")

    title: Line
    body_md: Text
    category: Line | None = None
    lang: Line = "en"
    visibility: Literal["public", "internal"] = "public"
    status: Literal["draft", "published", "archived"] = "published"


@router.put("/{external_id:path}")
def put(external_id: ExternalId, org: Line, article: Article) -> dict[str, Any]:
    """Make the article say this, whether or not it was there."""
    with database.transaction(organization := organization_id(org)) as connection:
        article_id = articles.put(
            connection,
            organization,
            external_id=external_id,
            title=article.title,
            body_md=article.body_md,
            category=article.category,
            language=article.lang,
            visibility=article.visibility,
            status=article.status,
        )
    bell.ring(KB_QUEUE)
    return {"id": article_id, "external_id": external_id}


@router.delete("/{external_id:path}", status_code=204)
def delete(external_id: ExternalId, org: Line) -> Response:
    """Remove the article and everything that search knows of it."""
    with database.transaction(organization := organization_id(org)) as connection:
        articles.delete(connection, organization, external_id)
    bell.ring(KB_QUEUE)
    return Response(status_code=204)
