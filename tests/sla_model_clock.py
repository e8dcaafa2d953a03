"""One SLA clock in memory: what `sla_clocks`, its spans and crossings must hold.

Here clocks also move between policies and calendars, and the host's clock steps back, where `desk.sla.replay` knows one
calendar and instants in order. `Calendar` is the only arithmetic; business time is counted in whole microseconds.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from desk.sla import Calendar

BREACH = 100
MILLION = 1_000_000
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Hours:
    """A version of a calendar; version 0 is round the clock."""

    version: int
    calendar: Calendar

    def elapsed(self, since: datetime, until: datetime) -> int:
        return round(self.calendar.elapsed(since, until) * MILLION)

    def add(self, since: datetime, microseconds: int) -> datetime:
        found = self.calendar.add(since, microseconds / MILLION)
        assert found is not None, "the model's calendars open every week"
        return found


@dataclass(frozen=True)
class Promise:
    """A version of a policy: target seconds by (metric, priority)."""

    policy: str
    version: int
    targets: dict[tuple[str, str], int]
    thresholds: tuple[int, ...]


@dataclass(frozen=True)
class Span:
    """A finished stretch in which a clock ran."""

    since: datetime
    until: datetime
    used_before: int
    used: int
    hours: Hours


@dataclass
class Clock:
    """One metric and cycle of a ticket. `crossed`: threshold to the instant at which it was crossed."""

    metric: str
    cycle: int
    promise: Promise
    hours: Hours
    priority: str
    target: int
    thresholds: tuple[int, ...]
    targeted_at: datetime
    started_at: datetime
    state: str
    running_since: datetime | None
    used: int = 0
    spans: list[Span] = field(default_factory=list)
    crossed: dict[int, datetime] = field(default_factory=dict)
    told: list[int] = field(default_factory=list)
    stopped_at: datetime | None = None

    @property
    def worst(self) -> int:
        return max(self.crossed, default=0)

    @property
    def reached(self) -> datetime:
        """No time before it counts: it has been counted, or lies before the start."""
        return max([self.started_at, *(span.until for span in self.spans)])

    def elapsed(self, now: datetime) -> int:
        running = self.running_since
        return self.used + (self.hours.elapsed(running, now) if running else 0)

    def instant(self, used: int) -> datetime | None:
        """When that much was used, or will be; None while it stands short of it."""
        if used > self.used:
            return self.hours.add(self.running_since, used - self.used) if self.running_since else None
        for span in self.spans:
            if span.used_before < used <= span.used_before + span.used:
                return span.hours.add(span.since, used - span.used_before)
        return self.started_at

    def need(self, threshold: int) -> int:
        return self.target * threshold * MILLION // 100

    @property
    def due(self) -> datetime | None:
        return self.instant(self.target * MILLION)

    @property
    def ahead(self) -> list[int]:
        return sorted(threshold for threshold in {*self.thresholds, BREACH} if threshold > self.worst)

    def event_at(self, threshold: int) -> datetime | None:
        """When a running clock counts as having crossed: a breach just after the deadline, and not while it stood."""
        at = self.instant(self.need(threshold))
        if threshold < BREACH or at is None:
            return at
        late_already = self.used > self.target * MILLION
        return (at if late_already else max(at, self.running_since)) + MOMENT

    def settle(self, at: datetime) -> list[int]:
        """Record what is behind; the thresholds that are new."""
        if self.state == "stopped":
            return []
        if self.state == "running":
            new = [threshold for threshold in self.ahead if self.event_at(threshold) <= at]
        else:  # what it has used it has used, whatever the host's clock says
            new = [threshold for threshold in self.ahead if self.used >= self.need(threshold)]
            if new and new[-1] == BREACH and not any(span.until > max(self.due, span.since) for span in self.spans):
                new.pop()
        for threshold in new:
            self.crossed[threshold] = max(self.instant(self.need(threshold)), self.targeted_at)
        if new:
            self.told.append(new[-1])
        return new

    def bank(self, at: datetime) -> None:
        if self.running_since is not None and at > self.running_since:
            used = self.hours.elapsed(self.running_since, at)
            self.spans.append(Span(self.running_since, at, self.used, used, self.hours))
            self.used += used

    def pause(self, at: datetime) -> None:
        if self.state == "running":
            self.bank(at)
            self.state, self.running_since = "paused", None

    def go_on(self, at: datetime) -> None:
        if self.state == "paused":
            self.state, self.running_since = "running", max(at, self.reached)

    def stop(self, at: datetime) -> None:
        if self.state != "stopped":
            self.pause(at)
            self.state, self.stopped_at = "stopped", max(at, self.reached)

    def take(self, promise: Promise, hours: Hours, priority: str, at: datetime) -> None:
        """Another target, perhaps of another policy and by other hours: start and used time stay."""
        if self.state == "running" and hours != self.hours:
            self.bank(at)
            self.running_since = max(at, self.running_since)
        target = promise.targets[self.metric, priority]
        if target != self.target:
            self.targeted_at = at
        self.promise, self.hours, self.priority, self.target = promise, hours, priority, target
        self.thresholds = promise.thresholds

    def state_at(self, now: datetime) -> str:
        late = self.late_at(now)
        if self.state == "stopped":
            return "breached" if BREACH in self.crossed else "met"
        return {"running": "breached", "paused": "paused_breached"}[self.state] if late else self.state

    def late_at(self, now: datetime) -> bool:
        runs_late = self.state == "running" and now > max(self.due, self.running_since)
        return BREACH in self.crossed or runs_late
