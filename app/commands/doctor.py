"""`atum doctor`: check everything, say what to do."""

from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from app.output import AsJson, console, show_json

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(as_json: AsJson = False) -> None:
    """Check everything and say what to do. Exit status 1 where something does not work."""
    from app.doctor import examine

    findings = examine()
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        table = Table(show_header=False, box=None, padding=(0, 1))
        for finding in findings:
            text = finding.found if finding.status == "ok" or not finding.do else f"{finding.found}\n→ {finding.do}"
            table.add_row(Text(finding.status, _STYLES[finding.status]), finding.check, Text(text))
        console.print(table)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)
