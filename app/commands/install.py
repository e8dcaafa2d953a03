"""The verbs that stand by themselves: `atum init`, `up`, `demo`, `doctor`."""

import typer

from app.commands.doctor import doctor
from app.commands.init import init
from app.commands.up import up


def register(app: typer.Typer) -> None:
    """Add init, up, demo and doctor to `app`."""
    for verb in (init, up, demo, doctor):
        app.command()(verb)


def demo() -> None:
    """The tour: articles, tickets and SLA clocks through real workers, in under five minutes; nothing stays running."""
    from app.demo import run

    run()
