"""What runs by the timetable for every organization: a tick without arguments sends one message per organization.

So one organization's failure is one dead letter, and a slow one does not hold up the others.
"""

import dramatiq

from brokers import in_transaction
from desk import database, log, organizations
from desk.errors import NotFound
from desk.upkeep import retention, snapshot

QUEUE = "upkeep"

logger = log.get(__name__)


@dramatiq.actor(queue_name=QUEUE, throws=(NotFound,), time_limit=300_000)
def snapshot_metrics(organization_id: str | None = None) -> None:
    """The figures of the hour and of the one before."""
    if organization_id is None:
        _send_to_each(snapshot_metrics)
        return
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        organizations.name_of(connection, organization)
        snapshot.take_current(connection, organization)


@dramatiq.actor(queue_name=QUEUE, throws=(NotFound,), time_limit=1_800_000)
def clean_up(organization_id: str | None = None) -> None:
    """The end of what has been kept long enough. Batches commit as they go: doing it twice deletes nothing more."""
    if organization_id is None:
        swept = retention.clean_up_shared()
        logger.info("shared_rows_cleaned", **vars(swept))
        _send_to_each(clean_up)
        return
    organization = organizations.identifier(organization_id, "organization")
    with database.transaction(organization) as connection:
        organizations.name_of(connection, organization)
    cleaned = retention.clean_up(organization)
    logger.info("organization_cleaned", organization_id=organization_id, **vars(cleaned))


def _send_to_each(actor: dramatiq.Actor) -> None:
    """One message per organization, in the transaction that finishes the tick; one that still waits is not doubled."""
    with in_transaction() as connection:
        for organization_id in organizations.all_ids(connection):
            actor.send_with_options(args=(str(organization_id),), unique_key=f"{actor.actor_name}:{organization_id}")
