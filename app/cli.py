"""The `atum` command. Exit status: 0 done, 1 failed, 2 misused; an error is one clear line on standard error."""

import sys
from contextlib import suppress

import psycopg2
import typer

from app.commands import evaluate, install, kb, model, notices, organization_settings, queue, sla, tickets
from app.output import errors
from desk import database, log
from desk.errors import DeskError, SettingsError
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
    with suppress(SettingsError):  # the command tells, where it needs them; `--help` does not
        log.configure()  # to standard error: standard output is for data
    try:
        app()
    except (DeskError, PgBrokerError) as error:
        _fail(str(error))
    except database.NO_SCHEMA as error:
        _fail(f"The schema is not complete ({_first_line(error)}). Run `atum init`, or `atum doctor`.")
    except database.LOST as error:
        _fail(f"The database could not go on: {_first_line(error)}. Try again, or see what `atum doctor` says.")
    except (psycopg2.DataError, psycopg2.IntegrityError) as error:
        _fail(f"The database refuses this: {_first_line(error)}.")
    except UnicodeEncodeError as error:
        _fail(f"What was given is not UTF-8: {error.object[:80]!r}.")
    except OSError as error:
        _fail(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
    except KeyboardInterrupt:
        errors.print("atum: interrupted", style="red")
        sys.exit(130)


def _fail(line: str) -> None:
    errors.print(f"atum: {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


def _first_line(error: psycopg2.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
