"""What a policy would have made of tickets that are known from their events: met, warned, breached. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from desk.sla.calendar import Calendar
from desk.sla.history import History
from desk.sla.policy import METRICS, PRIORITIES, Document
from desk.sla.replay import BREACH
from desk.sla.story import clocks_of

OUTCOMES = ("met", "breached", "open")


@dataclass(frozen=True)
class Verdict:
    """One clock of one ticket. `elapsed_seconds` count by the calendar and without pauses, `wall_seconds` do not.

    `outcome`: met, breached (once, never taken back), open (undecided at the end). `warned`: a warning was due.
    """

    ticket: str
    metric: str
    cycle: int
    priority: str
    outcome: str
    warned: bool
    started_at: datetime
    due_at: datetime | None
    elapsed_seconds: float
    wall_seconds: float
    target_seconds: int
    crossed: tuple[tuple[int, datetime], ...]
    policy: str


@dataclass(frozen=True)
class Judged:
    """Every verdict, and the tickets that no policy holds for or that were never accepted."""

    verdicts: list[Verdict]
    without_policy: list[str]
    without_clock: list[str]


def judge(histories: Iterable[History], document: Document, now: datetime) -> Judged:
    """Replay each ticket under the policy that holds for it at its first event, until `now`."""
    calendars: dict[str, Calendar] = {}
    judged = Judged([], [], [])
    for history in histories:
        policy = document.choose(history.fields)
        if policy is None:
            judged.without_policy.append(history.ticket)
            continue
        if policy.name not in calendars:
            calendars[policy.name] = document.calendar_of(policy)
        # Where nobody's replies are known, nobody can say when one was given.
        replies = any("reply" in event for event in history.events)
        targets = {key: seconds for key, seconds in policy.targets.items() if replies or key[0] == "resolution"}
        events = [event for event in history.events if event["at"] <= now]
        clocks = clocks_of(events, targets, history.fields["priority"])
        if not clocks:
            judged.without_clock.append(history.ticket)
        for clock in clocks:
            judged.verdicts.append(_verdict(history.ticket, clock, calendars[policy.name], policy, now))
    return judged


def _verdict(ticket: str, clock: Any, calendar: Calendar, policy: Any, now: datetime) -> Verdict:
    end = clock.replay(calendar, now)
    crossed = clock.crossings(calendar, now, policy.thresholds[clock.metric])
    breached = any(crossing.threshold == BREACH for crossing in crossed) or end.state in ("breached", "paused_breached")
    started_at = clock.events[0]["at"]
    stopped_at = clock.events[-1]["at"] if clock.stopped else now
    return Verdict(
        ticket=ticket,
        metric=clock.metric,
        cycle=clock.cycle,
        priority=clock.priority,
        outcome="breached" if breached else "met" if clock.stopped else "open",
        warned=any(crossing.threshold < BREACH for crossing in crossed),
        started_at=started_at,
        due_at=end.due,
        elapsed_seconds=end.elapsed_seconds,
        wall_seconds=(stopped_at - started_at).total_seconds(),
        target_seconds=round(end.elapsed_seconds + end.remaining_seconds),
        crossed=tuple((crossing.threshold, crossing.crossed_at) for crossing in crossed),
        policy=policy.name,
    )


def summary(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """One row per metric and priority, then one per metric: how many clocks were met, warned, breached, open."""
    rows = []
    for metric in METRICS:
        for priority in (*PRIORITIES, "all"):
            some = [v for v in verdicts if v.metric == metric and priority in (v.priority, "all")]
            if some:
                rows.append({"metric": metric, "priority": priority, **_counts(some)})
    return rows


def side_by_side(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Two summaries of the same tickets in one: per metric and priority the clocks, shares met and breaches of both."""
    firsts, seconds = ({(row["metric"], row["priority"]): row for row in rows} for rows in (ours, theirs))
    rows = []
    for metric in METRICS:
        for priority in (*PRIORITIES, "all"):
            first, second = firsts.get((metric, priority), {}), seconds.get((metric, priority), {})
            if not first and not second:
                continue
            before, after = first.get("share_met"), second.get("share_met")
            rows.append(
                {"metric": metric, "priority": priority}
                | {name: first.get(name) for name in ("clocks", "breached", "share_met")}
                | {f"{name}_against": second.get(name) for name in ("clocks", "breached", "share_met")}
                | {"difference": None if before is None or after is None else round(after - before, 4)}
            )
    return rows


def _counts(verdicts: Sequence[Verdict]) -> Mapping[str, Any]:
    count = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in OUTCOMES}
    decided = count["met"] + count["breached"]
    return {
        "clocks": len(verdicts),
        "met": count["met"],
        "warned": sum(verdict.warned for verdict in verdicts),
        "breached": count["breached"],
        "open": count["open"],
        "share_met": round(count["met"] / decided, 4) if decided else None,
    }
