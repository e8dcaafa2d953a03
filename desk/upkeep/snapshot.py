"""Figures of an organization per hour: what stood open, how fast answers and solutions came, which targets were met.

Promises: recomputed from the rows, never counted up, so a bucket may be computed twice or late with the same result; a
figure over nothing is null, not zero. Buckets are full hours of UTC; the one that runs is taken as far as it has come.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.sql import statement

BUCKET = timedelta(hours=1)


def bucket_of(instant: datetime) -> datetime:
    """The start of the bucket that `instant` (aware) lies in."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def take(connection: Connection, organization_id: UUID, bucket_start: datetime, now: datetime) -> dict[str, Any]:
    """Compute and keep the figures of the bucket that begins at `bucket_start`, as known at `now`."""
    bounds = {
        "organization_id": organization_id,
        "bucket_start": bucket_start,
        "bucket_end": min(bucket_start + BUCKET, now),
    }
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.upkeep", "snapshot"), bounds)
        data = dict(cursor.fetchone() or {})
        cursor.execute(statement("desk.upkeep", "keep_snapshot"), {**bounds, "data": Json(data)})
    return data


def take_current(connection: Connection, organization_id: UUID, now: datetime | None = None) -> None:
    """The bucket that runs and the one before, whose last changes may have been committed after its last snapshot."""
    now = now or datetime.now(UTC)
    current = bucket_of(now)
    take(connection, organization_id, current - BUCKET, now)
    take(connection, organization_id, current, now)
