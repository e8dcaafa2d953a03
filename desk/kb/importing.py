"""Import a help centre: all of it in one transaction, or nothing. Unchanged articles are not touched."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from desk import database
from desk.errors import InvalidInput
from desk.kb import articles, sources
from desk.kb.sources import Reading, Refusal

SHOWN = 5  # refusals in a message


@dataclass(frozen=True)
class Imported:
    """What an import did: articles `taken`, of those new or `changed`, and what was `refused`."""

    taken: int
    changed: int
    refused: list[Refusal]


def read(path: Path, *, skip_bad: bool = False) -> Reading:
    """What `path` holds (see `sources`). Writes nothing.

    Raises:
        InvalidInput: it cannot be read, or something in it cannot be used and `skip_bad` is off (or nothing is left).
    """
    reading = sources.read(path)
    if reading.refused and not (skip_bad and reading.articles):
        count = len(reading.refused)
        shown = "; ".join(f"{refusal.where}: {refusal.reason}" for refusal in reading.refused[:SHOWN])
        more = f"; and {count - SHOWN} more" if count > SHOWN else ""
        remedy = " Correct it, or take the rest with --skip-bad." if reading.articles else ""
        raise InvalidInput(
            f"{path}: nothing taken, {count} of {count + len(reading.articles)} articles cannot be used: "
            f"{shown}{more}.{remedy}"
        )
    return reading


def put(organization_id: UUID, reading: Reading) -> Imported:
    """Put every article that was read, in one transaction. A worker indexes them; this only marks and sends."""
    with database.transaction(organization_id) as connection:
        changed = articles.put_all(connection, organization_id, reading.articles)
    return Imported(len(reading.articles), changed, reading.refused)
