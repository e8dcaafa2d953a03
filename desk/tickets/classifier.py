"""Labels for vectors from labelled vectors: kernel ridge over cosine similarity, calibrated by leave-one-out.

One engine for two examples and for ten thousand. Each labelled ticket speaks for its label by how near it is; the ridge
takes back what near-duplicates say twice. On banking77 it beats neighbours' votes and a logistic head on the same
embeddings, at 10, 30 and 100 examples a label, and leaving one example out needs no second fit.

Confidence is the probability that the label is right, fitted on the organization's own left-out examples; with fewer
than `ENOUGH` of them, or where none or all were wrong, it is the raw score and `calibrated` is false.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack

Vectors = NDArray[np.float32]

SHARPNESS = np.float32(3.0)  # kernel exp(SHARPNESS * (cosine - 1)); flat between 2 and 6 on banking77
RIDGE = np.float32(0.1)  # flat between 0.03 and 0.3
ENOUGH = 50  # examples from which a calibration means something
STRANGE = 0.02  # share of the rightly labelled that may look as strange as what is taken for unknown
UNCALIBRATED_FLOOR = 0.12
MOST = 15_000  # examples: their kernel takes 0.9 GB


@dataclass(frozen=True)
class Answer:
    """The best label for one vector, the next best, and how sure.

    `score` is the best label's own (about 1 for what was seen, about 0 for nothing like it), `similarity` that of the
    nearest example. `known` ranks how much the vector looks like anything that was ever labelled.
    """

    label: str
    runner_up: str | None
    confidence: float
    score: float
    similarity: float

    @property
    def known(self) -> float:
        return max(self.score, 0.0) * max(self.similarity, 0.0)


class Classifier:
    """Fitted to `vectors` (unit length) with one label each. Immutable; safe for threads."""

    def __init__(self, vectors: Vectors, labels: Sequence[str]) -> None:
        """Takes seconds for 5,000 examples. Needs at least two; more than `MOST` are thinned evenly over the labels."""
        if len(vectors) != len(labels) or len(vectors) < 2:
            raise ValueError("two or more vectors with one label each are needed")
        self.kept = _thinned(labels) if len(labels) > MOST else np.arange(len(labels))
        self.vectors = np.ascontiguousarray(vectors[self.kept], dtype=np.float32)
        self.labels, self.codes = np.unique(
            np.asarray(labels, dtype=object)[self.kept].astype(str), return_inverse=True
        )
        truth = np.eye(len(self.labels), dtype=np.float32)[self.codes]

        kernel = self.vectors @ self.vectors.T
        np.fill_diagonal(kernel, -1.0)
        nearest = kernel.max(axis=1)
        np.fill_diagonal(kernel, 1.0)
        kernel = _kernel(kernel)
        kernel[np.diag_indices_from(kernel)] += RIDGE
        factor, failed = lapack.spotrf(kernel, lower=1, overwrite_a=1)
        if failed:
            raise ValueError("the vectors are not finite")
        self.weights: Vectors = cho_solve((factor, True), truth, check_finite=False).astype(np.float32)
        inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
        left_out = truth - self.weights / np.diag(inverse)[:, None]

        right = left_out.argmax(axis=1) == self.codes
        self.left_out_accuracy = float(right.mean())
        self.calibrated = len(right) >= ENOUGH and 0 < int(right.sum()) < len(right)
        self.floor = UNCALIBRATED_FLOOR  # of Answer.known: below it, nothing like this was labelled
        if self.calibrated:
            from sklearn.linear_model import LogisticRegression  # seconds that no other command should pay for

            self._calibration = LogisticRegression(C=10.0).fit(_features(left_out, nearest), right)
            known = left_out.max(axis=1).clip(0) * nearest.clip(0)
            self.floor = float(np.quantile(known[right], STRANGE))

    def answers(self, vectors: Vectors) -> list[Answer]:
        """The answer for each of `vectors`."""
        found: list[Answer] = []
        for start in range(0, len(vectors), 1_000):
            found += self._answers(vectors[start : start + 1_000])
        return found

    def _answers(self, vectors: Vectors) -> list[Answer]:
        similarities = vectors @ self.vectors.T
        scores = _kernel(similarities) @ self.weights
        nearest = similarities.max(axis=1)
        order = np.argsort(-scores, axis=1)[:, :2]
        if self.calibrated:
            confidence = self._calibration.predict_proba(_features(scores, nearest))[:, 1]
        else:
            confidence = np.clip(scores.max(axis=1), 0.0, 1.0)
        return [
            Answer(
                str(self.labels[best[0]]),
                str(self.labels[best[1]]) if len(best) > 1 else None,
                float(sure),
                float(row[best[0]]),
                float(similarity),
            )
            for best, sure, row, similarity in zip(order, confidence, scores, nearest, strict=True)
        ]

    def nearest(self, vector: Vectors, label: str | None = None, top: int = 5) -> list[tuple[int, float]]:
        """The nearest examples (of `label`, if one is named): position as given to the constructor, and cosine."""
        similarities = self.vectors @ vector
        if label is not None:
            similarities = np.where(self.labels[self.codes] == label, similarities, -np.inf)
        order = np.argsort(-similarities)[:top]
        return [(int(self.kept[i]), float(similarities[i])) for i in order if np.isfinite(similarities[i])]


def _kernel(similarities: Vectors) -> Vectors:
    """In place: a copy would double the memory."""
    similarities -= 1.0
    similarities *= SHARPNESS
    return np.exp(similarities, out=similarities)


def _features(scores: Vectors, nearest: Vectors) -> Vectors:
    """What tells whether the best label is right: its score, its lead over the next, the nearest example."""
    if scores.shape[1] == 1:
        scores = np.hstack([scores, np.zeros_like(scores)])
    best = np.sort(scores, axis=1)[:, -2:]
    return np.column_stack([best[:, 1], best[:, 1] - best[:, 0], nearest])


def _thinned(labels: Sequence[str]) -> NDArray[np.intp]:
    """Positions of `MOST` examples, of each label the share it has among all, the first given first."""
    order = np.argsort(np.asarray(labels, dtype=str), kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, MOST).astype(int)])
