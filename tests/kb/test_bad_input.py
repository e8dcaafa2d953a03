"""What nobody wrote on purpose: each has an answer or a clear error, and the rest of the batch goes on."""

import socket
import time

import pytest

from desk import database
from desk.errors import ModelUnavailable
from desk.kb import articles, embedding, model, search
from desk.settings import settings

ODD = {
    "empty": "",
    "white space": " \n\t \u200b\u2060",
    "code alone": "```\nselect 1;\n```",
    "emoji alone": "😀 🎉 👩‍👩‍👧‍👦",
    "one word": "x" * 20_000,
    "broken Markdown": "# [a](b\n```\n|x|\n> > - **\n<div\n![](\n\\",
    "right to left": "\u202eשלום עולם\u202c مرحبا بالعالم " * 20,
    "control characters": "\x01\x02\x07 beep \x1b[31m red",
    "nested too deep": "> " * 3_000 + "deep",
    "a table of one long line": "|" + "a|" * 5_000,
    "combining marks": "e" + "\u0301" * 2_000,
}


def test_odd_articles_are_indexed_beside_good_ones_and_are_found_by_their_titles(kb):
    with database.transaction(kb.organization) as connection:
        for name, body in ODD.items():
            articles.put(connection, kb.organization, external_id=name, title=f"Odd: {name}", body_md=body)
        for number in range(12):
            articles.put(
                connection, kb.organization, external_id=f"good {number}", title=f"Good {number}", body_md="Plain."
            )
    outcome = kb.index()
    assert (outcome.articles, outcome.failed, outcome.left) == (len(ODD) + 12, 0, 0)
    assert kb.found("odd: emoji alone")[0] == "emoji alone"
    assert kb.found("odd: code alone")[0] == "code alone"
    assert kb.rows("select count(*) from embeddings where not l2_norm(embedding) between 0.98 and 1.02") == [(0,)]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_a_megabyte_of_text_keeps_nobody_else_waiting_for_ever(kb, monkeypatch):
    # What it says repeats, so that its distinct chunks are few: the size is what this is about.
    kb.put("huge", "Huge", "\n\n".join(["## Same heading\n\n" + "The same sentence again and again. " * 40] * 720))
    kb.put("good", "Parking", "Where to leave your car.")
    assert kb.rows("select octet_length(body_md) > 1000000 from articles where external_id = 'huge'") == [(True,)]
    outcome = kb.index()
    assert (outcome.articles, outcome.failed, outcome.left) == (2, 0, 0)
    assert kb.found("where do I leave my car") == ["good"]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_an_article_unpublished_while_a_question_is_embedded_is_not_shown(kb, monkeypatch):
    kb.put("car", "Parking", "Where to leave your car.")
    kb.index()
    real = embedding.embed

    def unpublished_meanwhile(texts):
        vectors = real(texts)
        kb.put("car", "Parking", "Where to leave your car.", status="draft")
        return vectors

    monkeypatch.setattr(embedding, "embed", unpublished_meanwhile)
    assert kb.found("where do I leave my car") == []


def test_what_is_rendered_is_of_the_scan_even_where_the_article_changes_meanwhile(kb):
    kb.put("car", "Parking", "Where to leave your car.")
    kb.index()
    with database.transaction(kb.organization) as connection:
        (hit,) = search(connection, kb.organization, "where do I leave my car")
        kb.delete("car")
        # One statement made score, passage and revision: the hit is whole, and of one revision.
        assert (hit.passage, hit.revision) == ("Where to leave your car.", 1)
        assert search(connection, kb.organization, "where do I leave my car") == []


def test_a_hub_that_takes_the_call_and_never_answers_is_given_up_within_seconds(kb, monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path / "cache"))
        settings.cache_clear()
        started = time.monotonic()
        with pytest.raises(ModelUnavailable, match=r"Hub: 127\.0\.0\.1 does not answer \(timed out\)"):
            model.fetch(name="BAAI/bge-small-en-v1.5")
        assert time.monotonic() - started < 10
    settings.cache_clear()
