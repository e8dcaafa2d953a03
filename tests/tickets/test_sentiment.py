"""Mood and urgency of the customer's own words, or `unknown`."""

import csv
from uuid import UUID

import pytest

from desk import database
from desk.tickets import jobs, results, trials, urgency
from desk.tickets.english import is_english
from desk.tickets.mood import sentiment
from desk.tickets.own_words import own_words
from desk.tickets.triage import intent

ANGRY = "This is the third time I write and nobody answers. I am furious, this is ridiculous and unacceptable!"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (ANGRY, "negative"),
        ("Great service, thank you so much, everything works!", "positive"),
        ("Hello, on which day is my card delivered?", "neutral"),
        ("Mi tarjeta no funciona y estoy muy enfadado con ustedes", "unknown"),
        ("Die Karte funktioniert nicht und ich bin sehr wütend", "unknown"),
        ("我的卡坏了，我非常生气", "unknown"),
        ("", "unknown"),
        ("2026-01-01 10:00:00 ERROR terrible failure\n2026-01-01 10:00:01 FATAL awful crash", "unknown"),
        ("kd83-xx", "unknown"),
    ],
)
def test_labels(text, label):
    assert sentiment.read(text).label == label


def test_words_that_name_the_matter_are_not_the_mood():
    assert (
        sentiment.read("There is an error when I charge the battery, and the security alert fails.").label == "neutral"
    )


def test_what_others_wrote_does_not_count():
    mine = "Could you tell me how I export my history?"
    for theirs in (
        f"> {ANGRY}",
        f"On Monday, 2 March 2026, Bob wrote:\n{ANGRY}",
        f"```\n{ANGRY}\n```",
        "-- \nBob Killjoy, Hate & Anger Ltd",
        "Kind regards,\nBob Killjoy\nHate & Anger Ltd",
        '{"level": "fatal", "code": 500, "trace": "0x7f, 0x8a", "n": [1, 2, 3]}',
    ):
        assert own_words(f"{mine}\n\n{theirs}") == mine


def test_a_language_that_the_ticket_names_is_believed():
    assert sentiment.read(ANGRY, language="fr").label == "unknown"
    assert sentiment.read(ANGRY, language="en-GB").label == "negative"


@pytest.mark.parametrize(
    ("text", "level", "priority"),
    [
        ("There is smoke coming out of the cell", "high", "urgent"),
        ("The whole office is down, nobody can work. Fix this today!", "high", "urgent"),
        ("Somebody made an unauthorised payment with my card", "high", "high"),
        ("I am locked out of my account", "high", "high"),
        ("Please answer today", "high", None),
        ("No rush, just wondering how this works", "low", "low"),
        ("It is not urgent", "low", "low"),
        ("There is no smoke", "normal", None),
        ("How do I export my history?", "normal", None),
    ],
)
def test_urgency_and_priority_come_with_their_reasons(text, level, priority):
    found = urgency.reasons(text)
    assert (urgency.level(found), urgency.priority(found)) == (level, priority)
    assert bool(found) == (level != "normal")
    assert all(reason.words in text.lower() for reason in found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("The app does not load any more, it shows an error", "problem"),
        ("Please cancel my subscription", "request"),
        ("How long does a transfer take?", "question"),
        ("This is unacceptable, the worst service I ever had", "complaint"),
        ("Everything works now, thank you for your help", "thanks"),
        ("Lorem ipsum", None),
    ],
)
def test_intents(text, name):
    found = intent.read(text)
    assert found.name == name
    assert bool(found.evidence) == (name is not None)


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("I have been waiting for my card", True),
        ("Ich warte auf meine Karte und sie ist nicht da", False),
        ("J'attends ma carte depuis une semaine et elle n'est pas là", False),
        ("カードが届きません", False),
        ("ok", None),
        ("12345", None),
    ],
)
def test_english_is_told_from_other_languages(text, english):
    assert is_english(text) is english


def test_escalation_happens_once_and_is_audited(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set escalate_angry_above = 0.5, triage = false, suggest = false, draft = false")
    made = ticket("You owe me an answer", ANGRY)
    calm = ticket("A question", "How do I export my history?")
    run_jobs("tickets")
    assert ask("select priority from tickets where id = %s", made) == ["urgent"]
    assert ask("select priority from tickets where id = %s", calm) == ["medium"]
    ask("update tickets set priority = 'low', body = body || ' Still!' where id = %s", made)
    run_jobs("tickets")
    assert ask("select priority from tickets where id = %s", made) == ["low"]
    assert ask("select action, subject_id, detail ->> 'from' from audit_log") == [("escalated", str(made), "medium")]
    assert ask("select revision, label, escalated from sentiments where ticket_id = %s", made) == [
        (2, "negative", True)
    ]


def test_nobody_is_escalated_where_it_was_not_switched_on(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set triage = false, suggest = false, draft = false")
    ticket("You owe me an answer", ANGRY)
    run_jobs("tickets")
    assert ask("select priority from tickets") == ["medium"]
    assert ask("select label, escalated from sentiments") == [("negative", False)]


@pytest.mark.data
def test_the_lexicon_is_right_on_most_real_reviews(data):
    with (data / "sentiment_reviews" / "dev.csv").open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    right = [(sentiment.score(row["text"]) > 0) == (row["positive"] == "1") for row in rows]
    assert sum(right) / len(right) > 0.82


def test_a_mood_without_a_word_of_mood_is_read_from_likeness(model_dir, organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set suggest = false, draft = false, escalate_angry_above = 0.1")
    text = "After a month it came apart in my hands, and I can buy another one"
    assert sentiment.score(text) == 0
    made = ticket(text)
    quoting = ticket("Re: your order", f"Which sizes of the mattress do you have?\n\n> {ANGRY}")
    run_jobs("tickets")
    ((label, score, escalated, reasons),) = ask(
        "select label, score, escalated, reasons from sentiments where ticket_id = %s", made
    )
    assert (label, escalated) == ("negative", False)
    assert score < -0.2
    assert [reason["kind"] for reason in reasons] == ["leaning"]
    assert ask("select label from sentiments where ticket_id = %s", quoting) == ["neutral"]
    assert ask("select count(*) from ticket_embeddings where ticket_id = %s", made) == [1]


@pytest.mark.data
def test_likeness_and_lexicon_are_right_on_nearly_all_real_reviews_that_they_are_sure_of(data, model_dir):
    with (data / "sentiment_reviews" / "dev.csv").open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    figures = trials.moods(None, [(row["text"], row["positive"]) for row in rows])
    assert (figures["accuracy"] or 0) > 0.89
    assert (figures["accuracy_at_80_coverage"] or 0) > 0.94


def say(of: UUID, ticket_id: UUID, body: str, kind: str = "customer", public: bool = True) -> int:
    with database.transaction(of) as connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into ticket_messages (organization_id, ticket_id, author_kind, body, is_public)"
            " values (%s, %s, %s, %s, %s) returning seq",
            (of, ticket_id, kind, body, public),
        )
        return cursor.fetchone()[0]


def test_what_the_customer_says_later_is_read_too_and_escalates_once(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set escalate_angry_above = 0.5, triage = false, suggest = false, draft = false")
    made = ticket("A question", "How do I export my history?")
    run_jobs("tickets")
    assert ask("select label, message_seq from sentiments") == [("neutral", None)]
    say(organization, made, "Thanks for your message. I am furious at myself!", kind="agent")
    say(organization, made, ANGRY, public=False)
    assert ask("select count(*) from dramatiq.queue") == [0]
    last = [say(organization, made, body) for body in ("Hello?", f"> fine\n{ANGRY}")][1]
    assert ask("select actor_name from dramatiq.queue") == ["read_sentiment"]
    run_jobs("tickets")
    assert ask("select label, escalated, message_seq from sentiments") == [("negative", True, last)]
    assert ask("select priority from tickets") == ["urgent"]
    ask("update tickets set priority = 'low'")
    say(organization, made, "ok\n\n-- \nIda Holm, Furious & Angry Ltd")
    run_jobs("tickets")
    assert ask("select label, message_seq from sentiments") == [("negative", last)]
    say(organization, made, ANGRY)
    run_jobs("tickets")
    assert ask("select priority from tickets") == ["low"]
    assert ask("select count(*) from audit_log where action = 'escalated'") == [1]
    calm = say(organization, made, "Everything works now, thank you so much for your great help!")
    run_jobs("tickets")
    assert ask("select label, escalated, message_seq from sentiments") == [("positive", True, calm)]


def test_messages_of_a_closed_ticket_or_with_the_switch_off_are_not_read(organization: UUID, ticket, ask):
    made, closed = ticket("A question"), ticket("Another", status="closed")
    ask("delete from dramatiq.queue")
    say(organization, closed, ANGRY)
    assert ask("select count(*) from dramatiq.queue") == [0]
    ask("update organization_settings set sentiment = false")
    say(organization, made, ANGRY)
    assert ask("select actor_name from dramatiq.queue order by 1") == ["draft_reply", "suggest_articles"]


def test_an_earlier_reading_that_comes_late_does_not_replace_a_later_one(organization: UUID, ticket, ask):
    made = ticket("A question", "How do I export my history?")
    first = say(organization, made, ANGRY)
    read, angry, seq = jobs.mood(organization, made)
    assert seq == first
    say(organization, made, "Everything works now, thank you so much for your great help!")
    later = jobs.mood(organization, made)
    with database.transaction(organization) as connection:
        results.keep_sentiment(connection, *later)
        results.keep_sentiment(connection, read, angry, seq)
    assert ask("select label from sentiments") == ["positive"]


def test_an_earlier_reading_that_comes_late_escalates_nothing(organization: UUID, ticket, ask):
    ask("update organization_settings set escalate_angry_above = 0.5")
    made = ticket("A question", "How do I export my history?")
    say(organization, made, ANGRY)
    earlier = jobs.mood(organization, made)
    say(organization, made, "Everything works now, thank you so much for your great help!")
    later = jobs.mood(organization, made)
    with database.transaction(organization) as connection:
        assert results.keep_sentiment(connection, *later)
        assert not results.keep_sentiment(connection, *earlier)
    assert ask("select priority from tickets") == ["medium"]
    assert ask("select count(*) from audit_log") == [0]
    say(organization, made, ANGRY)
    for _ in range(2):  # once in its life, whatever a person makes of it
        with database.transaction(organization) as connection:
            results.keep_sentiment(connection, *jobs.mood(organization, made))
        ask("update tickets set priority = 'low'")
    assert ask("select action from audit_log") == ["escalated"]


def test_a_threshold_of_nothing_escalates_nobody_who_is_not_angry(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set escalate_angry_above = 0, triage = false, suggest = false, draft = false")
    angry = ticket("You owe me an answer", ANGRY)
    ticket("Thank you", "Everything works now, thank you so much for your great help!")
    ticket("ok")
    run_jobs("tickets")
    assert ask("select id from tickets where priority = 'urgent'") == [angry]


def test_who_switches_moods_off_while_tickets_wait_has_none_escalated(organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set escalate_angry_above = 0.5, triage = false, suggest = false, draft = false")
    ticket("You owe me an answer", ANGRY)
    ask("update organization_settings set sentiment = false")
    run_jobs("tickets")
    assert ask("select priority from tickets") == ["medium"]
    assert ask("select count(*) from audit_log") == [0]
