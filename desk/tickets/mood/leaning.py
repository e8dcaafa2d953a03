"""Which way a text leans, by its likeness to sentences whose mood is known. English only, as they are.

The sentences (`words/moods.tsv`) are our own writing; a logistic head over their vectors is fitted once per process and
model. It hears what a list of words cannot: "you get what you pay for", "I would not go back to the old one".
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from desk.kb import embedding
from desk.tickets import scikit_learn
from desk.tickets.vectors import Vectors

STRENGTH = 1.0  # inverse of the regularization


@dataclass(frozen=True, eq=False)
class _Sentences:
    sentences: tuple[str, ...]
    vectors: Vectors
    slopes: NDArray[np.float64]  # of negative, neutral and positive
    intercepts: NDArray[np.float64]


def scores(vectors: Vectors) -> NDArray[np.float64]:
    """The probability that a text is of good mood less that of bad mood, -1 to 1, for each of its `vectors`.

    Raises:
        ModelUnavailable: there is no embedding model.
    """
    known = _known(embedding.model_name())
    points = vectors @ known.slopes.T + known.intercepts
    chances = np.exp(points - points.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    return np.asarray(chances[:, 2] - chances[:, 0])


def likest(vector: Vectors) -> str:
    """The sentence of known mood that is nearest: why a text was read as it was."""
    known = _known(embedding.model_name())
    return known.sentences[int(np.argmax(known.vectors @ vector))]


@cache
def _known(model: str) -> _Sentences:
    """Fitted to vectors of `model`, the configured one."""
    lines = files("desk.tickets").joinpath("words", "moods.tsv").read_text("utf-8").splitlines()
    moods, sentences = zip(*(line.split("\t") for line in lines if line and not line.startswith("#")), strict=True)
    vectors = embedding.embed(sentences)
    head = scikit_learn.module("linear_model").LogisticRegression(C=STRENGTH, max_iter=1_000)
    head.fit(vectors, moods)  # classes in alphabetical order
    return _Sentences(sentences, vectors, head.coef_, head.intercept_)
