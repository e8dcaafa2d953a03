"""The SLA jobs on a real worker: what a sweep tells arrives in the inbox."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from builders import new_organization
from workers import work_off

from actors import sla as jobs
from brokers import broker
from desk import database
from desk.errors import NotFound
from desk.sla.notifications import deliver
from desk.sla.sweep import helpers_wanted


@pytest.fixture
def late(desk):
    """A ticket that breached an hour and more of business time ago, whose clock nobody has swept yet."""
    start = datetime.now(UTC) - timedelta(days=9)
    return desk.ticket(start, status="accepted", assignee="kim", first_response_at=start)


def dead_letters(owner) -> list:
    with owner.cursor() as cursor:
        cursor.execute("select actor_name, reason, error from pgbroker.dead_letters")
        return cursor.fetchall()


def test_a_sweep_is_told_and_delivered_once(desk, owner, late, caplog):
    caplog.set_level(logging.INFO)
    jobs.sweep_slas.send()
    jobs.sweep_slas.send()
    work_off(broker, "sla")
    assert desk.run(None, "select threshold, recipient, attempts, delivered_at is not null from notifications") == [
        (100, "kim", 1, True)
    ]
    summary = "SLA Worker Summary: processed=1, skipped_null_sla=0, skipped_paused=0"
    assert sum(summary in record.getMessage() for record in caplog.records) == 2
    assert dead_letters(owner) == []


def test_a_burst_is_shared_with_helpers(desk, owner, late, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setitem(helpers_wanted.__globals__, "CLOCKS_PER_HELPER", 2)  # the package has a function `sweep`
    start = datetime.now(UTC) - timedelta(days=9)
    for _ in range(6):
        desk.ticket(start, status="accepted", first_response_at=start)
    jobs.sweep_slas.send()
    work_off(broker, "sla")
    assert sum("sweep_helped" in record.getMessage() for record in caplog.records) == 3
    assert desk.run(None, "select threshold, count(*), count(delivered_at) from notifications group by 1") == [
        (100, 7, 7)
    ]
    assert dead_letters(owner) == []


def test_the_summary_is_counted_anew(desk, owner, late):
    with owner.cursor() as cursor:
        cursor.execute("update sla_census_total set running = 77")
    jobs.recount_clocks.send()
    work_off(broker, "upkeep")
    assert desk.run(None, "select running from sla_census()") == [(1,)]


def test_a_notification_is_delivered_once_however_often_its_message_comes(desk, late):
    jobs.sweep_slas.send()
    work_off(broker, "sla")
    ((notification, delivered_at),) = desk.run(None, "select id::text, delivered_at from notifications")
    jobs.deliver_notification.send(str(desk.id), notification)
    work_off(broker, "sla")
    assert desk.run(None, "select attempts, delivered_at from notifications") == [(2, delivered_at)]
    with database.transaction(desk.id) as connection:
        assert deliver(connection, notification).again


@pytest.mark.parametrize("notification", [str(uuid4()), "no id"], ids=["unknown", "no id"])
def test_a_notification_that_is_not_there_is_a_dead_letter_at_once(desk, owner, notification):
    jobs.deliver_notification.send(str(desk.id), notification)
    work_off(broker, "sla")
    ((actor, _, error),) = dead_letters(owner)
    assert actor == "deliver_notification"
    assert "notification" in error


def test_a_notification_of_another_organization_is_not_found(desk, owner, late):
    jobs.sweep_slas.send()
    work_off(broker, "sla")
    ((notification,),) = desk.run(None, "select id from notifications")
    with pytest.raises(NotFound), database.transaction(new_organization(owner, "Other")) as connection:
        deliver(connection, notification)


def test_calendars_are_extended_for_every_organization(desk, owner):
    with owner.cursor() as cursor:
        cursor.execute("delete from calendar_periods where opens_at > now() + interval '10 days'")
        cursor.execute("update calendar_versions set covered_to = date_trunc('day', now() + interval '11 days', 'UTC')")
    jobs.extend_calendars.send()
    work_off(broker, "upkeep")
    assert dead_letters(owner) == []
    ((last, covered),) = desk.run(
        None, "select max(closes_at) - now() > interval '2 years', max(covered_to) - now() > interval '2 years' "
        "from calendar_periods, calendar_versions"
    )  # fmt: skip
    assert last
    assert covered
