"""What a model's desk has published: variants of a policy document, their versions, and which holds for a ticket."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sla_model import Ticket
from sla_model_clock import Hours, Promise

from desk.sla import Calendar

SINCE = datetime(2024, 10, 1, tzinfo=UTC)  # the calendars count from here: a few periods to write, where years would do
DAYS = ("mon", "tue", "wed", "thu", "fri")
CALENDARS: tuple[dict[str, Any], ...] = (
    {"timezone": "Europe/Berlin", "hours": {day: [["09:00", "17:00"]] for day in DAYS}},
    {"timezone": "Europe/Berlin", "hours": {day: [["08:00", "12:00"], ["12:45", "18:00"]] for day in DAYS},
     "breaks": {"2024-10-28": [["09:00", "10:30"]]}, "holidays": ["2024-10-31"]},
    {"timezone": "America/New_York", "hours": {day: [["21:00", "05:00"]] for day in (*DAYS, "sun")},
     "date_hours": {"2024-11-03": [["00:30", "03:00"]]}},
)  # fmt: skip
KNOWN = tuple(Calendar.from_dict(definition) for definition in CALENDARS)  # once: each keeps the years it worked out
ALWAYS = Hours(0, Calendar.always())
TARGETS = {
    "first_response": {"urgent": 600, "high": 1200, "medium": 2400, "low": 4800},
    "next_response": {"urgent": 600, "high": 1200, "medium": 2400, "low": 4800},
    "resolution": {"urgent": 3600, "high": 7200, "medium": 14400, "low": 28800},
}
THRESHOLDS = ([75, 90], [50, 75, 90], [20, 95], [])
PARTS = (("first_response", "next_response", "resolution"), ("first_response", "resolution"), ("resolution",))


@dataclass
class Published:
    """The newest versions by name, as `desk.sla.policies.publish` numbers them."""

    hours: list[Hours] = field(default_factory=list)
    promises: dict[str, list[tuple[dict[str, Any], Promise]]] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)

    def standard(self, calendar: int, percent: int, thresholds: int, parts: int) -> dict[str, Any]:
        """The document of a default policy by the office's calendar."""
        hours = {"name": "Office", **CALENDARS[calendar]}
        return self._document("Standard", percent, thresholds, parts) | {"default": True, "calendar": hours}

    def billing(self, percent: int, thresholds: int, parts: int) -> dict[str, Any]:
        """The document of a policy round the clock for one category."""
        document = self._document("Billing", percent, thresholds, parts)
        return document | {"conditions": {"category": ["billing"]}, "position": 1, "calendar": None}

    def _document(self, name: str, percent: int, thresholds: int, parts: int) -> dict[str, Any]:
        targets = {
            metric: {priority: seconds * percent // 100 for priority, seconds in TARGETS[metric].items()}
            for metric in PARTS[parts]
        }
        return {"name": name, "targets_in": "seconds", "targets": targets, "thresholds": THRESHOLDS[thresholds]}

    def take(self, document: dict[str, Any]) -> None:
        """Remember what was published: a new version where it differs from the last."""
        name, given = document["name"], document.get("calendar")
        if document.get("retired"):
            self.retired.add(name)
            return
        self.retired.discard(name)
        if given:
            calendar = next(known for own, known in zip(CALENDARS, KNOWN, strict=True) if own.items() <= given.items())
            if not self.hours or self.hours[-1].calendar != calendar:
                self.hours.append(Hours(len(self.hours) + 1, calendar))
        own = {key: value for key, value in document.items() if key != "calendar"}  # its calendar goes by name
        known = self.promises.setdefault(name, [])
        if not known or known[-1][0] != own:
            targets = {(metric, p): s for metric, by in document["targets"].items() for p, s in by.items()}
            known.append((own, Promise(name, len(known) + 1, targets, tuple(document["thresholds"]))))

    def match(self, ticket: Ticket) -> tuple[Promise, Hours] | None:
        """The versions that hold for a ticket now."""
        for name in ("Billing", "Standard"):
            if (
                name in self.promises
                and name not in self.retired
                and (name == "Standard" or ticket.category == "billing")
            ):
                return self.promises[name][-1][1], ALWAYS if name == "Billing" else self.hours[-1]
        return None
