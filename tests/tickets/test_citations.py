"""A draft cites what is there, is public and says it: the database refuses every other, whoever writes it."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import psycopg2
import pytest
from builders import new_organization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import Json
from waiting import until

from desk import database
from desk.kb import articles, indexing
from desk.tickets import jobs, results
from desk.tickets.offers import drafting, quoting, replies
from desk.tickets.offers.drafting import Passage, ReplySource, Source

STEPS = """To reset the hub:

1. Hold the button for ten seconds.
2. Wait until it blinks [slowly](/lights).

It restarts."""
REPLY = """Hello Ida,

thanks for writing! The hub restarts when its firmware is damaged. Hold the button until the light is blue, then let go.
I have sent a new one to ida.holm@example.com as order 48-7713 for Mrs Holm, call +44 20 7946 0958 otherwise.

Does it work now?

Kind regards
Ben Carter"""


@pytest.fixture(autouse=True)
def _drafts_alone(ask, organization: UUID, model_dir) -> None:
    ask("update organization_settings set triage = false, suggest = false, sentiment = false")


@pytest.fixture
def say(organization: UUID):
    """Write a message on a ticket; its id."""

    def say(ticket_id: UUID, body: str, kind: str = "agent", public: bool = True, author: str = "Ben Carter") -> UUID:
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            cursor.execute(
                "insert into ticket_messages (organization_id, ticket_id, author_kind, author, body, is_public)"
                " values (%s, %s, %s, %s, %s, %s) returning id",
                (organization, ticket_id, kind, author, body, public),
            )
            return cursor.fetchone()[0]

    return say


@pytest.fixture
def resolved(organization: UUID, ticket, say, run_jobs, ask):
    """A resolved ticket with its reply, found by its problem: (ticket, message)."""
    made = ticket(
        "The hub restarts every night",
        "Each night at three the hub restarts by itself.",
        requester="Ida Holm <ida.holm@example.com>",
        assignee="ben.carter",
    )
    reply = say(made, REPLY)
    ask("update tickets set status = 'resolved' where id = %s", made)
    run_jobs("tickets")
    return made, reply


def write(of: UUID, external_id: str = "reset", body: str = STEPS, **columns: str) -> UUID:
    with database.transaction(of) as connection:
        made = articles.put(connection, of, external_id=external_id, title="Reset the hub", body_md=body, **columns)
    indexing.index(of)
    return made


def keep(of: UUID, ticket_id: UUID, citations: list[dict], body: str | None = None) -> None:
    """Write a draft by hand, as the worker's role."""
    body = body if body is not None else " ".join(f"{item['text']} [{item['mark']}]" for item in citations)
    with database.transaction(of) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into drafts (organization_id, ticket_id, revision, body, citations, method)"
            " values (%s, %s, 1, %s, %s, 'by hand')",
            (of, ticket_id, body, Json(citations)),
        )


def refused(of: UUID, ticket_id: UUID, citations: list[dict], body: str | None = None) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation) as caught:
        keep(of, ticket_id, citations, body)
    assert caught.value.diag.constraint_name == "drafts_citations_exist"


def test_sql_of_the_worker_cannot_store_an_invented_citation_of_an_article(owner, organization: UUID, ticket, ask):
    made = ticket("The hub hangs")
    article = write(organization)
    true = {"mark": 1, "article_id": str(article), "article_revision": 1, "text": "Hold the button for ten seconds."}
    theirs = write(new_organization(owner, "Other"))
    internal = write(organization, "internal", visibility="internal")
    hidden = write(organization, "draft", status="draft")
    for change in (
        {"article_id": str(uuid4())},
        {"article_revision": 2},
        {"text": "Hold the button for nine seconds."},
        {"text": "1. Hold the button for ten seconds.\n2. Throw it away."},
        {"text": ""},
        {"text": " [name] "},
        {"article_id": str(theirs)},
        {"article_id": str(internal)},
        {"article_id": str(hidden)},
        {"article_id": None},
        {"chunk": 1},
    ):
        refused(organization, made, [true | change])
    refused(organization, made, [true], "Hold the button. [1] Then it burns. [2]")
    refused(organization, made, [true, true | {"mark": 2}], "Hold the button. [1]")
    refused(organization, made, [true, true])
    refused(organization, made, [true, true | {"mark": 2, "text": "Trust me."}])
    assert ask("select count(*) from drafts") == [0]
    steps = "1. Hold the button for ten seconds.\n2. Wait until it blinks slowly."
    keep(organization, made, [true | {"text": steps, "chunk": 0}])
    assert ask("select count(*) from drafts") == [1]
    with (
        pytest.raises(psycopg2.errors.CheckViolation),
        database.transaction(organization) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("update drafts set citations = jsonb_set(citations, '{0,text}', '\"Never do it.\"')")


def test_sql_of_the_worker_cannot_store_an_invented_citation_of_a_ticket(
    organization: UUID, ticket, say, resolved, ask
):
    source, reply = resolved
    made = ticket("The hub restarts")
    true = {"mark": 1, "ticket_id": str(source), "message_id": str(reply), "text": "Hold the button until the light is"}
    note = say(source, "Hold the button until the light is blue.", public=False)
    asked = say(source, "Hold the button until the light is blue.", kind="customer")
    open_ = ticket("Another")
    unresolved = say(open_, "Hold the button until the light is blue.")
    for change in (
        {"message_id": str(uuid4())},
        {"ticket_id": str(made)},
        {"text": "Hold the button until it is red"},
        {"message_id": str(note)},
        {"message_id": str(asked)},
        {"ticket_id": str(open_), "message_id": str(unresolved)},
    ):
        refused(organization, made, [true | change])
    keep(organization, made, [true | {"text": "I have sent a new one to [e-mail] as order [number] for [name]"}])
    assert ask("select count(*) from drafts where ticket_id = %s", made) == [1]


def test_a_draft_quotes_what_helped_before_without_personal_data(organization: UUID, ticket, resolved, run_jobs, ask):
    source, reply = resolved
    write(organization)
    made = ticket(
        "My hub restarts at night", "It restarts every night at three o'clock.", requester="Max <m@example.com>"
    )
    run_jobs("tickets")
    ((body, citations),) = ask("select body, citations from drafts where ticket_id = %s", made)
    (cited,) = [item for item in citations if "ticket_id" in item]
    assert (cited["ticket_id"], cited["message_id"]) == (str(source), str(reply))
    assert "Hold the button until the light is blue, then let go." in cited["text"]
    assert body.startswith("Hello Max,\n\nthank you for your message. ")
    assert f"In a similar case this helped:\n\n{cited['text']} [{cited['mark']}]" in body
    for private in ("Ida", "Holm", "Ben", "Carter", "ida.holm", "48-7713", "7946", "Does it work", "thanks for"):
        assert private not in body


def test_replies_are_not_quoted_where_the_organization_does_not_want_that(
    organization: UUID, ticket, resolved, run_jobs, ask
):
    ask("update organization_settings set answers_from_tickets = false")
    made = ticket("My hub restarts at night", "It restarts every night at three o'clock.")
    run_jobs("tickets")
    assert ask("select body from drafts where ticket_id = %s", made) == [None]


@pytest.mark.parametrize(
    "change",
    [
        "update ticket_messages set body = 'Never mind.' where id = %(reply)s",
        "update ticket_messages set is_public = false where id = %(reply)s",
        "delete from ticket_messages where id = %(reply)s",
        "update tickets set status = 'in_progress' where id = %(source)s",
        "delete from tickets where id = %(source)s",
    ],
)
def test_a_draft_goes_stale_when_a_reply_that_it_cites_changes(
    organization: UUID, ticket, resolved, run_jobs, ask, owner, change
):
    source, reply = resolved
    made = ticket("My hub restarts at night", "It restarts every night at three o'clock.")
    run_jobs("tickets")
    assert ask("select stale from drafts where ticket_id = %s", made) == [False]
    with owner.cursor() as cursor:
        cursor.execute(change, {"source": source, "reply": reply})
    assert ask("select stale from drafts where ticket_id = %s", made) == [True]


def test_a_reply_that_is_withdrawn_during_the_job_is_not_cited(organization: UUID, ticket, resolved, ask):
    _, reply = resolved
    made = ticket("My hub restarts at night", "It restarts every night at three o'clock.")
    read, body, citations = jobs.draft(organization, made)
    ask("update ticket_messages set is_public = false where id = %s", reply)
    with pytest.raises(results.CitationChanged), database.transaction(organization) as connection:
        results.keep_draft(connection, read, body, citations, reason=None, method="test")


def test_an_edit_that_comes_at_the_same_time_waits_and_marks_the_draft(organization: UUID, ticket, owner, ask):
    article = write(organization)
    made = ticket("How do I reset the hub?", "It hangs.")
    read, body, citations = jobs.draft(organization, made)
    with database.transaction(organization) as connection:
        results.keep_draft(connection, read, body, citations, reason=None, method="test")
        with owner.cursor() as cursor:
            cursor.execute("set lock_timeout = '200ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("update articles set body_md = 'Call us.' where id = %s", (article,))
            cursor.execute("set lock_timeout = 0")
    ask("update articles set body_md = 'Call us.' where id = %s", article)
    assert ask("select stale from drafts") == [True]


def test_a_ticket_that_is_opened_again_at_the_same_time_waits_and_marks_the_draft(
    organization: UUID, ticket, resolved, owner, ask
):
    source, _ = resolved
    made = ticket("The hub restarts in the night", "The hub restarts each night by itself.")
    read, body, citations = jobs.draft(organization, made)
    assert [item["ticket_id"] for item in citations] == [str(source)]
    open_again = "update tickets set status = 'in_progress' where id = %s"
    with database.transaction(organization) as connection:
        results.keep_draft(connection, read, body, citations, reason=None, method="test")
        with owner.cursor() as cursor:
            cursor.execute("set lock_timeout = '200ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute(open_again, (source,))
            cursor.execute("set lock_timeout = 0")
    ask(open_again, source)
    assert ask("select stale from drafts where ticket_id = %s", made) == [True]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            ["1. Hold it.", "- wait\n", "[label](http://x/y)", "**bold** word", "Ends.", "intro:", "\n", "[number]",
             "[7]", "\u00a0", "\u200b", "snake_case_word", "| a |", "## Heading", "Пример", "日本語", "…"]
        ),
        max_size=12,
    ).map(" ".join)
    | st.lists(st.sampled_from(["1. Hold it firmly for a while", "and wait for the light", "", "# x", "So it is."]),
               max_size=9).map("\n".join)
)  # fmt: skip
def test_what_is_taken_from_a_source_is_found_in_it_by_rules_and_database_alike(owner, text):
    text = text.replace("\x00", "")
    source = Source("11111111-1111-1111-1111-111111111111", 1, "", "")
    taken = [passage.text for passage in drafting.passages(text, source)]
    assert all(quoting.is_quoted(one, text) for one in taken)
    with owner.cursor() as cursor:
        for one in [*taken, text, text[1:], text + "x", text[::-1]]:
            cursor.execute("select is_quoted(%s, %s)", (one, text))
            assert cursor.fetchone() == (quoting.is_quoted(one, text),), (one, text)


def test_an_answer_is_what_is_left_without_greeting_thanks_and_questions():
    written = "Hi Ida,\nthanks for writing! Pull the tape off. Does it print?\nHave a nice day!"
    assert drafting.answer_of(written).split() == ["Pull", "the", "tape", "off."]
    reply = replies.Reply(uuid4(), uuid4(), "Pull the tape off the [name] box.", "Pull the tape off the Ida box.", 0.7)
    (passage,) = replies.passages(reply)
    assert passage == Passage(reply.text, ReplySource(str(reply.ticket_id), str(reply.message_id)), 0.7)


def test_drafts_and_edits_at_the_same_time_leave_no_draft_of_an_earlier_text(organization: UUID, ticket, ask):
    seed = random.randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)
    names = [f"reset-{number}" for number in range(3)]
    for name in names:
        write(organization, name, STEPS.replace("hub", name))
    made = [ticket("How do I reset the hub?", "It hangs.") for _ in range(4)]
    over = threading.Event()

    def draft(ticket_id: UUID) -> int:
        refused = 0
        while not over.is_set():
            read, body, citations = jobs.draft(organization, ticket_id)
            try:
                with database.transaction(organization) as connection:
                    results.keep_draft(
                        connection, read, body, citations, reason=None if body else "none", method="test"
                    )
            except results.CitationChanged:
                refused += 1
        return refused

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(draft, ticket_id) for ticket_id in made]
        try:
            until(lambda: ask("select count(*) from drafts where body is not null") == [4], "each has a draft")
            for turn in range(12):
                name = chance.choice(names)
                body = STEPS.replace("ten seconds", f"{turn + 11} seconds").replace("hub", name)
                write(organization, name, body, visibility=chance.choice(["public", "public", "internal"]))
        finally:
            over.set()
        print("refused", sum(one.result() for one in running))
    wrong = """
        select d.ticket_id
          from drafts d
         cross join lateral jsonb_to_recordset(d.citations) c (article_id uuid, article_revision integer, text text)
         where not d.stale and not exists (
               select from articles a join chunks on chunks.article_id = a.id
                where a.id = c.article_id and a.revision = c.article_revision and a.visibility = 'public'
                  and is_quoted(c.text, chunks.text))"""
    assert ask(wrong) == []


def test_masks_alone_are_no_passage():
    source = ReplySource(str(uuid4()), str(uuid4()))
    assert drafting.passages("[number][number][number][number]\n\n[name], [address], [address]", source) == []
