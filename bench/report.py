"""What came out, as tables for people, as JSON for programs, and as the table in the README."""

import json
import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.row import Figures, Row, Target, median

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass
class Outcome:
    """Everything that one `make bench` found."""

    command: str
    postgres: str
    scale: float
    rows: list[Row]
    figures: dict[str, Figures] = field(default_factory=dict)
    commits_per_second: list[float] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def show(outcome: Outcome, console: Console) -> None:
    """One table for each row, then what was to be reached."""
    for row in outcome.rows:
        console.print(f"\n[bold]{row.title}[/]")
        console.print(_row_table(row, outcome.figures.get(row.name, {})))
        for note in row.notes:
            console.print(f"[dim]{note}[/]")
    console.print("\n[bold]what was to be reached[/] (ratios inside each round)")
    console.print(_target_table(outcome))
    for line in _conditions(outcome):
        console.print(line)
    for name, reason in outcome.absent.items():
        console.print(f"[yellow]without {name}:[/] {reason}")
    for line in outcome.failed:
        console.print(f"[red]failed:[/] {line}")


def as_json(outcome: Outcome) -> str:
    """Every figure of every round."""
    targets = {
        target.text: {
            "measured": target.values(outcome.figures.get(row.name, {})),
            "must": target.must,
            "aim": target.aim,
            "at_most": target.at_most,
        }
        for row in outcome.rows
        for target in row.targets
    }
    return json.dumps(
        {
            "command": outcome.command,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "postgres": outcome.postgres,
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "scale": outcome.scale,
            "commits_per_second": outcome.commits_per_second,
            "rows": outcome.figures,
            "targets": targets,
            "absent": outcome.absent,
            "failed": outcome.failed,
        },
        indent=2,
    )


def write_readme(outcome: Outcome, readme: Path) -> None:
    """Put the table between the two marker comments. Raises ValueError where they are missing."""
    text = readme.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme} must hold the lines {BEGIN} and {END} once each")
    table = "\n".join([BEGIN, *_markdown(outcome), END])
    readme.write_text(re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: table, text, flags=re.DOTALL), "utf-8")


def _row_table(row: Row, figures: Figures) -> Table:
    table = Table()
    table.add_column("contender")
    for measure in row.measures:
        table.add_column(measure.label, justify="right")
    table.add_column(f"× {row.base}", justify="right")
    first = row.measures[0].name
    for who, measured in figures.items():
        cells = []
        for measure in row.measures:
            values = measured.get(measure.name, [])
            cells.append(_cell(values, measure.digits))
        ratios = Target("", (who, first), over=(row.base, first)).values(figures)
        table.add_row(who, *cells, f"{median(ratios):.2f}" if ratios else "–")
    return table


def _target_table(outcome: Outcome) -> Table:
    table = Table()
    table.add_column("target")
    for column in ("measured", "lowest–highest", "must", "aim", ""):
        table.add_column(column, justify="right")
    for row in outcome.rows:
        for target in row.targets:
            values = target.values(outcome.figures.get(row.name, {}))
            sign = "≤" if target.at_most else "≥"
            must, aim = (f"{sign} {value:g}" if value is not None else "" for value in (target.must, target.aim))
            if not values:
                table.add_row(target.text, "not measured", "", must, aim, "")
                continue
            value = median(values)
            verdict = "[green]reached[/]" if target.reached(value) else "[red]missed[/]"
            if target.must is None:
                verdict = ""
            digits = target.digits
            table.add_row(target.text, _number(value, digits), _span(values, digits), must, aim, verdict)
    return table


def _conditions(outcome: Outcome) -> list[str]:
    probes = outcome.commits_per_second
    scaled = [] if outcome.scale == 1 else [f"--scale {outcome.scale:g}: that share of the numbers and seconds named"]
    return [
        *scaled,
        f"{outcome.postgres} with fsync and synchronous_commit on, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; commit probe {_number(median(probes))} single-row commits/s ({_span(probes)})",
    ]


def _markdown(outcome: Outcome) -> list[str]:
    columns = list(dict.fromkeys(who for figures in outcome.figures.values() for who in figures))
    lines = [
        f"| Work | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    for row in outcome.rows:
        figures = outcome.figures.get(row.name, {})
        for measure in row.measures:
            cells = []
            for who in columns:
                values = figures.get(who, {}).get(measure.name, [])
                cells.append(_number(median(values), measure.digits) if values else "")
            if any(cells):
                lines.append(f"| {row.title}: {measure.label} | {' | '.join(cells)} |")
    lines += ["", f"`{outcome.command}`, {datetime.now(UTC):%Y-%m-%d}. {'. '.join(_conditions(outcome))}. Medians."]
    return lines


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    spread = f" [dim]({_span(values, digits)})[/]" if len(values) > 1 else ""
    return _number(median(values), digits) + spread


def _span(values: list[float], digits: int = 0) -> str:
    return f"{_number(min(values), digits)}–{_number(max(values), digits)}"


def as_figures(found: list[dict[str, Any]]) -> Figures:
    """The runs of one row, in the order in which they were made, gathered by contender and measure."""
    figures: Figures = {}
    for run in found:
        for who, measured in run.items():
            for name, value in measured.items():
                figures.setdefault(who, {}).setdefault(name, []).append(value)
    return figures
