"""Reading a policy document: what is promised to whom, checked before anything is written. Pure.

A document is one policy, or `{"calendars": […], "policies": […]}`. A policy:

    {"name": "Standard",
     "default": true,                              holds where no other does; else "conditions" say for which tickets
     "conditions": {"category": ["billing"]},      field to a value or a list of values; all must hold
     "position": 10,                               smaller is asked first; default: after those that exist
     "calendar": "Office",                         a name, a calendar with its "name", or null for 24×7
     "targets_in": "minutes",                      or "seconds"
     "targets": {"resolution": {"urgent": 240, "high": 480, "medium": 1440, "low": 2880}, "first_response": {…}},
     "thresholds": [75, 90],                       when to warn, in percent; or a list per metric
     "escalation": [{"at": 90, "raise_priority": "urgent"}]}   what to do then, see desk.sla.steps

A calendar: `{"name": "Office", "timezone": …, "hours": …}` and more, as `Calendar.from_dict` has it. A policy that is
to hold no longer: `{"name": "Standard", "retired": true}`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from desk.errors import InvalidInput
from desk.sla.calendar import Calendar
from desk.sla.hours import reading
from desk.sla.replay import BREACH, DEFAULT_THRESHOLDS
from desk.sla.steps import Step, read_steps
from desk.sla.strict import checked_calendar

METRICS = ("first_response", "next_response", "resolution")
PRIORITIES = ("urgent", "high", "medium", "low")
FIELDS = ("category", "priority", "language", "requester", "assignee", "tags")
_UNITS = {"seconds": 1, "minutes": 60}
_KEYS = (
    "name", "default", "conditions", "position", "calendar", "targets_in", "targets", "thresholds", "escalation",
    "retired",
)  # fmt: skip
_LONGEST_SECONDS = 10 * 366 * 86_400


@dataclass(frozen=True)
class Policy:
    """One policy as it will be published. Targets are business seconds by (metric, priority)."""

    name: str
    is_default: bool = False
    retired: bool = False
    position: int | None = None
    calendar: str | None = None
    conditions: Mapping[str, list[str]] = field(default_factory=dict)
    targets: Mapping[tuple[str, str], int] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    escalation: tuple[Step, ...] = ()

    def definition(self) -> dict[str, Any]:
        """The policy as JSON, always in the same form: equal policies have equal definitions."""
        metrics = sorted({metric for metric, _ in self.targets})
        return {
            "name": self.name,
            "default": self.is_default,
            "position": self.position,
            "calendar": self.calendar,
            "conditions": {name: list(values) for name, values in sorted(self.conditions.items())},
            "targets_in": "seconds",
            "targets": {m: {p: s for (metric, p), s in self.targets.items() if metric == m} for m in metrics},
            "thresholds": {metric: list(self.thresholds[metric]) for metric in metrics},
        } | ({"escalation": [step.definition() for step in self.escalation]} if self.escalation else {})

    def holds_for(self, ticket: Mapping[str, Any]) -> bool:
        """Whether the conditions hold, as the SQL function sla_match has it."""

        def has(name: str, wanted: list[str]) -> bool:
            value = ticket.get(name)
            return any(v in wanted for v in value) if isinstance(value, list | tuple) else value in wanted

        return self.is_default or (bool(self.conditions) and all(has(*item) for item in self.conditions.items()))


@dataclass(frozen=True)
class Document:
    """A checked document: definitions of calendars by name, policies in order, and what is odd but allowed."""

    calendars: Mapping[str, dict[str, Any]]
    policies: tuple[Policy, ...]
    warnings: tuple[str, ...]

    def choose(self, ticket: Mapping[str, Any]) -> Policy | None:
        """The policy that holds for a ticket, given its fields: the first that matches, defaults last."""
        at = {policy.name: number for number, policy in enumerate(self.policies)}
        ordered = sorted(
            (policy for policy in self.policies if not policy.retired),
            key=lambda policy: (policy.is_default, at[policy.name] if policy.position is None else policy.position),
        )
        return next((policy for policy in ordered if policy.holds_for(ticket)), None)

    def calendar_of(self, policy: Policy) -> Calendar:
        """The calendar that a policy counts by.

        Raises:
            InvalidInput: the document does not hold it.
        """
        if policy.calendar is None:
            return Calendar.always()
        if policy.calendar not in self.calendars:
            raise InvalidInput(f"policy {policy.name!r}: calendar {policy.calendar!r} is not in the document.")
        return Calendar.from_dict(self.calendars[policy.calendar])


def read(document: Any) -> Document:
    """A document, checked.

    Raises:
        InvalidInput: one line that names the calendar or policy and the field.
    """
    if not isinstance(document, Mapping):
        raise InvalidInput("A policy is a JSON object; this is none.")
    whole = "policies" in document or "calendars" in document
    _known(document, ("calendars", "policies") if whole else _KEYS)
    calendars: dict[str, dict[str, Any]] = {}
    policies: dict[str, Policy] = {}
    warnings: list[str] = []
    for given in _list(document.get("calendars"), "calendars"):
        _calendar(given, calendars, warnings)
    for given in _list(document.get("policies"), "policies") if whole else [document]:
        policy = _policy(given, calendars, warnings)
        if policy.name in policies:
            raise InvalidInput(f"policy {policy.name!r} is in the document twice.")
        policies[policy.name] = policy
    return Document(calendars, tuple(policies.values()), tuple(warnings))


def _policy(given: Any, calendars: dict[str, dict[str, Any]], warnings: list[str]) -> Policy:
    name = _name(given, "policy")
    with reading(f"policy {name!r}"):
        _known(given, _KEYS)
        if given.get("retired"):
            return Policy(name, retired=True)
        is_default = given.get("default", False)
        if not isinstance(is_default, bool):
            raise InvalidInput("default must be true or false.")
        position = given.get("position")
        if position is not None and (isinstance(position, bool) or not isinstance(position, int)):
            raise InvalidInput(f"position: {position!r} is no whole number.")
        calendar = given.get("calendar")
        if isinstance(calendar, Mapping):
            calendar = _calendar({"name": name, **calendar}, calendars, warnings)
        elif calendar is not None and not (isinstance(calendar, str) and calendar.strip()):
            raise InvalidInput("calendar must be a name, a calendar or null.")
        conditions = _conditions(given.get("conditions") or {})
        if is_default and conditions:
            raise InvalidInput("a default policy holds for every ticket; it has no conditions.")
        if not is_default and not conditions:
            warnings.append(f"policy {name!r} has no conditions and is no default: it holds for no ticket.")
        targets = _targets(given, conditions.get("priority", PRIORITIES))
        for priority in PRIORITIES:
            first, last = targets.get(("first_response", priority)), targets.get(("resolution", priority))
            if first and last and first > last:
                warnings.append(f"policy {name!r}, {priority}: the first response may take longer than the resolution.")
        metrics = {metric for metric, _ in targets}
        thresholds = _thresholds(given.get("thresholds", list(DEFAULT_THRESHOLDS)), metrics)
        steps = read_steps(given.get("escalation", []), thresholds, PRIORITIES)
    return Policy(name, is_default, False, position, calendar, conditions, targets, thresholds, steps)


def _calendar(given: Any, calendars: dict[str, dict[str, Any]], warnings: list[str]) -> str:
    name = _name(given, "calendar")
    definition = {key: value for key, value in given.items() if key != "name"}
    with reading(f"calendar {name!r}"):
        warnings += [f"calendar {name!r}: {warning}" for warning in checked_calendar(definition)]
        if calendars.setdefault(name, definition) != definition:
            raise InvalidInput("it is in the document twice, and not the same.")
    return name


def _conditions(given: Any) -> dict[str, list[str]]:
    with reading("conditions"):
        _known(given, FIELDS)
        found = {}
        for name, values in given.items():
            values = values if isinstance(values, list) else [values]
            if not values or not all(isinstance(value, str) and value.strip() for value in values):
                raise InvalidInput(f"{name} is blank or no text; a blank condition would match nothing.")
            found[name] = values
        wrong = [value for value in found.get("priority", ()) if value not in PRIORITIES]
        if wrong:
            raise InvalidInput(f"priority {wrong[0]!r} is none of {', '.join(PRIORITIES)}.")
    return found


def _targets(given: Mapping[str, Any], priorities: Iterable[str]) -> dict[tuple[str, str], int]:
    with reading("targets_in"):
        unit = _UNITS.get(given.get("targets_in", "minutes"))
        if unit is None:
            raise InvalidInput(f"{given['targets_in']!r} is neither seconds nor minutes.")
    with reading("targets"):
        metrics = given["targets"]
        _known(metrics, METRICS)
        if not metrics:
            raise InvalidInput("there is none.")
    found = {}
    for metric, by_priority in metrics.items():
        with reading(f"targets.{metric}"):
            _known(by_priority, PRIORITIES)
            for priority in priorities:
                if priority not in by_priority:
                    raise InvalidInput(f"{priority} is missing.")
        for priority, value in by_priority.items():
            with reading(f"targets.{metric}.{priority}"):
                if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
                    raise InvalidInput(f"{value!r} is no number.")
                if not 1 <= value * unit <= _LONGEST_SECONDS:
                    raise InvalidInput(f"{value} is not between one second and ten years.")
                if value * unit != int(value * unit):
                    raise InvalidInput(f"{value} is no whole number of seconds.")
                found[metric, priority] = int(value * unit)
    return found


def _thresholds(given: Any, metrics: Iterable[str]) -> dict[str, tuple[int, ...]]:
    by_metric = given if isinstance(given, Mapping) else dict.fromkeys(metrics, given)
    with reading("thresholds"):
        _known(by_metric, METRICS)
        for values in by_metric.values():
            for value in _list(values, "thresholds"):
                if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= BREACH:
                    raise InvalidInput(f"{value!r} is no percentage from 1 to 100.")
    # The breach is always told; whoever lists it means no more than that.
    return {
        metric: tuple(sorted({*by_metric.get(metric, DEFAULT_THRESHOLDS)} - {BREACH}))
        for metric in sorted({*metrics, *by_metric})
    }


def _name(given: Any, what: str) -> str:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"A {what} is a JSON object; {given!r} is none.")
    name = given.get("name")
    if not isinstance(name, str) or not name.strip() or "\x00" in name:
        raise InvalidInput(f"A {what} needs a name; {name!r} is none.")
    return name.strip()


def _known(given: Any, names: Iterable[str]) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"it must be an object with {', '.join(names)}.")
    unknown = [str(key) for key in given if key not in names]
    if unknown:
        raise InvalidInput(f"{unknown[0]!r} is unknown; known are {', '.join(names)}.")


def _list(given: Any, name: str) -> list[Any]:
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        raise InvalidInput(f"{name} must be a list.")
    return list(given)
