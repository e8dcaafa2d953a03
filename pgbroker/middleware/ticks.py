"""periodiq's `periodic` option, without the skip that loses ticks."""

from typing import Any

import periodiq

from pgbroker.scheduler import Scheduler


class Ticks(periodiq.PeriodiqMiddleware):
    """Adds the actor options `periodic` (periodiq's `cron(…)`, read in UTC) and `grace_seconds` (how late a missed
    tick is still sent; an hour by default).

    Also makes the process `periodiq` use this package's scheduler. A message that waited long is run: whether a tick is
    worth sending was decided when it was sent, and one that is late in a backlog is the one that is most needed.
    """

    actor_options = frozenset({"periodic", "grace_seconds"})

    def __init__(self) -> None:
        super().__init__()
        periodiq.Scheduler = Scheduler

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Skips nothing."""
