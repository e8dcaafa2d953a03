"""`atum eval`: how good are search, triage, risk and sentiment on data of your own."""

import typer

from app.commands import evaluate_search, evaluate_tickets

app = typer.Typer(no_args_is_help=True, help="Measure quality on your own data; needs no server of yours.")
evaluate_search.register(app)
evaluate_tickets.register(app)
