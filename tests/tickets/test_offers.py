"""What is offered follows the articles, is voted on, and is there before a ticket is sent; who asked is not kept."""

from uuid import UUID, uuid4

import pytest
from builders import new_organization

from desk import database
from desk.errors import InvalidInput, NotFound
from desk.kb import articles, embedding, indexing
from desk.settings import settings
from desk.tickets.offers import deflecting, offering, usefulness
from desk.upkeep import retention

RESET = "To reset your password:\n\n1. Open the sign-in page.\n2. Choose *Forgotten password*.\n3. Follow the link.\n"
CALL = "To reset your password call us on working days between nine and five. We send you a new one by post."
SENT = "select actor_name from dramatiq.queue where queue_name = 'tickets' order by 1"
NOW = "update dramatiq.queue set run_at = now() where actor_name = 'offer_again'"


@pytest.fixture(autouse=True)
def _offers_alone(ask, organization: UUID, model_dir) -> None:
    ask("update organization_settings set triage = false, sentiment = false, draft = false")


@pytest.fixture
def again(ask, run_jobs):
    """Let the message that offers again run without its pause; whether there was one."""

    def again() -> bool:
        was_sent = ask("select count(*) from dramatiq.queue where actor_name = 'offer_again'") == [1]
        ask(NOW)
        run_jobs("tickets")
        return was_sent

    return again


def write(of: UUID, external_id: str = "password", body: str = RESET, **columns: str) -> UUID:
    with database.transaction(of) as connection:
        made = articles.put(
            connection, of, external_id=external_id, title="Reset a forgotten password", body_md=body, **columns
        )
    indexing.index(of)
    return made


def shown(of: UUID, ticket_id: UUID) -> dict:
    with database.transaction(of) as connection:
        return offering.suggestions(connection, of, ticket_id)


def test_a_changed_article_is_suggested_as_it_is_now(organization: UUID, ticket, run_jobs, again):
    article = write(organization)
    made = ticket("I forgot my password")
    assert shown(organization, made) == {"ticket_id": made, "made_at": None, "current": False, "articles": []}
    run_jobs("tickets")
    (row,) = shown(organization, made)["articles"]
    assert (row["article_id"], row["article_revision"], row["current"]) == (article, 1, True)
    write(organization, body=CALL)
    assert not shown(organization, made)["current"]
    assert again()
    (row,) = shown(organization, made)["articles"]
    assert (row["article_revision"], row["current"]) == (2, True)
    assert "working days" in row["excerpt"]


@pytest.mark.parametrize(
    "hide",
    [
        "update articles set visibility = 'internal'",
        "update articles set status = 'archived'",
        "update articles set deleted_at = now()",
        "delete from articles",
    ],
)
def test_a_hidden_article_is_gone_at_once_and_another_takes_its_place(
    organization: UUID, ticket, run_jobs, again, ask, hide
):
    write(organization)
    made = ticket("I forgot my password")
    run_jobs("tickets")
    assert shown(organization, made)["current"]
    ask(hide)
    assert shown(organization, made)["articles"] == []
    assert not shown(organization, made)["current"]
    second = write(organization, "second", CALL)
    assert again()
    assert [row["article_id"] for row in shown(organization, made)["articles"]] == [second]
    assert shown(organization, made)["current"]


def test_a_new_article_is_offered_for_a_recent_ticket_that_had_none(organization: UUID, ticket, run_jobs, again, ask):
    made, old, closed = (ticket("I forgot my password") for _ in range(3))
    run_jobs("tickets")
    assert shown(organization, made)["current"]
    ask("update tickets set created_at = now() - interval '15 days' where id = %s", old)
    ask("update tickets set status = 'closed' where id = %s", closed)
    ask("delete from dramatiq.queue")
    article = write(organization)
    assert again()
    assert [row["article_id"] for row in shown(organization, made)["articles"]] == [article]
    assert shown(organization, old)["articles"] == shown(organization, closed)["articles"] == []


def test_a_stale_draft_is_made_anew_unless_an_agent_has_decided_on_it(organization: UUID, ticket, run_jobs, again, ask):
    ask("update organization_settings set draft = true")
    write(organization)
    made, decided = ticket("I forgot my password"), ticket("I forgot my password!")
    run_jobs("tickets")
    with database.transaction(organization) as connection:
        offering.decide(connection, organization, decided, outcome="edited", agent="ben")
    write(organization, body=CALL)
    assert ask("select stale from drafts") == [True, True]
    assert again()
    assert ask("select ticket_id from drafts where stale") == [decided]
    with database.transaction(organization) as connection:
        fresh = offering.draft(connection, organization, made)
        kept = offering.draft(connection, organization, decided)
    assert (fresh["current"], fresh["outcome"]) == (True, None)
    assert "working days" in fresh["body"]
    assert (kept["current"], kept["outcome"], kept["agent"]) == (False, "edited", "ben")


def test_many_edits_are_one_message_and_many_tickets_are_done_in_goes(
    organization: UUID, ticket, run_jobs, ask, monkeypatch
):
    write(organization)
    made = [ticket("I forgot my password") for _ in range(3)]
    run_jobs("tickets")
    write(organization, body=CALL)
    write(organization, body=RESET)
    write(organization, "other", CALL)
    assert ask(SENT) == ["offer_again"]
    ask("delete from dramatiq.queue")
    monkeypatch.setattr(offering, "MOST", 2)
    with database.transaction(organization) as connection:
        assert offering.again(connection, organization) == 2
    assert ask(SENT) == ["offer_again", "suggest_articles", "suggest_articles"]
    assert len(made) == 3


def test_switched_off_jobs_are_not_sent_again(organization: UUID, ticket, run_jobs, ask):
    write(organization)
    ticket("I forgot my password")
    run_jobs("tickets")
    write(organization, body=CALL)
    ask("update organization_settings set suggest = false")
    ask("delete from dramatiq.queue")
    with database.transaction(organization) as connection:
        assert offering.again(connection, organization) == 0


def test_votes_are_counted_per_revision_and_voter(organization: UUID, ticket, run_jobs, again):
    article = write(organization)
    made = ticket("I forgot my password")
    run_jobs("tickets")

    def vote(**given: object) -> int:
        with database.transaction(organization) as connection:
            return offering.vote(connection, organization, made, article, **given)

    assert vote(voter="ida", helpful=True) == 1
    assert vote(voter="ida", helpful=False) == 1
    assert vote(voter="ben", helpful=True) == 1
    (row,) = shown(organization, made)["articles"]
    assert (row["helpful"], row["not_helpful"]) == (1, 1)
    write(organization, body=CALL)
    again()
    (row,) = shown(organization, made)["articles"]
    assert (row["article_revision"], row["helpful"], row["not_helpful"]) == (2, 0, 0)
    assert vote(voter="ida", helpful=True, article_revision=1) == 1
    with pytest.raises(NotFound, match="not in that revision"):
        vote(voter="ida", helpful=True, article_revision=3)
    with pytest.raises(InvalidInput, match="voter must not be empty"):
        vote(voter=" ", helpful=True)
    with pytest.raises(NotFound), database.transaction(organization) as connection:
        offering.vote(connection, organization, made, uuid4(), voter="ida", helpful=True)
    with database.transaction(organization) as connection:
        figures = usefulness.figures(connection, organization)
    assert (figures["votes_helpful"], figures["votes_not_helpful"]) == (2, 0)
    assert [(row["revision"], row["current"], row["helpful"]) for row in figures["articles"]] == [(1, False, 2)]


def test_without_a_draft_there_is_nothing_to_decide_on(organization: UUID, ticket, owner):
    made = ticket("I forgot my password")
    other = new_organization(owner, "Other")
    with database.transaction(organization) as connection:
        assert offering.draft(connection, organization, made)["reason"] == "not tried yet"
        with pytest.raises(NotFound, match="no draft"):
            offering.decide(connection, organization, made, outcome="used", agent="ben")
        with pytest.raises(InvalidInput, match="none of used, edited, discarded"):
            offering.decide(connection, organization, made, outcome="lost", agent="ben")
    for read in (offering.draft, offering.suggestions):
        with pytest.raises(NotFound), database.transaction(other) as connection:
            read(connection, other, made)


def resolve(organization: UUID, ticket_id: UUID, answer: str) -> None:
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into ticket_messages (organization_id, ticket_id, author_kind, author, body)"
            " values (%s, %s, 'agent', 'Ben Carter', %s)",
            (organization, ticket_id, answer),
        )
        cursor.execute("update tickets set status = 'resolved' where id = %s", (ticket_id,))


@pytest.mark.parametrize("said", ["Maria pulls the tape off.", "Pull the tape off. Maria's notes say so."])
def test_before_a_ticket_is_sent_no_answer_is_told_that_may_begin_with_a_name(
    organization: UUID, ticket, run_jobs, said
):
    write(organization)
    first = ticket("The printer prints nothing", "It hums, but the paper stays white.")
    resolve(organization, first, f"Hold the green button for ten seconds. {said} Then print a page.")
    run_jobs("tickets")
    asked = ("My printer prints nothing", "The paper comes out white.")
    assert deflecting.offer(organization, *asked).answers == []
    write(organization, "printing", f"Print a page. {said}")
    (told,) = deflecting.offer(organization, *asked).answers
    assert said in told["text"]  # whoever it is, the public articles name them


def test_before_a_ticket_is_sent_articles_and_an_answer_are_offered_and_nothing_is_kept(
    organization: UUID, ticket, run_jobs, ask
):
    write(organization)
    write(organization, "internal", CALL, visibility="internal")
    first = ticket("The printer prints nothing", "It hums, but the paper stays white.", requester="Ida Holm")
    resolve(organization, first, "Hello Ida,\n\nPull the tape off the cartridge before you put it in.\n\nRegards\nBen")
    run_jobs("tickets")
    before = ask("select count(*) from tickets")
    found = deflecting.offer(organization, "Cannot sign in", "I forgot my password, how do I reset it?")
    assert [row["external_id"] for row in found.articles] == ["password"]
    found = deflecting.offer(organization, "My printer prints nothing", "The paper comes out white.")
    assert [row["text"] for row in found.answers] == ["Pull the tape off the cartridge before you put it in."]
    assert ask("select count(*) from tickets") == before
    with database.transaction(organization) as connection:
        deflecting.note(connection, organization, found.id, "clicked")
        deflecting.note(connection, organization, found.id, "submitted")
    ask("update deflections set shown_at = now() - interval '2 hours'")
    with database.transaction(organization) as connection:
        figures = usefulness.figures(connection, organization)
    names = ("shown_before_a_ticket", "clicked", "submitted_all_the_same", "not_submitted")
    assert [figures[name] for name in names] == [2, 1, 1, 1]
    columns = "select column_name from information_schema.columns where table_name = 'deflections'"
    assert set(ask(columns)) == {
        "articles", "answers", "clicked_at", "id", "organization_id", "shown_at", "submitted_at"
    }  # fmt: skip
    ask("update deflections set shown_at = now() - interval '400 days'")
    assert retention.clean_up(organization).deflections == 2


@pytest.mark.parametrize(
    "answer",
    [
        "Ida, pull the tape off the cartridge before you put it in.",
        "We pulled the tape off the cartridge of order 48-7713 for you.",
        "Pull the tape off the cartridge, and write to ben@example.com if it fails.",
        "Pull the tape off the cartridge, as we did it with Sarah from accounting.",
        "Sign in to the printer, the password is tape24cartridge, and print again.",
        "Снимите ленту с картриджа, как сделала Мария из бухгалтерии.",
        "请像会计部的王小明那样把墨盒上的胶带撕下来然后再装回打印机里面去。",
    ],
)
def test_an_answer_with_somebody_in_it_is_told_to_no_stranger(organization: UUID, ticket, run_jobs, answer):
    resolve(organization, ticket("The printer prints nothing", "White paper.", requester="Ida Holm"), answer)
    run_jobs("tickets")
    assert deflecting.offer(organization, "The printer prints nothing", "White paper.").answers == []


def test_an_answer_may_name_what_the_public_articles_name(organization: UUID, ticket, run_jobs):
    resolve(organization, ticket("The printer prints nothing", "White paper."), "Pull the tape off the Moorlark box.")
    run_jobs("tickets")
    asked = ("The printer prints nothing", "White paper.")
    assert deflecting.offer(organization, *asked).answers == []
    write(
        organization,
        "box",
        "The Moorlark box stands on the wall, between the meter and the hub.",
        visibility="internal",
    )
    assert deflecting.offer(organization, *asked).answers == []
    write(organization, "box", "The Moorlark box stands on the wall, between the meter and the hub.")
    assert len(deflecting.offer(organization, *asked).answers) == 1


def test_answers_are_of_the_organization_alone_and_only_where_it_wants_that(
    organization: UUID, ticket, run_jobs, owner, ask
):
    resolve(organization, ticket("The printer prints nothing", "White paper."), "Pull the tape off the cartridge.")
    run_jobs("tickets")
    other = new_organization(owner, "Other")
    assert deflecting.offer(other, "The printer prints nothing", "White paper.").answers == []
    assert len(deflecting.offer(organization, "The printer prints nothing", "White paper.").answers) == 1
    ask("update organization_settings set answers_from_tickets = false")
    assert deflecting.offer(organization, "The printer prints nothing", "White paper.").answers == []


def test_odd_questions_get_an_honest_answer(organization: UUID):
    write(organization)
    for subject, body in ((" ", ""), ("\x00", "> I forgot my password")):
        with pytest.raises(InvalidInput, match="There is no question"):
            deflecting.offer(organization, subject, body)
    log = "\n".join(f"2026-01-01 10:00:{second % 60:02} ERROR frob {second}" for second in range(3_000))
    for subject, body in (("Help", log), ("שלום 😀", "\u202e"), ("x" * 1_000, "y" * 100_000)):
        found = deflecting.offer(organization, subject, body)
        assert (found.articles, found.answers) == ([], [])
    with database.transaction(organization) as connection:
        with pytest.raises(NotFound):
            deflecting.note(connection, organization, uuid4(), "clicked")
        with pytest.raises(InvalidInput, match="none of clicked, submitted"):
            deflecting.note(connection, organization, found.id, "bought")


def test_an_empty_ticket_and_one_of_logs_alone_are_answered_by_nothing(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set draft = true, sentiment = true, triage = true")
    write(organization)
    log = "\n".join(f"2026-01-01 10:00:{second % 60:02} ERROR frob {second}" for second in range(3_000))
    ask("insert into tickets (organization_id, subject) values (%s, ' ')", organization)
    ticket("Xyzzy", log)
    ticket("Ich habe eine Frage", "Wann kommt der Techniker zu uns nach Hause?")
    run_jobs("tickets")
    assert ask("select count(*) from pgbroker.dead_letters") == [0]
    assert ask("select distinct body from drafts") == [None]
    assert ask("select articles from suggestion_runs") == [0, 0, 0]
    assert ask("select distinct label from sentiments") == ["unknown"]


def test_without_a_model_articles_are_still_offered_by_their_words(organization: UUID, monkeypatch, tmp_path):
    write(organization)
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(tmp_path / "nothing"))
    settings.cache_clear()
    embedding.unload()
    try:
        found = deflecting.offer(organization, "I forgot my password", "How do I reset my forgotten password?")
    finally:
        monkeypatch.undo()
        settings.cache_clear()
        embedding.unload()
    assert [row["external_id"] for row in found.articles] == ["password"]
    assert found.answers == []
