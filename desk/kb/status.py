"""How the knowledge base of an organization stands."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.kb import models
from desk.sql import statement


@dataclass(frozen=True)
class Failure:
    """An article that failed: `dead` after five attempts, else tried again at `next_try_at`."""

    external_id: str
    title: str
    dead: bool
    attempts: int
    next_try_at: datetime
    error: str


@dataclass(frozen=True)
class Status:
    """Counted in the tables. `searchable`: published articles whose present text is in the index, vectors included.

    `lag_seconds`: how long the oldest change has been waiting. `articles_per_second`: since then, over half a minute at
    least and five minutes at most.
    `vectors` equals the distinct chunks when all is done.
    """

    articles: int
    published: int
    searchable: int
    chunks: int
    vectors: int
    pending: int
    dead: int
    lag_seconds: float
    articles_per_second: float
    model: str
    has_vectors: bool
    failures: list[Failure]

    @property
    def coverage(self) -> float:
        """Share of the published articles that search can find as they are now; 1 where there is none."""
        return self.searchable / self.published if self.published else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Until nothing is pending, at the present pace; None where nothing is, or nothing moves."""
        return self.pending / self.articles_per_second if self.pending and self.articles_per_second else None


def status(connection: Connection, organization_id: UUID) -> Status:
    """The status of one organization; `connection` is inside a transaction of it.

    Raises:
        ModelUnavailable: this process is configured with another model than the vectors were made with.
    """
    model = models.active(connection)
    key = {
        "organization_id": organization_id,
        "model_id": model.id,
        "has_vectors": models.has_vectors(connection),
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "status"), key)
        figures = cursor.fetchone()
        cursor.execute(statement("desk.kb", "failures"), key)
        failures = [Failure(*row) for row in cursor.fetchall()]
    return Status(
        *figures,  # type: ignore[misc]  # an aggregate: always one row
        model=model.name,
        has_vectors=bool(key["has_vectors"]),
        failures=failures,
    )


def left(connection: Connection, organization_id: UUID) -> int:
    """How many articles are still to be indexed; dead ones are not, they wait for a person."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from article_index where organization_id = %s and state = 'pending'",
            (organization_id,),
        )
        return cursor.fetchone()[0]  # type: ignore[index]
