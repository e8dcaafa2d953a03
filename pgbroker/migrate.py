"""Numbered SQL files, applied once each, forward only.

Promises: safe when ten processes start at once (an advisory lock that the transaction holds) and safe to run twice;
each file and its ledger row commit together, so a run that was killed leaves whole steps only.

Why not a library: yoyo locks with a row that a killed run leaves behind, Alembic wants each step in Python. A file may
begin with `-- requires: <extension>`; where that extension cannot be installed the file is left for a later run and
reported, which no library does. The runner is used for this package's own folder and for any other (`directory`).
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psycopg2
from psycopg2.extensions import connection as Connection

from pgbroker.errors import MigrationError

DIRECTORY = Path(__file__).parent / "migrations"
_LOCK = 7_206_883_415  # any number, the same in every process
REQUIRES = re.compile(r"^-- requires: (\w+)$", re.MULTILINE)


@dataclass
class Migrated:
    """What a run did: file names `applied` now, and those `waiting` for an extension, as {file name: extension}."""

    applied: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)


def migrate(
    connection: Connection, directory: Path = DIRECTORY, ledger: str = "pgbroker_migrations", role: str | None = None
) -> Migrated:
    """Apply what `directory` holds and `ledger` does not know, as `role` (default: who is connected).

    Commits after each file. `ledger` is a table name without schema; the table is made in `public`.

    Raises:
        MigrationError: a file failed (it is rolled back), or an applied file was changed since.
    """
    outcome = Migrated()
    table = _checked_name(ledger)
    for path in sorted(directory.glob("[0-9]*.sql")):
        text = path.read_text("utf-8")
        digest = sha256(text.encode()).hexdigest()
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute(f"""create table if not exists public.{table} (
                name text primary key, sha256 text not null, applied_at timestamptz not null default now())""")
            cursor.execute(f"select sha256 from public.{table} where name = %s", (path.name,))  # noqa: S608  checked name
            known = cursor.fetchone()
            if known:
                if known[0] != digest:
                    raise MigrationError(f"{path.name} was changed after it was applied. Add a new file instead.")
                continue
            extension = REQUIRES.search(text)
            if extension and not _install(connection, extension[1]):
                outcome.waiting[path.name] = extension[1]
                continue
            if role:
                cursor.execute("select set_config('role', %s, true)", (role,))
            try:
                cursor.execute(text)
            except psycopg2.Error as error:
                raise MigrationError(f"{path.name}: {str(error).strip()}") from error
            cursor.execute("select set_config('role', 'none', true)")
            cursor.execute(f"insert into public.{table} (name, sha256) values (%s, %s)", (path.name, digest))  # noqa: S608
        outcome.applied.append(path.name)
    return outcome


def _install(connection: Connection, extension: str) -> bool:
    """Whether the extension is there or could be created."""
    with connection.cursor() as cursor:
        cursor.execute("select installed_version from pg_available_extensions where name = %s", (extension,))
        row = cursor.fetchone()
        if row is None:
            return False
        if row[0] is None:
            cursor.execute("savepoint extension")
            try:
                cursor.execute(f'create extension if not exists "{_checked_name(extension)}"')
            except psycopg2.errors.InsufficientPrivilege:
                cursor.execute("rollback to savepoint extension")
                return False
        return True


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z_]+", name):
        raise MigrationError(f"{name!r} is no plain name of lower-case letters and underscores.")
    return name
