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
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

PIPED_COLUMNS = 120  # where no terminal says how wide it is
SHORTEST_HEAD = 4  # characters of a line of a column's name
READABLE = 12  # characters of a column of text that can still be read, where it has as many

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
    if not rows:
        console.print(f"{title}: none", markup=False)
        return
    names = list(columns or rows[0].keys())
    heads = [name.replace("_", " ") for name in names]
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    numeric = [all(isinstance(row.get(name), int | float | Decimal | type(None)) for row in rows) for name in names]
    heading = Text(title, "table.title")
    widths = _widths(heads, cells, numeric)
    if widths is None:
        console.print(heading)
        _show_records(heads, cells)
        return
    table = Table(title=heading, title_justify="left", header_style="bold")
    for head, is_number, width in zip(heads, numeric, widths, strict=True):
        table.add_column(Text(head), justify="right" if is_number else "left", overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(Text, row))
    console.print(table)


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]], numeric: Sequence[bool]) -> list[int] | None:
    """How wide each column of a table is on this console; None where it is too narrow for any table to be read."""
    columns = [[_width(row[place]) for row in cells] for place in range(len(heads))]
    wanted = [max(_width(head), *column) for head, column in zip(heads, columns, strict=True)]
    # A number that goes on in the next line is read as two: its column is never narrower than that.
    widths = [
        max(SHORTEST_HEAD, max(column) if is_number else min(max(column), READABLE))
        for column, is_number in zip(columns, numeric, strict=True)
    ]
    left = console.width - 3 * len(heads) - 1 - sum(widths)  # beside lines and the space at both sides of a cell
    if left < 0:
        return None
    by_lack = sorted(range(len(heads)), key=lambda place: wanted[place] - widths[place])
    for columns_left, place in zip(range(len(heads), 0, -1), by_lack, strict=True):
        more = max(0, min(wanted[place] - widths[place], left // columns_left))
        widths[place] += more
        left -= more
    return widths


def _width(text: str) -> int:
    return max((cell_len(line.translate(_CONTROLS)) for line in text.splitlines()), default=0)


def _show_records(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Each row as lines of name and value: what a terminal shows that is too narrow for the table."""
    records = Table(box=None, show_header=False, padding=(0, 1))
    records.add_column(style="bold")
    records.add_column(overflow="fold")
    for place, row in enumerate(cells):
        if place:
            records.add_row()
        for head, cell in zip(heads, row, strict=True):
            records.add_row(Text(head), Text(cell))
    console.print(records)


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
