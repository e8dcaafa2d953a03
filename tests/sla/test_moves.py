"""Moving open tickets to what was published: same start, used time kept, told once, whoever is killed meanwhile."""

import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from threading import Thread
from uuid import uuid4

import psycopg2
import pytest
from builders import new_organization
from sla_desk import OFFICE, POLICY, SECONDS, Desk
from waiting import until
from workers import work_off

from actors import sla as jobs
from brokers import broker
from desk import database
from desk.errors import NotFound
from desk.settings import settings
from desk.sla import moves, sweep

NINE = datetime(2024, 6, 3, 7, tzinfo=UTC)  # Monday, Berlin
HALF = {**POLICY, "targets": {metric: {p: s // 2 for p, s in by.items()} for metric, by in SECONDS.items()}}


def minutes(count: float) -> datetime:
    return NINE + timedelta(minutes=count)


def request(desk: Desk) -> str:
    with database.transaction(desk.id) as connection:
        return str(moves.request(connection, desk.id))


def move(desk: Desk, at: datetime) -> int:
    """One batch after the other, happening at an instant."""
    key, moved = request(desk), 0
    while batch := desk.run(at, "select sla_move_batch(%s, 3, true)", (key,))[0][0]:
        moved += batch
    return moved


def left(desk: Desk) -> int:
    return desk.run(None, "select count(*) from sla_move_tickets")[0][0]


def test_a_new_version_holds_for_new_tickets_alone_until_it_is_asked_for(desk, owner):
    before = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    ((touched,),) = desk.run(None, "select updated_at from tickets")
    desk.publish(HALF)
    after = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    assert [desk.clock(t, at=NINE)["target_seconds"] for t in (before, after)] == [14_400, 7_200]
    assert move(desk, minutes(30)) == 2
    clock = desk.clock(before, at=minutes(60))
    assert (clock["target_seconds"], clock["due_at"], clock["elapsed_seconds"]) == (7_200, minutes(120), 3_600)
    assert "version 2" in clock["reason"]
    assert desk.run(None, "select updated_at from tickets where id = %s", (before,)) == [(touched,)]
    assert sweep(owner, minutes(121)).crossings == 6
    assert move(desk, minutes(122)) == 2, "a second time changes nothing"
    assert sweep(owner, minutes(600)).crossings == 0


def test_other_hours_count_from_the_move_on_and_the_past_stays(desk):
    ticket = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.publish(
        {**POLICY, "calendar": {**OFFICE, "hours": {"mon": [["09:00", "10:00"]], "tue": [["09:00", "17:00"]]}}}
    )
    move(desk, minutes(120))
    clock = desk.clock(ticket, at=minutes(300))
    assert clock["elapsed_seconds"] == 7_200, "two hours by the old calendar, then closed"
    assert clock["due_at"] == minutes(24 * 60 + 120)
    assert desk.run(None, "select used_before, used_seconds, ended_at from sla_spans") == [(0, 7_200, minutes(120))]


def test_what_a_shorter_target_puts_behind_is_told_at_once_and_what_was_told_stays_told(desk, owner):
    runs = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    stands = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    sweep(owner, minutes(190))
    desk.move(stands, minutes(200), status="waiting_customer")
    desk.publish(HALF)
    move(desk, minutes(210))
    for ticket in (runs, stands):
        assert desk.crossed(ticket) == [(75, minutes(180)), (90, minutes(210)), (100, minutes(210))]
        assert desk.told(ticket) == [75, 100]
    assert desk.clock(stands, at=minutes(210))["state"] == "paused_breached"


def test_tickets_without_a_clock_get_one_and_closed_ones_stay_as_they_are(owner, organization):
    desk = Desk(owner, organization)
    without = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.publish(POLICY)
    done = desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.move(done, minutes(10), status="resolved")
    desk.publish(HALF)
    assert move(desk, minutes(60)) == 1
    assert desk.clock(without, at=minutes(60))["due_at"] == minutes(180)
    assert desk.clock(done, at=minutes(60))["target_seconds"] == 14_400


def test_the_job_does_it_and_says_how_far_it_is(desk, owner):
    for _ in range(7):
        desk.ticket(NINE, status="accepted", first_response_at=NINE)
    desk.publish(HALF)
    key = request(desk)
    with database.transaction(desk.id) as connection:
        (found,) = moves.progress(connection, desk.id)
    assert (found["id"], found["tickets"], found["left"], found["finished_at"]) == (key, 7, 7, None)
    work_off(broker, "upkeep")
    with database.transaction(desk.id) as connection:
        (found,) = moves.progress(connection, desk.id)
    assert (found["tickets"], found["left"]) == (7, 0)
    assert found["finished_at"] is not None
    assert desk.run(None, "select distinct target_seconds from sla_clocks") == [(7_200,)]
    with owner.cursor() as cursor:
        cursor.execute("select count(*) from pgbroker.dead_letters")
        assert cursor.fetchone() == (0,)


def test_a_move_of_nobody_or_of_another_organization_is_not_found(desk, owner):
    key = request(desk)
    other = new_organization(owner, "Other")
    for organization_id, move_id in ((desk.id, str(uuid4())), (other, key)):
        with pytest.raises(NotFound):
            moves.run(organization_id, move_id)
    jobs.move_clocks.send(str(other), key)
    work_off(broker, "upkeep")
    with owner.cursor() as cursor:
        cursor.execute("select actor_name, error from pgbroker.dead_letters")
        ((actor, error),) = cursor.fetchall()
    assert actor == "move_clocks"
    assert "There is no move" in error


def test_a_ticket_that_somebody_changes_is_moved_last(desk, owner):
    tickets = [desk.ticket(NINE, status="accepted", first_response_at=NINE) for _ in range(5)]
    desk.publish(HALF)
    key = request(desk)
    busy = psycopg2.connect(str(settings().database_url))
    with busy.cursor() as cursor:
        cursor.execute("select set_config('app.organization_id', %s, true)", (str(desk.id),))
        cursor.execute("update tickets set priority = 'urgent' where id = %s", (tickets[2],))
        mover = Thread(target=moves.run, args=(desk.id, key, 2))
        mover.start()
        until(lambda: left(desk) == 1, "the others are moved")
    busy.commit()
    busy.close()
    mover.join(30)
    assert left(desk) == 0
    assert desk.run(None, "select count(*) from sla_clocks where target_seconds in (7200, 1800)") == [(5,)]


MOVER = """
import sys
from desk.sla import moves
print("ready", flush=True)
moves.run(sys.argv[1], sys.argv[2], batch_size=4)
"""


def test_movers_that_are_killed_move_each_ticket_once(desk, owner):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(150):
        desk.ticket(NINE, status="accepted", first_response_at=NINE)
    sweep(owner, minutes(190))
    desk.publish({**HALF, "calendar": {**OFFICE, "hours": {day: [["08:00", "18:00"]] for day in OFFICE["hours"]}}})
    key = request(desk)
    deaths = 0
    while before := left(desk):
        process = subprocess.Popen([sys.executable, "-c", MOVER, str(desk.id), key], stdout=subprocess.PIPE)
        process.stdout.readline()
        goal = max(0, before - dice.randrange(1, 40))
        until(lambda goal=goal, process=process: left(desk) <= goal or process.poll() is not None, "it has begun")
        process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
        process.stdout.close()
    print(deaths, "were killed")
    assert deaths >= 3
    assert desk.run(None, "select count(*), count(distinct ticket_id) from sla_spans") == [(150, 150)]
    assert desk.run(None, "select distinct target_seconds, crossed from sla_clocks") == [(7_200, 100)]
    assert desk.run(None, "select threshold, count(*) from sla_crossings group by 1 order by 1") == [
        (75, 150), (90, 150), (100, 150)
    ]  # fmt: skip
    assert desk.run(None, "select threshold, count(*) from notifications group by 1 order by 1") == [
        (75, 150), (100, 150)
    ]  # fmt: skip
