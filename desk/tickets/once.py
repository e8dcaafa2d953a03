"""What the jobs of one ticket have in common is found out once by a process, and remembered for a while.

The four jobs of a new ticket lie side by side in the queue, so the threads of one process have them at the same time:
the first finds out, the others wait for it instead of doing the same.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

LOCKS = 64  # keys that share one wait for each other, which costs little


class Once(Generic[Key, Found]):
    """The `most` values that were asked for last, by key. Safe for threads; whoever waits holds nothing of the caller's
    but what the caller holds already, so ask outside a transaction."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Key, Found] = OrderedDict()
        self._guard = Lock()
        self._making = [Lock() for _ in range(LOCKS)]

    def get(self, key: Key, find: Callable[[], Found], usable: Callable[[Found], bool] = lambda found: True) -> Found:
        """What is remembered under `key`, where it is `usable`; else what `find` finds, remembered from now on. What
        `find` raises is raised, and nothing remembered."""
        with self._making[hash(key) % LOCKS]:
            with self._guard:
                if key in self._known and usable(self._known[key]):
                    self._known.move_to_end(key)
                    return self._known[key]
            found = find()
            with self._guard:
                self._known[key] = found
                self._known.move_to_end(key)
                while len(self._known) > self._most:
                    self._known.popitem(last=False)
            return found
