"""A ticket and its SLA clocks in memory, as docs/sla.md tells what they do, while policies are published."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sla_model_clock import Clock, Hours, Promise

OPEN = ("accepted", "assigned", "in_progress", "waiting_customer")
STOPS = ("resolved", "closed")
RESPONSES = ("first_response", "next_response")


def stance_of(status: str) -> str:
    return "stopped" if status in STOPS else "paused" if status in ("new", "waiting_customer") else "running"


Match = Callable[["Ticket"], tuple[Promise, Hours] | None]


@dataclass
class Ticket:
    """A ticket and its clocks. `match`: the versions that hold for it now, by the policies published so far."""

    match: Match
    status: str
    priority: str
    category: str | None
    clocks: list[Clock] = field(default_factory=list)
    versions: tuple[Promise, Hours] | None = None
    answered: bool = False
    last_said: str | None = None

    def settle(self, at: datetime) -> int:
        return sum(len(clock.settle(at)) for clock in self.clocks)

    def created(self, at: datetime) -> None:
        if self.status not in ("new", *STOPS):
            self.start(self._first_metrics(), at)
            self.settle(at)

    def change(self, at: datetime, status: str | None, priority: str | None, category: str | None) -> None:
        before = (self.status, self.priority, self.category)
        self.status, self.priority = status or self.status, priority or self.priority
        self.category = category or self.category
        if before == (self.status, self.priority, self.category):
            return
        self.settle(at)
        if self.status != before[0]:
            self._follow(before[0], at)
        stopped_before = before[0] in STOPS
        if self.status not in STOPS and (stopped_before or before[1:] != (self.priority, self.category)):
            self._retarget(at)
        self.settle(at)

    def reply(self, at: datetime) -> None:
        """A public one, of an agent."""
        self.settle(at)
        for clock in self.clocks:
            if clock.metric in RESPONSES:
                clock.stop(at)
        self.answered, self.last_said = True, "agent"

    def ask(self, at: datetime) -> None:
        """The customer writes."""
        waits = any(clock.metric in RESPONSES and clock.state != "stopped" for clock in self.clocks)
        if self.answered and self.status not in ("new", *STOPS) and not waits:
            self.start(("next_response",), at)
            self.settle(at)
        self.last_said = "customer"

    def move(self, at: datetime) -> bool:
        """To the newest versions of what holds for it now; whether that changed anything."""
        for clock in self.clocks:
            if clock.state == "running":
                clock.settle(at)
        found = self.match(self) if self.status in OPEN else None
        changed = False
        if found:
            for clock in self.clocks:
                known = (clock.metric, self.priority) in found[0].targets
                if clock.state != "stopped" and known and (clock.promise, clock.hours) != found:
                    clock.take(*found, self.priority, at)
                    self.versions, changed = found, True
        if self.status in OPEN and not self.clocks:
            self.start(self._first_metrics(), at)
            changed = bool(self.clocks)
        self.settle(at)
        return changed

    def start(self, metrics: Iterable[str], at: datetime) -> None:
        self.versions = self.versions or self.match(self)
        for metric in metrics if self.versions else ():
            cycle = 1 + sum(clock.metric == metric for clock in self.clocks)
            target = self.versions[0].targets.get((metric, self.priority))
            if target is None or (metric != "next_response" and cycle > 1):
                continue
            stance = stance_of(self.status)
            since = at if stance == "running" else None
            self.clocks.append(
                Clock(metric, cycle, *self.versions, self.priority, target, self.versions[0].thresholds, at, at, stance,
                      since)
            )  # fmt: skip
        if not self.clocks:
            self.versions = None

    def _first_metrics(self) -> tuple[str, ...]:
        return ("resolution",) if self.answered else ("first_response", "resolution")

    def _follow(self, before: str, at: datetime) -> None:
        stance = stance_of(self.status)
        if stance == "stopped":
            for clock in self.clocks:
                clock.stop(at)
            return
        if before in STOPS:
            self._reopen(at)
        elif before == "new" and not self.clocks:
            self.start(self._first_metrics(), at)
        for clock in self.clocks:
            (clock.pause if stance == "paused" else clock.go_on)(at)

    def _reopen(self, at: datetime) -> None:
        resolutions = [clock for clock in self.clocks if clock.metric == "resolution"]
        for clock in resolutions:
            clock.state, clock.stopped_at = "paused", None
        if not resolutions:
            self.start(("resolution",), at)
        if self.answered and self.last_said == "customer":
            self.start(("next_response",), at)

    def _retarget(self, at: datetime) -> None:
        if self.versions is None:
            if self.status != "new":
                self.start(self._first_metrics(), at)
            return
        found, held = self.match(self), self.versions
        if found and found[0].policy != held[0].policy:
            held = found
        for clock in self.clocks:
            known = (clock.metric, self.priority) in held[0].targets
            if clock.state != "stopped" and known and (clock.promise, clock.priority) != (held[0], self.priority):
                clock.take(*held, self.priority, at)
                self.versions = held
