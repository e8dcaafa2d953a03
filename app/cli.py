"""The `atum` command. Exit status: 0 done, 1 failed, 2 misused; an error is one clear line on standard error."""

import sys

import typer

from app.commands import evaluate, install, kb, model, notices, organization_settings, queue, sla, tickets
from app.output import errors
from desk.errors import DeskError
from pgbroker.errors import PgBrokerError

app = typer.Typer(
    name="atum",
    help="A help desk's background system on nothing but Postgres.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
install.register(app)
app.add_typer(kb.app, name="kb")
app.add_typer(tickets.app, name="tickets")
app.add_typer(sla.app, name="sla")
app.add_typer(notices.app, name="notices")
app.add_typer(organization_settings.app, name="organization")
queue.register(app)
app.add_typer(model.app, name="model")
app.add_typer(evaluate.app, name="eval")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except (DeskError, PgBrokerError) as error:
        errors.print(f"atum: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("atum: interrupted", style="red")
        sys.exit(130)
