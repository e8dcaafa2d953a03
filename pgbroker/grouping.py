"""Threads that want something written at the same time share one commit.

The first writes at once; whoever comes meanwhile waits, and one of those writes the next lot. So a lone thread loses
nothing, and eight threads need no eight commits.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from pgbroker.errors import DatabaseAway, PgBrokerError


class Item:
    """One thing to be written. `write` sets `written`, or an `error` that its thread will raise."""

    written = False
    error: PgBrokerError | None = None


T = TypeVar("T", bound=Item)


class _Turn(Generic[T]):
    """A thread that waits for its items to be written, or to write the next lot."""

    def __init__(self, items: Sequence[T]) -> None:
        self.items = items
        self.leads = False
        self.next: _Turn[T] | None = None  # whom to wake after this one
        self._gate = Lock()
        self._gate.acquire()

    def wait(self) -> None:
        """Until another thread calls `open`. Then wake the next: woken all at once, they would only wait for each
        other at the interpreter's lock, and who wakes them would be put aside for each of them."""
        try:
            self._gate.acquire()
        finally:
            if self.next is not None:
                self.next.open()

    def open(self) -> None:
        """Let it go on."""
        self._gate.release()


class Group(Generic[T]):
    """Hands lots of items to `write`, one lot at a time."""

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._turns: list[_Turn[T]] = []
        self._lock = Lock()
        self._writing = False

    def submit(self, items: Sequence[T]) -> None:
        """Return when all of these are written. Raises the error of the first that is not."""
        turn = _Turn(items)
        with self._lock:
            self._turns.append(turn)
            if not self._writing:
                self._writing = turn.leads = True
        if not turn.leads:
            turn.wait()
        if turn.leads:
            self._lead(turn)
        for item in items:
            if item.error is not None:
                raise item.error

    @property
    def busy(self) -> bool:
        """Whether a lot is being written."""
        return self._writing

    def _lead(self, leader: _Turn[T]) -> None:
        """Write one lot, then hand the pen to one who waits, if anybody does, and wake who waited for this lot."""
        with self._lock:
            lot, self._turns = self._turns, []
        items = [item for turn in lot for item in turn.items]
        try:
            self._write(items)
        finally:
            for item in items:
                if not item.written and item.error is None:  # an interrupt hit this thread: the others ask again
                    item.error = DatabaseAway("The write was interrupted")
            with self._lock:
                if self._turns:
                    self._turns[0].leads = True
                    self._turns[0].open()
                else:
                    self._writing = False
            woken: _Turn[T] | None = None
            for turn in reversed(lot):
                if turn is not leader:
                    turn.next, woken = woken, turn
            if woken is not None:
                woken.open()
