"""`atum tickets rules`: an organization's own rules of priority, in versions."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.files import text_of
from app.commands.organization import named
from app.output import AsJson, console, show_json, show_table
from desk import database
from desk.tickets.triage import priority_rules, rule_versions

app = typer.Typer(no_args_is_help=True, help="Rules of priority: words, customers, outages, security.")

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]


@app.command("set")
def replace(
    file: Annotated[Path, typer.Argument(help="The rules, JSON.", metavar="FILE")],
    org: Organization,
    as_json: AsJson = False,
) -> None:
    """Make the rules of FILE the newest version, which counts from now on. To go back: `show` and `set` an old one."""
    document = priority_rules.load(text_of(file))
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        version = rule_versions.put(connection, organization_id, document)
    if as_json:
        return show_json({"version": version})
    console.print(f"Version {version} of the rules of {org} is set.", markup=False, highlight=False)


@app.command()
def show(
    org: Organization,
    version: Annotated[
        int | None, typer.Option("--version", help="Default: the newest.", metavar="N", min=1, max=2**31 - 1)
    ] = None,
) -> None:
    """The document of a version, as `set` takes it; {} where nothing was set."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        show_json(rule_versions.shown(connection, organization_id, version))


@app.command("list")
def list_(org: Organization, as_json: AsJson = False) -> None:
    """All versions, the newest first."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = rule_versions.listed(connection, organization_id)
    if as_json:
        return show_json(rows)
    if not rows:
        console.print(f"Nothing is set for {org}: the rules that are shipped count.", markup=False)
        return
    show_table(f"Rules of {org}", rows)
