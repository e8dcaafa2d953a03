"""The organization that --org names; an import makes it where there is none, and says so."""

from typing import Annotated
from uuid import UUID

import typer

from app.output import errors
from desk import database, organizations

CreateOrg = Annotated[
    bool,
    typer.Option(
        "--create-org/--existing-org",
        help="Make the organization where there is none, and say so; or refuse a name that is not there.",
    ),
]


def named(name: str) -> UUID:
    """The id of the organization called `name`. Raises NotFound: there is none; the message lists those that exist."""
    with database.transaction() as connection:
        return organizations.find(connection, name)


def of_import(name: str, create: bool) -> UUID:
    """The id of the organization called `name`.

    Raises:
        NotFound: there is none and `create` is false; the message lists those that exist.
        InvalidInput: no organization can have such a name.
    """
    with database.transaction() as connection:
        if not create:
            return organizations.find(connection, name)
        before = organizations.all_ids(connection)
        organization_id = organizations.find_or_create(connection, name)
    if organization_id not in before:
        errors.print(f"The organization {name!r} is new.", markup=False, highlight=False, soft_wrap=True)
    return organization_id
