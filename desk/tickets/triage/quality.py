"""How good triage is on the organization's own tickets: what it proposed, and what people chose."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.sql import statement

USUAL_DAYS = 90


@dataclass(frozen=True)
class Band:
    """Of one question (category, priority, tags, intent), the answers with a confidence from `least` up to below
    `below`; both None: the answers that carry no confidence, such as a rule's.

    `accepted` of `answers` were what the person chose; `confidence` is their mean. Shares run from 0 to 1.
    """

    what: str
    least: float | None
    below: float | None
    answers: int
    accepted: int
    confidence: float | None

    @property
    def accuracy(self) -> float:
        """The share that people accepted."""
        return self.accepted / self.answers


@dataclass(frozen=True)
class Quality:
    """Of one question: on how many tickets a person chose, and on how many of these triage had answered."""

    what: str
    tickets: int
    answers: int
    accepted: int
    bands: list[Band]

    @property
    def coverage(self) -> float | None:
        """The share of the tickets that triage had answered; None of none."""
        return self.answers / self.tickets if self.tickets else None

    @property
    def accuracy(self) -> float | None:
        """The share of the answers that people accepted; None of none."""
        return self.accepted / self.answers if self.answers else None


def measure(connection: Connection, organization_id: UUID, *, days: int = USUAL_DAYS) -> list[Quality]:
    """The quality of each question that people answered within `days` days, in the caller's transaction."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            statement("desk.tickets.triage", "triage_quality"), {"organization_id": organization_id, "days": days}
        )
        rows = [dict(row) for row in cursor.fetchall()]
    return [
        _quality(what, [row for row in rows if row["what"] == what]) for what in dict.fromkeys(r["what"] for r in rows)
    ]


def _quality(what: str, rows: list[dict[str, Any]]) -> Quality:
    bands = [
        Band(what, row["least"], row["below"], row["answers"], row["accepted"], row["confidence"])
        for row in rows
        if row["answers"]
    ]
    return Quality(
        what,
        sum(row["tickets"] for row in rows),
        sum(band.answers for band in bands),
        sum(band.accepted for band in bands),
        bands,
    )
