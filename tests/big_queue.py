"""A broker's tables with much in them, and what Postgres does with a statement there.

with filled_database(server) as connection:
    fill(connection, ready=20_000, later=20_000)
    plan = explain(connection, "peek", {...}, prepared=True)
    plan.indexes, plan.tables_read_through, plan.buffers
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from builders import fresh_database
from psycopg2.extensions import connection as Connection

from desk.embedded import EmbeddedServer
from pgbroker.connections import _prepared
from pgbroker.migrate import migrate
from pgbroker.statements import sql

_MESSAGE = """jsonb_build_object('queue_name', '{queue}', 'actor_name', 'note', 'args', jsonb_build_array(n),
    'kwargs', '{{}}'::jsonb, 'options', '{{}}'::jsonb, 'message_id', gen_random_uuid(), 'message_timestamp', 1)"""


@contextmanager
def filled_database(server: EmbeddedServer) -> Iterator[Connection]:
    """An autocommit connection as superuser to a database that has the broker's schema and nothing else."""
    with fresh_database(server, "template0") as name:
        connection = psycopg2.connect(server.url(database=name))
        try:
            migrate(connection)
            connection.autocommit = True
            run(connection, "alter table dramatiq.queue set (autovacuum_enabled = off)")  # it comes when it likes
            yield connection
        finally:
            connection.close()


def run(connection: Connection, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description is not None else []


def fill(
    connection: Connection,
    queue: str = "crowd",
    *,
    ready: int = 0,
    later: int = 0,
    priority: int = 0,
    tenants: int = 0,
    run_keys: int = 0,
    running: int = 0,
    apart_seconds: float = 0.001,
) -> None:
    """Add messages to a queue: `ready`, due so far apart, the last of them now; `later`, due within the next days;
    `running`, in the hands of 20 processes. The ready ones are of `tenants` tenants, or have `run_keys` run keys."""
    run(
        connection,
        f"""insert into dramatiq.queue (message_id, queue_name, priority, run_at, tenant, run_key, run_at_most, message)
            select gen_random_uuid(), %(queue)s, %(priority)s,
                   case when n <= %(ready)s then now() - (%(ready)s - n) * %(apart_seconds)s * interval '1 s'
                        else now() + interval '1 day' + n * interval '1 s' end,
                   case when %(tenants)s > 0 then 'tenant ' || n %% greatest(1, %(tenants)s) end,
                   case when %(run_keys)s > 0 then 'key ' || n %% greatest(1, %(run_keys)s) end,
                   case when %(run_keys)s > 0 then 1 end,
                   {_MESSAGE.format(queue=queue)}
              from generate_series(1, %(ready)s + %(later)s) n""",
        {
            "queue": queue,
            "ready": ready,
            "later": later,
            "priority": priority,
            "tenants": tenants,
            "run_keys": run_keys,
            "apart_seconds": apart_seconds,
        },
    )
    run(
        connection,
        f"""insert into dramatiq.queue (message_id, queue_name, state, process_id, lease_token, started_at, run_key,
                                        run_at_most, message)
            select gen_random_uuid(), %(queue)s, 'consumed', md5((n %% 20)::text)::uuid, gen_random_uuid(), now(),
                   case when %(run_keys)s > 0 then 'key ' || n %% greatest(1, %(run_keys)s) end,
                   case when %(run_keys)s > 0 then 1 end,
                   {_MESSAGE.format(queue=queue)}
              from generate_series(1, %(running)s) n""",
        {"queue": queue, "running": running, "run_keys": run_keys},
    )
    run(
        connection,
        """insert into pgbroker.levels (queue_name, priority) values (%s, %s) on conflict do nothing""",
        (queue, priority),
    )


def fill_ended(connection: Connection, *, finished: int = 0, dead: int = 0) -> None:
    """Add messages that are done, one a minute, and dead letters."""
    run(
        connection,
        f"""insert into pgbroker.finished (message_id, queue_name, actor_name, message, created_at, finished_at,
                                           deliveries, retries, history)
            select gen_random_uuid(), 'crowd', 'note', {_MESSAGE.format(queue="crowd")}, now() - n * interval '1 min',
                   now() - n * interval '1 min', 1, 0, '[]'
              from generate_series(1, %s) n""",
        (finished,),
    )
    run(
        connection,
        f"""insert into pgbroker.dead_letters (message_id, queue_name, actor_name, message, created_at, died_at,
                                               deliveries, retries, reason, history)
            select gen_random_uuid(), 'crowd', 'actor ' || n %% 50, {_MESSAGE.format(queue="crowd")}, now(),
                   now() - n * interval '1 min', 1, 0, 'thrown', '[]'
              from generate_series(1, %s) n""",
        (dead,),
    )


@dataclass
class Plan:
    """What Postgres does for a statement. `nodes` are those of EXPLAIN, the ones below included."""

    nodes: list[dict[str, Any]]

    @property
    def read_through(self) -> set[tuple[str, str | None]]:
        """(table, index) of what is read from end to end; the table itself: (table, None)."""
        return {
            (node["Relation Name"], node.get("Index Name"))
            for node in self.nodes
            if node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan") and "Index Cond" not in node
        }

    def sorted_tables(self) -> set[str]:
        """Tables whose rows are sorted or hashed."""
        found: set[str] = set()
        for node in self.nodes:
            if node["Node Type"] in ("Sort", "Incremental Sort", "Hash"):
                found |= {below["Relation Name"] for below in _nodes(node) if "Relation Name" in below}
        return found

    @property
    def indexes(self) -> set[str]:
        """Indexes that are looked into, those that find a conflict included."""
        found = {node["Index Name"] for node in self.nodes if "Index Name" in node}
        return found.union(*(node.get("Conflict Arbiter Indexes", ()) for node in self.nodes))

    @property
    def buffers(self) -> int:
        """How many pages it touched, where it was run."""
        top = self.nodes[0]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def explain(
    connection: Connection, name: str, parameters: dict[str, Any], *, prepared: bool, analyze: bool = False
) -> Plan:
    """The plan of a statement of pgbroker/sql; `prepared`: as `Line` does it, and planned for any parameters.

    With `analyze` it is run, and rolled back.
    """
    options = "(analyze, buffers, timing off, format json)" if analyze else "(format json)"
    connection.autocommit = False
    try:
        statement = sql(name)
        if prepared:
            run(connection, sql("plan_by_index").replace("false", "true"))  # until the rollback
            preparation, statement = _prepared(f"explain_{name}", statement)
            run(connection, preparation)
        ((found,),) = run(connection, f"explain {options} {statement}", parameters)
    finally:
        connection.rollback()
        connection.autocommit = True
        run(connection, "deallocate all")
    return Plan(list(_nodes(found[0]["Plan"])))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)
