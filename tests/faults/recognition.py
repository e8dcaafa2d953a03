"""Which of the broker's statements a piece of SQL is: by comparing it with the files in pgbroker/sql, so that a new
file is known without a word here. Files of the folders that POINTS_ALSO names (of the repository) are known as well."""

import os
import re
from functools import cache
from pathlib import Path

import pgbroker

FILES = sorted((Path(pgbroker.__file__).parent / "sql").glob("*.sql"))
_PREPARE = re.compile(r"\s*prepare (\w+) as (.*)", re.DOTALL)
_EXECUTE = re.compile(r"\s*execute (\w+)")
_PARAMETER = re.compile(r"%\(\w+\)s|%s")


class Recognition:
    """Of the statements of one connection: it remembers what was prepared."""

    def __init__(self) -> None:
        self._prepared: dict[str, str | None] = {}

    def name_of(self, text: str | bytes) -> str | None:
        """The file whose statement this text executes, its parameters filled in or not; None where there is none."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if preparation := _PREPARE.match(text):
            self._prepared[preparation[1]] = _named(preparation[2])
            return None
        if execution := _EXECUTE.match(text):
            return self._prepared.get(execution[1])
        return _named(text)


def _named(text: str) -> str | None:
    return next((name for name, pattern in _patterns().items() if pattern.fullmatch(text.strip())), None)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    root = Path(pgbroker.__file__).parents[1]
    folders = [root / folder for folder in os.environ.get("POINTS_ALSO", "").split()]
    also = [file for folder in folders for file in sorted(folder.glob("*.sql"))]
    return {file.stem: _pattern(file.read_text("utf-8").strip()) for file in (*FILES, *also)}


def _pattern(statement: str) -> re.Pattern[str]:
    fixed = [re.escape(part).replace("%%", "%%?") for part in _PARAMETER.split(statement)]
    return re.compile(".*?".join(fixed), re.DOTALL)
