"""The verbs on queues and messages, as `python -m pgbroker` has them; another typer program may mount them.

Whoever does puts a function that gives the broker's connections into its context: `context.obj = lambda: connections`.
It is called when a verb needs them. This module needs typer.
"""

from datetime import timedelta
from typing import Annotated

import typer

from pgbroker import dead_letters, operate, retention
from pgbroker import stats as figures
from pgbroker.connections import Connections
from pgbroker.output import AsJson, console, errors, show_json, show_table

dead = typer.Typer(
    no_args_is_help=True, help="Messages that failed for good: look at them, send them again, discard them."
)

MOST_DAYS = 36_500

Queue = Annotated[str, typer.Argument(metavar="NAME", help="The queue.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Message ids.")]
DeadIds = Annotated[
    list[str] | None, typer.Argument(metavar="ID…", help="Message ids, as `dead list` shows them.", show_default=False)
]
Actor = Annotated[str | None, typer.Option("--actor", help="All dead letters of this actor.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]


def stats(context: typer.Context, as_json: AsJson = False) -> None:
    """What waits, runs, is done and is dead, per queue and actor, and which worker processes live."""
    by_actor = figures.by_actor(_connections(context))
    processes = figures.processes(_connections(context))
    if as_json:
        show_json({"queues": by_actor, "processes": processes})
        return
    show_table("Messages", by_actor)
    show_table("Worker processes", processes)


def queues(context: typer.Context, as_json: AsJson = False) -> None:
    """Every queue: what waits, is scheduled and runs, how long the oldest waits, since when it is paused."""
    found = figures.queues(_connections(context))
    if as_json:
        show_json(found)
    else:
        show_table("Queues", found)


def pause(context: typer.Context, name: Queue, as_json: AsJson = False) -> None:
    """Let nobody take messages from a queue until it is resumed, whatever is restarted. What runs goes on."""
    _doubt(context, name)
    operate.pause(_connections(context), name)
    _tell_queue(context, name, as_json)


def resume(context: typer.Context, name: Queue, as_json: AsJson = False) -> None:
    """Let workers take messages from a queue again."""
    _doubt(context, name)
    operate.resume(_connections(context), name)
    _tell_queue(context, name, as_json)


def cancel(context: typer.Context, ids: Ids, as_json: AsJson = False) -> None:
    """Cancel messages: one that waits becomes a dead letter, one that runs is interrupted within a second."""
    outcomes = operate.cancel(_connections(context), ids)
    if as_json:
        show_json([{"id": message_id, "outcome": outcome} for message_id, outcome in outcomes.items()])
        return
    for message_id, outcome in outcomes.items():
        console.print(f"{message_id} {outcome}", markup=False, highlight=False)


def prune(
    context: typer.Context,
    finished_days: Annotated[
        int | None, typer.Option(min=0, max=MOST_DAYS, metavar="DAYS", help="Delete finished messages older than this.")
    ] = None,
    dead_days: Annotated[
        int | None, typer.Option(min=0, max=MOST_DAYS, metavar="DAYS", help="Delete dead letters older than this.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete what has been kept long enough, in small batches, while workers work."""
    if finished_days is None and dead_days is None:
        raise typer.BadParameter("Name --finished-days N, or --dead-days N, or both.")
    pruned = retention.prune(
        _connections(context),
        finished_older_than=None if finished_days is None else timedelta(days=finished_days),
        dead_older_than=None if dead_days is None else timedelta(days=dead_days),
    )
    if as_json:
        show_json({"finished": pruned.finished, "dead": pruned.dead})
    else:
        console.print(f"{pruned.finished} finished messages and {pruned.dead} dead letters deleted", highlight=False)


@dead.command("list")
def list_(
    context: typer.Context,
    actor: Actor = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters."""
    found = dead_letters.listed(_connections(context), actor=actor, limit=limit)
    if as_json:
        show_json(found)
        return
    show_table("Dead letters", found, columns=("id", "died_at", "actor", "reason", "error", "retries"))


@dead.command()
def show(
    context: typer.Context, message_id: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False
) -> None:
    """One dead letter: its message, its error with traceback, and what happened to it at each attempt."""
    letter = dead_letters.shown(_connections(context), message_id)
    if as_json:
        show_json(letter)
        return
    told = ("id", "actor", "queue", "tenant", "reason", "error", "created_at", "died_at", "deliveries", "retries")
    show_table("Dead letter", [{"field": name.replace("_", " "), "value": letter[name]} for name in told])
    message = letter["message"] if isinstance(letter["message"], dict) else {"args": letter["message"]}
    show_table("Message", [{"args": str(message.get("args")), "kwargs": str(message.get("kwargs"))}])
    show_table("History", letter["history"], columns=("began_at", "at", "event", "error"))
    if letter["traceback"]:
        console.print(letter["traceback"], markup=False, highlight=False)


@dead.command()
def retry(
    context: typer.Context, ids: DeadIds = None, actor: Actor = None, everything: All = False, as_json: AsJson = False
) -> None:
    """Send dead letters again: these, all of an actor, or all. Their retries are counted from zero."""
    _chosen(ids, actor, everything)
    _tell("sent again", dead_letters.retry(_connections(context), ids or None, actor=actor), as_json)


@dead.command()
def discard(
    context: typer.Context, ids: DeadIds = None, actor: Actor = None, everything: All = False, as_json: AsJson = False
) -> None:
    """Throw dead letters away for good: these, all of an actor, or all."""
    _chosen(ids, actor, everything)
    _tell("discarded", dead_letters.discard(_connections(context), ids or None, actor=actor), as_json)


def _connections(context: typer.Context) -> Connections:
    connections: Connections = context.obj()
    return connections


def _doubt(context: typer.Context, name: str) -> None:
    """Say so where nobody knows this queue: it is most likely misspelt, and may be one that is still to come.

    Raises:
        typer.BadParameter: no queue can have this name.
    """
    if not name.strip():
        raise typer.BadParameter("A queue's name is not empty.", param_hint="NAME")
    known = [row["queue"] for row in figures.queues(_connections(context))]
    if name not in known:
        there = f"There are {', '.join(known)}." if known else "There is none yet."
        errors.print(
            f"Nobody has heard of a queue {name!r} so far. {there}", markup=False, highlight=False, soft_wrap=True
        )


def _tell_queue(context: typer.Context, name: str, as_json: bool) -> None:
    since = operate.paused(_connections(context)).get(name)
    if as_json:
        show_json({"queue": name, "paused_since": since})
    else:
        console.print(f"Queue {name} {'runs' if since is None else 'is paused'}", markup=False, highlight=False)


def _chosen(ids: list[str] | None, actor: str | None, everything: bool) -> None:
    if sum((bool(ids), actor is not None, everything)) != 1:
        raise typer.BadParameter("Name either message ids, or --actor NAME, or --all.")


def _tell(what: str, ids: list[str], as_json: bool) -> None:
    if as_json:
        show_json({"ids": ids})
    else:
        console.print(f"{len(ids)} {what}", highlight=False)
