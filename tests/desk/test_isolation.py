"""Organizations never see each other's rows."""

from uuid import UUID

import psycopg2
import pytest
from builders import new_organization

from desk import database


def test_every_table_with_an_organization_is_forced_to_isolate(owner):
    with owner.cursor() as cursor:
        cursor.execute("""
            select c.relname, c.relrowsecurity, c.relforcerowsecurity,
                   exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polname = 'one_organization')
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname = 'public' and c.relkind in ('r', 'p')
               and exists (select 1 from pg_attribute a
                            where a.attrelid = c.oid and a.attname = 'organization_id' and not a.attisdropped)""")
        rows = cursor.fetchall()
    assert len(rows) >= 5
    assert [row for row in rows if row[1:] != (True, True, True)] == []


def test_the_worker_cannot_bypass_it(database_name: str):
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select rolsuper or rolbypassrls, current_user from pg_roles where rolname = current_user")
        assert cursor.fetchone() == (False, "atum_worker")


def test_one_organization_sees_and_writes_only_its_own(owner, organization: UUID):
    other = new_organization(owner, "Other")
    with database.transaction(other) as connection, connection.cursor() as cursor:
        cursor.execute("insert into tickets (organization_id, subject) values (%s, 'theirs')", (other,))
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (0,)
        cursor.execute("update tickets set subject = 'mine'")
        assert cursor.rowcount == 0
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        database.transaction(organization) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("insert into tickets (organization_id, subject) values (%s, 'planted')", (other,))


def test_a_transaction_without_organization_sees_no_rows(owner, organization: UUID):
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("insert into tickets (organization_id, subject) values (%s, 'x')", (organization,))
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from tickets")
        assert cursor.fetchone() == (0,)
