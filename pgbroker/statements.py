"""Statements live in `sql/*.sql`, one each, runnable in psql; this reads them by name."""

from functools import cache
from importlib.resources import files


@cache
def sql(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return files("pgbroker").joinpath("sql", f"{name}.sql").read_text("utf-8")
