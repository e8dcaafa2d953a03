"""`atum organization settings`: an organization's switches and thresholds, shown and set."""

from typing import Annotated

import typer

from app.commands.organization import named
from app.output import AsJson, show_json, show_table
from desk import database, organization_settings

app = typer.Typer(no_args_is_help=True, help="Organizations: their switches and thresholds.")


@app.callback()
def organization() -> None:
    """Organizations: their switches and thresholds."""


@app.command()
def settings(
    org: Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")],
    pairs: Annotated[list[str] | None, typer.Argument(help="What to set.", metavar="NAME=VALUE")] = None,
    as_json: AsJson = False,
) -> None:
    """Show an organization's settings, after setting those that are given: all, or none where one cannot be used.

    Switches are `on` or `off`, thresholds run from 0 to 1, or `never` where that is a choice.
    """
    values = organization_settings.read(pairs or [])
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        organization_settings.change(connection, organization_id, values)
        now = organization_settings.of(connection, organization_id)
    if as_json:
        return show_json(now)
    rows = [
        {"setting": name, "value": _shown(value), "meaning": organization_settings.SETTINGS[name].meaning}
        for name, value in now.items()
    ]
    show_table(f"Settings of {org}", rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ",".join(value) or "none"
    return "never" if value is None else str(value)
