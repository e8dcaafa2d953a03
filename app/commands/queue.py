"""`atum stats` and `atum dead`: what is in the queues, and what failed for good."""

from typing import Annotated

import typer

from app.output import AsJson, console, show_json, show_table
from pgbroker import dead_letters
from pgbroker import stats as figures
from pgbroker.connections import Connections

dead = typer.Typer(
    no_args_is_help=True, help="Messages that failed for good: look at them, send them again, discard them."
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Message ids, as `atum dead list` shows them.")]
Actor = Annotated[str | None, typer.Option("--actor", help="All dead letters of this actor.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `atum`."""
    app.command("stats")(stats)
    app.add_typer(dead, name="dead")


def stats(as_json: AsJson = False) -> None:
    """What waits, runs, is done and is dead, per queue and actor, and which worker processes live."""
    by_actor = figures.by_actor(_connections())
    processes = figures.processes(_connections())
    if as_json:
        show_json({"queues": by_actor, "processes": processes})
        return
    show_table("Messages", by_actor)
    show_table("Worker processes", processes)


@dead.command("list")
def list_(
    actor: Actor = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters."""
    found = dead_letters.listed(_connections(), actor=actor, limit=limit)
    if as_json:
        show_json(found)
        return
    show_table("Dead letters", found, columns=("id", "died_at", "actor", "reason", "error", "retries"))


@dead.command()
def show(message_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """One dead letter: its message, its error with traceback, and what happened to it."""
    letter = dead_letters.shown(_connections(), message_id)
    if as_json:
        show_json(letter)
        return
    told = ("id", "actor", "queue", "tenant", "reason", "error", "created_at", "died_at", "deliveries", "retries")
    show_table("Dead letter", [{"field": name.replace("_", " "), "value": letter[name]} for name in told])
    message = letter["message"] if isinstance(letter["message"], dict) else {"args": letter["message"]}
    show_table("Message", [{"args": str(message.get("args")), "kwargs": str(message.get("kwargs"))}])
    show_table("History", letter["history"], columns=("at", "event", "error"))
    if letter["traceback"]:
        console.print(letter["traceback"], markup=False, highlight=False)


@dead.command()
def retry(ids: Ids = None, actor: Actor = None, everything: All = False, as_json: AsJson = False) -> None:
    """Send dead letters again: these, all of an actor, or all. Their retries are counted from zero."""
    _chosen(ids, actor, everything)
    _tell("sent again", dead_letters.retry(_connections(), ids or None, actor=actor), as_json)


@dead.command()
def discard(ids: Ids = None, actor: Actor = None, everything: All = False, as_json: AsJson = False) -> None:
    """Throw dead letters away for good: these, all of an actor, or all."""
    _chosen(ids, actor, everything)
    _tell("discarded", dead_letters.discard(_connections(), ids or None, actor=actor), as_json)


def _chosen(ids: list[str] | None, actor: str | None, everything: bool) -> None:
    if sum((bool(ids), actor is not None, everything)) != 1:
        raise typer.BadParameter("Name either message ids, or --actor NAME, or --all.")


def _tell(what: str, ids: list[str], as_json: bool) -> None:
    if as_json:
        show_json({"ids": ids})
    else:
        console.print(f"{len(ids)} {what}", highlight=False)


def _connections() -> Connections:
    # Only when a command runs: importing the broker reads the settings, and a bad one is for the command to tell.
    from brokers import broker

    return broker.connections
