"""What a ticket sets in motion: each finds out outside any transaction, then writes in one that is also its finish.

A ticket or organization that does not exist is a dead letter at once, with its reason. Without an embedding model those
that need one come back every minute: that is no failure of theirs.
"""

import dramatiq

from brokers import in_transaction
from desk import database, log, organizations
from desk.errors import InvalidInput, ModelUnavailable, NotFound
from desk.tickets import jobs, results, similar
from desk.tickets.offers import offering
from desk.tickets.risk import forecast, risk_history
from desk.tickets.triage import retraining, triage_models

QUEUE = "tickets"
THROWS = (NotFound, InvalidInput)  # trying again would not help
FIRST_FIT_MS = 1_800_000  # triage may have to embed 5,000 tickets on a slow machine before it answers
MODEL_MS = 300_000
RULES_MS = 60_000
MODEL_PAUSE_MS = 60_000
LATE = 100  # behind everything that a ticket waits for

logger = log.get(__name__)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=FIRST_FIT_MS)
def triage_ticket(organization_id: str, ticket_id: str) -> None:
    """Category, priority, intent and tags, each with confidence and evidence, or an abstention with its reason."""
    try:
        ticket, found, model = jobs.triage(organization_id, ticket_id)
    except ModelUnavailable as error:
        return _come_back(triage_ticket, organization_id, ticket_id, error)
    with in_transaction(ticket.organization_id) as connection:
        kept = results.keep_triage(connection, ticket, found, model)
    logger.info("ticket_triaged", ticket_id=ticket_id, outcome=found.outcome, category=found.category, kept=kept)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=MODEL_MS)
def suggest_articles(organization_id: str, ticket_id: str) -> None:
    """Up to three articles that may answer, or none; and open tickets that may say the same."""
    ticket, hits, searched_at = jobs.suggestions(organization_id, ticket_id)
    same = jobs.same(ticket)
    with in_transaction(ticket.organization_id) as connection:
        kept = results.keep_suggestions(connection, ticket, hits, searched_at)
        if same is not None:
            results.keep_duplicates(connection, ticket, same, searched_at)
    logger.info("articles_suggested", ticket_id=ticket_id, articles=len(hits), duplicates=len(same or ()), kept=kept)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=MODEL_MS)
def draft_reply(organization_id: str, ticket_id: str) -> None:
    """A draft from cited passages, or the reason why there is none. Nothing is sent to anybody."""
    try:
        ticket, body, citations = jobs.draft(organization_id, ticket_id)
        body, citations, method = jobs.word(ticket, body, citations)
    except ModelUnavailable as error:
        return _come_back(draft_reply, organization_id, ticket_id, error)
    reason = None if body else "nothing relevant in the public articles"
    with in_transaction(ticket.organization_id) as connection:
        kept = results.keep_draft(connection, ticket, body, citations, reason=reason, method=method)
    logger.info("reply_drafted", ticket_id=ticket_id, citations=len(citations), method=method, kept=kept)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=MODEL_MS)
def explain_triage(organization_id: str, ticket_id: str) -> None:
    """Why triage gives a ticket its category, in a sentence or two. Sent where the organization wants it worded."""
    ticket, found = jobs.explanation(organization_id, ticket_id)
    with in_transaction(ticket.organization_id) as connection:
        kept = found is not None and results.keep_explanation(connection, ticket, found)
    logger.info("triage_explained", ticket_id=ticket_id, method=found and found.method, kept=kept)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=RULES_MS)
def read_sentiment(organization_id: str, ticket_id: str) -> None:
    """Mood and urgency with reasons; escalation where the organization switched it on."""
    ticket, found, message_seq = jobs.mood(organization_id, ticket_id)
    with in_transaction(ticket.organization_id) as connection:
        kept = results.keep_sentiment(connection, ticket, found, message_seq)
    logger.info("sentiment_read", ticket_id=ticket_id, label=found.label, urgency=found.urgency, kept=kept)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=RULES_MS)
def predict_sla(organization_id: str, ticket_id: str) -> None:
    """The probability of a breach, or why there is none."""
    organization = organizations.identifier(organization_id, "organization")
    found = risk_history.of_ticket(organization, ticket_id)
    with in_transaction(organization) as connection:
        results.keep_prediction(connection, organization, organizations.identifier(ticket_id, "ticket"), found)
    logger.info("breach_predicted", ticket_id=ticket_id, probability=found.probability, reason=found.reason)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=MODEL_MS)
def predict_open_slas(organization_id: str | None = None) -> None:
    """All running clocks of an organization anew, since time has passed, and its forecast.

    Without an organization: one message for each that has predictions switched on. Batches commit as they go; cut off
    and run again, each prediction stands there once.
    """
    if organization_id is None:
        with in_transaction() as connection:
            for each in risk_history.organizations_that_predict(connection):
                predict_open_slas.send_with_options(args=(str(each),), unique_key=f"predict_open_slas:{each}")
        return
    organization = organizations.identifier(organization_id, "organization")
    predicted = 0
    for batch in risk_history.of_running_clocks(organization):
        with database.transaction(organization) as connection:
            predicted += results.keep_predictions(connection, organization, batch)
    with in_transaction(organization) as connection:
        organizations.name_of(connection, organization)
        found = forecast.take(connection, organization)
    logger.info(
        "breaches_forecast", organization_id=organization_id, clocks=predicted, expected=found.expected, late=found.late
    )


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=FIRST_FIT_MS)
def index_tickets(organization_id: str) -> None:
    """Make resolved tickets findable by their problem, with what helped. What is left has a message of its own."""
    try:
        tickets, more = similar.index(organization_id)
    except ModelUnavailable as error:
        logger.error("model_unavailable", reason=str(error))
        tickets, more, delay = 0, True, MODEL_PAUSE_MS / 1000
    else:
        delay = 0.0
    with in_transaction(organization_id) as connection:
        if more:
            similar.send(connection, organizations.identifier(organization_id, "organization"), delay)
    logger.info("tickets_indexed", tickets=tickets, more=more)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=FIRST_FIT_MS, priority=LATE)
def retrain_triage(organization_id: str | None = None) -> None:
    """Learn triage anew where enough labels came; use it where it is not worse. The tick sends one each."""
    if organization_id is None:
        with in_transaction() as connection:
            for identifier in organizations.all_ids(connection):
                retrain_triage.send_with_options(args=(str(identifier),), unique_key=f"retrain_triage:{identifier}")
        return
    try:
        judged = retraining.retrain(organization_id)
    except ModelUnavailable as error:
        logger.error("model_unavailable", reason=str(error))
        with in_transaction(organization_id):
            retrain_triage.send_with_options(
                args=(organization_id,), delay=MODEL_PAUSE_MS, unique_key=f"retrain_triage:{organization_id}"
            )
        return
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        for one in judged:
            triage_models.end(connection, organization, one)
    for one in judged:
        logger.info("triage_learnt", what=one.what, version=one.version, state=one.state, reason=one.reason)


@dramatiq.actor(queue_name=QUEUE, throws=THROWS, time_limit=RULES_MS)
def offer_again(organization_id: str) -> None:
    """Articles have changed: send the jobs of open tickets for which they may offer something else by now."""
    organization = organizations.identifier(organization_id, "organization")
    with in_transaction(organization) as connection:
        organizations.name_of(connection, organization)
        sent = offering.again(connection, organization)
    logger.info("offered_again", messages=sent)


def _come_back(actor: dramatiq.Actor, organization_id: str, ticket_id: str, error: ModelUnavailable) -> None:
    """Send the message again for later, in the transaction that finishes this one; no retry is counted."""
    logger.error("model_unavailable", reason=str(error))
    with in_transaction(organization_id):
        actor.send_with_options(
            args=(organization_id, ticket_id), delay=MODEL_PAUSE_MS, unique_key=f"{actor.actor_name}:{ticket_id}"
        )
