"""Moods learnt from labelled sentences: a logistic head on their vectors, the lexicon's score and how they lean."""

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from desk.errors import InvalidInput
from desk.tickets.mood import leaning, sentiment
from desk.tickets.vectors import Vectors

VECTOR_WEIGHT = 3.0  # unit vectors have small coordinates; the lexicon's score and the leaning run from -1 to 1
SCORE_WEIGHT = 2.0
STRENGTH = 1 / 8  # inverse of the regularization


class MoodModel:
    """Fitted to `texts` with their `vectors` and `labels`, any two or more."""

    def __init__(self, texts: Sequence[str], vectors: Vectors, labels: Sequence[str]) -> None:
        if len(set(labels)) < 2:
            raise InvalidInput("The training file has fewer than two labels to tell apart.")
        self._head = LogisticRegression(C=STRENGTH, max_iter=1_000).fit(_features(texts, vectors), labels)

    def answers(self, texts: Sequence[str], vectors: Vectors) -> tuple[list[str], list[float]]:
        """The label of each text, and its probability."""
        probabilities = self._head.predict_proba(_features(texts, vectors))
        best = probabilities.argmax(axis=1)
        return [str(self._head.classes_[i]) for i in best], [float(p) for p in probabilities.max(axis=1)]


def _features(texts: Sequence[str], vectors: Vectors) -> Vectors:
    scores = np.array([sentiment.score(text) for text in texts], dtype=np.float32)
    return np.column_stack([VECTOR_WEIGHT * vectors, SCORE_WEIGHT * scores, SCORE_WEIGHT * leaning.scores(vectors)])
