"""`atum notices`: who is told by mail and webhook, what became of each delivery, and a test of the same way."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.files import text_of
from app.commands.organization import named
from app.output import AsJson, console, errors, show_json, show_table
from desk import database
from desk.notices import document, mail, store
from desk.notices.reach import Reach
from desk.notices.wanted import Wanted
from desk.settings import settings

app = typer.Typer(no_args_is_help=True, help="Notices by mail and webhook: who wants which, and what became of them.")

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]


@app.command("set")
def replace(
    file: Annotated[Path, typer.Argument(help="What is wanted, JSON.", metavar="FILE")],
    org: Organization,
    as_json: AsJson = False,
) -> None:
    """Replace all that an organization and its agents want by what FILE says. A webhook without a secret keeps the one
    that is stored under its name."""
    wanted = document.read(document.load(text_of(file)), Reach.read(settings().webhooks_may_reach))
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        store.put(connection, organization_id, wanted)
        now = store.shown(connection, organization_id)
    warnings = _oddities(wanted)
    if as_json:
        return show_json(now | {"warnings": warnings})
    for warning in warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(f"Set for {org}: {len(wanted.agents)} agents, {len(wanted.webhooks)} webhooks.", markup=False)


@app.command()
def show(org: Organization, as_json: AsJson = False) -> None:
    """What an organization and its agents want. Secrets are not shown; `--json` prints a document that `set` takes."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        now = store.shown(connection, organization_id)
    if as_json:
        return show_json(now)
    if not now:
        console.print(f"Nothing is set for {org}: notices are in the inbox alone.", markup=False)
        return
    mails = now["mail"]
    rows = [
        {"what": "mail", "who": "the queue", "to": ", ".join(mails["queue"]), "kinds": mails["kinds"],
         "on": mails["on"]},
        *(
            {"what": "mail", "who": name, "to": agent["address"], "kinds": agent.get("kinds", mails["kinds"]),
             "on": agent["on"] and mails["on"]}
            for name, agent in now["agents"].items()
        ),
        *(
            {"what": "webhook", "who": hook["name"], "to": hook["url"], "kinds": hook["kinds"], "on": hook["on"]}
            for hook in now["webhooks"]
        ),
    ]  # fmt: skip
    show_table(f"Notices of {org} ({now['timezone']})", [row | {"kinds": ", ".join(row["kinds"])} for row in rows])


@app.command("list")
def list_deliveries(
    org: Organization,
    top: Annotated[int, typer.Option(help="How many at the most.", metavar="N", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest deliveries: which way, whether it waits, was sent, is dead or was dropped, and why."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        rows = store.listed(connection, organization_id, top)
    names = ("created_at", "kind", "subject", "channel", "address", "state", "attempts", "reason")
    show_json(rows) if as_json else show_table(f"Deliveries of {org}", rows, names)


@app.command("test")
def send_test(
    org: Organization,
    agent: Annotated[
        str | None, typer.Option(help="The agent who is to get the mail; default: the queue.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Send a notice that says it is a test: to the agent or the queue by mail, and to every webhook that is on."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        notification_id, ways = store.send_test(connection, organization_id, agent)
    if as_json:
        return show_json({"notification_id": str(notification_id), "ways": ways})
    told = f"A worker sends it by {', '.join(ways)}; `atum notices list --org '{org}'` shows what becomes of it."
    console.print(told, markup=False, highlight=False, soft_wrap=True)


def _oddities(wanted: Wanted) -> list[str]:
    """What is allowed, and most likely not meant."""
    found = []
    if wanted.mail_on and settings().smtp_url is None:
        found.append(f"{mail.NO_SERVER} Mails become dead letters until there is one.")
    if wanted.mail_on and wanted.mail_from is None and settings().mail_from is None:
        found.append(f"{mail.NO_SENDER} Mails become dead letters until there is one.")
    if wanted.mail_on and not wanted.queue_addresses:
        found.append("mail.queue is empty: of tickets that nobody has no mail is sent.")
    return found
