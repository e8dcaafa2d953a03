"""A ticket sends its jobs in the transaction that makes it."""

from uuid import UUID

import pytest
from workers import until, working

from brokers import broker
from desk import database
from desk.errors import ModelUnavailable
from desk.tickets import jobs, store

SENT = "select actor_name from dramatiq.queue where queue_name = 'tickets' order by 1"
ALL = ["draft_reply", "read_sentiment", "suggest_articles", "triage_ticket"]


def test_a_new_ticket_sends_its_jobs(organization: UUID, ticket, ask):
    made = ticket("The hub blinks red")
    assert ask(SENT) == ALL
    assert ask("select distinct message -> 'args', tenant from dramatiq.queue") == [
        ([str(organization), str(made)], str(organization))
    ]


def test_a_ticket_that_was_rolled_back_sends_nothing(organization: UUID, ask):
    def change_of_mind() -> None:
        with database.transaction(organization) as connection:
            store.create(connection, organization, subject="never was")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_of_mind()
    assert ask(SENT) == []
    assert ask("select id from tickets") == []


def test_an_organization_switches_its_jobs_off(organization: UUID, ticket, ask):
    ask("update organization_settings set draft = false, sentiment = false")
    ticket("The hub blinks red")
    assert ask(SENT) == ["suggest_articles", "triage_ticket"]


def test_a_ticket_that_a_person_labelled_is_not_triaged(ticket, ask):
    ticket("The hub blinks red", category="hardware")
    assert "triage_ticket" not in ask(SENT)


def test_closed_tickets_send_nothing(ticket, ask):
    ticket("The hub blinks red", status="closed")
    assert ask(SENT) == []


def test_edits_send_the_jobs_again_once(ticket, ask):
    made = ticket("The hub blinks red")
    ask("delete from dramatiq.queue")
    for body in ("Since yesterday.", "Since Monday.", "Since for ever."):
        ask("update tickets set body = %s where id = %s", body, made)
    assert ask(SENT) == ALL
    assert ask("select revision from tickets") == [4]


def test_a_change_of_the_assignee_sends_nothing(ticket, ask):
    made = ticket("The hub blinks red")
    ask("delete from dramatiq.queue")
    ask("update tickets set assignee = 'ida' where id = %s", made)
    assert ask(SENT) == []


def test_a_ticket_that_is_accepted_sends_a_prediction(ticket, ask):
    made = ticket("The hub blinks red")
    ask("delete from dramatiq.queue")
    ask("update tickets set status = 'accepted' where id = %s", made)
    assert ask(SENT) == ["predict_sla"]


@pytest.mark.parametrize("actor", [*ALL, "predict_sla"])
def test_a_ticket_that_does_not_exist_is_a_dead_letter_with_the_reason(actor, organization: UUID, run_jobs, ask):
    nobody = "00000000-0000-0000-0000-000000000000"
    for ticket_id in (nobody, "not-a-uuid"):
        ask(
            "select pgbroker.enqueue(%s, args => jsonb_build_array(%s::text, %s::text), queue => 'tickets')",
            actor,
            str(organization),
            ticket_id,
        )
    run_jobs("tickets")
    assert ask(SENT) == []
    errors = ask("select error from pgbroker.dead_letters order by error")
    assert len(errors) == 2
    assert any(f"There is no ticket with the id {nobody}" in error for error in errors)
    assert any("not a UUID" in error for error in errors)


def test_without_a_model_triage_comes_back_later_and_no_retry_is_burnt(ticket, run_jobs, ask, monkeypatch):
    def no_model(*ids: object) -> None:
        raise ModelUnavailable("There is no model. Run `atum model fetch`.")

    ask("update organization_settings set suggest = false, draft = false, sentiment = false")
    made = ticket("The hub blinks red")
    monkeypatch.setattr(jobs, "triage", no_model)
    with working(broker, queues={"tickets"}):
        until(lambda: ask("select message_id from pgbroker.finished"), "the first run is over")
    waiting = "select actor_name, retries, unique_key, run_at > now() + interval '50 seconds' from dramatiq.queue"
    assert ask(waiting) == [("triage_ticket", 0, f"triage_ticket:{made}", True)]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]
