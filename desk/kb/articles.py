"""Articles as people and other systems write them. A trigger does the rest: it marks them and sends the message.

Promises: an article that says the same as before is not touched; a change, its mark and its message commit together.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from operator import attrgetter
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from desk.errors import InvalidInput, NotFound
from desk.sql import statement

LONGEST_BODY_BYTES = 2_000_000
LONGEST_NAME = 500  # characters of title, external id and category
VISIBILITIES = ("public", "internal")
STATUSES = ("draft", "published", "archived")


@dataclass(frozen=True)
class Article:
    """What an article says and who may see it. Checked when it is made.

    Raises:
        InvalidInput: a field cannot be used; the message begins with its name.
    """

    external_id: str
    title: str
    body_md: str
    category: str | None = None
    language: str = "en"
    visibility: str = "public"
    status: str = "published"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name == "category":
                continue
            if not isinstance(value, str):
                raise InvalidInput(f"{field.name} must be text, not {type(value).__name__}")
            if "\x00" in value:
                raise InvalidInput(f"{field.name} holds a NUL character")
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise InvalidInput(f"{field.name} holds half a surrogate pair")
        for name, value in (("external_id", self.external_id), ("title", self.title), ("category", self.category)):
            if value is not None and len(value) > LONGEST_NAME:
                raise InvalidInput(f"{name} has {len(value)} characters, {LONGEST_NAME} are allowed")
            if value is not None and not value.strip():
                raise InvalidInput(f"{name} is empty")
        size = len(self.body_md.encode())
        if size > LONGEST_BODY_BYTES:
            raise InvalidInput(f"body_md has {size:,} bytes, {LONGEST_BODY_BYTES:,} are allowed")
        if not _is_language(self.language):
            raise InvalidInput(f"language {self.language[:40]!r} is no language tag such as en or pt-BR")
        for name, value, allowed in (
            ("visibility", self.visibility, VISIBILITIES),
            ("status", self.status, STATUSES),
        ):
            if value not in allowed:
                raise InvalidInput(f"{name} is {value[:40]!r}, but must be one of {', '.join(allowed)}")


def put(
    connection: Connection,
    organization_id: UUID | str,
    *,
    external_id: str,
    title: str,
    body_md: str,
    category: str | None = None,
    language: str = "en",
    visibility: str = "public",
    status: str = "published",
) -> UUID:
    """Make the article `external_id` say this, whether or not it was there (or was deleted). Returns its id.

    Raises:
        InvalidInput: a field cannot be used.
    """
    article = Article(external_id, title, body_md, category, language, visibility, status)
    put_all(connection, organization_id, [article])
    with connection.cursor() as cursor:
        cursor.execute(
            "select id from articles where organization_id = %s and external_id = %s", (organization_id, external_id)
        )
        return cursor.fetchone()[0]  # type: ignore[index]  # it was just put


def put_all(connection: Connection, organization_id: UUID | str, articles: Sequence[Article]) -> int:
    """Put many, each `external_id` at most once, in one statement. Returns how many are new or say something new.

    Rows are locked in the order of their `external_id`: who puts the same ones at once waits, and is in nobody's way.
    """
    with connection.cursor() as cursor:
        written = execute_values(
            cursor,
            statement("desk.kb", "put_articles"),
            [(str(organization_id), *astuple(article)) for article in sorted(articles, key=attrgetter("external_id"))],
            page_size=max(len(articles), 1),
            fetch=True,
        )
    return len(written)


def delete(connection: Connection, organization_id: UUID | str, external_id: str) -> None:
    """Take an article out of search, from the commit on. It stays in the table until its organization goes.

    Raises:
        NotFound: there is none of that name, or it is deleted already.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "update articles set deleted_at = now()"
            " where organization_id = %s and external_id = %s and deleted_at is null",
            (organization_id, external_id.replace("\x00", "")),
        )
        if cursor.rowcount == 0:
            raise NotFound(f"There is no article {external_id[:LONGEST_NAME]!r}.")


def _is_language(tag: str) -> bool:
    primary, *rest = tag.split("-")
    return (
        tag.isascii()
        and primary.isalpha()
        and 2 <= len(primary) <= 3
        and all(part.isalnum() and len(part) <= 8 for part in rest)
    )
