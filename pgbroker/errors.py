"""What can go wrong with messages. The docstring of each class says what it means; every text is one line."""

from typing import TYPE_CHECKING

import dramatiq.errors
from dramatiq.middleware import Interrupt

if TYPE_CHECKING or not hasattr(dramatiq.errors, "BrokerConnectionError"):
    from dramatiq.errors import ConnectionError as BrokerConnectionError
else:  # its name from Dramatiq 2 on
    from dramatiq.errors import BrokerConnectionError


class PgBrokerError(Exception):
    """Base of the errors of this package."""


class MigrationError(PgBrokerError):
    """The schema cannot be brought up to date; the message names the file."""


class MessageRefused(PgBrokerError):
    """A message cannot be sent as it is: NUL, a value JSON cannot hold, a negative delay, too large."""


class NotAMessage(PgBrokerError):
    """A row of the queue holds something that Dramatiq cannot read as a message."""


class DatabaseAway(PgBrokerError, BrokerConnectionError):
    """The database cannot be used at the moment. Dramatiq knows it as its own ConnectionError and tries again."""


class SchemaMissing(DatabaseAway):
    """The database answers but lacks the broker's tables, or this login may not use them."""


class LeaseLost(PgBrokerError):
    """The message being worked on was given to another worker. Raised so that the actor's transaction rolls back."""


class AlreadyFinished(PgBrokerError):
    """An actor opened a second `finish_in` block: its message was finished with the first, so this one is not
    covered."""


class ScheduleRefused(PgBrokerError):
    """A periodic actor has a schedule that can never fire."""


class UnknownDeadLetter(PgBrokerError):
    """A dead letter was named that is not there."""


class UnknownMessage(PgBrokerError):
    """A message was named that neither waits nor runs."""


class Cancelled(Interrupt):
    """Raised in the thread of an actor whose message somebody cancelled. Like all interrupts it cannot stop a call into
    C code, only what follows it."""
