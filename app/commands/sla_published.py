"""`atum sla calendars` and `atum sla policies`: what an organization has published."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from app.commands.organization import named
from app.output import AsJson, console, show_json, show_table
from desk import database
from desk.sla import published

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]

calendars = typer.Typer(help="The calendars of an organization: without a verb, which there are; delete one.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `atum sla`."""
    app.add_typer(calendars, name="calendars")
    app.command()(policies)


@calendars.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    org: Annotated[str | None, typer.Option("--org", help="The organization's name.", metavar="NAME")] = None,
    as_json: AsJson = False,
) -> None:
    """The calendars of an organization, and how many policies and clocks count by each."""
    if context.invoked_subcommand is not None:
        return
    if org is None:
        raise typer.BadParameter("Name the organization: --org NAME.")
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = published.calendars(connection, organization_id)
    names = ("name", "timezone", "version", "published_at", "policies", "clocks")
    show_json(rows) if as_json else show_table(f"Calendars of {org}", rows, names)


@calendars.command()
def delete(
    name: Annotated[str, typer.Argument(help="The calendar's name.", metavar="NAME")], org: Organization
) -> None:
    """Delete a calendar that no policy and no clock uses."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        published.delete_calendar(connection, organization_id, name)
    console.print(f"Calendar {name!r} of {org} is deleted.", markup=False, highlight=False, soft_wrap=True)


def policies(org: Organization, as_json: AsJson = False) -> None:
    """The policies of an organization in the order in which they are asked, with what each promises."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = published.policies(connection, organization_id)
    show_json(rows) if as_json else show_table(f"Policies of {org}", [_line(row) for row in rows])


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    conditions = "; ".join(f"{field} is {' or '.join(values)}" for field, values in row["conditions"].items())
    order = ("urgent", "high", "medium", "low")
    targets = [
        f"{metric}: " + " · ".join(f"{by[priority] / 60:g}" for priority in order if priority in by)
        for metric, by in row["targets_in_seconds"].items()
    ]
    return {
        "name": row["name"],
        "version": row["version"],
        "position": row["position"],
        "holds for": "retired" if row["retired_at"] else "all others" if row["default"] else conditions or "no ticket",
        "calendar": row["calendar"] or "24×7",
        "minutes, urgent to low": "\n".join(targets),
        "warns at %": "\n".join(" ".join(map(str, values)) or "–" for values in row["thresholds"].values()),
    }
