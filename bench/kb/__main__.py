"""`python -m bench.kb [ROW …]`: what the knowledge base costs, with the real model, real worker processes and an
embedded Postgres of its own.

Contenders run in turns within one run; every line is a median, the span behind it, and what it must and should be.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.kb import embedding, freshness, memory, saves, searches
from bench.kb.line import Line
from bench.place import SERVER_OPTIONS
from desk.embedded import EmbeddedServer
from desk.kb import model
from desk.settings import settings

# A row is a module: its first line says what it measures, `measure(server, scale, rounds, progress)` yields the lines.
ROWS: dict[str, ModuleType] = {
    "embedding": embedding,
    "freshness": freshness,
    "saves": saves,
    "memory": memory,
    "search": searches,
}


def main() -> int:
    """Measure and print. 0: all that must be was reached; 1: something was not."""
    arguments = _arguments()
    console = Console(stderr=arguments.json)
    if not console.is_terminal:
        console.width = 120
    lines: dict[str, list[Line]] = {}
    os.environ["ATUM_LOG_LEVEL"] = "WARNING"  # of this process; workers tell what they did
    os.environ["ATUM_EMBED_MODEL_DIR"] = str(model.ensure())  # workers have another ATUM_HOME
    settings.cache_clear()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="atum-bench-", ignore_cleanup_errors=True) as home,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        Path(home).chmod(0o755)  # as root, Postgres runs as another user
        server = EmbeddedServer(Path(home), (*SERVER_OPTIONS, "shared_buffers=512MB", "max_wal_size=4GB"))
        server.attach()
        try:
            for name in arguments.rows:
                lines[name] = list(ROWS[name].measure(server, arguments.scale, arguments.rounds, progress))
        finally:
            server.stop()
            server.detach()
    _show(lines, console)
    if arguments.json:
        found = {row: {line.name: line.data() for line in some} for row, some in lines.items()}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if any(line.verdict == "missed" for some in lines.values() for line in some) else 0


def _arguments() -> argparse.Namespace:
    rows = "\n".join(f"  {name:10} {(module.__doc__ or '').splitlines()[0]}" for name, module in ROWS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench.kb",
        description=__doc__,
        epilog=f"rows:\n{rows}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which to measure (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often contenders take turns (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of chunks and edits")
    parser.add_argument("--json", action="store_true", help="print JSON; the table goes to standard error")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.rows if name not in ROWS]:
        parser.error(f"there is no row {unknown[0]}; there are {', '.join(ROWS)}")
    if arguments.rounds < 1 or arguments.scale <= 0:
        parser.error("--rounds must be 1 or more and --scale above 0")
    arguments.rows = arguments.rows or list(ROWS)
    return arguments


def _show(lines: dict[str, Sequence[Line]], console: Console) -> None:
    table = Table("row", "work", title="the knowledge base")
    for heading in ("measured", "lowest–highest", "must", "aim", ""):
        table.add_column(heading, justify="right")
    colours = {"aim": "green", "must": "yellow", "missed": "red"}
    for row, some in lines.items():
        for line in some:
            sign = "≥" if line.at_least else "≤"
            low, high = (f"{value:,.{line.digits}f}" for value in (min(line.values), max(line.values)))
            bounds = ["" if bound is None else f"{sign} {bound:g}" for bound in (line.must, line.aim)]
            verdict = f"[{colours[line.verdict]}]{line.verdict}[/]" if line.verdict else ""
            measured = f"{line.measured:,.{line.digits}f} {line.unit}"
            table.add_row(row, line.text, measured, f"{low}–{high}", *bounds, verdict)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
