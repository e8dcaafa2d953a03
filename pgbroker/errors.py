"""What can go wrong with messages. The docstring of each class says what it means."""


class PgBrokerError(Exception):
    """Base of the errors of this package."""


class MigrationError(PgBrokerError):
    """The schema cannot be brought up to date; the message names the file."""
