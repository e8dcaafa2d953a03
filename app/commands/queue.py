"""`atum stats`, `atum dead`, `atum queues` and `atum messages`: the broker's own commands, on the desk's broker."""

import typer

from app.output import AsJson
from pgbroker import commands
from pgbroker.connections import Connections

queues = typer.Typer(help="The queues: what is in them (also without a verb), pause and resume.")
queues.command("list")(commands.queues)
queues.command()(commands.pause)
queues.command()(commands.resume)

messages = typer.Typer(no_args_is_help=True, help="Single messages of the queues.")
messages.command()(commands.cancel)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `atum`."""
    app.command("stats")(stats)
    app.add_typer(commands.dead, name="dead", callback=_on_our_broker)
    app.add_typer(queues, name="queues", callback=_list, invoke_without_command=True)
    app.add_typer(messages, name="messages", callback=_on_our_broker)


def stats(context: typer.Context, as_json: AsJson = False) -> None:
    """What waits, runs, is done and is dead, per queue and actor, and which worker processes live."""
    _on_our_broker(context)
    commands.stats(context, as_json)


def _list(context: typer.Context, as_json: AsJson = False) -> None:
    """The list, where no verb is given."""
    _on_our_broker(context)
    if context.invoked_subcommand is None:
        commands.queues(context, as_json)


def _on_our_broker(context: typer.Context) -> None:
    context.obj = _connections


def _connections() -> Connections:
    # Only when a command runs: importing the broker reads the settings, and a bad one is for the command to tell.
    from brokers import broker

    return broker.connections
