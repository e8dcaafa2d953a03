"""Organizations never see each other's rows."""

from uuid import UUID

import psycopg2
import pytest
from builders import admin, new_organization

from desk import database

OURS = "p.pronamespace = 'public'::regnamespace and p.prosecdef"  # they pass row-level security
TRIGGERS = (
    "p.pronamespace = 'public'::regnamespace and p.prorettype = 'trigger'::regtype"  # a cascade fires as the owner
)
SETS_A_PATH = "p.pronamespace = 'public'::regnamespace and p.proconfig::text like '%search_path=public%'"


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


def test_no_organization_is_changed_or_deleted_by_another(owner, organization: UUID):
    other = new_organization(owner, "Other")
    for acting in (organization, None):
        with database.transaction(acting) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*) from organizations")
            assert cursor.fetchone() == (2,)
            cursor.execute("update organizations set name = 'Mine' where id = %s", (other,))
            assert cursor.rowcount == 0
            cursor.execute("delete from organizations where id = %s", (other,))
            assert cursor.rowcount == 0
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("delete from organizations")  # it forgot to say whose
        assert cursor.rowcount == 1
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select id from organizations")
        assert cursor.fetchall() == [(other,)]


@pytest.fixture
def stranger(server, database_name: str):
    """A connection of a login that may do no more than connect, as every login of the server may."""
    name = f"stranger_{database_name}"
    with admin(server) as cursor:
        cursor.execute(f"create role {name} login")
    connection = psycopg2.connect(server.url(user=name, database=database_name))
    connection.autocommit = True
    yield connection
    connection.close()
    with admin(server) as cursor:
        cursor.execute(f"drop role {name}")


def test_a_stranger_calls_nothing_that_acts_for_all_organizations(owner, stranger):
    with owner.cursor() as cursor:
        cursor.execute(
            f"select p.oid::regprocedure::text, p.prorettype = 'trigger'::regtype from pg_proc p where {OURS}"
        )
        functions = cursor.fetchall()
    assert len(functions) >= 20
    with stranger.cursor() as cursor:
        for name, is_trigger in functions:
            cursor.execute("select has_function_privilege(%s, 'execute')", (name,))
            assert cursor.fetchone() == (False,), name
            cursor.execute("select has_function_privilege('atum_worker', %s, 'execute')", (name,))
            assert cursor.fetchone() == (not is_trigger,), name
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("select active_model('a model of mine', 3)")


def test_a_stranger_deletes_nothing_with_a_trigger_of_ours_on_a_table_of_his(owner, organization: UUID, stranger):
    with owner.cursor() as cursor:
        cursor.execute(
            "insert into notifications (organization_id, idempotency_key, kind) values (%s, 'x', 'test')",
            (organization,),
        )
    with stranger.cursor() as cursor:
        cursor.execute("create temporary table mine (id uuid)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("""create trigger ours after insert on mine referencing new table as gone
                              for each statement execute function organizations_gone()""")


def test_what_runs_as_the_owner_finds_no_table_of_the_callers(owner, database_name: str):
    with owner.cursor() as cursor:
        cursor.execute(
            f"select p.oid::regprocedure::text from pg_proc p where ({OURS} or {TRIGGERS} or {SETS_A_PATH})"
            " and not coalesce(p.proconfig @> array['search_path=public, pg_temp'], false)"
        )
        assert cursor.fetchall() == []
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("create temporary table models (id smallint, name text, dimensions integer, state text)")
        cursor.execute("grant all on models to public")
        cursor.execute("insert into models values (7, 'a model of mine', 3, 'active')")
        cursor.execute("select name from active_model('a model of mine', null)")
        assert cursor.fetchall() == []


def test_a_cascade_runs_no_trigger_of_the_callers_as_the_owner(organization: UUID):
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into tickets (organization_id, subject) values (%s, 'It is dark') returning id", (organization,)
        )
        (ticket,) = cursor.fetchone()
        cursor.execute(
            """insert into ticket_messages (organization_id, ticket_id, author_kind, body)
               values (%s, %s, 'agent', 'Switch it on.')""",
            (organization, ticket),
        )
        cursor.execute("""
            create temporary table seen (as_whom text);
            create function pg_temp.mine() returns trigger language plpgsql as
                $$ begin insert into pg_temp.seen values (current_user); return null; end $$;
            create temporary table drafts (organization_id uuid, stale boolean, citations jsonb);
            create trigger mine before update on drafts for each statement execute function pg_temp.mine();
            grant all on drafts, seen to public""")
        cursor.execute("delete from tickets where id = %s", (ticket,))
        cursor.execute("select as_whom from seen")
        assert cursor.fetchall() == []
