"""How a command shows what it found, as the broker's commands do, and how far it has come."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from pgbroker.output import AsJson, console, errors, show_json, show_table

__all__ = ["AsJson", "console", "errors", "progress", "show_json", "show_table"]


def progress() -> Progress:
    """A progress bar on standard error, so that standard output stays clean for data."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),  # it names organizations and models
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        disable=not errors.is_terminal,  # in a log it would be empty lines
    )
