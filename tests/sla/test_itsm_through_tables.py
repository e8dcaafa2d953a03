"""Real incidents written event by event through the triggers, swept at their own time, equal the replay."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from desk.sla import Calendar, sweep
from desk.sla.history import read_events
from desk.sla.policy import read
from desk.sla.story import clocks_of

INCIDENTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "itsm_incidents" / "events.csv"
DAYS = ("mon", "tue", "wed", "thu", "fri")
POLICY = {
    "name": "Incidents",
    "default": True,
    "calendar": {"name": "Office", "timezone": "Europe/Lisbon", "hours": {day: [["08:00", "18:00"]] for day in DAYS}},
    "targets": {"resolution": {"urgent": 240, "high": 480, "medium": 1200, "low": 2400}},
}


@pytest.mark.data
def test_real_incidents_through_the_tables_equal_the_replay(desk, owner):
    if not INCIDENTS.exists():
        pytest.skip("shared/data is not here")
    desk.publish({"name": "Standard", "retired": True})
    desk.publish(POLICY)
    policy = read(POLICY).policies[0]
    calendar = Calendar.from_dict({k: v for k, v in POLICY["calendar"].items() if k != "name"})
    # The ones with the longest stories: every pause and every reopening there is.
    histories = sorted(read_events(INCIDENTS.read_text("utf-8")).histories, key=lambda h: -len(h.events))[:40]
    tickets = {
        history.ticket: desk.ticket(history.events[0]["at"], priority=history.fields["priority"])
        for history in histories
    }
    line = sorted(
        ((event["at"], history.ticket, event) for history in histories for event in history.events),
        key=lambda entry: entry[0],
    )
    swept = line[0][0]
    for at, name, event in line:
        while swept + timedelta(hours=6) < at:
            swept += timedelta(hours=6)
            sweep(owner, swept)
        desk.move(tickets[name], at, **{key: value for key, value in event.items() if key != "at"})
    end = datetime(2017, 6, 1, tzinfo=UTC)
    sweep(owner, end)
    crossings = 0
    for history in histories:
        (clock,) = clocks_of(history.events, policy.targets, history.fields["priority"])
        ticket, pure = tickets[history.ticket], clock.replay(calendar, end)
        row = desk.clock(ticket, at=end)
        assert float(row["elapsed_seconds"]) == pure.elapsed_seconds, history.ticket
        assert row["due_at"] == pure.due, history.ticket
        expected = [(c.threshold, c.crossed_at) for c in clock.crossings(calendar, end, (75, 90))]
        assert desk.crossed(ticket) == expected, history.ticket
        crossings += len(expected)
    assert crossings > 40
