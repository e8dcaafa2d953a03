"""Reading the escalation steps of a policy: what is to be done when a clock crosses a threshold. Pure.

"escalation": [{"metric": "resolution", "at": 90, "raise_priority": "urgent"},
               {"at": 100, "assign": "ana"},                   without "metric": of every metric of the policy
               {"at": 100, "notify": ["ben", "cem"]},          a group of agents
               {"at": 100, "run": "page_the_duty_officer"}]    an actor; its arguments: organization and ticket
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from desk.errors import InvalidInput
from desk.sla.hours import reading

ACTS = ("raise_priority", "assign", "notify", "run")
_KEYS = ("metric", "at", *ACTS)


@dataclass(frozen=True)
class Step:
    """One thing to do when a clock of `metric` crosses `threshold` percent. `place`: its order among the steps."""

    metric: str
    threshold: int
    place: int
    act: str
    value: str | tuple[str, ...]

    def definition(self) -> dict[str, Any]:
        """The step as JSON."""
        return asdict(self) | {"value": self.value if isinstance(self.value, str) else list(self.value)}


def read_steps(given: Any, thresholds: Mapping[str, Collection[int]], priorities: Collection[str]) -> tuple[Step, ...]:
    """The steps of a policy whose metrics have these warning thresholds.

    Raises:
        InvalidInput: one line that names the step, counted from 1.
    """
    if not isinstance(given, list):
        raise InvalidInput("escalation must be a list of steps.")
    steps = []
    for place, one in enumerate(given, start=1):
        with reading(f"escalation step {place}"):
            steps += _step(place, one, thresholds, priorities)
    return tuple(steps)


def _step(place: int, given: Any, thresholds: Mapping[str, Collection[int]], priorities: Collection[str]) -> list[Step]:
    if not isinstance(given, Mapping):
        raise InvalidInput("it must be an object.")
    if unknown := [str(key) for key in given if key not in _KEYS]:
        raise InvalidInput(f"{unknown[0]!r} is unknown; known are {', '.join(_KEYS)}.")
    acts = [act for act in ACTS if act in given]
    if len(acts) != 1:
        raise InvalidInput(f"it must have exactly one of {', '.join(ACTS)}.")
    value = _value(acts[0], given[acts[0]], priorities)
    metric, at = given.get("metric"), given.get("at")
    if metric is not None and metric not in thresholds:
        raise InvalidInput(f"metric: the policy promises nothing about {metric!r}.")
    if isinstance(at, bool) or not isinstance(at, int):
        raise InvalidInput(f"at: {at!r} is no whole percentage.")
    metrics = [name for name in sorted(thresholds) if metric in (None, name) and (at == 100 or at in thresholds[name])]
    if not metrics:
        raise InvalidInput(f"at: {at} is no threshold of the policy; name one of them, or 100 for the breach.")
    return [Step(name, at, place, acts[0], value) for name in metrics]


def _value(act: str, value: Any, priorities: Collection[str]) -> str | tuple[str, ...]:
    if act == "notify" and isinstance(value, list) and value:
        return tuple(_text(act, one) for one in dict.fromkeys(value))
    if act == "notify":
        raise InvalidInput("notify must be a list of agents.")
    if act == "raise_priority" and value not in priorities:
        raise InvalidInput(f"raise_priority: {value!r} is none of {', '.join(priorities)}.")
    return _text(act, value)


def _text(act: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{act}: {value!r} is no name.")
    return value
