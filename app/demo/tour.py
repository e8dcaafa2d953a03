"""The tour itself, step by step; what it shows is read from the tables, never from what it did."""

import csv
import json
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import as_file, files
from pathlib import Path
from uuid import UUID

from app.demo import look
from app.demo.stage import Stage, atum, stage
from app.output import console, progress, show_table
from app.processes import DIRECTLY
from desk import database, organizations
from desk.errors import DeskError
from desk.sla import policies

ORGANIZATION = "Moorlark"
QUESTION = "why is the fan so loud in the night"
PATIENCE_SECONDS = 180.0
# How far each clock shall be when the next minute ticks: the warning at 75 %, the one at 90 %, the breach.
SHARES_AT_TICK = {"medium": 0.78, "high": 0.92, "urgent": 1.05}
LEAST_LEAD_SECONDS = 40.0


def run() -> None:
    """The whole tour.

    Raises:
        DeskError: something did not come to pass in time, or a message was lost.
    """
    started = time.monotonic()
    console.rule("[bold]ATUM Desk Workers[/bold]")
    console.print(
        "Moorlark, a maker of home batteries, runs its help desk on one Postgres. You will see its articles become\n"
        "searchable, tickets arrive and be triaged, a worker be killed, and SLA clocks tell their notices: about two "
        "minutes.\n"
    )
    with as_file(files("app") / "sample") as sample, stage() as desk:
        console.print(f"Running: 3 worker processes, 1 scheduler, 1 web process at {desk.url}\n", highlight=False)
        _articles(sample)
        _history(sample)
        tick = _clocks()
        _arrivals(desk, sample)
        _notices(tick)
        _ending(desk)
    console.print(
        f"\nStopped everything. It took {time.monotonic() - started:.0f} s. Your own desk: [bold]atum up[/bold]",
        highlight=False,
    )


def _articles(sample: Path) -> None:
    console.rule("1 · A help centre becomes searchable", align="left")
    atum("kb", "import", str(sample / "help-centre"), "--org", ORGANIZATION, "--wait")


def _history(sample: Path) -> None:
    console.rule("2 · Past tickets, from which triage learns", align="left")
    atum("tickets", "import", str(sample / "tickets.csv"), "--org", ORGANIZATION)


def _clocks() -> datetime:
    """Start three clocks whose targets are seconds. Returns the minute tick at which each will be told a notice."""
    console.rule("3 · SLA clocks with targets of seconds, on the real clock", align="left")
    now = datetime.now(UTC)
    tick = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while (tick - now).total_seconds() < LEAST_LEAD_SECONDS:
        tick += timedelta(minutes=1)
    lead_seconds = (tick - now).total_seconds()
    targets = {priority: max(1, round(lead_seconds / share)) for priority, share in SHARES_AT_TICK.items()}
    organization = _organization()
    policy = {
        "name": "Seconds, for the demo",
        "default": True,
        "calendar": None,
        "targets_in": "seconds",
        "targets": {"resolution": targets | {"low": 86_400}},
        "thresholds": [75, 90],
    }
    with database.transaction(organization) as connection:
        policies.publish(connection, organization, policy)
    # The help desk's application accepts three tickets: plain SQL, and the trigger starts the clocks.
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        for priority in targets:
            cursor.execute(
                "insert into tickets (organization_id, subject, priority, status, requester)"
                " values (%s, %s, %s, 'accepted', 'harbour.reach@example.org')",
                (organization, f"Three flats without backup power ({priority})", priority),
            )
    console.print(
        f"Three tickets accepted, to be resolved within {', '.join(f'{seconds} s' for seconds in targets.values())}. "
        f"The scheduler's tick at {tick.astimezone():%H:%M} will find them at 78 %, 92 % and past their target.",
        highlight=False,
    )
    return tick


def _arrivals(desk: Stage, sample: Path) -> None:
    console.rule("4 · Tickets arrive; a worker is killed while it works", align="left")
    organization = _organization()
    with (sample / "arrivals.csv").open(newline="", encoding="utf-8") as file:
        arrivals = list(csv.DictReader(file))
    tickets = [_post(desk, row) for row in arrivals]
    console.print(f"{len(tickets)} tickets posted to {desk.url}/api/v1/tickets, each with four jobs of its own.")
    killed_with = -1
    with progress() as bar:
        total = look.jobs_of(organization)["all"]
        task = bar.add_task("jobs done", total=total)

        def done() -> bool:
            nonlocal killed_with
            jobs = look.jobs_of(organization)
            bar.update(task, completed=jobs["DONE"], total=jobs["all"])
            if killed_with < 0 and jobs["RUNNING"] > 0 and jobs["DONE"] > jobs["all"] // 4:
                desk.processes.kill("jobs")
                killed_with = look.jobs_of(organization)["RUNNING"]
                bar.console.print(
                    f"kill -9 of the ticket worker while {killed_with} jobs ran: they run again elsewhere.",
                    style="yellow",
                )
            return jobs["DONE"] + jobs["DEAD"] == jobs["all"]

        _wait(done, "every job to be done")
    if killed_with < 1:
        raise DeskError("No job was running when the worker was killed; nothing was shown by it.")
    show_table("some of the tickets", look.triaged(organization, tickets))


def _notices(tick: datetime) -> None:
    console.rule("5 · The tick: notices at 75 %, 90 % and at the breach, each told once", align="left")
    organization = _organization()
    before = max(0.0, (tick - datetime.now(UTC)).total_seconds())
    with progress() as bar:
        started = time.monotonic()
        task = bar.add_task(f"until the tick at {tick.astimezone():%H:%M}", total=int(before) or 1)

        def told() -> bool:
            bar.update(task, completed=min(int(before) or 1, int(time.monotonic() - started)))
            return len(look.notices(organization)) >= len(SHARES_AT_TICK)

        _wait(told, "the notices")
    show_table("notices delivered", look.notices(organization))
    show_table("ticket_sla, exact at the moment it is read", look.ticket_sla(organization))


def _ending(desk: Stage) -> None:
    console.rule("6 · What the desk's people look at", align="left")
    organization = _organization()
    # The line of the tick that told the notices: the worker writes it after the commit that we have just seen.
    _wait(lambda: bool(desk.log_lines("SLA Worker Summary")), "the summary line")
    console.print(desk.log_lines("SLA Worker Summary")[-1].strip(), highlight=False, markup=False)
    _wait(lambda: look.unfinished() == 0, "the last jobs")
    console.print(f"\n[dim]=>[/dim] {look.JOB_QUEUE}", highlight=False)
    show_table("job_queue", look.job_queue())
    atum("kb", "search", QUESTION, "--org", ORGANIZATION, "--top", "3")
    dead = look.dead_letters()
    lost = look.jobs_of(organization)["all"] - look.jobs_of(organization)["DONE"]
    console.print(f"\ndead letters: {dead} · jobs lost: {lost}", style="bold green" if dead + lost == 0 else "bold red")
    if dead or lost:
        raise DeskError("The demo should end with no dead letter and nothing lost.")


def _organization() -> UUID:
    with database.transaction() as connection:
        return organizations.find(connection, ORGANIZATION)


def _post(desk: Stage, row: dict[str, str]) -> str:
    body = {"organization": ORGANIZATION, **{name: row[name] for name in ("subject", "body", "requester")}}
    request = urllib.request.Request(  # noqa: S310  our own process on loopback
        f"{desk.url}/api/v1/tickets", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with DIRECTLY.open(request, timeout=30) as answer:
        return str(json.load(answer)["id"])


def _wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not until():
        if time.monotonic() > deadline:
            raise DeskError(f"Waited {PATIENCE_SECONDS:g} s for {what}, in vain.")
        time.sleep(0.1)
