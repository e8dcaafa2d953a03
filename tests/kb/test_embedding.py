"""The vectors are the model's own, whatever the batch they were made in."""

import numpy as np
import pytest

from desk.errors import ModelUnavailable
from desk.kb import embedding

# The first numbers that the model's card and fastembed's own tests publish.
PUBLISHED = {
    "This is an example sentence": [6.76569e-02, 6.34959e-02, 4.87131e-02, 7.93049e-02, 3.74480e-02],
    "Each sentence is converted": [8.64386e-02, 1.02763e-01, 5.39455e-03, 2.04443e-03, -9.96333e-03],
    "hello world": [-0.0344773, 0.0310232, 0.0067350, 0.0261090, -0.0393620],
}


@pytest.fixture(autouse=True)
def _model(model_dir):
    return model_dir


def test_vectors_are_those_that_upstream_publishes():
    vectors = embedding.embed(list(PUBLISHED))
    assert vectors.dtype == np.float32
    assert vectors[:, :5] == pytest.approx(np.array(list(PUBLISHED.values())), abs=2e-6)


def test_meaning_decides_which_vectors_are_near():
    lost, forgotten, weather = embedding.embed(
        ["I lost my phone and cannot log in", "How do I sign in without my mobile?", "It will rain in Lisbon tomorrow"]
    )
    assert lost @ forgotten > 0.55
    assert lost @ weather < 0.15


def test_the_order_of_the_texts_is_kept_and_neighbours_in_the_batch_change_nothing():
    texts = [" ".join(["word"] * length) + f" {length}" for length in (90, 3, 200, 1, 40, 7) * 8]
    together = embedding.embed(texts)
    alone = np.vstack([embedding.embed([text]) for text in texts[:6]])
    assert np.abs(together[:6] - alone).max() < 1e-5
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert together.shape == (48, 384)


@pytest.mark.parametrize("text", ["", " ", "😀😀😀", "\u202eשלום", "x" * 20_000, "\x07", "word " * 20_000])
def test_any_text_has_a_vector_of_length_one(text: str):
    assert np.linalg.norm(embedding.embed([text])[0]) == pytest.approx(1, abs=1e-4)


def test_no_text_is_no_vector():
    assert embedding.embed([]).shape == (0, 384)


def test_tokens_are_counted_beyond_the_models_window():
    assert embedding.token_counts(["hello world", "", "word " * 1000]) == [4, 2, 1002]


@pytest.mark.parametrize("bad", [np.zeros(384), np.full(384, np.nan), np.ones(384), np.full(384, np.inf)])
def test_a_vector_that_is_not_of_length_one_is_refused(bad):
    with pytest.raises(ModelUnavailable, match="instead of 1"):
        embedding._checked([np.eye(384)[0], bad])


def test_a_vector_of_another_size_is_refused():
    with pytest.raises(ModelUnavailable, match="768 numbers a text"):
        embedding._checked([np.eye(768)[0]])
