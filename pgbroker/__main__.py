"""`python -m pgbroker`: the queue's command line. Exit status: 0 done, 1 failed, 2 misused; an error is one clear line
on standard error."""

import sys
from typing import Annotated

import psycopg2
import typer

from pgbroker import commands
from pgbroker.connections import Connections
from pgbroker.errors import PgBrokerError
from pgbroker.migrate import migrate as apply_migrations
from pgbroker.output import AsJson, console, errors, show_json

app = typer.Typer(
    help="Dramatiq's messages in Postgres: look at the queues and operate them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def root(
    context: typer.Context,
    url: Annotated[
        str,
        typer.Option(
            "--url",
            envvar="PGBROKER_URL",
            show_default=False,
            help="The database, as `postgresql://…`; a password is safer in the environment. May stand anywhere.",
        ),
    ] = "",
) -> None:
    """Remember where the database is; it is opened when a verb needs it."""
    opened = Connections(url, "Run `python -m pgbroker migrate` on it.")

    def connections() -> Connections:
        if not url:
            raise typer.BadParameter("Name the database: --url postgresql://…, or PGBROKER_URL.")
        return opened

    context.obj = connections
    context.call_on_close(opened.close)


@app.command()
def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Create or upgrade the tables, also those of dramatiq-pg, which keep their messages."""
    connections: Connections = context.obj()
    connection = connections.connect()
    try:
        connection.autocommit = False
        migrated = apply_migrations(connection)
    except psycopg2.Error as error:
        raise connections.translated(error) from error
    finally:
        connection.close()
    if as_json:
        show_json({"applied": migrated.applied})
    else:
        console.print(f"{len(migrated.applied)} steps applied", highlight=False)


for command in (commands.stats, commands.queues, commands.pause, commands.resume, commands.cancel, commands.prune):
    app.command()(command)
app.add_typer(commands.dead, name="dead")


def main() -> None:
    """Entry point of the program."""
    try:
        app(args=_url_first(sys.argv[1:]), prog_name="python -m pgbroker")
    except PgBrokerError as error:
        errors.print(f"pgbroker: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("pgbroker: interrupted", style="red")
        sys.exit(130)


def _url_first(arguments: list[str]) -> list[str]:
    """`stats --url X` as `--url X stats`: people write it at the end."""
    for place, argument in enumerate(arguments):
        length = 2 if argument == "--url" else 1
        if argument == "--url" or argument.startswith("--url="):
            moved = arguments[place : place + length]
            return moved + arguments[:place] + arguments[place + length :]
    return arguments


if __name__ == "__main__":
    main()
