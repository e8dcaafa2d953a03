"""`atum tickets categories`: what the organization's categories mean, and which are used no more."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.files import text_of
from app.commands.organization import named
from app.output import AsJson, console, show_json, show_table
from desk import database
from desk.tickets.triage import categories

app = typer.Typer(no_args_is_help=True, help="Categories: describe them, list them, retire one.")

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]


@app.command("list")
def list_(org: Organization, as_json: AsJson = False) -> None:
    """Every category that is described or that a labelled ticket has."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = categories.listed(connection, organization_id)
    if as_json:
        return show_json(rows)
    if not rows:
        console.print(f"{org} has no categories yet: label tickets, or describe some with `set`.", markup=False)
        return
    shown = [row | {"examples": len(row["examples"]), "retired": "yes" if row["retired"] else ""} for row in rows]
    show_table(f"Categories of {org}", shown, ("name", "description", "examples", "tickets", "retired"))


@app.command("set")
def replace(
    file: Annotated[Path, typer.Argument(help="A JSON list of name, description, examples.", metavar="FILE")],
    org: Organization,
    as_json: AsJson = False,
) -> None:
    """Replace an organization's descriptions by those of FILE. Labels of tickets are not touched."""
    given = categories.read(text_of(file))
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        categories.put(connection, organization_id, given)
        rows = categories.listed(connection, organization_id)
    if as_json:
        return show_json(rows)
    console.print(f"{len(given):,} categories of {org} are described.", markup=False, highlight=False)


@app.command()
def retire(
    name: Annotated[str, typer.Argument(help="The category.", metavar="CATEGORY")],
    org: Organization,
    as_json: AsJson = False,
) -> None:
    """Never answer this category again. Tickets that have it keep it, and triage does not learn from them."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        categories.retire(connection, organization_id, name)
        rows = categories.listed(connection, organization_id)
    if as_json:
        return show_json(rows)
    console.print(f"{name} is retired at {org}.", markup=False, highlight=False)
