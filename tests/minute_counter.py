"""Business time by looking at every single minute of the wall clock: what `Calendar` and SQL are compared with."""

from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def in_minutes(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def covers(ranges: list, minute: int) -> bool:
    """Whether a minute of a day lies in ranges that begin on that day, before midnight."""
    return any(
        in_minutes(a) <= minute < in_minutes(b) if in_minutes(b) > in_minutes(a) else minute >= in_minutes(a)
        for a, b in ranges
    )


def spills(ranges: list, minute: int) -> bool:
    """Whether a minute of the next day lies in what runs over midnight."""
    return any(minute < in_minutes(b) for a, b in ranges if in_minutes(b) <= in_minutes(a))


def is_open(calendar: dict, local: datetime) -> bool:
    day, before = local.date(), local.date() - timedelta(days=1)
    minute = local.hour * 60 + local.minute
    if day.isoformat() in calendar.get("holidays", ()):
        return False
    special, week, breaks = calendar.get("date_hours", {}), calendar["hours"], calendar.get("breaks", {})
    if day.isoformat() not in special and day in public(calendar, day.year):
        return False
    if day.isoformat() in special:
        found = covers(special[day.isoformat()], minute)
    else:
        found = (
            covers(week.get(DAYS[day.weekday()], []), minute)
            or spills(week.get(DAYS[before.weekday()], []), minute)
            or spills(special.get(before.isoformat(), []), minute)
        )
    on_break = covers(breaks.get(day.isoformat(), []), minute) or spills(breaks.get(before.isoformat(), []), minute)
    return found and not on_break


@cache
def _public(country: str, region: str | None, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdiv=region, years=year))


def public(calendar: dict, year: int) -> frozenset[date]:
    """The public holidays that a calendar names."""
    of = calendar.get("holidays_of")
    return _public(of["country"], of.get("region"), year) if of else frozenset()


def open_minutes(calendar: dict, start: datetime, count: int, step: int = 1) -> list[datetime]:
    """The open ones of `count` moments, `step` minutes apart."""
    zone = ZoneInfo(calendar["timezone"])
    moments = (start + timedelta(minutes=number * step) for number in range(count))
    return [moment for moment in moments if is_open(calendar, moment.astimezone(zone))]
