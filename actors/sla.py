"""SLA jobs: the sweep of each minute, delivery of what it tells, calendars kept worked out ahead."""

import dramatiq

from brokers import in_transaction
from desk import database, log, organizations
from desk.errors import InvalidInput, NotFound
from desk.sla import escalation, moves, sweep
from desk.sla.notifications import deliver
from desk.sla.periods import extend
from desk.sla.sweep import helpers_wanted, record, recount

_log = log.get(__name__)


@dramatiq.actor(queue_name="sla", max_retries=3, time_limit=300_000)
def sweep_slas() -> None:
    """Record and tell what clocks have crossed. Commits batch by batch; run twice or cut off, nothing is told twice.

    A burst is shared with other workers: see `help_sweep`.
    """
    with database.transaction() as connection:
        for number in range(helpers_wanted(connection)):
            help_sweep.send_with_options(unique_key=f"help_sweep:{number}")
        found = sweep(connection)
    _log.info(
        str(found),
        crossings=found.crossings,
        seconds_late_p50=found.seconds_late_p50,
        seconds_late_p99=found.seconds_late_p99,
    )


@dramatiq.actor(queue_name="sla", max_retries=3, time_limit=300_000)
def help_sweep() -> None:
    """Record crossings beside a sweep that found more than one worker should do alone; batches skip each other."""
    with database.transaction() as connection:
        late = record(connection)
    _log.info("sweep_helped", crossings=len(late))


@dramatiq.actor(queue_name="sla", max_retries=8, time_limit=60_000, throws=(NotFound, InvalidInput))
def deliver_notification(organization_id: str, notification_id: str) -> None:
    """Put a notification into the inbox of whom it is for, and send what carries it by mail and webhook."""
    with in_transaction(organization_id) as connection:
        found = deliver(connection, notification_id)
    _log.info(
        "notification_delivered",
        kind=found.kind,
        ticket_id=found.ticket_id,
        metric=found.metric,
        threshold=found.threshold,
        recipient=found.recipient,
        again=found.again,
        ways=found.ways,
    )


@dramatiq.actor(queue_name="sla", max_retries=8, time_limit=60_000, throws=(NotFound, InvalidInput))
def escalate(organization_id: str, ticket_id: str, metric: str, cycle: int, threshold: int, place: int) -> None:
    """Take one escalation step of a crossing."""
    with in_transaction(organization_id) as connection:
        taken = escalation.take(connection, ticket_id, metric, cycle, threshold, place)
    _log.info("escalated", ticket_id=ticket_id, metric=metric, threshold=threshold, **vars(taken))


@dramatiq.actor(queue_name="upkeep", max_retries=3, time_limit=600_000)
def extend_calendars() -> None:
    """Work out every organization's open periods two years ahead; one transaction each, so a restart goes on."""
    with database.transaction() as connection:
        ids = organizations.all_ids(connection)
    for organization_id in ids:
        with database.transaction(organization_id) as connection:
            periods = extend(connection, organization_id)
        if periods:
            _log.info("calendars_extended", organization_id=str(organization_id), periods=periods)


@dramatiq.actor(queue_name="upkeep", max_retries=3, time_limit=600_000)
def recount_clocks() -> None:
    """Put the figures of the summary line right, where they were left behind."""
    with in_transaction() as connection:
        recount(connection)


@dramatiq.actor(queue_name="upkeep", max_retries=8, time_limit=3_600_000, throws=(NotFound, InvalidInput))
def move_clocks(organization_id: str, move_id: str) -> None:
    """Move the clocks of open tickets to what was published. Commits batch by batch; cut off, it goes on."""
    moved = moves.run(organizations.identifier(organization_id, "organization"), move_id)
    _log.info("clocks_moved", organization_id=organization_id, move_id=move_id, tickets=moved)
