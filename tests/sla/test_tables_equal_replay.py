"""Random stories of a ticket, written through the triggers with sweeps in between, equal the pure replay."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sla_desk import OFFICE, SECONDS

from desk.sla import Calendar, sweep
from desk.sla.story import clocks_of

START = datetime(2024, 10, 25, 12, tzinfo=UTC)  # a Friday in Berlin; the clocks change on Sunday
CALENDAR = Calendar.from_dict({key: value for key, value in OFFICE.items() if key != "name"})
TARGETS = {(metric, priority): s for metric, by_priority in SECONDS.items() for priority, s in by_priority.items()}
THRESHOLDS = (75, 90)

# Whole steps, so that many fall on a threshold or a deadline exactly; some to the microsecond.
steps = st.one_of(
    st.sampled_from([0, 300, 600, 1800, 2700, 3600, 7200, 43_200]).map(lambda s: timedelta(seconds=s)),
    st.integers(1, 200_000_000_000).map(lambda us: timedelta(microseconds=us)),
)
acts = st.one_of(
    st.fixed_dictionaries({"status": st.sampled_from(
        ["new", "accepted", "assigned", "in_progress", "waiting_customer", "waiting_customer", "resolved", "closed"])}),
    st.fixed_dictionaries({"priority": st.sampled_from(["low", "medium", "high", "urgent"])}),
    st.fixed_dictionaries({"status": st.sampled_from(["in_progress", "waiting_customer", "resolved"]),
                           "priority": st.sampled_from(["low", "medium", "high", "urgent"])}),
    st.fixed_dictionaries({"reply": st.sampled_from(["agent", "customer"])}),
    st.just({"sweep": True}),
)  # fmt: skip


@settings(max_examples=100, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(steps, acts), min_size=1, max_size=14), steps)
@example(  # a priority that changes while the ticket is new again
    [
        (timedelta(0), act)
        for act in ({"status": "accepted"}, {"status": "new"}, {"priority": "low"}, {"status": "accepted"})
    ],
    timedelta(0),
)
@example(  # a shorter target while the clock stands: what it puts behind the clock is crossed at once
    [
        (timedelta(0), {"status": "accepted"}),
        (timedelta(seconds=1800), {"status": "waiting_customer", "priority": "high"}),
    ],
    timedelta(0),
)
@example(  # the same, exactly at the new target, which is no breach
    [
        (timedelta(0), {"status": "accepted"}),
        (timedelta(seconds=600), {"status": "waiting_customer"}),
        (timedelta(seconds=300), {"priority": "urgent"}),
        (timedelta(0), {"status": "accepted"}),
        (timedelta(0), {"priority": "low"}),
    ],
    timedelta(0),
)
@example(  # two changes of one instant: what lay behind the clock between them was crossed
    [
        (timedelta(0), {"status": "in_progress", "priority": "low"}),
        (timedelta(seconds=1800), {"priority": "medium"}),
        (timedelta(0), {"priority": "low"}),
    ],
    timedelta(0),
)
def test_the_tables_equal_the_replay(desk, owner, story, rest):
    at = START
    ticket = desk.ticket(at)
    events = []
    for step, act in story:
        at += step
        if "sweep" in act:
            sweep(owner, at)
        elif "reply" in act:
            desk.say(ticket, at, act["reply"])
            events.append({"at": at, **act})
        else:
            desk.move(ticket, at, **act)
            events.append({"at": at, **act})
    now = at + rest
    sweep(owner, now)

    expected = clocks_of(events, TARGETS)
    names = desk.run(None, "select metric, cycle from sla_clocks where ticket_id = %s order by 1, 2", (ticket,))
    assert names == sorted((clock.metric, clock.cycle) for clock in expected)
    for clock in expected:
        pure = clock.replay(CALENDAR, now)
        row = desk.clock(ticket, clock.metric, clock.cycle, at=now)
        assert float(row["elapsed_seconds"]) == pure.elapsed_seconds
        assert row["due_at"] == pure.due
        crossed = clock.crossings(CALENDAR, now, THRESHOLDS)
        assert desk.crossed(ticket, clock.metric, clock.cycle) == [(c.threshold, c.crossed_at) for c in crossed]
        breached = any(crossing.threshold == 100 for crossing in crossed)
        assert row["breached"] == breached
        if not breached:  # a breach is never taken back, not even by a longer target
            assert row["state"] == pure.state
    told = desk.run(None, "select metric, cycle, threshold, count(*) from notifications where ticket_id = %s "
                    "group by 1, 2, 3 having count(*) > 1", (ticket,))  # fmt: skip
    assert told == []
    worst = {
        (metric, cycle): threshold
        for metric, cycle, threshold in desk.run(
            None,
            "select metric, cycle, max(threshold) from notifications where ticket_id = %s group by 1, 2",
            (ticket,),
        )
    }
    for clock in expected:
        crossed = clock.crossings(CALENDAR, now, THRESHOLDS)
        assert worst.get((clock.metric, clock.cycle)) == (crossed[-1].threshold if crossed else None)
