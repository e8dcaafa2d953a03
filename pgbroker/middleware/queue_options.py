"""`-Q tickets -Q upkeep` means both queues.

Dramatiq's command line keeps the last -Q of several, so that a worker would serve `upkeep` alone and `tickets` nobody:
no error, no work. Systemd units and people write it that way all the same.
"""

import argparse
import sys
from typing import Any

from dramatiq.middleware import Middleware


class QueueOptions(Middleware):
    """Has a worker that `dramatiq` started serve the queues of every -Q it was given."""

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """The consumers start after this: what is named here is served."""
        if worker.consumer_whitelist:
            worker.consumer_whitelist |= named_queues(sys.argv[1:])


def named_queues(arguments: list[str]) -> set[str]:
    """The queues of all -Q and --queues options of a command line."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-Q", "--queues", nargs="*", action="extend", default=[])
    known, _ = parser.parse_known_args(arguments)
    return set(known.queues)
