"""Articles become searchable. The triggers of `articles` send these messages; they carry the organization and no more.

What is to be done stands in the rows, so a message that comes late, twice or out of order does no harm.
"""

from uuid import UUID

import dramatiq
from dramatiq.middleware import CurrentMessage

from brokers import in_transaction
from desk import log, organizations
from desk.errors import InvalidInput, ModelUnavailable, NotFound
from desk.kb import building, builds, indexing, reconciling
from desk.tickets import similar

QUEUE = "kb"
THROWS = (NotFound, InvalidInput)
ONE_HUGE_ARTICLE_MS = 1_800_000  # a run stops after two minutes, but not within an article; 2 MB are 3,000 chunks

logger = log.get(__name__)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=ONE_HUGE_ARTICLE_MS)
def index_articles(organization_id: str) -> None:
    """Bring what is stale of this organization's articles up to date.

    Without a model it says so and comes back in a minute: that is no failure of the message's, nor of an article's.
    """
    try:
        message = CurrentMessage.get_current_message()
        outcome = indexing.index(organization_id, run_id=UUID(message.message_id) if message else None)
    except ModelUnavailable as error:
        logger.error("model_unavailable", reason=str(error))
        indexing.try_again_later(organizations.identifier(organization_id, "organization"))
        return
    logger.info("articles_indexed", **vars(outcome))


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=ONE_HUGE_ARTICLE_MS)
def index_dead_article(organization_id: str, article_id: str) -> None:
    """Try an article that failed five times once more: it is searchable then, or this a dead letter that says why."""
    indexing.index_dead(organization_id, article_id)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=60_000)
def reembed(organization_id: str) -> None:
    """Have every article of this organization embedded anew; search reads the old vectors until the new are there."""
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        organizations.name_of(connection, organization)
        articles = indexing.make_stale(connection, organization)
    logger.info("reembedding_started", articles=articles)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=ONE_HUGE_ARTICLE_MS, priority=builds.LATE_PRIORITY)
def build_model(organization_id: str, model_id: int) -> None:
    """Make vectors that a model beside the active one lacks; activate it when none is missing and search is not worse.

    A model that is not on this machine is looked for again each minute, and `atum kb models` says so.
    """
    try:
        outcome = building.build(organization_id, model_id)
    except ModelUnavailable as error:
        logger.error("model_unavailable", reason=str(error))
        building.unavailable(organization_id, model_id, error, indexing.MODEL_PAUSE_SECONDS)
        return
    logger.info("model_built", model_id=model_id, **vars(outcome))


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=300_000)
def reconcile_kb(organization_id: str | None = None) -> None:
    """Compare articles, chunks and vectors, put right what is wrong, tell coverage and lag. The tick sends one each."""
    if organization_id is None:
        with in_transaction() as connection:
            for identifier in organizations.all_ids(connection):
                reconcile_kb.send_with_options(args=(str(identifier),), unique_key=f"reconcile_kb:{identifier}")
        return
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        organizations.name_of(connection, organization)
        found = reconciling.reconcile(connection, organization)
        if similar.unindexed(connection, organization):
            similar.send(connection, organization)
    tell = logger.warning if found.repaired or found.swept else logger.info
    tell("kb_reconciled", organization_id=organization_id, **vars(found))


@dramatiq.actor(queue_name=QUEUE, time_limit=60_000)
def resume_indexing() -> None:
    """The tick: send what has lost its message (discarded by hand, say, or dead after hours without a database)."""
    organizations_sent = indexing.send_overdue()
    if organizations_sent:
        logger.warning("indexing_was_overdue", organizations=organizations_sent)
