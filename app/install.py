"""`atum init`: roles, schema of the broker, schema of the desk. Safe to run twice and by ten processes at once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

import desk
from desk import database
from desk.errors import DatabaseUnavailable
from pgbroker.migrate import DIRECTORY, REQUIRES, migrate

MIGRATIONS = Path(desk.__file__).parent / "migrations"
LEDGER = "desk_migrations"

_ROLES = """
do $$ begin
    -- Roles belong to the cluster, the lock below only to one database: another may be quicker.
    perform pg_advisory_xact_lock(7206883416);
    begin create role atum_owner nologin; exception when duplicate_object or unique_violation then null; end;
    begin create role atum_worker nologin; exception when duplicate_object or unique_violation then null; end;
end $$;
"""

_GRANTS = """
do $$ begin
    perform pg_advisory_xact_lock(7206883416);
    execute format('grant atum_owner, atum_worker to %I', current_user);
    execute format('grant create on database %I to atum_owner', current_database());
    grant usage, create on schema public to atum_owner;
    grant usage on schema public, dramatiq, pgbroker to atum_owner, atum_worker;
    grant select, insert, update, delete on all tables in schema dramatiq, pgbroker to atum_owner, atum_worker;
    grant usage on all sequences in schema dramatiq, pgbroker to atum_owner, atum_worker;
    grant execute on all functions in schema dramatiq, pgbroker to atum_owner, atum_worker;
end $$;
"""

# What atum_owner makes, atum_worker may read and write (row-level security decides which rows), never alter.
_WORKER_GRANTS = """
do $$ begin
    perform pg_advisory_xact_lock(7206883416);
    grant select, insert, update, delete on all tables in schema public to atum_worker;
    grant usage on all sequences in schema public to atum_worker;
    revoke all on public.desk_migrations, public.pgbroker_migrations from atum_worker;
    grant select on public.desk_migrations, public.pgbroker_migrations to atum_worker;
end $$;
"""


@dataclass
class Installed:
    """What `install` did: file names applied now, and those that wait for an extension, as {file name: extension}."""

    applied: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)


def install(where: str | None = None) -> Installed:
    """Bring the database at `where` (default: the configured one) up to date, whatever its state.

    Raises:
        DatabaseUnavailable: it does not answer or is too old, or its login may not make roles or grant what they need.
        MigrationError: a step failed and was rolled back; nothing of it is left.
    """
    connection = database.connect(where or database.owner_url())
    try:
        _execute(connection, _ROLES)
        if where is None and database.embedded() is not None:
            _execute(connection, "alter role atum_worker login")  # over a socket that only this user can reach
        broker = migrate(connection)
        _execute(connection, _GRANTS)
        ours = migrate(connection, MIGRATIONS, ledger=LEDGER, role="atum_owner")
        _execute(connection, _WORKER_GRANTS)
        return Installed(broker.applied + ours.applied, broker.waiting | ours.waiting)
    except psycopg2.errors.InsufficientPrivilege as error:
        reason = str(error).strip().splitlines()[0]
        raise DatabaseUnavailable(
            f"This login may not make the schema ({reason}). Who migrates needs `create` on the database and may make "
            "roles: name such a login in ATUM_OWNER_URL."
        ) from None
    finally:
        connection.close()


def pending(cursor: Any) -> dict[str, str | None]:
    """The steps that are not applied, as {file name: the extension it waits for, or None}; `cursor` returns dicts."""
    left: dict[str, str | None] = {}
    for directory, ledger in ((DIRECTORY, "pgbroker_migrations"), (MIGRATIONS, LEDGER)):
        cursor.execute("select to_regclass(%s) is not null as there", (f"public.{ledger}",))
        known = set()
        if cursor.fetchone()["there"]:
            cursor.execute(sql.SQL("select name from public.{}").format(sql.Identifier(ledger)))
            known = {row["name"] for row in cursor.fetchall()}
        for path in sorted(directory.glob("[0-9]*.sql")):
            if path.name not in known:
                needs = REQUIRES.search(path.read_text("utf-8"))
                left[path.name] = needs[1] if needs and not _has(cursor, needs[1]) else None
    return left


def _has(cursor: Any, extension: str) -> bool:
    cursor.execute("select exists (select from pg_extension where extname = %s) as there", (extension,))
    return bool(cursor.fetchone()["there"])


def declare_actors() -> list[str]:
    """Write down where each actor's messages go, for senders that are not Python. Their names."""
    import actors  # noqa: F401  # imported here: who only migrates needs no Dramatiq
    import schedules  # noqa: F401
    from brokers import broker

    broker.register_actors()
    return sorted(broker.get_declared_actors())


def _execute(connection: Connection, statement: str) -> None:
    # Two installs in two databases may touch the same role at the same instant; the loser tries again.
    for attempt in range(5):
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
            return
        except (psycopg2.errors.InternalError_, psycopg2.errors.UniqueViolation):
            if attempt == 4:
                raise
