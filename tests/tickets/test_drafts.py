"""Suggestions and drafts name what they are from; nothing is invented and nothing internal is quoted."""

from uuid import UUID

import numpy as np
import psycopg2
import pytest
from builders import new_organization
from psycopg2.extras import Json

from desk import database
from desk.kb import articles, indexing
from desk.tickets import jobs, results, store
from desk.tickets.offers import drafting
from desk.tickets.offers.drafting import Passage, Source

RESET = """To reset your password:

1. Open the sign-in page and choose *Forgotten password*.
2. Enter the address of your account.
3. Follow the link in the email within one hour.

The link works once only.
"""
SOURCE = Source("11111111-1111-1111-1111-111111111111", 1, "Password", "Reset")


def write(of: UUID, external_id: str = "password", body: str = RESET, **columns: str) -> UUID:
    with database.transaction(of) as connection:
        made = articles.put(
            connection, of, external_id=external_id, title="Reset a forgotten password", body_md=body, **columns
        )
    indexing.index(of)
    return made


def test_a_draft_cites_the_article_and_keeps_its_steps_whole(model_dir, organization: UUID, ticket, run_jobs, ask):
    article = write(organization)
    ticket("I forgot my password", "How can I sign in again?", requester="Ida Holm <ida@example.com>")
    run_jobs("tickets")
    ((body, citations, reason, stale),) = ask("select body, citations, reason, stale from drafts")
    assert body.startswith("Hello Ida,\n\n")
    assert body.endswith("Kind regards\nAcme")
    assert (reason, stale) == (None, False)
    steps = next(item for item in citations if "1. Open the sign-in page" in item["text"])
    assert "3. Follow the link in the email within one hour." in steps["text"]
    assert (steps["article_id"], steps["article_revision"], steps["chunk"]) == (str(article), 1, 0)
    for item in citations:
        assert f"{item['text']} [{item['mark']}]" in body
    assert ask("select article_id, article_revision, ticket_revision from suggestions") == [(article, 1, 1)]


def test_without_anything_relevant_there_is_no_draft_and_no_suggestion(
    model_dir, organization: UUID, ticket, run_jobs, ask
):
    write(organization)
    ticket("Do you sell penguins?", "I would like three of them for my lattice.")
    run_jobs("tickets")
    assert ask("select body, citations, reason from drafts") == [(None, [], "nothing relevant in the public articles")]
    assert ask("select count(*) from suggestions") == [0]


def test_internal_articles_and_those_of_others_are_never_cited(
    model_dir, owner, organization: UUID, ticket, run_jobs, ask
):
    write(organization, visibility="internal")
    write(new_organization(owner, "Other"))
    ticket("I forgot my password", "How can I sign in again?")
    run_jobs("tickets")
    assert ask("select body from drafts") == [None]
    assert ask("select count(*) from suggestions") == [0]


def test_a_draft_goes_stale_when_its_article_changes(model_dir, organization: UUID, ticket, run_jobs, ask):
    write(organization)
    write(organization, "unrelated", "Our office is open from nine to five on working days. " * 3)
    ticket("I forgot my password", "How can I sign in again?")
    run_jobs("tickets")
    write(organization, "unrelated", "Our office is open from eight to four on working days. " * 3)
    assert ask("select stale from drafts") == [False]
    write(organization, body="Call us.")
    assert ask("select stale from drafts") == [True]


def test_a_draft_whose_article_changed_during_the_job_is_not_kept(model_dir, organization: UUID, ticket, ask):
    write(organization)
    made = ticket("I forgot my password", "How can I sign in again?")
    read, body, citations = jobs.draft(organization, made)
    write(organization, body="Call us.")
    with pytest.raises(results.CitationChanged), database.transaction(organization) as connection:
        results.keep_draft(connection, read, body, citations, reason=None, method="test")
    assert ask("select count(*) from drafts") == [0]


def test_a_draft_without_citations_cannot_be_stored(organization: UUID, ticket):
    made = ticket("I forgot my password")
    with database.transaction(organization) as connection:
        read = store.get(connection, organization, made)
    with pytest.raises(psycopg2.errors.CheckViolation), database.transaction(organization) as connection:
        results.keep_draft(connection, read, "Trust me.", [], reason=None, method="test")


def test_a_citation_that_does_not_exist_cannot_be_stored(organization: UUID, ticket):
    made = ticket("I forgot my password")
    with database.transaction(organization) as connection:
        read = store.get(connection, organization, made)
    body, citations = drafting.compose([Passage("Press the red button.", SOURCE)], None, "Acme")
    with pytest.raises(results.CitationChanged), database.transaction(organization) as connection:
        results.keep_draft(connection, read, body, citations, reason=None, method="test")


def test_an_article_deleted_later_takes_its_suggestion_along(model_dir, organization: UUID, ticket, run_jobs, ask):
    article = write(organization)
    ticket("I forgot my password")
    run_jobs("tickets")
    assert ask("select article_id from suggestions") == [article]
    ask("delete from articles where id = %s", article)
    assert ask("select count(*) from suggestions") == [0]
    assert ask("select stale from drafts") == [True]


def test_headings_tables_and_bare_links_are_no_passages():
    text = "## Heading\n\n| a | b |\n|---|---|\n\n![a picture of the hub](x.png)\n\nShort.\n\n"
    text += "The hub [blinks](x) **red** when it starts."
    assert [found.text for found in drafting.passages(text, SOURCE)] == ["The hub blinks red when it starts."]


def test_the_same_said_twice_is_said_once():
    found = [Passage(text, SOURCE) for text in ("a", "b", "c")]
    vectors = np.array([[1, 0], [0.999, 0.045], [0.8, -0.6]], dtype=np.float32)
    chosen = drafting.choose(found, vectors, np.array([1, 0], dtype=np.float32))
    assert [passage.text for passage in chosen] == ["a", "c"]


@pytest.mark.parametrize(
    ("requester", "name"),
    [
        ("Ida Holm <ida@example.com>", "Ida"),
        ("ida@example.com", None),
        (None, None),
        ("bot-7", None),
        ('"Ana" x', "Ana"),
    ],
)
def test_a_name_is_greeted_and_an_address_is_not(requester, name):
    assert drafting.first_name(requester) == name


def test_a_result_of_an_earlier_revision_is_not_written(organization: UUID, ticket, ask):
    made = ticket("I forgot my password")
    with database.transaction(organization) as connection:
        read = store.get(connection, organization, made)
    ask("update tickets set body = 'Found it.' where id = %s", made)
    with database.transaction(organization) as connection:
        assert not results.keep_suggestions(connection, read, [])
        assert not results.keep_draft(connection, read, None, [], reason="none", method="test")
    assert ask("select count(*) from drafts") == [0]


def test_a_worker_of_one_organization_cannot_write_a_draft_for_another(owner, organization: UUID, ticket):
    other = new_organization(owner, "Other")
    made = ticket("I forgot my password", of=other)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), database.transaction(organization) as connection:
        connection.cursor().execute(
            "insert into drafts (organization_id, ticket_id, revision, citations, reason, method)"
            " values (%s, %s, 1, %s, 'x', 'x')",
            (other, made, Json([])),
        )


def test_the_first_article_is_quoted_before_others_that_are_about_as_near():
    other = Source("22222222-2222-2222-2222-222222222222", 1, "Other", "")
    found = [Passage("a", SOURCE), Passage("b", other), Passage("c", other)]
    vectors = np.array([[0.6, 0.8, 0], [0.62, 0, 0.785], [0.3, 0, -0.954]], dtype=np.float32)
    chosen = drafting.choose(found, vectors, np.array([1, 0, 0], dtype=np.float32))
    assert [passage.text for passage in chosen] == ["a", "b"]
    assert drafting.choose(found[2:], vectors[2:], np.array([1, 0, 0], dtype=np.float32)) == []


def test_a_reply_counts_by_its_problem_as_well():
    reply = drafting.ReplySource("33333333-3333-3333-3333-333333333333", "44444444-4444-4444-4444-444444444444")
    vectors = np.array([[0.2, 0.98]], dtype=np.float32)
    question = np.array([1, 0], dtype=np.float32)
    assert drafting.choose([Passage("Pull the tape off.", reply, 0.4)], vectors, question) == []
    assert len(drafting.choose([Passage("Pull the tape off.", reply, 0.6)], vectors, question)) == 1


def test_a_chunk_is_taken_apart_into_paragraphs_and_whole_lists():
    steps = "Steps:\n1. Hold the button\nuntil it blinks.\n2. Let it go again."
    chunk = f"The hub restarts by itself.\nOnce\nonly.\n{steps}\nThat is all there is to do."
    assert [found.text for found in drafting.passages(chunk, SOURCE)] == [
        "The hub restarts by itself.",
        steps,
        "That is all there is to do.",
    ]
    long = "The hub restarts every night at three. " * 15
    assert all(len(found.text) <= drafting.LONGEST_PARAGRAPH for found in drafting.passages(long, SOURCE))


def test_what_the_customer_says_later_is_what_is_answered(model_dir, organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set triage = false, sentiment = false")
    password = write(organization)
    office = write(organization, "office", "Our office is open from nine to five on working days, by the harbour. " * 3)
    made = ticket("I forgot my password", "How can I sign in again?")
    run_jobs("tickets")
    assert ask("select article_id from suggestions where position = 1") == [password]
    say = "insert into ticket_messages (organization_id, ticket_id, author_kind, body) values (%s, %s, 'customer', %s)"
    ask(say, organization, made, "ok")
    ask(say, organization, made, "Never mind, I will come by. When is your office by the harbour open?")
    assert ask("select stale from drafts") == [True]
    assert ask("select actor_name from dramatiq.queue order by 1") == ["draft_reply", "suggest_articles"]
    run_jobs("tickets")
    assert ask("select article_id from suggestions where position = 1") == [office]
    ((body, stale),) = ask("select body, stale from drafts")
    assert ("open from nine to five" in body, stale) == (True, False)


def test_of_two_runs_at_once_the_later_reading_stays(model_dir, organization: UUID, ticket, ask):
    write(organization)
    write(organization, "office", "Our office is open from nine to five on working days, by the harbour. " * 3)
    made = ticket("I forgot my password", "How can I sign in again?")
    early = (jobs.suggestions(organization, made), jobs.draft(organization, made))
    ask(
        "insert into ticket_messages (organization_id, ticket_id, author_kind, body) values (%s, %s, 'customer', %s)",
        organization,
        made,
        "When is your office by the harbour open?",
    )
    late = (jobs.suggestions(organization, made), jobs.draft(organization, made))
    for (suggested, drafted), kept in ((late, True), (early, False)):
        read, body, citations = drafted
        with database.transaction(organization) as connection:
            assert results.keep_suggestions(connection, *suggested) is kept
            assert results.keep_draft(connection, read, body, citations, reason=None, method="test") is kept
    (body,) = ask("select body from drafts")
    assert "open from nine to five" in body
    assert ask("select excerpt like '%%nine to five%%' from suggestions where position = 1") == [True]
