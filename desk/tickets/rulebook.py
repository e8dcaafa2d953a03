"""The word lists and patterns under `words/`: tables that a person can read and extend without reading code."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Rule:
    """When `pattern` matches, `name` gets `weight` points; patterns of one (name, group) count once."""

    name: str
    group: str
    weight: int
    pattern: re.Pattern[str]


@cache
def rules(table: str) -> tuple[Rule, ...]:
    """The rules of `words/<table>.tsv`, in the order of the file."""
    found = []
    for name, weight, pattern in _lines(table):
        name, _, group = name.partition("/")
        found.append(Rule(name, group, int(weight), re.compile(pattern, re.IGNORECASE)))
    return tuple(found)


@cache
def words(table: str, kind: str) -> frozenset[str]:
    """The words that `words/<table>.tsv` lists under `kind`."""
    return frozenset(word for name, line in _lines(table) if name == kind for word in line.split())


@cache
def valences(table: str) -> dict[str, float]:
    """Word to number, of a table that lists numbers with their words."""
    return {word: float(number) for number, line in _lines(table) for word in line.split()}


def _lines(table: str) -> list[list[str]]:
    text = files("desk.tickets").joinpath("words", f"{table}.tsv").read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
