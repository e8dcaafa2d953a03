"""Business time: the seconds that pass while a calendar is open.

Promises: exact to the microsecond. A moment is open when its local date and time of day lie in the hours of that date,
and what is counted is real elapsed time: the hour that a change of clocks skips never counts, the hour that it repeats
counts twice. No offset is used outside the stretch of time in which it holds.

How: open periods are worked out per calendar year in UTC and kept with running totals, so that any arithmetic is two
binary searches plus one addition per year crossed. A calendar is immutable; it may be shared by threads.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Self

from desk.errors import InvalidInput
from desk.sla.hours import WEEKDAYS, Ranges, dated_ranges, dates, reading, union, weekly_ranges
from desk.sla.public_holidays import public_holidays, region_of
from desk.sla.zones import offsets, zone

HORIZON_YEARS = 100  # a deadline further away than this is none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime(2, 1, 1, tzinfo=UTC) - _EPOCH  # in the first and the last year zones lead out of what dates can say
_END = datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH
_MICROSECOND = timedelta(microseconds=1)
_MILLION = 1_000_000
_DAY = 86_400
_ORDINAL_OF_EPOCH = date(1970, 1, 1).toordinal()


class _Year(NamedTuple):
    """The open periods of one UTC year, in epoch seconds; `before[i]`: open seconds of the year before `opens[i]`."""

    opens: list[int]
    closes: list[int]
    before: list[int]
    total: int


@dataclass(frozen=True)
class Calendar:
    """When a help desk is open: an IANA zone, hours per weekday, exceptions by local date."""

    timezone: str
    weekly: tuple[Ranges, ...]
    holidays: frozenset[date] = frozenset()
    holidays_of: tuple[str, str | None] | None = None
    special: Mapping[date, Ranges] = field(default_factory=dict)
    special_tails: Mapping[date, Ranges] = field(default_factory=dict)
    breaks: Mapping[date, Ranges] = field(default_factory=dict)
    _years: dict[int, _Year] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def from_dict(cls, definition: Mapping[str, Any]) -> Self:
        """A calendar from its definition.

        `timezone`: IANA name. `hours`: weekday (`mon` … `sun`) to ranges `["HH:MM", "HH:MM"]`; a range that does not
        end after its beginning runs over midnight, 24:00 is the end of the day, overlapping ranges are a union.
        Optional: `holidays`, local dates that are closed; `holidays_of`, a country and perhaps a region whose public
        holidays are closed, but for dates in `date_hours`; `date_hours`, local date to ranges that replace its
        weekday's; `breaks`, local date to ranges taken out of it.

        Raises:
            InvalidInput: the message names the field.
        """
        with reading("timezone"):
            zone(definition["timezone"])
        special, special_tails = dated_ranges(definition.get("date_hours") or {}, "date_hours")
        pauses, pause_tails = dated_ranges(definition.get("breaks") or {}, "breaks")
        return cls(
            timezone=definition["timezone"],
            weekly=weekly_ranges(definition.get("hours") or {}),
            holidays=dates(definition.get("holidays") or (), "holidays"),
            holidays_of=_region(definition.get("holidays_of")),
            special=special,
            special_tails=special_tails,
            breaks={day: union([*pauses.get(day, ()), *pause_tails.get(day, ())]) for day in {*pauses, *pause_tails}},
        )

    @classmethod
    def always(cls) -> Self:
        """24×7: what a policy without a calendar counts by."""
        return cls.from_dict({"timezone": "UTC", "hours": {day: [["00:00", "24:00"]] for day in WEEKDAYS}})

    def open_on(self, day: date) -> Ranges:
        """The open ranges of a local date, in seconds of its wall clock."""
        if day in self.holidays:
            return ()
        ranges = self.special.get(day)
        if ranges is None and self.holidays_of and day in public_holidays(*self.holidays_of, day.year):
            return ()
        if ranges is None:
            ranges = self.weekly[day.weekday()]
            if day in self.special_tails:
                ranges = union([*ranges, *self.special_tails[day]])
        for begins, ends in self.breaks.get(day, ()):
            ranges = tuple(
                part
                for start, end in ranges
                for part in ((start, min(end, begins)), (max(start, ends), end))
                if part[0] < part[1]
            )
        return ranges

    def add(self, start: datetime, seconds: float) -> datetime | None:
        """The earliest instant (UTC) at which `seconds` of business time have passed since `start`.

        None when that never comes: the calendar has no hours, or fewer than `HORIZON_YEARS` hold enough of them.
        """
        instant = _microseconds(start, "start")
        if not math.isfinite(seconds):
            raise InvalidInput(f"seconds: {seconds} is no duration.")
        need = round(seconds * _MILLION)
        if need <= 0:
            return start.astimezone(UTC)
        first = start.astimezone(UTC).year
        for number in range(first, min(first + HORIZON_YEARS, 9999)):
            if number > self._last_open_year():
                return None
            year = self._year(number)
            had = _open_before(year, instant) if number == first else 0
            if year.total * _MILLION - had >= need:
                goal = had + need
                at = bisect_left(year.before, -(-goal // _MILLION)) - 1
                return _EPOCH + timedelta(microseconds=(year.opens[at] - year.before[at]) * _MILLION + goal)
            need -= year.total * _MILLION - had
        return None

    def elapsed(self, start: datetime, end: datetime) -> float:
        """Business time between two instants, in seconds; 0 when `end` is not after `start`."""
        begins, ends = _microseconds(start, "start"), _microseconds(end, "end")
        if ends <= begins:
            return 0.0
        first, last = start.astimezone(UTC).year, end.astimezone(UTC).year
        years = sum(self._year(number).total for number in range(first, last)) * _MILLION
        return (years + _open_before(self._year(last), ends) - _open_before(self._year(first), begins)) / _MILLION

    def periods(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The open periods between two instants, in order, as (opens, closes) in UTC; cut at both ends."""
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        held: tuple[datetime, datetime] | None = None
        for number in range(start.year, end.year + 1):
            year = self._year(number)
            for opens, closes in zip(year.opens, year.closes, strict=True):
                begins = max(_EPOCH + timedelta(seconds=opens), start)
                ends = min(_EPOCH + timedelta(seconds=closes), end)
                if begins >= ends:
                    continue
                if held and held[1] == begins:  # one period over New Year
                    held = (held[0], ends)
                    continue
                if held:
                    yield held
                held = (begins, ends)
        if held:
            yield held

    def ever_opens(self) -> bool:
        """Whether there is any hour at all, in the week or on a date of its own."""
        return any(self.weekly) or any(self.special.values()) or any(self.special_tails.values())

    def _last_open_year(self) -> int:
        if any(self.weekly):
            return 9999
        return max((day.year + 1 for day in (*self.special, *self.special_tails)), default=0)

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:  # two threads may both work it out; the results are equal
            year = self._years[number] = self._build(number)
        return year

    def _build(self, number: int) -> _Year:
        opens: list[int] = []
        closes: list[int] = []
        for since, until, offset in offsets(self.timezone, number):
            # Within one offset the wall clock only moves forward: local ranges map to UTC by a subtraction.
            for day in range((since + offset) // _DAY, (until + offset - 1) // _DAY + 1):
                midnight = day * _DAY - offset
                for begins, ends in self.open_on(date.fromordinal(day + _ORDINAL_OF_EPOCH)):
                    start, end = max(midnight + begins, since), min(midnight + ends, until)
                    if start >= end:
                        continue
                    if closes and closes[-1] == start:
                        closes[-1] = end
                    else:
                        opens.append(start)
                        closes.append(end)
        before, total = [], 0
        for start, end in zip(opens, closes, strict=True):
            before.append(total)
            total += end - start
        return _Year(opens, closes, before, total)


def _region(given: Any) -> tuple[str, str | None] | None:
    if given is None:
        return None
    with reading("holidays_of"):
        return region_of(given)


def _open_before(year: _Year, instant: int) -> int:
    """Open microseconds of the year before an instant given in epoch microseconds."""
    at = bisect_right(year.opens, instant // _MILLION) - 1
    if at < 0:
        return 0
    return year.before[at] * _MILLION + min(instant, year.closes[at] * _MILLION) - year.opens[at] * _MILLION


def _microseconds(instant: datetime, name: str) -> int:
    if instant.tzinfo is None:
        raise InvalidInput(f"{name}: {instant.isoformat()} has no time zone.")
    since_epoch = instant - _EPOCH
    if not _FIRST <= since_epoch < _END:
        raise InvalidInput(f"{name}: {instant.isoformat()} is further away than a calendar counts.")
    return since_epoch // _MICROSECOND
