"""How far ahead of its threads a process claims.

A thread that ends one message should find the next at hand, or short work waits for the database after every message.
Whatever is held beyond that is work that another process could have begun. So a process holds one message per thread,
and beyond that as many as its threads, at their recent pace, start within twenty milliseconds: none where work takes
long, some hundred where it takes no time.
"""

from math import exp

HORIZON_SECONDS = 0.02
MOST_AHEAD = 256
_MEMORY_SECONDS = 0.1


class Pace:
    """Finishes per second, the recent ones counting most."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._at = 0.0

    def note(self, finishes: int, now: float) -> None:
        """Some messages were finished. `now` in seconds of a monotonic clock."""
        self._rate = self._rate * exp((self._at - now) / _MEMORY_SECONDS) + finishes / _MEMORY_SECONDS
        self._at = now

    def ahead(self, now: float) -> int:
        """How many messages to hold beyond one a thread."""
        return min(MOST_AHEAD, int(self._rate * exp((self._at - now) / _MEMORY_SECONDS) * HORIZON_SECONDS))
