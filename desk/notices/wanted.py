"""What an organization and its agents want to be told, how and when: the shape of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from desk.sla.calendar import Calendar

WARNING, BREACH, ESCALATION, TEST = "sla_warning", "sla_breach", "sla_escalation", "test"
KINDS = (BREACH, ESCALATION, WARNING)  # the worst first
USUAL_GATHER_SECONDS = 30
_LOOK_AHEAD = timedelta(days=9)  # quiet hours end within a week, or they are refused

Week = Mapping[str, Any]
"""Weekday to ranges of the wall clock, as a calendar's `hours`."""


@dataclass(frozen=True)
class Quiet:
    """Hours in which notices of some kinds wait. `hours` empty: none."""

    hours: Week = field(default_factory=dict)
    holds: tuple[str, ...] = (WARNING,)

    def until(self, at: datetime, timezone: str, kind: str) -> datetime | None:
        """When a notice of that kind may be told, in UTC; None: at once, since the hour is not quiet at `at`."""
        if kind not in self.holds or not self.hours:
            return None
        calendar = Calendar.from_dict({"timezone": timezone, "hours": self.hours})
        begins, ends = next(calendar.periods(at, at + _LOOK_AHEAD), (None, None))
        return ends if begins == at else None


@dataclass(frozen=True)
class Agent:
    """An agent who gets mail. None: as the organization has it."""

    address: str
    mail_on: bool = True
    kinds: tuple[str, ...] | None = None
    timezone: str | None = None
    quiet_hours: Week | None = None
    quiet_holds: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Webhook:
    """Where posts go. `secret`: `whsec_…`; None: the one that is stored under this name stays."""

    url: str
    secret: str | None = field(default=None, repr=False)
    kinds: tuple[str, ...] = KINDS
    is_on: bool = True


@dataclass(frozen=True)
class Wanted:
    """All that one organization wants. `timezone`: IANA; None: the organization's own."""

    timezone: str | None = None
    mail_on: bool = False
    mail_from: str | None = None
    mail_kinds: tuple[str, ...] = KINDS
    queue_addresses: tuple[str, ...] = ()
    gather_seconds: int = USUAL_GATHER_SECONDS
    quiet: Quiet = field(default_factory=Quiet)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
