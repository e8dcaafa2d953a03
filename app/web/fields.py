"""Types of request fields, and the organization that a request names."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, StringConstraints

from desk import database, organizations
from desk.errors import NotFound


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError(f"holds a NUL character at position {text.index(chr(0))}, which Postgres cannot store")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Anything that Postgres can store."""

Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), AfterValidator(_storable)
]
"""One to 1,000 characters, without the space around them."""


def organization_id(name: str) -> UUID:
    """The id of the organization called `name`.

    Raises:
        NotFound: there is none. Unlike on the command line the message does not list the others: callers may be theirs.
    """
    with database.transaction() as connection:
        try:
            return organizations.find(connection, name)
        except NotFound:
            raise NotFound(f"There is no organization {name!r}.") from None
