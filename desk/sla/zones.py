"""Time zones as stretches of constant offset, so that arithmetic needs no wall clock."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from desk.errors import InvalidInput

_STEP_SECONDS = 6 * 3600  # no zone ever changed twice within six hours


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise InvalidInput(f"{name!r} is no IANA time zone (such as Europe/Berlin).") from None


@lru_cache(maxsize=4096)
def offsets(name: str, year: int) -> tuple[tuple[int, int, int], ...]:
    """The stretches of a UTC year in which the zone keeps one offset: (since, until, offset) in epoch seconds."""
    here = zone(name)

    def offset_at(second: int) -> int:
        offset = datetime.fromtimestamp(second, here).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    since = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp())
    found, offset = [], offset_at(since)
    for step in range(since, end, _STEP_SECONDS):
        before, after = step, min(step + _STEP_SECONDS, end - 1)
        if offset_at(after) == offset:
            continue
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (middle, after) if offset_at(middle) == offset else (before, middle)
        found.append((since, after, offset))
        since, offset = after, offset_at(after)
    found.append((since, end, offset))
    return tuple(found)
