"""What the demo shows, read from the desk's own views."""

from typing import Any
from uuid import UUID

from psycopg2.extras import RealDictCursor

from desk import database

JOB_QUEUE = "SELECT job_type, status, count(*) FROM job_queue GROUP BY 1,2 ORDER BY 1,2;"


def job_queue() -> list[dict[str, Any]]:
    """What README.md asks the view, over all organizations."""
    return _rows(None, JOB_QUEUE)


def jobs_of(organization_id: UUID) -> dict[str, int]:
    """How many jobs of this organization are in each status, and `all`."""
    rows = _rows(organization_id, "select status, count(*) from job_queue group by 1")
    counts = {row["status"]: int(row["count"]) for row in rows}
    return {status: counts.get(status, 0) for status in ("PENDING", "RUNNING", "DONE", "FAILED", "DEAD")} | {
        "all": sum(counts.values())
    }


def unfinished() -> int:
    """Messages of anybody's that are neither done nor dead, but for those that wait for a later time."""
    (row,) = _rows(
        None,
        "select count(*) from job_queue where status in ('PENDING', 'RUNNING', 'FAILED')"
        " and coalesce(run_after, now()) <= now() + interval '1 minute'",
    )
    return int(row["count"])


def dead_letters() -> int:
    """Messages that failed for good."""
    (row,) = _rows(None, "select count(*) from pgbroker.dead_letters")
    return int(row["count"])


def triaged(organization_id: UUID, tickets: list[str]) -> list[dict[str, Any]]:
    """What the jobs found out about the first eight of `tickets`."""
    return _rows(
        organization_id,
        """
        select left(t.subject, 30) as ticket,
               coalesce(r.category, r.outcome) as category,
               round(r.category_confidence::numeric, 2) as sure,
               s.label as mood,
               cardinality(array(select 1 from suggestions g where g.ticket_id = t.id)) as articles,
               jsonb_array_length(d.citations) as cited
          from tickets t
          left join triage_results r on r.ticket_id = t.id and r.revision = t.revision
          left join sentiments s on s.ticket_id = t.id
          left join drafts d on d.ticket_id = t.id
         where t.id = any(%(tickets)s::uuid[])
         order by array_position(%(tickets)s::uuid[], t.id) limit 8
        """,
        tickets=tickets,
    )


def notices(organization_id: UUID) -> list[dict[str, Any]]:
    """The SLA notices that were delivered."""
    return _rows(
        organization_id,
        "select left(t.subject, 46) as ticket, n.metric,"
        " case n.threshold when 100 then 'breached' else n.threshold || ' % used' end as notice, n.delivered_at"
        " from notifications n join tickets t on t.id = n.ticket_id"
        " where n.delivered_at is not null order by n.delivered_at, n.threshold",
    )


def ticket_sla(organization_id: UUID) -> list[dict[str, Any]]:
    """The clocks as they stand."""
    return _rows(
        organization_id,
        "select left(t.subject, 44) as ticket, v.state, v.percent_used, v.time_to_breach_minutes"
        " from ticket_sla v join tickets t on t.id = v.ticket_id order by v.due_at",
    )


def _rows(organization_id: UUID | None, query: str, **parameters: Any) -> list[dict[str, Any]]:
    with (
        database.transaction(organization_id) as connection,
        connection.cursor(cursor_factory=RealDictCursor) as cursor,
    ):
        cursor.execute(query, parameters or None)
        return [dict(row) for row in cursor.fetchall()]
