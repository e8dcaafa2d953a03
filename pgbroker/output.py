"""How a command shows what it found: a table for people, one JSON document with `--json`. Needs typer, which brings
rich."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

PIPED_COLUMNS = 120  # where no terminal says how wide it is

_CONTROLS = dict.fromkeys([*range(0x0A), *range(0x0B, 0x20), *range(0x7F, 0xA0)])  # all but the end of a line


class PlainConsole(Console):
    """A console that shows what others wrote and never does what it says: an escape sequence in a ticket's subject
    would reach the terminal of whoever lists it. Colours and the cursor are rich's own, and stay."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich makes of `renderable`, without control characters, which it counts as of no width."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(segment.text.translate(_CONTROLS), segment.style)


console = PlainConsole(width=None if sys.stdout.isatty() else PIPED_COLUMNS)
errors = PlainConsole(stderr=True, width=None if sys.stderr.isatty() else PIPED_COLUMNS)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def show_json(data: Any) -> None:
    """`data` on standard output, as one JSON document."""
    sys.stdout.write(json.dumps(data, default=_plain, ensure_ascii=False, indent=2) + "\n")


def show_table(title: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """`rows` as a table; `columns` default to the keys of the first row. Says so when there is none.

    What is in it is shown as it is: customers' subjects and errors may hold what rich would take for markup.
    """
    rows = list(rows)
    table = Table(title=Text(title, "table.title"), title_justify="left", header_style="bold")
    names = list(columns or (rows[0].keys() if rows else ()))
    for name in names:
        numeric = all(isinstance(row.get(name), int | float | Decimal | type(None)) for row in rows)
        table.add_column(Text(name.replace("_", " ")), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    console.print(table if rows else f"{title}: none", markup=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return str(value)
