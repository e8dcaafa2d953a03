"""From what happened to a ticket to what happened to its clocks. Pure; the triggers of migration 0013 in Python.

A story is a list of events in order of time, each with `at` and any of `status`, `priority` (ours), `reply` ("agent" or
"customer": what was said in public). The clocks that come of it are replayed by `desk.sla.replay`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from desk.sla.calendar import Calendar
from desk.sla.replay import Crossing, Replay, crossings, replay

PAUSES = ("new", "waiting_customer")
ANSWERED = "answered"  # the status, in a clock's own events, that stops a response clock
STOPS = ("resolved", "closed", ANSWERED)


@dataclass
class ClockStory:
    """The events of one clock, for `replay`."""

    metric: str
    cycle: int
    target_seconds: int
    priority: str
    events: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def replay(self, calendar: Calendar, now: datetime) -> Replay:
        return replay(calendar, self.events, self.target_seconds, PAUSES, STOPS, now)

    def crossings(self, calendar: Calendar, now: datetime, thresholds: Iterable[int]) -> list[Crossing]:
        return crossings(calendar, self.events, self.target_seconds, PAUSES, STOPS, now, thresholds)


class _Ticket:
    """A ticket that is moved from event to event."""

    def __init__(self, targets: Mapping[tuple[str, str], int], priority: str) -> None:
        self.targets = targets
        self.priority = priority
        self.status = "new"
        self.answered = False
        self.last_said: str | None = None
        self.clocks: list[ClockStory] = []

    def apply(self, event: Mapping[str, Any]) -> None:
        at, before = event["at"], self.status
        known = {id(clock): len(clock.events) for clock in self.clocks}
        self.priority = event.get("priority", self.priority)
        self.status = event.get("status", before)
        if self.status != before:
            self._status(at, before)
        if self.status not in STOPS:
            self._retarget(at, known)
        if event.get("reply") == "agent":
            self._answer(at)
        elif event.get("reply") == "customer":
            self._ask(at)

    def _status(self, at: datetime, before: str) -> None:
        stops = self.status in STOPS
        for clock in self.clocks:
            if not clock.stopped:
                clock.events.append({"at": at, "status": self.status})
                clock.stopped = stops
        if stops:
            return
        if before in STOPS:
            self._reopen(at)
        elif before == "new" and not self.clocks:
            self._start("resolution", at)
            if not self.answered:
                self._start("first_response", at)

    def _reopen(self, at: datetime) -> None:
        resolution = next((clock for clock in self.clocks if clock.metric == "resolution"), None)
        if resolution is None:
            self._start("resolution", at)
        else:
            resolution.stopped = False
            resolution.events.append({"at": at, "status": self.status})
        if self.answered and self.last_said == "customer":
            self._start("next_response", at)

    def _retarget(self, at: datetime, known: Mapping[int, int]) -> None:
        """`known`: how many events each clock had before the ticket's event that is being applied."""
        for clock in self.clocks:
            target = self.targets.get((clock.metric, self.priority))
            if clock.stopped or target is None or clock.priority == self.priority:
                continue
            clock.priority = self.priority
            # With the status that the same event of the ticket brought: both hold before anything is settled.
            if len(clock.events) == known.get(id(clock), 0):
                clock.events.append({"at": at})
            clock.events[-1]["set_target_seconds"] = target

    def _answer(self, at: datetime) -> None:
        self.answered, self.last_said = True, "agent"
        for clock in self.clocks:
            if clock.metric != "resolution" and not clock.stopped:
                clock.events.append({"at": at, "status": ANSWERED})
                clock.stopped = True

    def _ask(self, at: datetime) -> None:
        self.last_said = "customer"
        waits = any(clock.metric != "resolution" and not clock.stopped for clock in self.clocks)
        if self.answered and not waits and self.status not in ("new", "resolved", "closed"):
            self._start("next_response", at)

    def _start(self, metric: str, at: datetime) -> None:
        target = self.targets.get((metric, self.priority))
        if target is not None:
            cycle = 1 + sum(clock.metric == metric for clock in self.clocks)
            clock = ClockStory(metric, cycle, target, self.priority, [{"at": at, "status": self.status}])
            self.clocks.append(clock)


def clocks_of(
    events: Iterable[Mapping[str, Any]], targets: Mapping[tuple[str, str], int], priority: str = "medium"
) -> list[ClockStory]:
    """The clocks of a ticket that begins as new, with `targets` in seconds by (metric, priority)."""
    ticket = _Ticket(targets, priority)
    for event in sorted(events, key=lambda event: event["at"]):
        ticket.apply(event)
    return ticket.clocks
