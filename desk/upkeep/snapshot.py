"""Figures of an organization per hour: what stood open, how fast answers and solutions came, which targets were met.

Promises: recomputed from the rows, never counted up, so a bucket may be computed twice or late with the same result; a
figure over nothing is null, not zero, and so is one whose rows are gone. Buckets are full hours of UTC; the one that
runs is taken as far as it has come. Hours are kept. Days and weeks are worked out when they are asked for, from the
rows as well: percentiles do not add up.

Times to answer and to solve are by the wall clock; what targets were met is the clocks' own judgement.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.errors import InvalidInput
from desk.sql import statement

Bucket = Literal["hour", "day", "week"]
LENGTHS: dict[str, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
BUCKET = LENGTHS["hour"]
USUAL = 24
MOST = {"hour": 1_000, "day": 92, "week": 53}  # buckets of one reading
MOST_MISSED = timedelta(days=7)  # what a desk that stood still makes up for


def bucket_of(instant: datetime, bucket: Bucket = "hour") -> datetime:
    """The start of the bucket, of UTC, that `instant` (aware) lies in; weeks begin on Monday."""
    start = instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if bucket != "hour":
        start = start.replace(hour=0)
    return start - timedelta(days=start.weekday()) if bucket == "week" else start


def figures(
    connection: Connection, organization_id: UUID, start: datetime, end: datetime, now: datetime
) -> dict[str, Any]:
    """The figures from `start` until `end`, as the rows tell them at `now`. What was open at `end` is null where events
    since then have been deleted (`keep_events_days`)."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            statement("desk.upkeep", "snapshot"),
            {"organization_id": organization_id, "bucket_start": start, "bucket_end": end, "now": now},
        )
        return dict(cursor.fetchone() or {})


def take(connection: Connection, organization_id: UUID, bucket_start: datetime, now: datetime) -> dict[str, Any]:
    """Compute and keep the figures of the hour that begins at `bucket_start`, as known at `now`."""
    data = figures(connection, organization_id, bucket_start, min(bucket_start + BUCKET, now), now)
    key = {"organization_id": organization_id, "bucket_start": bucket_start, "data": Json(data)}
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.upkeep", "keep_snapshot"), key)
    return data


def take_current(connection: Connection, organization_id: UUID, now: datetime | None = None) -> None:
    """The hour that runs and the one before, whose last changes may have been committed after its last snapshot; and
    those that were missed since the newest one that is kept."""
    now = now or datetime.now(UTC)
    current = bucket_of(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "select max(bucket_start) from metric_snapshots where organization_id = %s and bucket_start <= %s",
            (organization_id, current),
        )
        (newest,) = cursor.fetchone()  # type: ignore[misc]  # an aggregate has one row
    start = current - BUCKET
    if newest is not None:
        start = max(min(start, newest.astimezone(UTC)), current - MOST_MISSED)
    while start <= current:
        take(connection, organization_id, start, now)
        start += BUCKET


def read(
    connection: Connection,
    organization_id: UUID,
    bucket: Bucket = "hour",
    last: int = USUAL,
    now: datetime | None = None,
) -> list[dict[str, Any]]:
    """The `last` buckets, the newest first, each with `bucket_start`, `bucket_end` and its figures.

    Hours are those that are kept. In the caller's transaction of that organization.

    Raises:
        InvalidInput: more buckets than `MOST` allows, or none.
    """
    if not 1 <= last <= MOST[bucket]:
        raise InvalidInput(f"last: {last} is not between 1 and {MOST[bucket]:,}, where a bucket is one {bucket}.")
    now = now or datetime.now(UTC)
    if bucket == "hour":
        with connection.cursor() as cursor:
            cursor.execute(
                statement("desk.upkeep", "snapshots"), {"organization_id": organization_id, "now": now, "last": last}
            )
            return [
                {"bucket_start": start, "bucket_end": start + BUCKET, "computed_at": computed_at, **data}
                for start, computed_at, data in cursor.fetchall()
            ]
    starts = [bucket_of(now, bucket) - number * LENGTHS[bucket] for number in range(last)]
    ends = [min(start + LENGTHS[bucket], now) for start in starts]
    return [
        {
            "bucket_start": start,
            "bucket_end": end,
            "computed_at": now,
            **figures(connection, organization_id, start, end, now),
        }
        for start, end in zip(starts, ends, strict=True)
    ]
