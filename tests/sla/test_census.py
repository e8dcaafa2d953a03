"""The figures of the summary line: kept by differences, and equal to a count whatever happens to tickets."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
from builders import new_organization
from sla_desk import Desk

from desk.settings import settings
from desk.sla import sweep

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin
STATUSES = ("new", "accepted", "assigned", "in_progress", "waiting_customer", "resolved", "closed")
COUNTED = """
    select (select count(*) from sla_clocks where state = 'running'),
           (select count(*) from tickets t
             where t.status in ('accepted', 'assigned', 'in_progress', 'waiting_customer')
               and not exists (select from sla_clocks c where c.ticket_id = t.id)),
           (select count(*) from sla_clocks where state = 'paused')
"""


def census(owner) -> tuple:
    with owner.cursor() as cursor:
        cursor.execute("select running, without_clock, paused from sla_census()")
        return cursor.fetchone()


def counted(owner) -> tuple:
    with owner.cursor() as cursor:
        cursor.execute(COUNTED)
        return cursor.fetchone()


def test_it_equals_a_count_whatever_happens(desk, owner):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    without_policy = Desk(owner, new_organization(owner, "Without policies"))
    tickets = []
    for step in range(120):
        at = NINE + timedelta(minutes=7 * step)
        if not tickets or dice.random() < 0.3:
            where = dice.choice((desk, desk, without_policy))
            tickets.append((where, where.ticket(at, status=dice.choice(STATUSES))))
        elif dice.random() < 0.1:
            where, ticket = tickets.pop(dice.randrange(len(tickets)))
            where.run(at, "delete from tickets where id = %s", (ticket,))
        elif dice.random() < 0.2:
            where, ticket = dice.choice(tickets)
            where.say(ticket, at, dice.choice(("agent", "customer")))
        elif dice.random() < 0.1:
            sweep(owner, at)
        else:
            where, ticket = dice.choice(tickets)
            where.move(ticket, at, status=dice.choice(STATUSES), priority=dice.choice(("low", "urgent")))
        if dice.random() < 0.5:  # else several differences are added up at once
            assert census(owner) == counted(owner), step
    without_policy.publish({**{"name": "Late", "default": True, "calendar": None, "targets_in": "minutes"},
                            "targets": {"resolution": {"urgent": 5, "high": 5, "medium": 5, "low": 5}}})  # fmt: skip
    for where, ticket in tickets:
        where.move(ticket, NINE + timedelta(days=2), category="billing", category_by="person")
    assert census(owner) == counted(owner)
    with owner.cursor() as cursor:
        cursor.execute("delete from organizations")
    assert census(owner) == counted(owner) == (0, 0, 0)


def test_who_adds_up_waits_for_nobody_and_loses_nothing(desk, owner):
    def work(number: int) -> None:
        connection = psycopg2.connect(str(settings().database_url))
        try:
            mine = Desk(connection, desk.id)
            for step in range(12):
                ticket = mine.ticket(NINE, status="accepted")
                mine.move(ticket, NINE + timedelta(minutes=step), status="waiting_customer")
                with connection, connection.cursor() as cursor:
                    cursor.execute("select sla_census()")
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert census(owner) == counted(owner) == (0, 0, 2 * 72)


def test_it_can_be_counted_anew_where_triggers_were_off(desk, owner):
    with owner.cursor() as cursor:
        cursor.execute("set session_replication_role = replica")
    for _ in range(3):
        desk.ticket(NINE, status="accepted")
    with owner.cursor() as cursor:
        cursor.execute("set session_replication_role = origin")
    assert census(owner) == (0, 0, 0)
    with owner.cursor() as cursor:
        cursor.execute("select sla_recount()")
    assert census(owner) == counted(owner) == (0, 3, 0)
