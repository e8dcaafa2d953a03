"""Reading the hours of a calendar: times of day, ranges, weekdays and dates, each error naming its field."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from desk.errors import InvalidInput

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Ranges = tuple[tuple[int, int], ...]  # seconds of a wall-clock day, in order, apart from one another
DAY = 86_400

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|(24):(00)")


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Name the field in whatever goes wrong inside."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None
    except KeyError:
        raise InvalidInput(f"{name} is missing.") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{name} cannot be read: {error}.") from None


def weekly_ranges(hours: Mapping[str, Any]) -> tuple[Ranges, ...]:
    """Ranges per weekday, Monday first; what runs over midnight is split there."""
    with reading("hours"):
        unknown = [str(day) for day in hours if day not in WEEKDAYS]
        if unknown:
            raise InvalidInput(f"{unknown[0]!r} is no weekday; they are {', '.join(WEEKDAYS)}.")
    week: list[list[tuple[int, int]]] = [[] for _ in WEEKDAYS]
    for name, ranges in hours.items():
        day = WEEKDAYS.index(name)
        for begins, ends in parsed_ranges(ranges, f"hours.{name}"):
            today, tomorrow = split(begins, ends)
            week[day] += today
            week[(day + 1) % 7] += tomorrow
    return tuple(union(ranges) for ranges in week)


def dated_ranges(given: Mapping[Any, Any], name: str) -> tuple[dict[date, Ranges], dict[date, Ranges]]:
    """Ranges by local date, and what runs over midnight into the date after."""
    own: dict[date, Ranges] = {}
    tails: dict[date, Ranges] = {}
    with reading(name):
        entries = list(given.items())
    for text, ranges in entries:
        day = _date(text, name)
        today: list[tuple[int, int]] = []
        tomorrow: list[tuple[int, int]] = []
        for begins, ends in parsed_ranges(ranges, f"{name}.{text}"):
            parts = split(begins, ends)
            today += parts[0]
            tomorrow += parts[1]
        own[day] = union(today)
        if tomorrow:
            tails[day_after(day, name)] = union(tomorrow)
    return own, tails


def day_after(day: date, name: str) -> date:
    """The next date, unless there is none."""
    if day == date.max:
        raise InvalidInput(f"{name}: {day} is the last day that there is.")
    return day + timedelta(days=1)


def dates(given: Iterable[Any], name: str) -> frozenset[date]:
    """A set of local dates from ISO text."""
    with reading(name):
        if isinstance(given, str):
            raise InvalidInput("it must be a list of dates.")
        return frozenset(_date(text, name) for text in list(given))


def parsed_ranges(ranges: Any, name: str) -> Iterator[tuple[int, int]]:
    """`[["09:00", "17:00"], …]` in seconds of the day, as written: the end may lie before the beginning."""
    with reading(name):
        if isinstance(ranges, str) or not isinstance(ranges, Sequence):
            raise InvalidInput('it must be a list of ranges such as ["09:00", "17:00"].')
        for pair in ranges:
            if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
                raise InvalidInput(f'{pair!r} is no range such as ["09:00", "17:00"].')
            begins, ends = _seconds(pair[0]), _seconds(pair[1])
            if begins == DAY:
                raise InvalidInput("a range cannot begin at 24:00; write 00:00 on the day after.")
            yield begins, ends


def split(begins: int, ends: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """A range as its parts before and after midnight."""
    if ends > begins:
        return [(begins, ends)], []
    return [(begins, DAY)], [(0, ends)] if ends else []


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same moments in order, without overlap."""
    joined: list[tuple[int, int]] = []
    for begins, ends in sorted(ranges):
        if joined and begins <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], ends))
        else:
            joined.append((begins, ends))
    return tuple(joined)


def _seconds(text: Any) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise InvalidInput(f"{text!r} is no time of day from 00:00 to 24:00.")
    hour, minute = (int(part) for part in found.groups() if part is not None)
    return hour * 3600 + minute * 60


def _date(text: Any, name: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InvalidInput(f"{name}: {text!r} is no date such as 2026-12-24.") from None
