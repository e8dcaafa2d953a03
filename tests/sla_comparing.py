"""What must hold after each step of a story: tables and view as the model has them, and as the replay says."""

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine, invariant
from psycopg2.extensions import connection as Connection
from sla_desk import Desk
from sla_model import OPEN, Ticket
from sla_model_clock import BREACH, MILLION, Clock

from desk.sla.story import clocks_of

CLOCKS = """
    select s.ticket_id, s.metric, s.cycle, p.name, v.version, coalesce(w.version, 0), s.state, s.priority,
           s.target_seconds, s.started_at, s.stopped_at, s.due_at, s.next_threshold, s.next_event_at,
           s.time_to_breach_minutes, s.business_minutes_left, s.elapsed_seconds, s.percent_used, s.breached,
           c.targeted_at, c.running_since, c.thresholds
      from ticket_sla s
      join sla_clocks c using (ticket_id, metric, cycle)
      join sla_policy_versions v on v.id = s.policy_version_id
      join sla_policies p on p.id = v.policy_id
      left join calendar_versions w on w.id = s.calendar_version_id"""


def shown(clock: Clock, now: datetime) -> tuple:
    """The row of CLOCKS that a clock of the model asks for."""
    due, runs = clock.due, clock.state == "running"
    ahead = clock.ahead[0] if runs and clock.ahead else None
    spent, hundredth, tenth = Decimal(clock.elapsed(now)) / MILLION, Decimal("0.01"), Decimal("0.1")
    return (
        clock.promise.policy, clock.promise.version, clock.hours.version, clock.state_at(now), clock.priority,
        clock.target, clock.started_at, clock.stopped_at, due, ahead, clock.event_at(ahead) if ahead else None,
        (due - now) // timedelta(minutes=1) if runs else None,
        ((clock.target - spent) / 60).quantize(hundredth, ROUND_HALF_UP), spent,
        (100 * spent / clock.target).quantize(tenth, ROUND_HALF_UP),
        clock.late_at(now), clock.targeted_at, clock.running_since, list(clock.thresholds),
    )  # fmt: skip


class Compared(RuleBasedStateMachine):
    """Compares the desk, `tickets` and those of another organization as they were in the beginning."""

    owner: Connection
    other: UUID
    desk: Desk
    now: datetime
    tickets: dict[UUID, Ticket]
    plain: dict[UUID, list[dict[str, Any]]]  # the stories that the replay has words for
    untouched: list[list[tuple]]

    @invariant()
    def clocks_are_as_the_model_has_them(self):
        expected = {
            (key, clock.metric, clock.cycle): shown(clock, self.now)
            for key, ticket in self.tickets.items()
            for clock in ticket.clocks
        }
        found = {row[:3]: row[3:] for row in self.desk.run(self.now, CLOCKS)}
        assert found.keys() == expected.keys()
        for name, row in found.items():
            assert row == expected[name], name

    @invariant()
    def each_crossing_is_recorded_and_told_once(self):
        clocks = {(key, c.metric, c.cycle): c for key, ticket in self.tickets.items() for c in ticket.clocks}
        crossed = self.desk.run(None, "select ticket_id, metric, cycle, threshold, crossed_at from sla_crossings")
        assert sorted(crossed) == sorted((*name, *c) for name, clock in clocks.items() for c in clock.crossed.items())
        told = self.desk.run(None, "select ticket_id, metric, cycle, threshold, id from notifications")
        assert sorted(row[:4] for row in told) == sorted(
            (*name, t) for name, clock in clocks.items() for t in clock.told
        )
        sent = self.ask("select message -> 'args' ->> 1 from dramatiq.queue where actor_name = 'deliver_notification'")
        assert sorted(row[0] for row in sent) == sorted(str(row[4]) for row in told)

    @invariant()
    def the_replay_says_the_same_where_it_has_words(self):
        for key, events in self.plain.items():
            ticket = self.tickets[key]
            if ticket.versions is None:
                continue
            promise, hours = ticket.versions
            stories = clocks_of(events, promise.targets)
            assert sorted((s.metric, s.cycle) for s in stories) == sorted((c.metric, c.cycle) for c in ticket.clocks)
            for story in stories:
                (clock,) = (c for c in ticket.clocks if (c.metric, c.cycle) == (story.metric, story.cycle))
                pure = story.replay(hours.calendar, self.now)
                assert (pure.elapsed_seconds, pure.due) == (clock.elapsed(self.now) / MILLION, clock.due)
                crossings = story.crossings(hours.calendar, self.now, promise.thresholds)
                behind = {crossing.threshold: crossing.crossed_at for crossing in crossings}
                assert clock.crossed.items() <= behind.items(), "recorded, and not crossed"
                assert clock.late_at(self.now) == (BREACH in behind)
                if BREACH not in behind:  # a breach is never taken back, not even by a longer target
                    assert pure.state == clock.state_at(self.now)

    @invariant()
    def the_figures_are_right_and_the_others_untouched(self):
        states = [clock.state for ticket in self.tickets.values() for clock in ticket.clocks]
        without = sum(ticket.status in OPEN and not ticket.clocks for ticket in self.tickets.values())
        ours = (states.count("running"), without, states.count("paused"))
        others = [row[4] for row in self.untouched[1]]
        assert self.ask("select running, without_clock, paused from sla_census()") == [
            (ours[0] + others.count("running"), ours[1], ours[2] + others.count("paused"))
        ]
        assert self.others() == self.untouched

    def ask(self, text):
        with self.owner.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()

    def others(self):
        with self.owner.cursor() as cursor:
            found = []
            for table in ("tickets", "sla_clocks", "sla_spans", "sla_crossings", "notifications"):
                cursor.execute(f"select * from {table} where organization_id = %s order by 1, 2, 3, 4", (self.other,))
                found.append(cursor.fetchall())
            return found
