"""The sweep: every crossing once, however many sweep, however late they come."""

import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from builders import new_organization
from sla_desk import POLICY, Desk
from waiting import until

from desk import database
from desk.settings import settings
from desk.sla import sweep
from desk.sla.sweep import helpers_wanted, record
from desk.sql import statement

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


@pytest.fixture
def ticket(desk: Desk):
    """A ticket with one clock: resolution, due at minute 240, warned at 180 and 216."""
    return desk.ticket(NINE, status="accepted", first_response_at=NINE, assignee="kim")


def test_a_sweep_each_minute_tells_each_threshold_once(desk, owner, ticket, messages):
    seen = [(minute, sweep(owner, minutes(minute)).crossings) for minute in range(170, 250)]
    assert [(minute, count) for minute, count in seen if count] == [(180, 1), (216, 1), (241, 1)]
    assert desk.crossed(ticket) == [(75, minutes(180)), (90, minutes(216)), (100, minutes(240))]
    assert desk.told(ticket) == [75, 90, 100]
    assert len(messages("deliver_notification")) == 3
    assert desk.run(None, "select distinct recipient from notifications") == [("kim",)]


def test_several_crossed_since_the_last_sweep_are_recorded_and_the_worst_is_told(desk, owner, ticket):
    found = sweep(owner, minutes(240) + timedelta(days=3))
    assert found.crossings == 3
    assert desk.told(ticket) == [100]
    assert desk.run(None, "select kind, detail -> 'crossed' from notifications") == [("sla_breach", [75, 90, 100])]
    assert desk.run(None, "select crossed, next_event_at from sla_clocks") == [(100, None)], "nothing is ahead"
    assert sweep(owner, minutes(240) + timedelta(days=4)).crossings == 0


def test_a_clock_at_its_deadline_is_not_late_and_the_sweep_comes_back(desk, owner, ticket):
    assert sweep(owner, minutes(240)).crossings == 2
    assert desk.clock(ticket, at=minutes(240))["state"] == "running"
    assert sweep(owner, minutes(240) + timedelta(microseconds=1)).crossings == 1


def test_the_summary_counts_clocks_that_run_that_stand_and_tickets_without_one(desk, owner, ticket):
    waits = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.move(waits, minutes(10), status="waiting_customer")
    done = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.move(done, minutes(10), status="resolved")
    desk.ticket(NINE)
    other = Desk(owner, new_organization(owner, "Without policies"))
    other.ticket(NINE, status="accepted")
    other.ticket(NINE, status="new")
    assert str(sweep(owner, minutes(1))) == "SLA Worker Summary: processed=1, skipped_null_sla=1, skipped_paused=1"


def test_lateness_is_the_time_between_crossing_and_sweep(desk, owner, ticket):
    assert sweep(owner, minutes(180.5)).seconds_late_p50 == 30
    assert sweep(owner, minutes(181)).seconds_late_p99 is None


def test_the_median_lateness_of_an_even_number_is_the_lower_of_the_two(desk, owner):
    for minute in range(4):
        desk.ticket(minutes(minute), status="accepted", first_response_at=NINE)
    found = sweep(owner, minutes(184))  # crossed at 180 to 183
    assert (found.crossings, found.seconds_late_p50, found.seconds_late_p99) == (4, 120, 240)


def test_it_serves_every_organization_whoever_connects(owner, database_name, organization):
    desks = [Desk(owner, organization), *(Desk(owner, new_organization(owner, f"Org {n}")) for n in range(3))]
    for each in desks:
        each.publish(POLICY)
        each.ticket(NINE, status="accepted", first_response_at=NINE)
    with database.transaction() as connection:
        assert sweep(connection, minutes(200)).crossings == 4
    assert sweep(owner, minutes(230)).crossings == 4, "on an autocommit connection of a superuser"
    for each in desks:
        assert each.run(None, "select count(*) from notifications") == [(2,)]


def test_small_batches_leave_nothing_behind(desk, owner):
    for _ in range(7):
        desk.ticket(NINE, status="accepted", first_response_at=NINE)
    assert sweep(owner, minutes(300), batch_size=2).crossings == 21


def test_a_burst_calls_for_help_and_a_usual_minute_does_not(desk, owner, monkeypatch):
    monkeypatch.setitem(helpers_wanted.__globals__, "CLOCKS_PER_HELPER", 3)  # the package has a function `sweep`
    for _ in range(7):
        desk.ticket(NINE, status="accepted", first_response_at=NINE)
    assert [helpers_wanted(owner, minutes(at)) for at in (1, 200)] == [0, 2]
    monkeypatch.setitem(helpers_wanted.__globals__, "MOST_HELPERS", 1)  # the package has a function `sweep`
    assert helpers_wanted(owner, minutes(200)) == 1
    assert len(record(owner, minutes(200))) == 7
    assert helpers_wanted(owner, minutes(200)) == 0


def test_each_sweep_leaves_what_it_found(desk, owner, ticket):
    for at in (100, 181):
        sweep(owner, minutes(at))
    found = desk.run(None, "select processed, crossings, seconds_late_p50, seconds >= 0 from sla_sweeps order by id")
    assert found == [(1, 0, None, True), (1, 1, 60, True)]


def test_a_clock_of_the_host_that_steps_back_tells_nothing_twice(desk, owner, ticket, messages):
    assert sweep(owner, minutes(230)).crossings == 2
    assert [sweep(owner, minutes(at)).crossings for at in (100, 185, 230)] == [0, 0, 0]
    desk.move(ticket, minutes(120), status="waiting_customer")  # by a clock that is two hours behind
    desk.move(ticket, minutes(121), status="in_progress")
    assert sweep(owner, minutes(230)).crossings == 0
    assert sweep(owner, minutes(600)).crossings == 1
    assert desk.told(ticket) == [90, 100]
    assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
    assert len(messages("deliver_notification")) == 2


def test_a_day_without_a_sweep_is_caught_up(desk, owner):
    tickets = [desk.ticket(NINE + timedelta(minutes=n), status="accepted", first_response_at=NINE) for n in range(20)]
    found = sweep(owner, NINE + timedelta(days=1, hours=8))
    assert found.crossings == 60
    assert found.seconds_late_p99 > 86_400
    assert all(desk.told(ticket) == [100] for ticket in tickets)
    assert all(desk.crossed(ticket)[2][1] == minutes(240 + n) for n, ticket in enumerate(tickets))


def test_no_name_of_one_ticket_keeps_the_notices_of_the_others(desk, owner):
    signs = [chr(0x20000 + number * 7919 % 0xA000) for number in range(501)]  # four bytes each, and nothing to compress
    named = {"assignee": "".join(signs[:500]), "category": "".join(signs[:500]), "category_by": "person"}
    tickets = [desk.ticket(NINE, status="accepted", first_response_at=NINE, **more) for more in (named, {})]
    sweep(owner, minutes(250))
    assert [desk.told(ticket) for ticket in tickets] == [[100], [100]]
    for column in ("assignee", "category", "intent"):
        by = {} if column == "assignee" else {f"{column}_by": "person"}
        with pytest.raises(psycopg2.errors.CheckViolation, match="tickets_names_fit"):
            desk.move(tickets[1], minutes(251), **{column: "".join(signs)}, **by)


def test_an_organization_that_fails_does_not_keep_the_others_waiting(owner, organization):
    desks = sorted((Desk(owner, organization), Desk(owner, new_organization(owner, "Other"))), key=lambda d: d.id)
    for each in desks:
        each.publish(POLICY)
        each.ticket(NINE, status="accepted", first_response_at=NINE)
    with owner.cursor() as cursor:
        cursor.execute(f"alter table sla_crossings add check (organization_id <> '{desks[0].id}')")
    with pytest.raises(psycopg2.errors.CheckViolation):
        sweep(owner, minutes(200))
    assert [each.run(None, "select count(*) from notifications") for each in desks] == [[(0,)], [(1,)]]


def test_eight_that_sweep_the_same_minutes_record_each_crossing_once(desk, owner, messages):
    tickets = [desk.ticket(NINE, status="accepted", first_response_at=NINE) for _ in range(120)]

    def run(_: int) -> int:
        connection = psycopg2.connect(str(settings().database_url))
        try:
            return sum(sweep(connection, minutes(at), batch_size=7).crossings for at in (190, 220, 250))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        counted = sum(pool.map(run, range(8)))
    assert counted == 360
    assert desk.run(None, "select count(*), count(distinct idempotency_key) from notifications")[0][0] == len(
        messages("deliver_notification")
    )
    for ticket in tickets:
        assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
        assert desk.told(ticket)[-1] == 100


SWEEPER = """
import sys, psycopg2
from datetime import datetime
from desk.sla import sweep
connection = psycopg2.connect(sys.argv[1])
print("ready", flush=True)
sweep(connection, datetime.fromisoformat(sys.argv[2]), batch_size=3)
"""


def test_sweepers_that_are_killed_leave_nothing_twice_and_nothing_out(desk, owner, messages):
    tickets = [desk.ticket(NINE, status="accepted", first_response_at=NINE) for _ in range(150)]
    for wait in (0.0, 0.03, 0.06, 0.1):
        process = subprocess.Popen(
            [sys.executable, "-c", SWEEPER, str(settings().database_url), minutes(250).isoformat()],
            stdout=subprocess.PIPE,
        )
        process.stdout.readline()
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stdout.close()
    sweep(owner, minutes(250))
    # A killed server process may still hold its batch when the first sweep looks.
    while sweep(owner, minutes(250)).crossings:
        pass
    for ticket in tickets:
        assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
        assert desk.told(ticket) == [100]
    assert len(messages("deliver_notification")) == 150


def test_eight_processes_sweep_the_same_minutes_while_they_are_killed(desk, owner, messages):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    tickets = [desk.ticket(NINE, status="accepted", first_response_at=NINE) for _ in range(240)]

    def start(at: datetime) -> subprocess.Popen:
        command = [sys.executable, "-c", SWEEPER, str(settings().database_url), at.isoformat()]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def recorded() -> int:
        return desk.run(None, "select count(*) from sla_crossings")[0][0]

    deaths = 0
    for at, whole in ((minutes(185), 240), (minutes(220), 480), (minutes(250), 720)):
        while recorded() < whole:
            sweepers = [start(at) for _ in range(8)]
            for sweeper in sweepers:
                sweeper.stdout.readline()
            goal = min(whole, recorded() + dice.randrange(1, 120))
            until(
                lambda goal=goal, all_=sweepers: recorded() >= goal or all(s.poll() is not None for s in all_), "work"
            )
            for sweeper in dice.sample(sweepers, dice.randrange(3, 9)):
                sweeper.kill()
            for sweeper in sweepers:
                deaths += sweeper.wait() == -signal.SIGKILL
                sweeper.stdout.close()
    print(deaths, "were killed")
    assert deaths
    for ticket in tickets:
        assert [threshold for threshold, _ in desk.crossed(ticket)] == [75, 90, 100]
        assert desk.told(ticket) == [75, 90, 100]
    told = desk.run(None, "select id::text from notifications")
    assert sorted(args[1] for args in messages("deliver_notification")) == sorted(row[0] for row in told)


def test_a_sweep_does_not_wait_for_a_ticket_that_is_being_changed(desk, owner, ticket, server, database_name):
    connection = psycopg2.connect(server.url(database=database_name))
    with connection.cursor() as cursor:
        cursor.execute("select set_config('app.at', %s, true)", (minutes(200).isoformat(),))
        cursor.execute("update tickets set status = 'waiting_customer' where id = %s", (ticket,))
        with owner.cursor() as quick:
            quick.execute("set statement_timeout = '5s'")
        assert sweep(owner, minutes(201)).crossings == 0, "the change settles it"
    connection.commit()
    connection.close()
    assert desk.told(ticket) == [75]


def test_a_sweep_finds_what_is_due_by_its_partial_index(desk, owner, ticket):
    with owner.cursor() as cursor:
        cursor.execute(
            """with moved as (
                   insert into tickets (organization_id, subject, status)
                   select organization_id, subject, 'new' from tickets, generate_series(1, 3000) returning id)
               insert into sla_clocks (organization_id, ticket_id, metric, state, policy_version_id,
                                       calendar_version_id, reason, priority, target_seconds, thresholds,
                                       targeted_at, started_at, running_since)
               select c.organization_id, m.id, c.metric, 'running', c.policy_version_id, null, '', c.priority,
                      10000000, c.thresholds, now(), now(), now()
                 from sla_clocks c, moved m"""
        )
        cursor.execute("analyze sla_clocks")
        cursor.execute(
            "select set_config('role', 'atum_worker', false), set_config('app.organization_id', %s, false)",
            (str(desk.id),),
        )
        cursor.execute("explain " + statement("desk.sla", "sweep"), {"now": minutes(200), "batch_size": 1000})
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("reset role")
        cursor.execute(
            "explain select from sla_clocks c where c.organization_id = %s and c.next_event_at <= now()",
            (str(desk.id),),
        )
        listing = "\n".join(row[0] for row in cursor.fetchall())
    assert "sla_clocks_next_event" in plan, plan
    assert "Seq Scan on sla_clocks" not in plan, plan
    assert "sla_clocks_next_event" in listing, listing
