"""When a schedule is due, as cron(5) and cron(8) say, in any time zone.

Promises: a slot is an instant, a whole minute in UTC, so that both passes of a repeated hour can be told apart. Finding
a slot costs no walk over minutes: the day is sought first, then the time in it. Where a zone's clock is changed by less
than three hours, Debian's cron(8) rules: with a `*` at the beginning of its minutes or hours a schedule follows the new
clock (nothing in a skipped hour, both passes of a repeated one); one at fixed times is due once right after the gap if
the gap held any of its times, and in the first pass only. A larger change is a correction: the new clock is followed.

periodiq's own parser takes what cron refuses (and finds never due), its arithmetic never matches a Sunday written as 0
and loses the morning's slots when it moves to another day; only its class is used here.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import periodiq

from pgbroker.errors import ScheduleRefused

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_CORRECTION = timedelta(hours=3)  # what moves a zone's clock by as much is no daylight saving
_FURTHEST = timedelta(days=366 * 41)  # a given weekday is 29 February after forty years at the latest

_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}), ("hour", 0, 23, {}), ("day of month", 1, 31, {}), ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _WEEKDAYS),
)  # fmt: skip
_PART = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")


class CronSpec(periodiq.CronSpec):
    """What periodiq's `cron(…)` makes once `Ticks` is among a broker's middleware."""

    @classmethod
    def parse(cls, spec: str) -> "CronSpec":
        """Read five fields of cron(5) or a nickname such as `@daily`; names of months and weekdays in three letters.

        Raises:
            ScheduleRefused: cron would refuse it, or read it otherwise than it looks.
        """
        fields = cls._named_spec.get(spec.strip().lower(), spec).split()
        if len(fields) != len(_FIELDS):
            nicknames = ", ".join(cls._named_spec)
            raise ScheduleRefused(f"The schedule {spec!r} needs five fields, or is one of {nicknames}.")
        try:
            values = [_values(text, *field) for text, field in zip(fields, _FIELDS, strict=True)]
        except ValueError as error:
            raise ScheduleRefused(f"The schedule {spec!r} is wrong: {error}.") from None
        return cls(*values, parsed_from=spec)


class Schedule:
    """A CronSpec in a time zone. Its methods take aware datetimes and return instants in UTC."""

    def __init__(self, spec: Any, zone: tzinfo = UTC) -> None:
        self._text = f"{spec}"
        self._zone = zone
        self._times = [time(hour, minute) for hour in spec.hour if hour < 24 for minute in spec.minute if minute < 60]
        self._days = frozenset(spec.dom)
        self._months = frozenset(spec.month)
        self._weekdays = frozenset(weekday % 7 for weekday in spec.dow)  # Sunday is 0 and 7
        starred = [_starred(spec, index) for index in range(5)]
        self._follows_the_clock = starred[0] or starred[1]
        self._either_day = not starred[2] and not starred[4]

    def __str__(self) -> str:
        return self._text

    def next(self, after: datetime) -> datetime | None:
        """The first slot after `after`; None where there is none in forty years, which is never."""
        start = _floor(after) + _MINUTE
        local = self._local(start)
        # The minute before leads into a gap that ends at `start`: what the gap held is due now.
        begins = min(local, self._local(start - _MINUTE) + _MINUTE)
        found = self._first(begins, start)
        if repeated := self._repeated(start, first_pass=True):
            # Local time will go back: an earlier time of day may come sooner in the second pass.
            again = self._first(local - repeated, start)
            found = min(filter(None, (found, again)), default=None)
        return found

    def latest(self, now: datetime, grace: timedelta = timedelta(0)) -> datetime | None:
        """The last slot at or before `now`; None where its minute ended longer ago than `grace`."""
        oldest = now - grace - _MINUTE
        local = self._local(_floor(now))
        found = self._last(local, oldest, now)
        if repeated := self._repeated(_floor(now), first_pass=False):
            # Local time has gone back: a later time of day may have been due in the first pass.
            before = self._last(local + repeated, oldest, now)
            found = max(filter(None, (found, before)), default=None)
        return found

    def _first(self, begins: datetime, start: datetime) -> datetime | None:
        for local in self._upwards(begins):
            for slot in self._slots(local):
                if slot >= start:
                    return slot
        return None

    def _last(self, ends: datetime, oldest: datetime, now: datetime) -> datetime | None:
        for local in self._downwards(ends, self._local(oldest).date() - _DAY):
            for slot in reversed(self._slots(local)):
                if slot <= now:
                    return slot if slot > oldest else None
        return None

    def _slots(self, local: datetime) -> tuple[datetime, ...]:
        """When the zone's clocks show `local`: once, or twice where it is repeated; what cron makes of it if never."""
        first, second = (local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return (first,)
        if self._follows_the_clock or abs(first - second) >= _CORRECTION:
            return (first, second) if first < second else ()
        return (first,) if first < second else (self._end_of_gap(second, first),)

    def _end_of_gap(self, before: datetime, after: datetime) -> datetime:
        """The first minute of the new clock, which is after `before` and not after `after`."""
        offset = after.astimezone(self._zone).utcoffset()
        while after - before > _MINUTE:
            middle = _floor(before + (after - before) / 2)
            if middle.astimezone(self._zone).utcoffset() == offset:
                after = middle
            else:
                before = middle
        return after

    def _repeated(self, at: datetime, *, first_pass: bool) -> timedelta | None:
        """By how much the clock goes back, if `at` is in this pass of a time that is shown twice."""
        local = at.astimezone(self._zone)
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        return second - first if first < second and at == (first if first_pass else second) else None

    def _local(self, at: datetime) -> datetime:
        """What the zone's clocks show at an instant, without a zone."""
        return at.astimezone(self._zone).replace(tzinfo=None)

    def _upwards(self, start: datetime) -> Iterator[datetime]:
        """The local times from `start` on, without regard to what the clock does."""
        day, furthest = start.date(), start.date() + _FURTHEST
        times = self._times[bisect_left(self._times, start.time()) :]
        while day < furthest:
            if day.month not in self._months:
                day = (day.replace(day=1) + 32 * _DAY).replace(day=1)
            else:
                if self._is_due_on(day):
                    yield from (datetime.combine(day, moment) for moment in times)
                day += _DAY
            times = self._times

    def _downwards(self, end: datetime, oldest: date) -> Iterator[datetime]:
        """The local times from `end` back to the day `oldest`, without regard to what the clock does."""
        day = end.date()
        times = self._times[: bisect_right(self._times, end.time())]
        while day >= oldest:
            if day.month not in self._months:
                day = day.replace(day=1) - _DAY
            else:
                if self._is_due_on(day):
                    yield from (datetime.combine(day, moment) for moment in reversed(times))
                day -= _DAY
            times = self._times

    def _is_due_on(self, day: date) -> bool:
        fits_month, fits_week = day.day in self._days, day.isoweekday() % 7 in self._weekdays
        return fits_month or fits_week if self._either_day else fits_month and fits_week


def zone_named(name: Any) -> tzinfo:
    """The time zone of that name in the tz database. Raises ScheduleRefused where there is none."""
    try:
        return ZoneInfo(str(name))
    except (ValueError, OSError, LookupError):  # zoneinfo raises each of them for some kind of wrong name
        raise ScheduleRefused(
            f"The zone {str(name)!r} is unknown. Use a name of the tz database, such as Europe/Berlin."
        ) from None


def _values(text: str, what: str, low: int, high: int, names: dict[str, int]) -> list[int]:
    """The values that a field names. Raises ValueError with what is wrong with it."""

    def value(word: str) -> int:
        number = names.get(word.lower(), int(word) if word.isdecimal() else None)
        if number is None or not low <= number <= high:
            raise ValueError(f"{what} {word!r} is not within {low}-{high}")
        return number

    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{what} {part!r} cannot be read")
        step = int(match["step"] or 1)
        if match["star"]:
            first, last = low, high
        else:
            first = last = value(match["first"])
            if match["last"]:
                last = 7 if names is _WEEKDAYS and match["last"].lower() == "sun" else value(match["last"])
            elif match["step"]:
                raise ValueError(f"a step needs a range, so {what} {part!r} should be {first}-{high}/{step} or {first}")
        if first > last or not step:
            raise ValueError(f"{what} {part!r} names nothing")
        found.update(range(first, last + 1, step))
    return sorted(found)


def _starred(spec: Any, index: int) -> bool:
    """Whether a field begins with `*`, even as `*/2`: cron's own test for a field that does not restrict."""
    fields = (spec.parsed_from or "").split()
    if len(fields) == len(_FIELDS):
        return bool(fields[index].startswith("*"))
    # A nickname, or made from lists.
    values = (spec.minute, spec.hour, spec.dom, spec.month, {weekday % 7 for weekday in spec.dow})[index]
    return len(set(values)) == (60, 24, 31, 12, 7)[index]


def _floor(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(second=0, microsecond=0)
