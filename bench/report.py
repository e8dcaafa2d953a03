"""What came out, as tables for people, as JSON for programs, and as the table in the README."""

import json
import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.contenders import CONTENDERS
from bench.row import Rounds, Row, Target, column, everyone, median

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
_MARKED = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


@dataclass
class Outcome:
    """Everything that one `make bench` found."""

    command: str
    postgres: str
    scale: float
    rows: list[Row]
    rounds: dict[str, Rounds] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    commits_per_second: list[float] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


def show(outcome: Outcome, console: Console) -> None:
    """One table for each row, then what was to be reached."""
    for row in outcome.rows:
        console.print(f"\n[bold]{row.title}[/]")
        console.print(_row_table(row, outcome.rounds[row.name]))
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
            "measured": target.values(outcome.rounds[row.name]),
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
            "rows": {
                name: {who: _measured(rounds, who) for who in everyone(rounds)}
                for name, rounds in outcome.rounds.items()
            },
            "seconds": outcome.seconds,
            "targets": targets,
            "absent": outcome.absent,
            "failed": outcome.failed,
        },
        indent=2,
    )


def check_readme(readme: Path) -> None:
    """Raise ValueError where the table has no place in the README."""
    if len(_MARKED.findall(readme.read_text("utf-8"))) != 1:
        raise ValueError(f"{readme.name} must hold the line {BEGIN} and after it {END}, once")


def write_readme(outcome: Outcome, readme: Path) -> None:
    """Put the table between the two marker comments. Raises ValueError where they are missing."""
    check_readme(readme)
    table = "\n".join([BEGIN, *_markdown(outcome), END])
    readme.write_text(_MARKED.sub(lambda _: table, readme.read_text("utf-8")), "utf-8")


def _row_table(row: Row, rounds: Rounds) -> Table:
    table = Table()
    table.add_column("contender")
    for measure in row.measures:
        table.add_column(measure.label, justify="right")
    table.add_column(f"× {row.base}", justify="right")
    first = row.measures[0].name
    for who in everyone(rounds):
        cells = [_cell(column(rounds, who, measure.name), measure.digits) for measure in row.measures]
        ratios = Target("", (who, first), over=(row.base, first)).values(rounds)
        table.add_row(who, *cells, f"{median(ratios):.2f}" if ratios else "–")
    return table


def _target_table(outcome: Outcome) -> Table:
    table = Table()
    table.add_column("target")
    for label in ("measured", "lowest–highest", "must", "aim", ""):
        table.add_column(label, justify="right")
    for row in outcome.rows:
        for target in row.targets:
            values = target.values(outcome.rounds[row.name])
            must, aim = _goals(target)
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
    probes = outcome.commits_per_second or [0.0]
    scaled = [] if outcome.scale == 1 else [f"--scale {outcome.scale:g}: that share of the numbers and seconds named"]
    return [
        *scaled,
        f"{outcome.postgres} with fsync and synchronous_commit on, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; commit probe {_number(median(probes))} single-row commits/s ({_span(probes)})",
    ]


def _markdown(outcome: Outcome) -> list[str]:
    """Every contender's medians, then what ours was to reach."""
    met = {who for rounds in outcome.rounds.values() for who in everyone(rounds)}
    contenders = [name for name in CONTENDERS if name in met]
    lines = [f"| Work | {' | '.join(contenders)} |", f"|---|{'---:|' * len(contenders)}"]
    for row in outcome.rows:
        for measure in row.measures:
            columns = [column(outcome.rounds[row.name], who, measure.name) for who in contenders]
            if any(columns):
                cells = [_number(median(values), measure.digits) if values else "" for values in columns]
                lines.append(f"| {row.title}: {measure.label} | {' | '.join(cells)} |")
    lines += ["", "| Ours | measured | lowest–highest | must | aim |", "|---|---:|---:|---:|---:|"]
    for row in outcome.rows:
        for target in row.targets:
            values = target.values(outcome.rounds[row.name])
            if values:
                measured, span = _number(median(values), target.digits), _span(values, target.digits)
                must, aim = _goals(target)
                lines.append(f"| {target.text} | {measured} | {span} | {must} | {aim} |")
    lines += ["", f"`{outcome.command}`, {datetime.now(UTC):%Y-%m-%d}. {'. '.join(_conditions(outcome))}. Medians."]
    return lines


def _goals(target: Target) -> tuple[str, str]:
    sign = "≤" if target.at_most else "≥"
    must, aim = (f"{sign} {value:g}" if value is not None else "" for value in (target.must, target.aim))
    return must, aim


def _measured(rounds: Rounds, who: str) -> dict[str, list[float]]:
    names = dict.fromkeys(name for one in rounds for name in one.get(who, {}))
    return {name: column(rounds, who, name) for name in names}


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}"


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return "–"
    spread = f" [dim]({_span(values, digits)})[/]" if len(values) > 1 else ""
    return _number(median(values), digits) + spread


def _span(values: list[float], digits: int = 0) -> str:
    return f"{_number(min(values), digits)}–{_number(max(values), digits)}"
