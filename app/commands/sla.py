"""`atum sla`: publish policies, sweep, report, replay what happened elsewhere, explain a deadline."""

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from psycopg2.extensions import connection as Connection

from app.commands import sla_published
from app.commands.files import text_of
from app.commands.organization import named
from app.output import AsJson, console, errors, show_json, show_table
from desk import database, organizations
from desk.errors import InvalidInput, NotFound
from desk.sla import moves, policies
from desk.sla.escalation import listed
from desk.sla.explain import Explanation
from desk.sla.explain import explain as explain_ticket
from desk.sla.history import read_events
from desk.sla.policy import read
from desk.sla.report import BY, columns
from desk.sla.report import report as report_of
from desk.sla.sweep import sweep as sweep_all
from desk.sla.urgent import USUAL
from desk.sla.urgent import urgent as most_urgent
from desk.sla.verdict import Verdict, judge, side_by_side, summary
from desk.tickets.risk import forecast

app = typer.Typer(no_args_is_help=True, help="SLA clocks: deadlines, notices, and what a policy would have made of it.")
sla_published.register(app)


class ApplyTo(StrEnum):
    """Whose clocks follow what is published."""

    new = "new"
    open = "open"


Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]


@app.command()
def publish(
    file: Annotated[Path, typer.Argument(help="A policy document, JSON.", metavar="FILE")],
    org: Organization,
    apply_to: Annotated[
        ApplyTo, typer.Option(help="`open`: move the clocks of open tickets as well; a job does it, see `moves`.")
    ] = ApplyTo.new,
    as_json: AsJson = False,
) -> None:
    """Publish calendars and policies from FILE. What changed becomes a new version; clocks that run keep theirs,
    unless `--apply-to open` says otherwise."""
    document = policies.load(text_of(file))
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        published = policies.publish(connection, organization_id, document)
        move = moves.request(connection, organization_id) if apply_to is ApplyTo.open else None
    if as_json:
        return show_json(asdict(published) | {"move": move})
    _warn(published.warnings)
    rows = [
        {
            "what": what,
            "name": name,
            "version": version,
            "change": "new" if f"{what} {name}" in published.new else "none",
        }
        for what, versions in (("calendar", published.calendars), ("policy", published.policies))
        for name, version in versions.items()
    ]
    show_table(f"Published for {org}", rows)
    if move is not None:
        console.print(
            f"Open tickets are moved by the job move_clocks; `atum sla moves --org '{org}'` shows how far it is.",
            markup=False,
        )


@app.command("moves")
def show_moves(org: Organization, as_json: AsJson = False) -> None:
    """How far the moves of open tickets to newly published policies and calendars have come."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = moves.progress(connection, organization_id)
    show_json(rows) if as_json else show_table(f"Moves of {org}", rows)


@app.command()
def sweep(
    at: Annotated[str | None, typer.Option("--at", help="Sweep as of this ISO instant.", metavar="ISO")] = None,
    as_json: AsJson = False,
) -> None:
    """Record and tell what the clocks of all organizations have crossed, and print the summary line."""
    now = None if at is None else _instant(at, "--at")
    with database.transaction() as connection:
        if now is not None:
            _doubt_future(connection, now)
        found = sweep_all(connection, now)
    if as_json:
        return show_json(asdict(found))
    console.print(str(found), highlight=False, soft_wrap=True)


@app.command()
def report(
    org: Annotated[
        str | None, typer.Option("--org", help="The organization's name; default: all.", metavar="NAME")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Clocks that started at this ISO instant or later.", metavar="ISO")
    ] = None,
    by: Annotated[
        str, typer.Option(help=f"What to tell apart beside the metric: any of {', '.join(BY)}.", metavar="LIST")
    ] = "priority",
    as_json: AsJson = False,
) -> None:
    """The share of promises that were kept, per organization, metric and what --by names.

    `share met` counts business time without pauses, as the clocks do; `share met with pauses` is what it would be if
    waiting for the customer had counted as well.
    """
    start = None if since is None else _instant(since, "--since")
    names = [name.strip() for name in by.split(",") if name.strip()]
    rows = []
    for name in [org] if org else _names():
        organization_id = named(name)
        with database.transaction(organization_id) as connection:
            rows += [{"organization": name} | row for row in report_of(connection, organization_id, start, names)]
    show_json(rows) if as_json else show_table("SLA", rows, ("organization", *columns(names)))


@app.command()
def urgent(
    org: Organization,
    top: Annotated[int, typer.Option(help="How many clocks at the most.", metavar="N")] = USUAL,
    as_json: AsJson = False,
) -> None:
    """The running clocks that are due first, late ones included: minutes to the breach as of this moment."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = most_urgent(connection, organization_id, top)
    names = ("due_at", "time_to_breach_minutes", "business_minutes_left", "metric", "priority", "assignee", "subject")
    show_json(rows) if as_json else show_table(f"Most urgent of {org}", rows, names)


@app.command()
def risk(
    org: Organization,
    top: Annotated[int, typer.Option(help="How many clocks at the most.", metavar="N")] = forecast.USUAL,
    check: Annotated[
        bool, typer.Option("--check", help="Judge the predictions of the last four weeks by what came instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The running clocks that are most likely to breach, and how many of all are expected to.

    A probability is the organization's own: how its comparable tickets went on after as much time as this one has used.
    Without one there is a reason, such as too little history. Predictions are made anew every quarter of an hour.
    """
    organization_id = named(org)
    if check:
        from desk.tickets.risk import risk_check

        with database.transaction(organization_id) as connection:
            figures = asdict(risk_check.check(connection, organization_id))
        if as_json:
            return show_json(figures)
        return show_table(
            f"Predictions of {org}, judged", [{"figure": name, "value": value} for name, value in figures.items()]
        )
    with database.transaction(organization_id) as connection:
        found = forecast.current(connection, organization_id)
        rows = forecast.at_risk(connection, organization_id, top)
    if as_json:
        return show_json({"forecast": asdict(found), "clocks": rows})
    names = ("ticket_id", "subject", "priority", "due_at", "sla_risk_score", "sla_risk_reason")
    show_table(f"Most likely to breach, of {org}", rows, names)
    expected = (
        "Nothing can be said of how many will breach"
        if found.expected is None
        else f"{found.expected:g} of {found.predicted} clocks are expected to breach (nine times of ten "
        f"{found.low} to {found.high})"
    )
    console.print(
        f"{expected}; {found.running - found.predicted} clocks without a probability, {found.late} late already.",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def escalations(
    org: Organization,
    top: Annotated[int, typer.Option(help="How many at the most.", metavar="N", min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest escalation steps: which crossing asked for what, and what became of it."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = listed(connection, organization_id, top)
    show_json(rows) if as_json else show_table(f"Escalations of {org}", rows)


@app.command()
def explain(
    ticket: Annotated[str, typer.Argument(help="The ticket's id.", metavar="TICKET")], as_json: AsJson = False
) -> None:
    """Why a ticket is due when it is: each open, closed and paused stretch of its clocks, with its reason."""
    try:
        ticket_id = UUID(ticket)
    except ValueError:
        raise InvalidInput(f"TICKET: {ticket!r} is no ticket id.") from None
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select ticket_organization(%s)", (ticket_id,))
        (organization_id,) = cursor.fetchone() or (None,)
    if organization_id is None:
        raise NotFound(f"There is no ticket {ticket_id}.")
    with database.transaction(organization_id) as connection:
        found = explain_ticket(connection, ticket_id)
    if as_json:
        return show_json([asdict(explanation) for explanation in found])
    if not found:
        console.print(
            "The ticket has no clock: it is not accepted yet, was done when it came, or no policy matches it."
        )
    for explanation in found:
        _show(explanation)


@app.command()
def replay(
    events: Annotated[Path, typer.Argument(help="CSV or JSONL of ticket events.", metavar="EVENTS")],
    policy: Annotated[Path, typer.Option("--policy", help="A policy document, JSON.", metavar="FILE")],
    against: Annotated[
        Path | None, typer.Option("--against", help="A second policy, to be put beside the first.", metavar="FILE")
    ] = None,
    detail: Annotated[bool, typer.Option("--detail", help="List every clock as well.")] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", help="Judge open tickets as of this instant; default: the last event.", metavar="ISO"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a policy would have met, warned of and breached on events from elsewhere. Needs no database.

    EVENTS: ServiceNow's incident log (number, incident_state, priority, opened_at, sys_updated_at: the clock starts
    when the incident is opened and stands in every Awaiting state), or ticket, at, status and, if known, priority and
    reply (agent or customer). Without replies only the resolution can be judged. `warned` counts the clocks for which
    a warning would have been sent, whatever became of them.
    """
    document = read(policies.load(text_of(policy)))
    found = read_events(text_of(events))
    histories = found.histories
    last = max(event["at"] for history in histories for event in history.events)
    now = last if at is None else _instant(at, "--at")
    judged = judge(histories, document, now)
    rows = summary(judged.verdicts)
    warnings = (*document.warnings, *found.warnings)
    counts = {
        "tickets": len(histories),
        "events": found.rows,
        "without_policy": len(judged.without_policy),
        "without_clock": len(judged.without_clock),
    }
    compared = None
    if against is not None:
        second = read(policies.load(text_of(against)))
        warnings = (*warnings, *second.warnings)
        compared = side_by_side(rows, summary(judge(histories, second, now).verdicts))
    if as_json:
        more = {"clocks": [asdict(verdict) for verdict in judged.verdicts]} if detail else {}
        if compared is not None:
            more["against"] = compared
        return show_json({**counts, "at": now, "summary": rows, "warnings": warnings, **more})
    _warn(warnings)
    if detail:
        show_table("Clocks", [_line(verdict) for verdict in judged.verdicts])
    show_table(f"{counts['tickets']} tickets under {policy.name}, as of {now.isoformat()}", rows)
    if compared is not None and against is not None:
        show_table(f"{policy.name} and, against it, {against.name}", compared)
    if judged.without_policy or judged.without_clock:
        console.print(f"{counts['without_policy']} tickets without a policy, {counts['without_clock']} never accepted.")
    if {row["metric"] for row in rows} == {"resolution"}:
        console.print("Only resolution is judged: the events hold no replies.")


def _line(verdict: Verdict) -> dict[str, Any]:
    return {
        "ticket": verdict.ticket,
        "clock": f"{verdict.metric} {verdict.cycle}",
        "priority": verdict.priority,
        "outcome": verdict.outcome,
        "used_percent": round(100 * verdict.elapsed_seconds / verdict.target_seconds),
        "due": None if verdict.due_at is None else verdict.due_at.strftime("%Y-%m-%d %H:%M"),
    }


def _show(explanation: Explanation) -> None:
    clock = explanation.clock
    due = "no deadline while it stands" if clock["due_at"] is None else f"due {clock['due_at'].isoformat()}"
    console.print(
        f"{clock['metric']} {clock['cycle']}: {clock['state']}, {due}, {clock['percent_used']} % of "
        f"{clock['target_seconds']} s used ({clock['reason']}; {explanation.calendar})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    show_table("Stretches", [asdict(stretch) for stretch in explanation.stretches])
    if explanation.crossings:
        show_table("Crossed", explanation.crossings)


def _names() -> list[str]:
    with database.transaction() as connection:
        return organizations.names(connection)


def _instant(text: str, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name}: {text!r} is no ISO instant such as 2026-12-24T09:00:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _doubt_future(connection: Connection, at: datetime) -> None:
    """Warn where agents are told today that tomorrow's deadline was missed; for a rehearsal that is what is wanted."""
    with connection.cursor() as cursor:
        cursor.execute("select %s > now()", (at,))
        ((is_future,),) = cursor.fetchall()
    if is_future:
        _warn([f"--at {at.isoformat()} is still to come, and what a sweep tells is never taken back."])


def _warn(warnings: Any) -> None:
    for warning in warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
