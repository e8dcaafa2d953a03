"""What leaves the house: mails are gathered per recipient, then each mail and each post has a message that carries it.

Nothing here holds a transaction open while it talks to somebody. A failure that may pass is tried again for about a
day; then, and at once where trying again would not help, the message is a dead letter and the row says why.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID, uuid4

import dramatiq
from dramatiq.errors import Retry
from dramatiq.middleware import CurrentMessage, TimeLimitExceeded

from brokers import in_transaction
from desk import database, log, organizations
from desk.errors import DeliveryFailed, DeliveryRefused, InvalidInput, NotFound
from desk.notices import gathering, mail, outbox, webhook
from desk.notices.wording import one_line

QUEUE = "notices"
THROWS = (NotFound, InvalidInput, DeliveryRefused)  # trying again would not help
QUARTER_OF_AN_HOUR_MS = 900_000
POSTS_LAST = 10  # priority: receivers that are slow must not hold up mails

T = TypeVar("T", mail.Mail, webhook.Post)

_log = log.get(__name__)


@dramatiq.actor(queue_name=QUEUE, max_retries=20, time_limit=120_000, throws=(NotFound, InvalidInput))
def gather_mail(organization_id: str, address: str, agent: str | None = None) -> None:
    """Make one mail of what waits for a recipient, and send the message that carries it."""
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        found = gathering.gather(connection, organization, address, agent)
    _log.info("mail_gathered", agent=agent, told=found.told, dropped=found.dropped, later=found.later)


# 200 retries, most of them up to a quarter of an hour apart: about a day.
@dramatiq.actor(
    queue_name=QUEUE, throws=THROWS, time_limit=120_000,
    max_retries=200, min_backoff=15_000, max_backoff=QUARTER_OF_AN_HOUR_MS,
)  # fmt: skip
def send_mail(organization_id: str, mail_id: str) -> None:
    """Hand a mail to the mail server."""
    _carry(send_mail, organization_id, mail_id, outbox.take_mail, mail.send)


@dramatiq.actor(
    queue_name=QUEUE, throws=THROWS, time_limit=60_000, priority=POSTS_LAST,
    max_retries=200, min_backoff=5_000, max_backoff=QUARTER_OF_AN_HOUR_MS,
)  # fmt: skip
def post_webhook(organization_id: str, post_id: str) -> None:
    """Post a notice to a webhook. Of one webhook's posts one runs at a time (the run_key in sql/plan.sql)."""
    _carry(post_webhook, organization_id, post_id, outbox.take_post, webhook.send)


def _carry(
    actor: dramatiq.Actor,
    organization_id: str,
    dispatch_id: str,
    take: Callable[[Any, UUID, str, str], T | None],
    send: Callable[[T], None],
) -> None:
    organization = organizations.identifier(organization_id, "organization")
    message = CurrentMessage.get_current_message()
    by = str(message.message_id if message else uuid4())
    with database.transaction(organization) as connection:
        what = take(connection, organization, dispatch_id, by)
    if what is None:
        _log.info("nothing_to_carry", dispatch_id=dispatch_id)  # it has left, or somebody else has it in hand
        return
    try:
        send(what)
    except (Exception, TimeLimitExceeded) as error:
        reason = str(error) if isinstance(error, DeliveryFailed) else one_line(f"{type(error).__name__}: {error}", 200)
        is_last = message is not None and message.options.get("retries", 0) >= actor.options["max_retries"]
        state = "dead" if is_last or isinstance(error, THROWS) else "waiting"
        with database.transaction(organization) as connection:
            outbox.end(connection, dispatch_id, by, state, reason)
        _log.warning("not_carried", dispatch_id=dispatch_id, state=state, reason=reason)
        if isinstance(error, DeliveryFailed) and error.retry_after_seconds is not None:
            raise Retry(reason, delay=int(error.retry_after_seconds * 1000)) from None
        raise
    with in_transaction(organization) as connection:
        outbox.end(connection, dispatch_id, by, "sent")
    _log.info("carried", dispatch_id=dispatch_id)
