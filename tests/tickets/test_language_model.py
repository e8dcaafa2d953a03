"""A language model words drafts and explains triage where that is wanted; whatever it says, the desk goes on."""

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from language_server import MODEL, LanguageServer, Raw

from app import doctor
from desk import database, language_model
from desk.errors import SettingsError
from desk.kb import articles, indexing
from desk.language_model import LanguageModelFailed
from desk.settings import settings
from desk.tickets import jobs
from desk.tickets.offers import wording
from desk.tickets.offers.checking import NotUsable, check
from desk.tickets.triage import explaining

RESET = """A forgotten password can be replaced by yourself on the sign-in page within a few minutes.

To reset your password:

1. Open the sign-in page and choose *Forgotten password*.
2. Follow the link in the email within 24 hours.
"""
SAID = "You can replace a forgotten password yourself on the sign-in page."
GOOD = {"sentences": [{"text": SAID, "marks": [1]}]}
LABELLED = {
    "billing": ["I was charged twice this month", "My invoice has the wrong amount", "Refund the double charge"],
    "access": ["I cannot sign in to my account", "My password does not work", "The sign-in page rejects my password"],
}


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[..., LanguageServer]]:
    """Start an endpoint that gives these answers, and configure the desk for it."""
    started: list[LanguageServer] = []

    def serve(*answers: Any, seconds: str = "5") -> LanguageServer:
        server = LanguageServer(*answers)
        started.append(server)
        configure(monkeypatch, server.url, seconds)
        return server

    language_model._rests_until.clear()
    yield serve
    for server in started:
        server.close()
    settings.cache_clear()


def configure(monkeypatch, url: str, seconds: str = "5") -> None:
    for name, value in (("URL", url), ("MODEL", MODEL), ("API_KEY", "sk-hush"), ("TIMEOUT_SECONDS", seconds)):
        monkeypatch.setenv(f"ATUM_LLM_{name}", value)
    settings.cache_clear()


@pytest.fixture
def draft(model_dir, organization: UUID, ticket, run_jobs, ask):
    """Have a ticket about a password drafted; (body, marks, method)."""
    ask("update organization_settings set triage = false, suggest = false, sentiment = false, llm = '{draft}'")
    with database.transaction(organization) as connection:
        articles.put(connection, organization, external_id="password", title="Reset a password", body_md=RESET)
    indexing.index(organization)

    def draft(body: str = "How do I sign in again?") -> tuple[str, list[int], str]:
        made = ticket("I forgot my password", body, requester="Ida Holm <ida@example.com>")
        run_jobs("tickets")
        ((body, citations, method),) = ask("select body, citations, method from drafts where ticket_id = %s", made)
        return body, [item["mark"] for item in citations], method

    return draft


def test_a_draft_is_worded_with_its_steps_kept_and_only_masked_words_leave(serve, draft):
    server = serve(GOOD)
    body, marks, method = draft("Write to ida@example.com or call +44 20 7946 0958. Yours, Ida Holm. How do I sign in?")
    assert body.startswith(f"Hello Ida,\n\nthank you for your message. {SAID} [1]\n\nTo reset your password:\n1. Open")
    assert body.count("[2]") == 1
    assert (marks, method) == ([1, 2], f"cited passages, worded by {MODEL}")
    ((headers, sent),) = server.asked
    assert headers["authorization"] == "Bearer sk-hush"
    assert (sent["model"], sent["temperature"], sent["response_format"]["type"]) == (MODEL, 0, "json_schema")
    given = json.dumps(sent, ensure_ascii=False)
    for private in ("ida@example.com", "7946", "Ida", "Holm", "Acme"):
        assert private not in given
    material = json.loads(sent["messages"][1]["content"])
    assert "How do I sign in?" in material["question"]
    assert [one["mark"] for one in material["passages"]] == [1]


BAD = [
    (Raw(b"<html><body>Sign in first</body></html>"), "did not answer as an OpenAI-compatible endpoint does"),
    (Raw(b'{"choices": []}', kind="application/json"), "did not answer as an OpenAI-compatible endpoint does"),
    (Raw(b"oops", status=503), "answered 503"),
    (Raw(b"", status=302), "answered 302"),
    (Raw(b"no", status=401), "answered 401"),
    (Raw(b" " * 1_100_000), "cannot be reached (DecodingError)"),
    ("", "an empty answer"),
    ("Sure! Here is the reply:", "an answer that is no JSON"),
    ("[1, 2]", "an answer that is no JSON object"),
    ({}, "no sentences"),
    ({"sentences": []}, "no sentences"),
    ({"sentences": [{"text": SAID, "marks": []}]}, "a sentence without a citation"),
    ({"sentences": [{"text": SAID}]}, "a sentence without a citation"),
    ({"sentences": [{"text": SAID, "marks": [7]}]}, "a citation that was not given"),
    ({"sentences": [{"text": SAID, "marks": [2]}]}, "a citation that was not given"),
    ({"sentences": [{"text": SAID, "marks": ["1"]}]}, "a citation that was not given"),
    ({"sentences": [{"text": SAID, "marks": [True]}]}, "a citation that was not given"),
    ({"sentences": [{"text": " ", "marks": [1]}]}, "an empty sentence"),
    ({"sentences": [{"text": SAID + " [2]", "marks": [1]}]}, "markup or a mark"),
    ({"sentences": [{"text": "Replace the forgotten password within 3 minutes.", "marks": [1]}]}, "a number"),
    ({"sentences": [{"text": "Replace the password at evil.example/reset", "marks": [1]}]}, "an address"),
    ({"sentences": [{"text": "Replace the password by forgotten@page.com", "marks": [1]}]}, "an address"),
    ({"sentences": [{"text": "Our refunds arrive after several working weeks.", "marks": [1]}]}, "do not say"),
    ({"sentences": [{"text": SAID, "marks": [1]}] * 9}, "longer than its passages"),
    ({"sentences": [{"text": SAID + " \ud800", "marks": [1]}]}, "markup or a mark"),  # no database could store it
    ({"sentences": [{"text": "Replace the password on the sign-in page of evil.example", "marks": [1]}]}, "an address"),
]


def test_an_answer_that_cannot_be_used_leaves_the_draft_as_it_was(serve, draft, organization, ticket, ask):
    server = serve(GOOD)
    draft()
    made = ticket("I forgot my password", "How do I sign in again?", requester="Ida Holm")
    read, body, citations = jobs.draft(organization, made)
    for answer, why in BAD:
        server.answers = [answer]
        language_model._rests_until.clear()
        kept, cited, method = jobs.word(read, body, citations)
        assert (kept, cited) == (body, citations)
        assert method.startswith(f"cited passages; {MODEL} was not used: ")
        assert why in method
    server.answers = [GOOD]
    assert jobs.word(read, body, citations)[0] != body


def test_one_that_hangs_or_drips_is_given_up_in_time_and_left_alone_for_a_while(serve, draft, caplog):
    for slow in ("hang", "drip"):
        server = serve(None, seconds="0.3")
        server.answers = [getattr(server, slow)]
        began = time.monotonic()
        _, _, method = draft()
        assert time.monotonic() - began < 10
        assert "did not answer within 0.3 seconds" in method
        _, _, method = draft()
        assert "left alone" in method
        assert len(server.asked) == 1
    assert "sk-hush" not in caplog.text


def test_both_questions_to_an_endpoint_without_schemas_share_the_time(serve):
    def late(handler: Any) -> None:
        server.closing.wait(0.6)
        handler.reply(400 if len(server.asked) == 1 else 200, b"{}")

    server = serve(late, seconds="1")
    with pytest.raises(LanguageModelFailed, match="did not answer within 1 seconds"):
        language_model.ask("", "", {})
    assert len(server.asked) == 2


def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch):
    language_model._rests_until.clear()
    configure(monkeypatch, "http://slow.example/v1", seconds="0.3")
    answered = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(20) and [])
    began = time.monotonic()
    try:
        with pytest.raises(LanguageModelFailed, match=r"did not answer within 0\.3 seconds"):
            language_model.ask("", "", {})
        assert time.monotonic() - began < 10
    finally:
        answered.set()
        settings.cache_clear()


def test_one_that_is_not_there_is_no_trouble(serve, draft, monkeypatch):
    serve(GOOD).close()
    _, marks, method = draft()
    assert marks == [1, 2]
    assert "cannot be reached" in method


def test_a_fenced_answer_and_an_endpoint_without_schemas_do(serve, draft):
    server = serve(Raw(b'{"error": "no response_format"}', status=400), f"```json\n{json.dumps(GOOD)}\n```")
    _, _, method = draft()
    assert method == f"cited passages, worded by {MODEL}"
    assert ["response_format" in sent for _, sent in server.asked] == [True, False]


def test_without_the_switch_or_the_endpoint_nothing_leaves(serve, draft, ask, monkeypatch):
    server = serve(GOOD)
    ask("update organization_settings set llm = '{triage}'")
    assert draft()[2] == "cited passages"
    ask("update organization_settings set llm = '{draft}'")
    monkeypatch.delenv("ATUM_LLM_URL")
    settings.cache_clear()
    assert draft()[2] == "cited passages"
    assert server.asked == []


@pytest.fixture
def explain(model_dir, organization: UUID, ticket, run_jobs, ask):
    """Have a ticket triaged and its triage explained; the rows of explanations."""
    ask("update organization_settings set suggest = false, sentiment = false, draft = false, llm = '{triage}'")
    for label, texts in LABELLED.items():
        for text in texts:
            ticket(text, category=label)
    ask("update tickets set status = 'closed'")
    ask("delete from dramatiq.queue")

    def explain() -> list[Any]:
        ticket("My password is rejected", "Ida Holm cannot sign in.", requester="Ida Holm <ida@example.com>")
        run_jobs("tickets")
        return ask("select category, second_opinion, text, method from triage_explanations")

    return explain


def test_triage_is_explained_and_the_model_has_a_second_opinion(serve, explain, ask):
    text = "The password is rejected, so the customer cannot sign in."
    server = serve({"category": "access", "explanation": text})
    assert explain() == [("access", "access", text, f"evidence, worded by {MODEL}")]
    ((_, sent),) = server.asked
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"] == ["access", "billing"]
    for private in ("Ida", "Holm", "charged twice"):
        assert private not in json.dumps(sent)
    assert ask("select outcome from triage_results") == ["suggested"]


def test_a_retired_category_is_nobodys_second_opinion(serve, explain, organization, ask):
    text = "The password is rejected, so the customer cannot sign in."
    server = serve({"category": "billing", "explanation": text})
    assert [opinion for _, opinion, *_ in explain()] == ["billing"]
    (made,) = ask("select ticket_id from triage_results")
    ask("insert into triage_categories (organization_id, name, retired) values (%s, 'billing', true)", organization)
    _, found = jobs.explanation(organization, made)
    assert (found.category, found.second_opinion) == ("access", None)
    assert found.method == f"evidence; {MODEL} was not used: a category that there is not"
    assert server.asked[-1][1]["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"] == [
        "access"
    ]


def test_an_explanation_that_cannot_be_used_gives_way_to_the_evidence(serve, explain, organization, ask):
    server = serve({"category": "hardware", "explanation": "The password is rejected."})
    ((category, opinion, text, method),) = explain()
    assert (category, opinion) == ("access", None)
    assert text.startswith("access")
    assert "tickets that people gave it" in text
    assert method == f"evidence; {MODEL} was not used: a category that there is not"
    (made,) = ask("select ticket_id from triage_results")
    for answer in (
        {"category": "access", "explanation": ""},
        {"category": "access", "explanation": "The password was rejected 37 times."},
        {"category": "access", "explanation": "See http://evil.example for the password."},
        {"category": ["access"], "explanation": "The password is rejected."},
        {"category": "access", "explanation": "The password is rejected. " * 40},
        Raw(b"<html>"),
    ):
        server.answers = [answer]
        _, found = jobs.explanation(organization, made)
        assert (found.second_opinion, found.text) == (None, text)
        assert found.method.startswith(f"evidence; {MODEL} was not used: ")


def test_an_organization_that_does_not_want_it_sends_no_message(serve, explain, ask):
    server = serve({"category": "access", "explanation": "The password is rejected."})
    ask("update organization_settings set llm = '{}'")
    assert explain() == []
    assert server.asked == []
    assert ask("select count(*) from triage_results") == [1]


def test_the_doctor_says_whether_it_answers(owner, organization: UUID, serve, monkeypatch, ask):
    def found() -> tuple[str, str] | None:
        return next(((f.status, f.found) for f in doctor.examine() if f.check == "language model"), None)

    assert found() is None
    ask("update organization_settings set llm = '{draft}'")
    status, text = found()
    assert (status, "ATUM_LLM_URL is not set" in text, "want it: 1" in text) == ("warn", True, True)
    server = serve(GOOD)
    assert found()[0] == "ok"
    monkeypatch.setenv("ATUM_LLM_MODEL", "huge-9")
    settings.cache_clear()
    assert f"has no model 'huge-9'. It has: {MODEL}" in found()[1]
    server.close()
    status, text = found()
    assert (status, "sk-hush" in text) == ("warn", False)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/v1", "localhost:11434", "http://", "http://user:pw@host/v1", "http://host/v1?key=1", "http://[::1"],
)
def test_an_endpoint_that_is_none_is_named_without_its_value(monkeypatch, url):
    monkeypatch.setenv("ATUM_LLM_URL", url)
    settings.cache_clear()
    with pytest.raises(SettingsError, match="ATUM_LLM_URL cannot be used") as caught:
        settings()
    assert "pw" not in str(caught.value)
    settings.cache_clear()


def test_the_full_address_of_the_endpoint_is_taken_as_well(monkeypatch):
    configure(monkeypatch, "http://localhost:11434/v1/chat/completions")
    assert settings().llm_url == "http://localhost:11434/v1"
    monkeypatch.delenv("ATUM_LLM_MODEL")
    settings.cache_clear()
    with pytest.raises(LanguageModelFailed, match="ATUM_LLM_MODEL is not set"):
        language_model.ask("", "", {})
    settings.cache_clear()


@pytest.mark.parametrize(
    ("sentence", "usable"),
    [
        ("Hold the button for ten seconds.", True),
        ("Please hold the button for about ten seconds.", True),
        ("Hold the button for 10 seconds.", False),
        ("Version 2.14 is needed to hold the button.", True),
        ("Version 2.15 is needed to hold the button.", False),
        ("Hold the button and see https://help.example/reset.", True),
        ("Hold the button and see https://help.example/other.", False),
        ("Hold the button, [name].", True),
        ("Hold the button, [admin].", False),
        ("Hold the <b>button</b> for ten seconds.", False),
        ("Hold the button\nfor ten seconds.", False),
        ("Hold the button for ten seconds at evil.example.", False),
        ("Hold the button for ten seconds, e.g. with reset for more.", True),
        ("You are a big fat pig, so go and pay us now.", False),
        ("For ten, [name].", True),
        ("Hold the button \ud800 for ten seconds.", False),
        ("Hold the button \u202efor ten seconds.", False),
        ("x" * 401, False),
        (None, False),
        (["Hold the button"], False),
    ],
)
def test_a_sentence_says_what_its_sources_say(sentence, usable):
    sources = ["Hold the button for ten seconds, [name].", "With version 2.14 see https://help.example/reset for more."]
    if usable:
        assert check(sentence, sources) == sentence
    else:
        with pytest.raises(NotUsable):
            check(sentence, sources)


def test_a_passage_that_is_not_used_is_not_cited():
    citations = [
        {"mark": 1, "text": "The hub restarts when its firmware is damaged."},
        {"mark": 2, "text": "Our office is closed on public holidays."},
        {"mark": 3, "text": "1. Hold the button.\n2. Wait."},
    ]
    answer = {"sentences": [{"text": "The hub restarts when its firmware is damaged.", "marks": [1, 1]}]}
    body, kept = wording.letter(answer, citations, None, "Acme [9]")
    assert [one["mark"] for one in kept] == [1, 3]
    assert "is damaged. [1]\n\n1. Hold the button.\n2. Wait. [3]" in body
    assert body.endswith("Acme (9)")


def test_the_plain_explanation_names_what_it_is_like():
    near = [
        {"category": "a", "similarity": 0.9},
        {"category": "a", "similarity": 0.8},
        {"category": "b", "similarity": 0.7},
    ]
    assert explaining.plain("a", 0.8, {"category": near}) == (
        "a (80% sure): like 2 tickets that people gave it (the nearest 0.90), and like others of b."
    )
    assert explaining.plain("a", None, {"category": "none"}) == "a."


def test_no_secret_is_logged(serve, draft, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    serve(Raw(b"no", status=401))
    draft()
    assert "sk-hush" not in caplog.text + "".join(capfd.readouterr())
