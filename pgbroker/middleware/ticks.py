"""periodiq's `periodic` option, without the skip that loses ticks."""

from typing import Any

import periodiq

from pgbroker.cron import CronSpec
from pgbroker.scheduler import Scheduler


class Ticks(periodiq.PeriodiqMiddleware):
    """Sends periodic messages. `zone` is the time zone of actors that name none (a name of the tz database).

    Adds the actor options

    `periodic`: periodiq's `cron(…)`: five fields of cron(5), or a nickname such as `@daily`.
    `zone`: the time zone that the schedule is read in, instead of the default. `pgbroker.cron` says what becomes of a
        schedule when clocks are changed.
    `grace_seconds`: how late a missed tick is still sent; an hour by default. Of several missed ones the latest is.
    `pile_up`: with False a tick is not sent while an earlier one waits that no worker has begun (its `unique_key` is
        `tick:<actor>`). For actors that catch up with all that there is to do: one message does the work of many. By
        default every tick is a message, also while no worker runs.

    Also makes the process `periodiq` use this package's scheduler and `cron(…)` its parser, which knows the names of
    months and refuses what cron refuses. A message that waited long is run: whether a tick is worth sending was decided
    when it was sent, and one that is late in a backlog is the one that is most needed.
    """

    actor_options = frozenset({"periodic", "zone", "grace_seconds", "pile_up"})

    def __init__(self, zone: str = "UTC") -> None:
        super().__init__()
        self._zone = zone
        periodiq.Scheduler = Scheduler
        periodiq.CronSpec = CronSpec

    def after_declare_actor(self, broker: Any, actor: Any) -> None:
        """Give the actor its zone: it may become periodic later."""
        actor = broker.actors[actor] if isinstance(actor, str) else actor
        actor.options.setdefault("zone", self._zone)

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Skips nothing."""
