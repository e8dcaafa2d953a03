"""A database whose clock is in the test's hand.

What runs on it runs unchanged: `now()` without a schema finds this clock's function before Postgres's own.
"""

from datetime import datetime

from psycopg2.extensions import connection as Connection


class DatabaseClock:
    """What `now()` says to connections that are opened after this was made. `owner` is a superuser's, autocommit.

    It shows the real time until it is set. Defaults of columns, and `clock_timestamp()`, keep telling the real time.
    """

    def __init__(self, owner: Connection) -> None:
        self._owner = owner
        self._run(
            """create schema fake;
               create table fake.clock as select null::timestamptz as standing, interval '0' as ahead;
               create function fake.now() returns timestamptz language sql as
                   'select coalesce(standing, pg_catalog.clock_timestamp() + ahead) from fake.clock';
               grant usage on schema fake to public;
               grant select on fake.clock to public;
               do $$ begin
                   execute format('alter database %I set search_path = fake, pg_catalog, public', current_database());
               end $$"""
        )

    def stand(self, at: datetime) -> None:
        """Show this instant until it is set again."""
        self._run("update fake.clock set standing = %s", at)

    def run_from(self, at: datetime) -> None:
        """Show this instant now, and go on from it at the usual pace."""
        self._run("update fake.clock set standing = null, ahead = %s - pg_catalog.clock_timestamp()", at)

    def _run(self, statement: str, *parameters: object) -> None:
        with self._owner.cursor() as cursor:
            cursor.execute(statement, parameters or None)
