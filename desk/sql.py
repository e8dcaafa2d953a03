"""Statements live in `sql/*.sql` beside the code that runs them, one each; this reads them by name."""

from functools import cache
from importlib.resources import files


@cache
def statement(package: str, name: str) -> str:
    """The text of `<package>/sql/<name>.sql`, e.g. `statement("desk.sla", "sweep")`."""
    return files(package).joinpath("sql", f"{name}.sql").read_text("utf-8")
