"""`atum tickets`: tickets from a file into the desk, those that are alike, figures of all."""

from dataclasses import asdict
from datetime import UTC
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from app import bell
from app.commands import categories, rules, ticket_show, triage
from app.commands.organization import CreateOrg, named, of_import
from app.output import AsJson, console, errors, progress, show_json, show_table
from desk import database
from desk.errors import InvalidInput, ModelUnavailable
from desk.tickets import imports, similar, vectors
from desk.tickets.triage.examples import NEWEST
from desk.upkeep import snapshot
from desk.upkeep.snapshot import USUAL

SHOWN_REFUSALS = 20


class Buckets(StrEnum):
    """Over how long figures are taken together."""

    hour = "hour"
    day = "day"
    week = "week"


app = typer.Typer(no_args_is_help=True, help="Tickets: import them, and read what the jobs found out about them.")
ticket_show.register(app)


@app.callback()
def tickets() -> None:
    """Tickets: import them, and read what the jobs found out about them."""


triage.register(app)
app.add_typer(categories.app, name="categories")
app.add_typer(rules.app, name="rules")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, TSV or JSONL with a header or names.", metavar="FILE")],
    org: Annotated[str, typer.Option("--org", help="Name of the organization that the tickets belong to.")],
    create_org: CreateOrg = True,
    column: Annotated[
        list[str] | None, typer.Option("--column", help="Which column holds a field: FIELD=COLUMN. Repeat.")
    ] = None,
    status: Annotated[str, typer.Option("--status", help="Status of rows that do not name one.")] = "new",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first so many rows.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good rows of a file with bad ones.")] = False,
    no_embed: Annotated[
        bool, typer.Option("--no-embed", help="Leave the embedding of labelled tickets to the worker.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take tickets from FILE: `subject,body[,category,priority,status,created_at,first_response_at,resolved_at,…]`.

    More fields: `requester,assignee,language,tags,intent` (tags separated by commas). A file without `subject` may call
    it `text`. Instants are ISO 8601, in UTC where they name no zone. A `category`, `tags` and an `intent` count as
    chosen by a person: triage learns from them. A new ticket sends its jobs; `--status closed` takes history that
    starts none.

    All rows are taken or none, unless `--skip-bad`; each refused row is named with its reason.
    """
    reading = imports.read(file, columns=_mapping(column or []), limit=limit, status=status)
    if reading.refusals and not skip_bad:
        _show_refusals(reading)
        raise InvalidInput(
            f"{file}: nothing was imported, {len(reading.refusals):,} of "
            f"{len(reading.refusals) + len(reading.tickets):,} rows are bad. Correct them, or add --skip-bad."
        )
    organization_id = of_import(org, create_org)
    taken = 0
    with progress() as bar, database.transaction(organization_id) as connection:
        task = bar.add_task("tickets", total=len(reading.tickets))
        for start in range(0, len(reading.tickets), 1_000):
            taken += imports.store_all(connection, organization_id, reading.tickets[start : start + 1_000])
            bar.update(task, completed=taken)
    if taken:
        bell.ring("tickets")
    embedded = None if no_embed else _embed(organization_id)
    if as_json:
        refused = [{"row": refusal.row, "reason": refusal.reason} for refusal in reading.refusals]
        show_json({"taken": taken, "refused": refused, "embedded": embedded, "ignored_columns": reading.ignored})
        return
    _show_refusals(reading)
    if reading.ignored:
        errors.print(f"columns without a meaning here: {', '.join(reading.ignored)}", markup=False, highlight=False)
    console.print(f"{taken:,} tickets taken, {len(reading.refusals):,} rows refused.", highlight=False)


@app.command("similar")
def similar_(
    problem: Annotated[str, typer.Argument(help="A ticket's id, or the problem in any words.")],
    org: Annotated[str, typer.Option("--org", help="The organization's name.")],
    top: Annotated[int, typer.Option(min=1, max=similar.MOST, help="How many tickets at the most.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Tickets with the same problem, resolved ones first, with the answer that ended each."""
    organization = named(org)
    duplicates = []
    try:
        ticket = UUID(problem)
    except ValueError:
        found = similar.to_text(organization, problem, top=top)
    else:
        found = similar.to_ticket(organization, ticket, top=top)
        with database.transaction(organization) as connection:
            duplicates = similar.flagged(connection, organization, ticket)
    if as_json:
        flagged = {one["ticket_id"] for one in duplicates}
        show_json([asdict(one) | {"possible_duplicate": one.ticket_id in flagged} for one in found])
        return
    for one in duplicates:
        console.print(ticket_show.duplicate_line(one), highlight=False, soft_wrap=True)
    if not found:
        console.print("No ticket with a similar problem.")
    for place, near in enumerate(found, start=1):
        console.print(
            f"[bold]{place}. {escape(near.subject)}[/] [dim]{near.ticket_id} {near.status} {near.similarity:.2f}[/]"
        )
        if near.resolution:
            console.print(f"   {escape(' '.join(near.resolution.split())[:300])}\n", highlight=False)


@app.command()
def metrics(
    org: Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")],
    bucket: Annotated[
        Buckets, typer.Option(help="hour: as kept by the hourly job; day, week: worked out now.")
    ] = Buckets.hour,
    last: Annotated[
        int, typer.Option(help="How many, the newest first; the newest has not ended.", metavar="N")
    ] = USUAL,
    as_json: AsJson = False,
) -> None:
    """Figures of the tickets per hour, day or week of UTC: what came, how fast it was answered and solved, targets met.

    A figure over nothing is null. --json has more: tickets by status and priority, load of each agent, targets by
    metric.
    """
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = snapshot.read(connection, organization_id, bucket.value, last)
    if as_json:
        show_json(rows)
        return
    names = {
        "created": "created", "resolutions": "resolved", "first_response_seconds_p50": "answered p50",
        "first_response_seconds_p95": "p95", "resolution_seconds_p50": "resolved p50",
        "resolution_seconds_p95": "p95 ", "sla_compliance": "targets met",
    }  # fmt: skip
    shown_rows = [
        {f"{bucket.value} (UTC)": f"{row['bucket_start'].astimezone(UTC):%Y-%m-%d %H:%M}"}
        | {"open": _sum(row["open_by_priority"])}
        | {shown: row[name] for name, shown in names.items()}
        for row in rows
    ]
    show_table(f"Tickets of {org}, seconds", shown_rows)


def _sum(counts: dict[str, int] | None) -> int | None:
    return sum(counts.values()) if counts else None


def _embed(organization_id: UUID) -> int | None:
    """How many vectors were made; None where there is no model: the tickets are in, and a worker will make them."""
    with progress() as bar:
        task = bar.add_task("labelled tickets embedded", total=None)
        try:
            return vectors.embed_missing(
                organization_id,
                newest=NEWEST,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        except ModelUnavailable as error:
            errors.print(f"the labelled tickets wait for a model: {error}", style="yellow", markup=False)
            return None


def _mapping(columns: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in columns:
        field, separator, name = pair.partition("=")
        if not separator or not field or not name:
            raise InvalidInput(f"--column wants FIELD=COLUMN, not {pair!r}.")
        mapping[field.strip()] = name.strip()
    return mapping


def _show_refusals(reading: imports.Reading) -> None:
    for refusal in reading.refusals[:SHOWN_REFUSALS]:
        errors.print(str(refusal), style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(reading.refusals) > SHOWN_REFUSALS:
        errors.print(f"… and {len(reading.refusals) - SHOWN_REFUSALS:,} more", style="yellow")
