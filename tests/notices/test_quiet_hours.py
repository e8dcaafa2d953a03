"""Quiet hours: over midnight, over a change of the clocks, and what becomes of what waits."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notice_parts import KIM
from sla_desk import POLICY, Desk
from workers import until, work_off, working

from brokers import broker
from desk.notices.wanted import BREACH, WARNING, Quiet
from desk.sla import sweep
from desk.sla.hours import WEEKDAYS

NIGHT = Quiet({day: [["20:00", "07:00"]] for day in WEEKDAYS})


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("at", "ends"),
    [
        ("2026-06-01 19:59:59", None),
        ("2026-06-01 20:00", "2026-06-02 07:00"),
        ("2026-06-02 00:00", "2026-06-02 07:00"),
        ("2026-06-02 06:59:59", "2026-06-02 07:00"),
        ("2026-06-02 07:00", None),
        ("2026-03-28 23:00", "2026-03-29 07:00"),  # the clocks go forward: an hour less to wait
        ("2026-10-24 23:00", "2026-10-25 07:00"),  # and back: one more
        ("2026-12-31 23:59:59", "2027-01-01 07:00"),
    ],
)
def test_a_warning_at_night_waits_until_the_morning_of_the_wall_clock(at, ends):
    expected = None if ends is None else berlin(ends).astimezone(UTC)
    assert NIGHT.until(berlin(at), "Europe/Berlin", WARNING) == expected


def test_an_hour_that_comes_twice_is_quiet_twice_and_one_that_does_not_come_is_not():
    early = Quiet({"sun": [["02:00", "03:00"]]})
    back = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 for the first time
    assert early.until(back, "Europe/Berlin", WARNING) == datetime(2026, 10, 25, 2, tzinfo=UTC)
    assert early.until(datetime(2026, 3, 29, 1, tzinfo=UTC), "Europe/Berlin", WARNING) is None


def test_the_recipients_zone_counts_and_a_breach_does_not_wait_unless_it_is_said():
    at = datetime(2026, 6, 1, 19, tzinfo=UTC)  # 21:00 in Berlin, 20:00 in Lisbon, 15:00 in New York
    assert NIGHT.until(at, "Europe/Berlin", WARNING) == datetime(2026, 6, 2, 5, tzinfo=UTC)
    assert NIGHT.until(at, "Europe/Lisbon", WARNING) == datetime(2026, 6, 2, 6, tzinfo=UTC)
    assert NIGHT.until(at, "America/New_York", WARNING) is None
    assert NIGHT.until(at, "Europe/Berlin", BREACH) is None
    assert Quiet(NIGHT.hours, (BREACH,)).until(at, "Europe/Berlin", BREACH) is not None
    assert Quiet().until(at, "Europe/Berlin", WARNING) is None


@given(
    minutes=st.integers(0, 365 * 24 * 60),
    ranges=st.dictionaries(st.sampled_from(WEEKDAYS), st.tuples(st.integers(0, 23), st.integers(1, 24)), max_size=4),
)
def test_the_end_of_quiet_hours_is_the_first_minute_that_is_not_quiet(minutes, ranges):
    week = {day: [[f"{begins:02}:00", f"{ends:02}:00"]] for day, (begins, ends) in ranges.items() if begins != ends}
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    here = ZoneInfo("Europe/Berlin")

    def is_quiet(instant: datetime) -> bool:
        local = instant.astimezone(here)
        today, before = WEEKDAYS[local.weekday()], WEEKDAYS[local.weekday() - 1]
        hour = local.hour + local.minute / 60
        begins, ends = ranges.get(today, (0, 0))
        if begins < ends and begins <= hour < ends:
            return True
        if begins > ends and hour >= begins:
            return True
        begins, ends = ranges.get(before, (0, 0))
        return begins > ends and hour < ends

    instant = at
    while is_quiet(instant):
        instant += timedelta(minutes=1)
    assert Quiet(week).until(at, "Europe/Berlin", WARNING) == (None if instant == at else instant)


def around_now(hours: float) -> dict:
    """Quiet from an hour ago for so long, in UTC."""
    begins = datetime.now(UTC) - timedelta(hours=1)
    ends = begins + timedelta(hours=hours)
    return {"hours": {WEEKDAYS[begins.weekday()]: [[f"{begins:%H:%M}", f"{ends:%H:%M}"]]}}


def over(ask) -> None:
    """Let the quiet hours be over now."""
    ask("update notification_deliveries set held_until = now() where held_until is not null")
    ask("update dramatiq.queue set run_at = now() where run_at > now() + interval '10 minutes'")


def test_warnings_wait_for_the_end_and_go_as_one_and_a_breach_goes_at_once(want, notify, ask, post_office):
    want(timezone="UTC", mail={}, agents=KIM, quiet_hours=around_now(4))
    for number in range(5):
        notify("kim", subject=f"Number {number}")
    with working(broker):
        until(lambda: ask("select count(*) from notification_deliveries where held_until is not null") == [5], "held")
        notify("kim", "sla_breach", subject="It is late")
        until(lambda: ask("select count(*) from dispatches where state = 'sent'") == [1], "the breach is told")
    assert [mail["Subject"] for mail in post_office.mails] == ["Missed the deadline: It is late"]
    assert ask("select count(*) from notifications where delivered_at is null") == [0]
    ((name, waits),) = ask(
        "select actor_name, run_at > now() + interval '2 hours' from dramatiq.queue where state = 'queued'"
    )
    assert (name, waits) == ("gather_mail", True)
    over(ask)
    work_off(broker, "sla", "notices")
    assert [mail["Subject"] for mail in post_office.mails[1:]] == ["5 notices: 5 running out"]


def test_an_agents_own_hours_and_zone_count(want, notify, ask, post_office):
    agents = {
        "kim": {"address": "kim@acme.example", "quiet_hours": None},
        "ana": {"address": "ana@acme.example"},
        "ben": {"address": "ben@acme.example", "quiet_hours": {**around_now(4), "holds": ["sla_breach"]}},
    }
    want(timezone="UTC", mail={}, agents=agents, quiet_hours=around_now(4))
    for who in agents:
        notify(who)
        notify(who, "sla_breach")
    with working(broker):
        until(lambda: ask("select count(*) from notification_deliveries") == [6], "all are planned")
        until(
            lambda: ask("select count(*) from dramatiq.queue where run_at < now() + interval '1 hour'") == [0], "done"
        )
    held = ask("select agent, kind from notification_deliveries where dispatch_id is null order by 1, 2")
    assert held == [("ana", "sla_warning"), ("ben", "sla_breach")]


def test_a_warning_of_a_ticket_that_was_resolved_meanwhile_is_dropped_and_a_breach_is_told(
    want, ask, owner, organization, post_office
):
    desk = Desk(owner, organization)
    desk.publish({**POLICY, "calendar": None})
    quiet = {**around_now(4), "holds": ["sla_warning", "sla_breach"]}
    want(timezone="UTC", mail={}, agents=KIM, quiet_hours=quiet)
    now = datetime.now(UTC)
    # Medium: four hours. The first and the third are at more than 75 %, the second is late.
    tickets = [
        desk.ticket(
            now - timedelta(hours=hours), status="accepted", assignee="kim", first_response_at=now, subject=subject
        )
        for hours, subject in ((3.2, "warned"), (5, "late"), (3.3, "still open"))
    ]
    sweep(owner)
    with working(broker):
        until(lambda: ask("select count(*) from notification_deliveries where held_until is not null") == [3], "held")
    for ticket in tickets[:2]:
        desk.move(ticket, now, status="resolved")
    over(ask)
    work_off(broker, "sla", "notices")
    (mail,) = post_office.mails
    assert mail["Subject"] == "2 notices: 1 missed, 1 running out"
    text = mail.get_content()
    assert "late" in text
    assert "resolved meanwhile" in text
    assert "still open" in text
    assert "warned" not in text
    assert ask("select dropped from notification_deliveries where dropped is not null") == ["resolved meanwhile"]
