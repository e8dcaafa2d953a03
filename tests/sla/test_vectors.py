"""The facts of `shared/vectors/sla_sample.json`: most come from the suites of other help desks."""

from datetime import datetime
from operator import itemgetter

import pytest
from sla_vectors import VECTORS, instant

from desk.sla.calendar import Calendar
from desk.sla.replay import Clock, replay

NAMES = {75: "warn75", 90: "warn90", 100: "breach"}

pytestmark = pytest.mark.data


def of_kind(kind: str):
    found = [vector for vector in VECTORS if vector["kind"] == kind]
    return pytest.mark.parametrize("vector", found, ids=[vector["name"] for vector in found])


def events_of(vector: dict) -> list[dict]:
    return [{**event, "at": instant(event["at"])} for event in vector["events"]]


def rules(vector: dict) -> tuple:
    return vector["target_minutes"] * 60, vector["pause_statuses"], vector["stop_statuses"]


def sweeps(clock: Clock, events: list[dict], instants: list[datetime]) -> list[tuple[datetime, list[int]]]:
    """What sweeps at these instants record: (instant, thresholds crossed) where any were; the last is the worst."""
    ahead = sorted(events, key=itemgetter("at"))
    told: set[int] = set()
    found = []
    for now in sorted(instants):
        while ahead and ahead[0]["at"] <= now:
            clock.apply(ahead.pop(0))
        new = [crossing.threshold for crossing in clock.crossed(NAMES, now) if crossing.threshold not in told]
        if new:
            told.update(new)
            found.append((now, new))
    return found


@of_kind("add")
def test_a_deadline_is_the_earliest_instant_that_uses_the_target_up(vector: dict):
    seconds = vector["seconds"] if "seconds" in vector else vector["minutes"] * 60
    assert Calendar.from_dict(vector["calendar"]).add(instant(vector["start"]), seconds) == instant(
        vector["expected_due"]
    )


@of_kind("elapsed")
def test_business_time_between_two_instants_is_exact(vector: dict):
    calendar = Calendar.from_dict(vector["calendar"])
    assert calendar.elapsed(instant(vector["start"]), instant(vector["end"])) == vector["expected_business_seconds"]


@of_kind("timeline")
def test_a_clock_stands_where_its_events_put_it(vector: dict):
    found = replay(Calendar.from_dict(vector["calendar"]), events_of(vector), *rules(vector), instant(vector["now"]))
    assert found.elapsed_seconds == vector["expected_elapsed_minutes"] * 60
    assert found.remaining_seconds == vector["expected_remaining_minutes"] * 60
    assert found.state == vector["expected_state"]
    for name in ("due", "t75", "t90"):
        assert getattr(found, name) == instant(vector[f"expected_{name}"]), name


@of_kind("sweep")
def test_sweeps_tell_each_threshold_once_and_the_worst_of_several(vector: dict):
    instants = [instant(text) for text in vector["sweeps"]]
    found = sweeps(Clock(Calendar.from_dict(vector["calendar"]), *rules(vector)), events_of(vector), instants)
    assert [
        {"at": at, "crossed": [NAMES[threshold] for threshold in crossed], "deliver": NAMES[crossed[-1]]}
        for at, crossed in found
    ] == [{**expected, "at": instant(expected["at"])} for expected in vector["expected_notifications"]]
