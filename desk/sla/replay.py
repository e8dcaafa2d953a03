"""A clock without a database: what its events say about elapsed time, deadline, thresholds and state.

Pure, and the reference for the tables: the same events written through the triggers give the same figures.

A clock starts at its first event. It runs in every status that is neither a pause nor a stop. Pausing keeps what was
used; reopening continues; a new target keeps the elapsed time. A deadline is the earliest instant at which the target
is used up; it is met when the clock stopped at that instant or before, breached when it ran on.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from desk.errors import InvalidInput
from desk.sla.calendar import Calendar

BREACH = 100
DEFAULT_THRESHOLDS = (75, 90)


@dataclass(frozen=True)
class Span:
    """A stretch in which the clock ran: `until` is None where it still does; `used_before` in business seconds."""

    since: datetime
    until: datetime | None
    used_before: float


@dataclass(frozen=True)
class Crossing:
    """A threshold (percent of the target; 100: the breach) and the instant at which it was crossed."""

    threshold: int
    crossed_at: datetime


@dataclass(frozen=True)
class Replay:
    """A clock at one instant. Durations are business seconds; instants are UTC.

    `due`, `t75` and `t90` are None while the clock stands and has not reached them: nobody knows when it will.
    `state`: not_started, running, breached (running late, or stopped too late), paused, paused_breached, met.
    """

    elapsed_seconds: float
    remaining_seconds: float
    due: datetime | None
    t75: datetime | None
    t90: datetime | None
    state: str
    spans: tuple[Span, ...] = ()


class Clock:
    """A clock that is moved from event to event."""

    def __init__(
        self, calendar: Calendar, target_seconds: float, pause_statuses: Collection[str], stop_statuses: Collection[str]
    ) -> None:
        self.calendar = calendar
        self.target_seconds = target_seconds
        self.targeted_at: datetime | None = None
        self.spans: list[Span] = []
        self.stance: str = "not_started"
        self._pauses = frozenset(pause_statuses)
        self._stops = frozenset(stop_statuses)

    def apply(self, event: Mapping[str, Any]) -> None:
        """Move by one event; events come in order of time."""
        at = _instant(event)
        if "set_target_minutes" in event or "set_target_seconds" in event:
            seconds = event.get("set_target_seconds")
            self.target_seconds = event["set_target_minutes"] * 60 if seconds is None else seconds
            self.targeted_at = at
        status = event.get("status")
        if status is None:
            return
        stance = "paused" if status in self._pauses else "stopped" if status in self._stops else "running"
        if self.stance == "running" and stance != "running":
            last = self.spans.pop()
            self.spans.append(Span(last.since, max(at, last.since), last.used_before))
        elif self.stance != "running" and stance == "running":
            self.spans.append(Span(at, None, self.used(at)))
        self.stance = stance

    def used(self, now: datetime) -> float:
        """Business seconds used until `now`."""
        if not self.spans:
            return 0.0
        last = self.spans[-1]
        return round(last.used_before + self.calendar.elapsed(last.since, last.until or now), 6)

    def instant(self, used_seconds: float) -> datetime | None:
        """When that much was used, or will be if the clock runs on; None while it stands short of it."""
        for span in self.spans:
            length = None if span.until is None else self.calendar.elapsed(span.since, span.until)
            if length is None or used_seconds <= round(span.used_before + length, 6):
                return self.calendar.add(span.since, used_seconds - span.used_before)
        return None

    def ran_past(self, instant: datetime | None, now: datetime) -> bool:
        """Whether the clock ran on after `instant`; not yet at the very instant at which it goes on."""
        return instant is not None and any((span.until or now) > max(instant, span.since) for span in self.spans)

    def state(self, now: datetime) -> str:
        late = self.ran_past(self.instant(self.target_seconds), now)
        match self.stance:
            case "running":
                return "breached" if late else "running"
            case "paused":
                return "paused_breached" if late else "paused"
            case "stopped":
                return "breached" if late else "met"
            case stance:
                return stance

    def crossed(self, thresholds: Iterable[int], now: datetime) -> list[Crossing]:
        """The thresholds that lie behind a clock that is not stopped: warnings from their instant on, the breach after.

        A threshold that came to lie behind by a new target was crossed when the target was set, also while it stood.
        """
        behind: list[Crossing] = []
        if self.stance not in ("running", "paused"):
            return behind
        for threshold in sorted({*thresholds, BREACH}):
            at = self.instant(self.target_seconds * threshold / 100)
            if at is not None and (at <= now if threshold < BREACH else self.ran_past(at, now)):
                behind.append(Crossing(threshold, max(at, self.targeted_at) if self.targeted_at else at))
        return behind


def replay(
    calendar: Calendar,
    events: Sequence[Mapping[str, Any]],
    target_seconds: float,
    pause_statuses: Collection[str],
    stop_statuses: Collection[str],
    now: datetime,
) -> Replay:
    """The clock at `now`, from events with `at` (an aware datetime) and `status` or `set_target_minutes`.

    Events later than `now` are left out; those out of order are put in order of time.

    Raises:
        InvalidInput: an event has no instant, or one without a time zone.
    """
    clock = Clock(calendar, target_seconds, pause_statuses, stop_statuses)
    for event in until(events, now):
        clock.apply(event)
    elapsed = clock.used(now)
    return Replay(
        elapsed_seconds=elapsed,
        remaining_seconds=clock.target_seconds - elapsed,
        due=clock.instant(clock.target_seconds),
        t75=clock.instant(clock.target_seconds * 0.75),
        t90=clock.instant(clock.target_seconds * 0.9),
        state=clock.state(now),
        spans=tuple(clock.spans),
    )


def crossings(
    calendar: Calendar,
    events: Sequence[Mapping[str, Any]],
    target_seconds: float,
    pause_statuses: Collection[str],
    stop_statuses: Collection[str],
    now: datetime,
    thresholds: Iterable[int] = DEFAULT_THRESHOLDS,
) -> list[Crossing]:
    """Every threshold crossed until `now`, each once, in order: each event settles what lies behind it first."""
    clock = Clock(calendar, target_seconds, pause_statuses, stop_statuses)
    told: dict[int, Crossing] = {}

    def settle(at: datetime) -> None:
        worst = max(told, default=0)
        for crossing in clock.crossed(thresholds, at):
            if crossing.threshold > worst:
                told[crossing.threshold] = crossing

    for event in until(events, now):
        settle(_instant(event))
        clock.apply(event)
        settle(_instant(event))
    settle(now)
    return list(told.values())


def until(events: Iterable[Mapping[str, Any]], now: datetime) -> list[Mapping[str, Any]]:
    """The events that have happened at `now`, in order of time."""
    return [event for event in sorted(events, key=_instant) if _instant(event) <= now]


def _instant(event: Mapping[str, Any]) -> datetime:
    at = event.get("at")
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise InvalidInput(f"at: {at!r} is no instant with a time zone.")
    return at
