"""When a schedule of periodiq's `cron(…)` is due, as cron(5) says, in UTC.

periodiq's own arithmetic never matches a Sunday written as 0, and loses the morning's slots when it moves to another
day; only its parser is used here.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_FURTHEST_DAYS = 366 * 8 + 1  # 29 February is at most eight years away


def matches(spec: Any, at: datetime) -> bool:
    """Whether `spec` (a periodiq CronSpec) is due in the minute of `at`, which is aware."""
    at = at.astimezone(UTC)
    return at.minute in spec.minute and at.hour in spec.hour and _matches_day(spec, at)


def latest_slot(spec: Any, now: datetime, grace: timedelta) -> datetime | None:
    """The last minute at or before `now` in which `spec` is due; None where that is longer ago than `grace`."""
    slot = now.astimezone(UTC).replace(second=0, microsecond=0)
    while now - slot < grace + _MINUTE:
        if matches(spec, slot):
            return slot
        slot -= _MINUTE
    return None


def next_slot(spec: Any, now: datetime) -> datetime | None:
    """The first minute after `now` in which `spec` is due; None where it never is."""
    start = now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
    day = start.replace(hour=0, minute=0)
    for _ in range(_FURTHEST_DAYS):
        if _matches_day(spec, day):
            for hour in sorted(spec.hour):
                for minute in sorted(spec.minute):
                    slot = day.replace(hour=hour, minute=minute)
                    if slot >= start:
                        return slot
        day += _DAY
    return None


def _matches_day(spec: Any, at: datetime) -> bool:
    if at.month not in spec.month:
        return False
    day_fits = at.day in spec.dom
    weekday_fits = at.isoweekday() % 7 in {weekday % 7 for weekday in spec.dow}  # Sunday is 0 and 7
    if _restricted(spec, 2, len(spec.dom) < 31) and _restricted(spec, 4, len(spec.dow) < 7):
        return day_fits or weekday_fits
    return day_fits and weekday_fits


def _restricted(spec: Any, field: int, by_values: bool) -> bool:
    """Whether a field says which days; one that begins with `*` does not, even as `*/2`."""
    fields = (spec.parsed_from or "").split()
    return not fields[field].startswith("*") if len(fields) == 5 else by_values
