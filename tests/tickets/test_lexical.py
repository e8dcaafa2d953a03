"""The words of tickets as features."""

import numpy as np
import pytest

from desk.tickets.triage import lexical

SAID = "The battery, the straße and 東京: x " + "a" * 400 + " battery 42 " + "b" * 400  # the last word is cut


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(lexical, "_remembered", {})
    lexical.count_text.cache_clear()
    yield
    lexical.count_text.cache_clear()


@pytest.mark.parametrize("remembered", [20_000, 0])
def test_a_text_and_its_words_have_what_they_have_alone(monkeypatch, remembered):
    monkeypatch.setattr(lexical, "REMEMBERED", remembered)
    for text in (SAID, "a new battery", SAID + ".", "…", ""):
        whole, alone = lexical.count_text(text)
        np.testing.assert_array_equal(whole.toarray(), lexical.count([text]).toarray())
        assert alone.shape == (len(lexical.words(text)), 2 * lexical.SIZE)
        if alone.shape[0]:
            np.testing.assert_array_equal(alone.toarray(), lexical.count(lexical.words(text)).toarray())
    assert len(lexical._remembered) <= max(remembered, 10)
    assert all(len(word) <= lexical.SHORT for word in lexical._remembered)


def test_a_word_that_is_remembered_is_not_counted_again(monkeypatch):
    asked: list[str] = []
    count = lexical.count
    monkeypatch.setattr(lexical, "count", lambda texts: asked.extend(texts) or count(texts))
    for text in ("the toner", "The router", "the toner"):
        lexical.count_text(text)
    assert asked == ["the toner", "the", "toner", "The router", "router"]
