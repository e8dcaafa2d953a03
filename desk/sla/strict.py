"""What a published calendar must not hold, although arithmetic could make sense of it: most likely it is a mistake."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from desk.errors import InvalidInput
from desk.sla.calendar import Calendar
from desk.sla.hours import DAY, WEEKDAYS, day_after, parsed_ranges, split

KEYS = ("timezone", "hours", "holidays", "holidays_of", "date_hours", "breaks")


def checked_calendar(definition: Mapping[str, Any]) -> list[str]:
    """What is odd in a definition, one line each; [] when nothing is.

    Raises:
        InvalidInput: it cannot be read, holds an unknown field, a date twice, or ranges that overlap or are empty.
    """
    unknown = [str(key) for key in definition if key not in KEYS]
    if unknown:
        raise InvalidInput(f"{unknown[0]!r} is unknown; known are {', '.join(KEYS)}.")
    calendar = Calendar.from_dict(definition)
    week = definition.get("hours") or {}
    warnings = _overlaps({day: week[day] for day in week}, "hours", dict(zip(WEEKDAYS, _rotated(), strict=True)))
    for name in ("date_hours", "breaks"):
        days = _by_date(definition.get(name) or {}, name)
        following = {day: day_after(date.fromisoformat(day), name).isoformat() for day in days}
        warnings += _overlaps(days, name, following)
    if not calendar.ever_opens():
        warnings.append("it has no hours: its clocks have no deadline.")
    return warnings


def _rotated() -> tuple[str, ...]:
    return (*WEEKDAYS[1:], WEEKDAYS[0])


def _by_date(days: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`days` with their dates in one spelling; ISO has several, and the later would replace the earlier."""
    spelled: dict[str, str] = {}
    for text in days:
        if (first := spelled.setdefault(date.fromisoformat(text).isoformat(), text)) != text:
            raise InvalidInput(f"{name}: {first!r} and {text!r} are the same date. Say it once.")
    return {day: days[text] for day, text in spelled.items()}


def _overlaps(days: Mapping[str, Any], name: str, following: Mapping[str, str]) -> list[str]:
    taken: dict[str, list[tuple[int, int]]] = {}
    warnings = []
    for day, ranges in days.items():
        for begins, ends in parsed_ranges(ranges, f"{name}.{day}"):
            if begins == ends:
                raise InvalidInput(
                    f"{name}.{day}: {_clock(begins)}–{_clock(ends)} is empty; a whole day is 00:00–24:00."
                )
            if ends < begins:
                warnings.append(f"{name}.{day}: {_clock(begins)}–{_clock(ends)} is taken to run over midnight.")
            today, tomorrow = split(begins, ends)
            for where, parts in ((day, today), (following[day], tomorrow)):
                for part in parts:
                    for other in taken.get(where, ()):
                        if part[0] < other[1] and other[0] < part[1]:
                            raise InvalidInput(
                                f"{name}.{where}: {_clock(part[0])}–{_clock(part[1])} overlaps "
                                f"{_clock(other[0])}–{_clock(other[1])}."
                            )
                    taken.setdefault(where, []).append(part)
    return warnings


def _clock(seconds: int) -> str:
    return "24:00" if seconds == DAY else f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
