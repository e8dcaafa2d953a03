"""Rows of a CSV or JSONL file, each with the number by which an error names it.

Promises: numbers as an editor counts them (the line on which a row begins); every value a text, null and absent alike
"". Fails: a file that cannot be read at all raises `InvalidInput`; a row that cannot is handed out with its reason.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desk.errors import InvalidInput

csv.field_size_limit(64_000_000)


@dataclass(frozen=True)
class Row:
    """The row that begins on line `number`; `values` by column, or `refused`: why it could not be read."""

    number: int
    values: dict[str, str] = field(default_factory=dict)
    refused: str | None = None


def read(path: Path) -> tuple[list[str], list[Row]]:
    """The columns of the file and its rows.

    Raises:
        InvalidInput: it is missing, empty, not UTF-8, or neither .csv, .jsonl nor .ndjson.
    """
    reader = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl}.get(path.suffix.lower())
    if reader is None:
        raise InvalidInput(f"{path}: the name must end in .csv, .tsv or .jsonl.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    if not text.strip():
        raise InvalidInput(f"{path}: the file is empty.")
    columns, rows = reader(path, text)
    if not rows:
        raise InvalidInput(f"{path}: a header and no rows.")
    return columns, rows


def _csv(path: Path, text: str) -> tuple[list[str], list[Row]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    columns: list[str] = []
    try:
        columns = [name.strip() for name in next(reader)]
        if len(set(columns)) != len(columns):
            raise InvalidInput(f"{path}: the header names a column twice.")
        began = reader.line_num + 1
        for values in reader:
            if values:
                rows.append(_row_of(began, columns, values))
            began = reader.line_num + 1
    except csv.Error as error:
        # After a broken quote nothing that follows can be trusted: the rest of the file is one refused row.
        rows.append(Row(reader.line_num, refused=f"not CSV: {error}; nothing from this line on was read"))
    return columns, rows


def _row_of(number: int, columns: list[str], values: list[str]) -> Row:
    if len(values) != len(columns):
        return Row(number, refused=f"{len(values)} fields where the header has {len(columns)}")
    return Row(number, dict(zip(columns, values, strict=True)))


def _jsonl(path: Path, text: str) -> tuple[list[str], list[Row]]:
    rows = list(_json_rows(text))
    columns: dict[str, None] = {}
    for row in rows:
        columns.update(dict.fromkeys(row.values))
    return list(columns), rows


def _json_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield Row(number, refused=f"not JSON: {reason}")
            continue
        if not isinstance(data, dict):
            yield Row(number, refused="not a JSON object")
            continue
        yield Row(number, {name: _text(value) for name, value in data.items()})


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    return json.dumps(value, ensure_ascii=False)
