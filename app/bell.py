"""Wake idle workers for what a commit of ours has sent through a trigger."""

import sys
from contextlib import suppress

from desk.errors import DeskError


def ring(*queues: str) -> None:
    """After the commit: idle workers of these queues look at once. Raises nothing: without it they look within a
    second."""
    from brokers import broker  # only when something was sent: importing it takes a moment
    from pgbroker.errors import PgBrokerError

    with suppress(PgBrokerError, DeskError):
        broker.ring(*queues)


def close() -> None:
    """Close the connection that rang, where one did."""
    if "brokers" in sys.modules:
        sys.modules["brokers"].broker.close()
