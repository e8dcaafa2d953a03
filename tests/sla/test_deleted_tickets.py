"""What was recorded and told of a ticket goes with it, also where a sweep has it in hand."""

from datetime import UTC, datetime
from threading import Thread

import psycopg2
import pytest
from sla_desk import Desk
from waiting import until

from desk.settings import settings
from desk.sla import sweep
from desk.sql import statement

TOLD = "select count(*) from sla_crossings", "select count(*) from notifications"
NINE = datetime(2026, 1, 5, 8, tzinfo=UTC)  # a Monday, at nine in Berlin
LATE = datetime(2026, 1, 5, 18, tzinfo=UTC)


def left(owner):
    with owner.cursor() as cursor:
        counts = []
        for question in TOLD:
            cursor.execute(question)
            counts += cursor.fetchone()
    return counts


@pytest.fixture
def other_connection():
    connection = psycopg2.connect(str(settings().database_url))
    yield connection
    connection.close()


def test_crossings_and_notifications_go_with_their_ticket_and_no_others(desk, owner):
    gone, stays = (desk.ticket(NINE, status="accepted") for _ in range(2))
    sweep(owner, LATE)
    crossings, told = left(owner)
    assert crossings > 2
    desk.run(LATE, "delete from tickets where id = %s", (gone,))
    assert left(owner) == [crossings // 2, told // 2]
    assert {row[0] for row in desk.run(None, "select ticket_id from notifications")} == {stays}


def test_what_is_told_of_no_ticket_goes_with_its_organization(desk, owner):
    desk.run(
        None,
        "insert into notifications (organization_id, idempotency_key, kind) values (%s, 'a test', 'test')",
        (str(desk.id),),
    )
    assert left(owner) == [0, 1]
    with owner.cursor() as cursor:
        cursor.execute("delete from organizations")
    assert left(owner) == [0, 0]


def test_who_deletes_a_ticket_waits_for_the_sweep_that_has_it_in_hand(desk, owner, other_connection):
    ticket = desk.ticket(NINE, status="accepted")
    with owner.cursor() as cursor:
        cursor.execute("select set_config('app.organization_id', %s, false)", (str(desk.id),))
        cursor.execute("begin")
        cursor.execute(statement("desk.sla", "sweep"), {"now": LATE, "batch_size": 10})
        elsewhere = Desk(other_connection, desk.id)
        deleting = Thread(target=elsewhere.run, args=(LATE, "delete from tickets where id = %s", (ticket,)))
        deleting.start()
        until(lambda: waits(owner, other_connection), "the delete waits for the sweep")
        cursor.execute("commit")
    deleting.join(20)
    assert not deleting.is_alive()
    assert left(owner) == [0, 0]
    assert desk.run(None, "select count(*) from tickets") == [(0,)]


def waits(owner, connection):
    with owner.cursor() as cursor:
        cursor.execute("select cardinality(pg_blocking_pids(%s)) > 0", (connection.info.backend_pid,))
        return cursor.fetchone()[0]
