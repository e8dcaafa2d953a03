"""The vectors of an organization's tickets, kept by the process and brought up to date by what is new since.

Every draft and every suggestion asks which tickets are near: read anew each time, ten thousand tickets that arrive at
once would read each other a hundred million times. What comes out is a hint: whoever uses it reads the tickets
themselves, and compares the revision. Nothing of one organization is looked at for another.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from uuid import UUID

import numpy as np
from psycopg2.extensions import connection as Connection

from desk.sql import statement
from desk.tickets.vectors import Vectors, unpack

NEWEST = 40_000  # vectors of an organization
MOST = 80_000  # of all that a process keeps: 120 MB
OVERLAP_SECONDS = 5  # a vector that was written so long before it was committed is seen all the same
READ_ANEW_SECONDS = 300.0  # then everything is: what was deleted goes, what was committed later comes


@dataclass(frozen=True)
class Near:
    """A ticket that was near, as of the revision that its vector was made from; `similarity` is the cosine."""

    ticket_id: UUID
    revision: int
    similarity: float


@dataclass
class _Kept:
    """What is kept of one organization; the first `count` rows of `matrix` are the vectors of `ids`."""

    read_at: float
    newest: datetime | None = None
    ids: list[UUID] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    places: dict[UUID, int] = field(default_factory=dict)
    matrix: Vectors = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    recent: dict[tuple[str, int], datetime] = field(default_factory=dict)  # what the next look would see again
    lock: Lock = field(default_factory=Lock)


_kept: OrderedDict[tuple[UUID, str, bool], _Kept] = OrderedDict()
_guard = Lock()


def near(
    connection: Connection, organization_id: UUID, model: str, vector: Vectors, least: float, answered: bool = False
) -> Iterator[Near]:
    """The tickets whose vectors are `least` near to `vector` or nearer, the nearest first; `answered`: of those alone
    that have an answer which is indexed (`similar.index`).

    `connection` is inside a transaction of that organization.
    """
    key = (organization_id, model, answered)
    with _guard:
        kept = _kept.get(key)
        if kept is None or time.monotonic() - kept.read_at > READ_ANEW_SECONDS:
            kept = _kept[key] = _Kept(time.monotonic())
        _kept.move_to_end(key)
        while len(_kept) > 1 and sum(len(each.ids) for each in _kept.values()) > MOST:
            _kept.popitem(last=False)
    with kept.lock:
        _catch_up(connection, kept, key, len(vector))
        count = len(kept.ids)
        if not count:
            return iter(())
        similarities = kept.matrix[:count] @ vector
        order = np.flatnonzero(similarities >= least)
        order = order[np.argsort(-similarities[order], kind="stable")]
        revisions = kept.revisions  # those that were compared: a later look takes another list for others
        return (Near(kept.ids[at], revisions[at], float(similarities[at])) for at in order)


def _catch_up(connection: Connection, kept: _Kept, key: tuple[UUID, str, bool], dimensions: int) -> None:
    organization_id, model, answered = key
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "answered_vectors" if answered else "new_vectors"),
            {
                "organization_id": organization_id,
                "model": model,
                "since": kept.newest,
                "overlap": OVERLAP_SECONDS,
                "bytes": 2 * dimensions,
                "newest": NEWEST,
                "known_ids": [ticket_id for ticket_id, _ in kept.recent],
                "known_revisions": [revision for _, revision in kept.recent],
            },
        )
        rows = cursor.fetchall()
    if not rows:
        return
    kept.newest = max([row[3] for row in rows] + ([kept.newest] if kept.newest else []))
    kept.recent |= {(str(row[0]), row[1]): row[3] for row in rows}
    since = kept.newest - timedelta(seconds=OVERLAP_SECONDS)
    kept.recent = {key: at for key, at in kept.recent.items() if at >= since}
    fresh = [row for row in rows if _is_new(kept, row[0], row[1])]
    if not fresh:
        return
    made = unpack(b"".join(bytes(row[2]) for row in fresh), len(fresh))
    _make_room(kept, len(fresh), dimensions)
    if any(ticket_id in kept.places for ticket_id, *_ in fresh):
        kept.revisions = kept.revisions.copy()  # who reads what was near before reads it with the revision it had
    for (ticket_id, revision, *_), vector in zip(fresh, made, strict=True):
        place = kept.places.get(ticket_id)
        if place is None:
            place = kept.places[ticket_id] = len(kept.ids)
            kept.ids.append(ticket_id)
            kept.revisions.append(revision)
        kept.matrix[place] = vector
        kept.revisions[place] = revision


def _is_new(kept: _Kept, ticket_id: UUID, revision: int) -> bool:
    place = kept.places.get(ticket_id)
    return place is None or kept.revisions[place] < revision


def _make_room(kept: _Kept, more: int, dimensions: int) -> None:
    needed = len(kept.ids) + more
    if needed > len(kept.matrix):
        grown = np.empty((needed * 3 // 2, dimensions), dtype=np.float32)
        if kept.ids:
            grown[: len(kept.ids)] = kept.matrix[: len(kept.ids)]
        kept.matrix = grown
