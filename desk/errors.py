"""What can go wrong at the desk. Each message is one line that says what to do."""


class DeskError(Exception):
    """Base of every error that is meant for a person: its text is shown as it is, without a traceback."""


class SettingsError(DeskError):
    """An environment variable holds a value that cannot be used."""


class DatabaseUnavailable(DeskError):
    """The database does not answer, is too old, or lacks the schema."""


class NotFound(DeskError):
    """The organization, ticket or article that was named does not exist (or is another organization's)."""


class InvalidInput(DeskError):
    """A value given by a person cannot be used; the message names the row or the field."""


class ModelUnavailable(DeskError):
    """No embedding model can be had; the message lists the remedies."""


class InUse(DeskError):
    """What should be deleted is still used; the message says by what."""


class Outdated(DeskError):
    """What somebody decided on has been replaced since they saw it; nothing was kept."""


class DeliveryFailed(DeskError):
    """A mail or a webhook did not get through this time; trying again may help.

    `retry_after_seconds`: when the receiver asked to be tried again; None: it said nothing.
    """

    def __init__(self, reason: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


class DeliveryRefused(DeliveryFailed):
    """A mail or a webhook was refused for good: trying again would not help."""
