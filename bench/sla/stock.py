"""A help desk with very many open tickets, written in bulk: triggers off, instants as the triggers would have worked
them out for round-the-clock targets. Six tickets of seven run, the seventh waits for its customer.

Of those that run the first ones are due in cohorts, each a minute after the one before: `MINUTES` of `CROSSINGS`, then
`BURSTS` of `BURST`. Everybody else crosses nothing for years.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from psycopg2.extensions import connection as Connection
from rich.progress import Progress

from desk.sla.policies import publish

ORGANIZATIONS = 10
CROSSINGS, MINUTES = 900, 9
BURST, BURSTS = 50_000, 6
TARGET_DAYS = 400  # so that who was warned in one burst is not due for the next threshold in another
CHUNK = 50_000
BASE = datetime(2026, 1, 5, 9, tzinfo=UTC)
POLICY = {
    "name": "Round the clock",
    "default": True,
    "calendar": None,
    "targets_in": "minutes",
    "targets": {
        metric: {"urgent": 60, "high": 240, "medium": TARGET_DAYS * 1440, "low": TARGET_DAYS * 1440}
        for metric in ("first_response", "next_response", "resolution")
    },
}

OFFICE = {
    "name": "Office",
    "timezone": "Europe/Berlin",
    "hours": {day: [["09:00", "12:30"], ["13:00", "17:30"]] for day in ("mon", "tue", "wed", "thu", "fri")},
}

_TICKETS = """
    insert into tickets (id, organization_id, subject, body, status, priority, assignee, created_at, updated_at,
                         accepted_at, first_response_at)
    select md5('ticket ' || number)::uuid,
           (%(organizations)s::uuid[])[1 + number %% cardinality(%(organizations)s::uuid[])],
           'Ticket ' || number, repeat('It does not start since the last change. ', 10),
           case when number %% 7 = 0 then 'waiting_customer' else 'in_progress' end, 'medium', 'agent ' || number %% 50,
           %(base)s, %(base)s, %(base)s, %(base)s
      from generate_series(%(first)s, %(last)s) number
"""
_CLOCKS = """
    with placed as (
        select number, number - number / 7 as place  -- among those that run
          from generate_series(%(first)s, %(last)s) number
    ), timed as (
        select number, number %% 7 <> 0 as runs,
               case when place <= %(regular)s then %(base)s + (1 + (place - 1) / %(crossings)s) * interval '1 minute'
                    when place <= %(regular)s + %(bursts)s
                    then %(base)s + interval '1 day' * (1 + (place - 1 - %(regular)s) / %(burst)s)
                    else %(base)s + interval '3000 days' + place %% 100000 * interval '1 minute' end as warned_at
          from placed
    )
    insert into sla_clocks (organization_id, ticket_id, metric, state, policy_version_id, reason, priority,
                            target_seconds, thresholds, targeted_at, started_at, running_since, due_at,
                            next_threshold, next_event_at, ahead, ahead_at)
    select (%(organizations)s::uuid[])[1 + number %% cardinality(%(organizations)s::uuid[])],
           md5('ticket ' || number)::uuid, 'resolution', case when runs then 'running' else 'paused' end,
           (%(versions)s::uuid[])[1 + number %% cardinality(%(organizations)s::uuid[])], 'default policy', 'medium',
           %(target)s, '{75,90}', warned_at - interval '300 days', warned_at - interval '300 days',
           case when runs then warned_at - interval '300 days' end,
           case when runs then warned_at + interval '100 days' end,
           case when runs then 75 end, case when runs then warned_at end,
           case when runs then '{75,90,100}'::integer[] end,
           case when runs then array[warned_at, warned_at + interval '60 days',
                                     warned_at + interval '100 days 0.000001 s'] end
      from timed
"""


@dataclass(frozen=True)
class Stock:
    """What was loaded."""

    tickets: int
    organizations: list[UUID]

    def minute(self, number: int) -> datetime:
        """The instant at which cohort `number` (from 0) of a normal minute has crossed."""
        return BASE + timedelta(minutes=1 + number)

    def burst(self, number: int) -> datetime:
        """The instant at which burst `number` (from 0) has crossed."""
        return BASE + timedelta(days=1 + number)


def load(connection: Connection, tickets: int, progress: Progress) -> Stock:
    """Fill an installed, empty database. `connection` is a superuser's, in autocommit mode."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into organizations (name) select 'Organization ' || n from generate_series(1, %s) n returning id",
            (ORGANIZATIONS,),
        )
        organizations = [row[0] for row in cursor.fetchall()]
        for organization in organizations:
            cursor.execute("select set_config('app.organization_id', %s, false)", (str(organization),))
            publish(connection, organization, POLICY)
        cursor.execute("select set_config('app.organization_id', '', false)")
        cursor.execute("select array_agg(v.id::text order by array_position(%s::uuid[], v.organization_id)) "
                       "from sla_policy_versions v", (list(map(str, organizations)),))  # fmt: skip
        (versions,) = cursor.fetchone() or ([],)
        task = progress.add_task(f"loading {tickets:,} tickets", total=tickets)
        cursor.execute("set session_replication_role = replica")
        for first in range(1, tickets + 1, CHUNK):
            last = min(tickets, first + CHUNK - 1)
            numbers = {
                "first": first, "last": last, "base": BASE, "organizations": list(map(str, organizations)),
                "versions": versions, "crossings": CROSSINGS, "regular": CROSSINGS * MINUTES, "burst": BURST,
                "bursts": BURST * BURSTS, "target": TARGET_DAYS * 86_400,
            }  # fmt: skip
            cursor.execute(_TICKETS, numbers)
            cursor.execute(_CLOCKS, numbers)
            progress.advance(task, last - first + 1)
        cursor.execute("set session_replication_role = origin")
        progress.update(task, description="vacuum and checkpoint")
        cursor.execute("select sla_recount()")
        cursor.execute("vacuum (analyze) tickets, sla_clocks")
        cursor.execute("checkpoint")
        progress.remove_task(task)
    return Stock(tickets, organizations)
