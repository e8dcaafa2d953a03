"""Whether what search reads is what people published: counted in the tables themselves, and put right.

Promises: articles, chunks and vectors are compared with each other, not with what was noted about them; what is wrong
is marked and a worker makes it anew, what is of no use is removed; search goes on meanwhile. Twice changes nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.kb import builds, models, status
from desk.sql import statement

KEEP_REPLACED = timedelta(days=7)  # a model that was switched away from, for the way back
GRAPH_BATCH = 20_000  # vectors of an organization that has become large; about a minute's work, the next look goes on


@dataclass(frozen=True)
class Reconciled:
    """What was counted (before any repair has been worked off) and what was put right: articles `repaired`, vectors
    `swept`, models `dropped` a week after they were replaced. `coverage` from 0 to 1; `lag_seconds` of the oldest
    change.
    """

    published: int
    searchable: int
    chunks: int
    vectors: int
    coverage: float
    lag_seconds: float
    repaired: int
    swept: int
    dropped: int


def reconcile(connection: Connection, organization_id: UUID) -> Reconciled:
    """Look at one organization's knowledge base; `connection` is inside a transaction of it. Sends what is needed.

    Raises:
        ModelUnavailable: this process is configured with another model than the vectors were made with.
    """
    key = {
        "organization_id": organization_id,
        "model_id": models.active_id(connection),
        "has_vectors": models.has_vectors(connection),
        "keep": KEEP_REPLACED,
    }
    with connection.cursor() as cursor:
        cursor.execute("select lock_vectors(%(organization_id)s)", key)
        cursor.execute(
            "select model_id from model_builds where organization_id = %(organization_id)s and state = 'kept'"
            " and replaced_at < now() - %(keep)s",
            key,
        )
        replaced = [model_id for (model_id,) in cursor.fetchall()]
        for model_id in replaced:
            builds.drop(connection, organization_id, model_id)
        cursor.execute(statement("desk.kb", "recount"), key)
        swept = 0
        if key["has_vectors"]:
            cursor.execute(statement("desk.kb", "sweep_vectors"), key)
            swept = cursor.rowcount
            cursor.execute("select grow_graph(%(organization_id)s, %(batch)s)", key | {"batch": GRAPH_BATCH})
        cursor.execute(statement("desk.kb", "repair"), key)
        repaired = cursor.rowcount
        found = status.status(connection, organization_id)
        counted = {
            name: getattr(found, name) for name in ("published", "searchable", "chunks", "vectors", "lag_seconds")
        }
        done = {"repaired": repaired, "swept": swept}
        cursor.execute(statement("desk.kb", "keep_check"), key | counted | done)
    if key["has_vectors"]:
        builds.send_incomplete(connection, organization_id)
    return Reconciled(**counted, coverage=found.coverage, **done, dropped=len(replaced))
