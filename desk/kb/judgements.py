"""Queries and judgements from files: JSONL `id,text,answerable`, and TSV `query_id article_id grade`."""

import json
import math
from pathlib import Path
from typing import Any

from desk.errors import InvalidInput
from desk.kb.evaluation import Query

Grades = dict[str, dict[str, float]]


def read_queries(path: Path) -> list[Query]:
    """The queries of a JSONL file. Without `answerable` a query is.

    Raises:
        InvalidInput: the file cannot be read or a line not be used; the message names line and field.
    """
    found: dict[str, Query] = {}
    for number, line in _lines(path):
        where = f"{path}, line {number}"
        try:
            row: Any = json.loads(line.rstrip())
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{where} is not JSON: {error.msg} at column {error.colno}.") from None
        if not isinstance(row, dict):
            raise InvalidInput(f"{where} is not a JSON object.")
        for name in ("id", "text"):
            if not str(row.get(name) or "").strip():
                raise InvalidInput(f"{where}: {name} is missing or empty.")
        answerable = row.get("answerable", True)
        if not isinstance(answerable, bool):
            raise InvalidInput(f"{where}: answerable must be true or false, not {answerable!r}.")
        query = Query(str(row["id"]), str(row["text"]), answerable)
        if query.id in found:
            raise InvalidInput(f"{where}: id {query.id!r} was there before.")
        found[query.id] = query
    if not found:
        raise InvalidInput(f"{path} is empty.")
    return list(found.values())


def read_grades(path: Path) -> Grades:
    """The grades of a TSV file, by query and article, with or without a header line.

    Raises:
        InvalidInput: the file cannot be read or a line not be used; the message names the line.
    """
    grades: Grades = {}
    for number, line in _lines(path):
        cells = line.split("\t")
        if len(cells) != 3:
            raise InvalidInput(
                f"{path}, line {number} has {len(cells)} columns instead of query_id, article_id, grade."
            )
        query, article, grade = (cell.strip() for cell in cells)
        try:
            value = float(grade)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            grades.setdefault(query, {})[article] = value
        elif number != 1:  # the first line may be a header
            raise InvalidInput(f"{path}, line {number}: grade {grade[:40]!r} is no number.")
    if not grades:
        raise InvalidInput(f"{path} is empty.")
    return grades


def check(queries: list[Query], grades: Grades, articles: set[str]) -> set[str]:
    """That the files fit together. Returns graded articles that are not among `articles`: no search can find them.

    Raises:
        InvalidInput: an answerable query has no positive grade.
    """
    for query in queries:
        if query.answerable and not any(grade > 0 for grade in grades.get(query.id, {}).values()):
            raise InvalidInput(f"Query {query.id!r} is answerable, but no article has a positive grade for it.")
    asked = {query.id for query in queries}
    return {article for query, graded in grades.items() if query in asked for article in graded} - articles


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from None
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
