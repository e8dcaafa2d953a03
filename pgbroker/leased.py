"""A message that a worker holds, and what is to become of it.

The outcome is written once, by the finish, in one statement under the lease's token. Middleware decides it by what it
does anyway: `broker.enqueue(message, delay)` of the message in hand (a retry), `message.fail()`, or nothing (done).
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.message import Message

from pgbroker.encoding import Row


@dataclass(frozen=True)
class Reschedule:
    """Run it again, not before `delay_ms` from now by the database's clock."""

    delay_ms: float


@dataclass(frozen=True)
class DeadLetter:
    """It failed for good, for this reason."""

    reason: str


@dataclass(frozen=True)
class Release:
    """Give it back as if it had not been claimed, for the next claim or for one `delay_ms` from now."""

    delay_ms: float | None = None


class Done:
    """It is done."""


@dataclass(frozen=True)
class Result:
    """What an actor returned, as the encoder gives it; kept for `ttl_ms`."""

    encoded: bytes
    ttl_ms: float


@dataclass
class Lease:
    """Where a claimed message comes from, and the right to finish it."""

    token: str
    process_id: str
    deliveries: int
    retries: int
    deaths: int
    cancelled: bool  # somebody asked for it before it was claimed
    limited: bool  # it has a run key
    claimed_at: float  # on the monotonic clock
    order: tuple[int, int]  # its priority, then when it was claimed: smaller runs first


class LeasedMessage(MessageProxy):
    """Dramatiq's view of a claimed message."""

    def __init__(self, message: Message[Any], lease: Lease, engine: Any) -> None:
        super().__init__(message)
        # The same objects as the message's own, without a detour through the proxy at every look.
        self.queue_name = message.queue_name
        self.actor_name = message.actor_name
        self.message_id = message.message_id
        self.args = message.args
        self.kwargs = message.kwargs
        self.options = message.options
        self.lease = lease
        self.engine = engine
        self.outcome: Reschedule | DeadLetter | Release | None = None
        self.thread_id: int | None = None  # of the thread that runs it, once it has begun
        self.cancel_asked = False
        self.finished_by_actor = False
        self.in_hooks = False
        self.followers: list[Row] = []  # messages that hooks sent: inserted by the finish
        self.result: Result | None = None  # stored by the finish as well
        self.sent_to: set[str] = set()  # queues to which it sent in a transaction of its own

    def clear_exception(self) -> None:
        """Forget the exception; unlike Dramatiq's, twice does no harm."""
        self._exception = None

    def __eq__(self, other: object) -> bool:
        # Dramatiq's work queue asks at every step of its heap, and comparing messages takes longer than running them.
        return self is other if other.__class__ is LeasedMessage else super().__eq__(other)

    def __lt__(self, other: object) -> bool:
        if isinstance(other, LeasedMessage):
            return self.lease.order < other.lease.order
        return True

    __hash__ = object.__hash__


# The message that this thread works on: set around the actor's run, hooks included.
current: ContextVar[LeasedMessage | None] = ContextVar("pgbroker_current", default=None)


def in_hand(connections: Any) -> LeasedMessage | None:
    """The message that this thread works on, if it came over these connections: what is sent elsewhere, through another
    broker of the same process, has nothing to do with its finish."""
    message = current.get()
    return message if message is not None and message.engine.connections is connections else None
