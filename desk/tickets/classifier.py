"""Labels for texts and their vectors, from labelled ones: kernel ridge over cosine, calibrated by leave-one-out.

One engine for two examples and for ten thousand. Each labelled ticket speaks for its label by how near it is; the ridge
takes back what near-duplicates say twice. On banking77 it beats neighbours' votes and a logistic head on the same
embeddings, at 10, 30 and 100 examples a label, and leaving one example out needs no second fit.

Confidence is the probability that the label is right, fitted on the organization's own left-out examples; with fewer
than `ENOUGH` of them, or where none or all were wrong, it is the raw score and `calibrated` is false.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack

Vectors = NDArray[np.float32]

FORMAT = 1  # of the bytes
SHARPNESS = np.float32(3.0)  # kernel exp(SHARPNESS * (cosine - 1)); flat between 2 and 6 on banking77
RIDGE = np.float32(0.1)  # flat between 0.03 and 0.3
ENOUGH = 50  # examples from which a calibration means something
STRANGE = 0.02  # share of the rightly labelled that may look as strange as what is taken for unknown
UNCALIBRATED_FLOOR = 0.12
MOST = 15_000  # examples: their kernel takes 0.9 GB
LONGEST = 1_000  # characters of a text that are read


@dataclass(frozen=True)
class Answer:
    """The best label for one text, the next best, and how sure.

    `score` is the best label's own (about 1 for what was seen, about 0 for nothing like it), `similarity` that of the
    nearest example. `known` ranks how much the text looks like anything that was ever labelled.
    """

    label: str
    runner_up: str | None
    confidence: float
    score: float
    similarity: float
    known: float


@dataclass(frozen=True, eq=False)
class Classifier:
    """What was learnt from labelled texts. Made by `fit` or `loads`; immutable, safe for threads.

    `codes` is the position in `labels` of each example that was kept. `floor` is of `Answer.known`: below it, nothing
    like the text was labelled. `left_out_accuracy` is the share of the examples that the others label rightly.
    """

    labels: NDArray[np.str_]
    codes: NDArray[np.int32]
    kept: NDArray[np.int32]
    vectors: Vectors
    weights: Vectors
    calibration: NDArray[np.float64] | None
    floor: float
    left_out_accuracy: float

    @classmethod
    def fit(cls, texts: Sequence[str], vectors: Vectors, labels: Sequence[str]) -> "Classifier":
        """Learn from texts with their vectors (unit length) and one label each, two or more labels in all.

        Takes seconds for 5,000 examples. More than `MOST` are thinned evenly over the labels.

        Raises:
            ValueError: fewer than two labels, not one text and label a vector, or a vector that is not finite.
        """
        if not len(texts) == len(vectors) == len(labels) or len(set(labels)) < 2:
            raise ValueError("two or more labels are needed, and one text and one label a vector")
        kept = _thinned(labels) if len(labels) > MOST else np.arange(len(labels))
        vectors = _rounded(vectors[kept])
        names, codes = np.unique(np.asarray(labels, dtype=str)[kept], return_inverse=True)
        truth = np.eye(len(names), dtype=np.float32)[codes]

        kernel = vectors @ vectors.T
        np.fill_diagonal(kernel, -1.0)
        nearest = kernel.max(axis=1)
        np.fill_diagonal(kernel, 1.0)
        kernel = _kernel(kernel)
        kernel[np.diag_indices_from(kernel)] += RIDGE
        factor, failed = lapack.spotrf(kernel, lower=1, overwrite_a=1)
        if failed:
            raise ValueError("the vectors are not finite")
        weights: Vectors = cho_solve((factor, True), truth, check_finite=False).astype(np.float32)
        inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
        left_out = truth - weights / np.diag(inverse)[:, None]

        right = left_out.argmax(axis=1) == codes
        calibration, floor = None, UNCALIBRATED_FLOOR
        if len(right) >= ENOUGH and 0 < int(right.sum()) < len(right):
            calibration = _logistic(_features(left_out, nearest), right)
            floor = float(np.quantile(_known(left_out, nearest)[right], STRANGE))
        return cls(
            names,
            codes.astype(np.int32),
            kept.astype(np.int32),
            vectors,
            weights,
            calibration,
            floor,
            float(right.mean()),
        )

    @property
    def calibrated(self) -> bool:
        """Whether confidence is a measured probability."""
        return self.calibration is not None

    def answers(self, texts: Sequence[str], vectors: Vectors) -> list[Answer]:
        """The answer for each of `texts`, whose `vectors` are given."""
        if len(texts) != len(vectors):
            raise ValueError("one text a vector is needed")
        found: list[Answer] = []
        for start in range(0, len(vectors), 1_000):
            found += self._answers(vectors[start : start + 1_000])
        return found

    def _answers(self, vectors: Vectors) -> list[Answer]:
        similarities = vectors @ self.vectors.T
        nearest = similarities.max(axis=1)
        scores = _kernel(similarities) @ self.weights
        order = np.argsort(-scores, axis=1)[:, :2]
        if self.calibration is not None:
            confidence = _probability(self.calibration, _features(scores, nearest))
        else:
            confidence = np.clip(scores.max(axis=1), 0.0, 1.0)
        known = _known(scores, nearest)
        return [
            Answer(
                str(self.labels[best[0]]),
                str(self.labels[best[1]]) if len(best) > 1 else None,
                float(confidence[i]),
                float(scores[i, best[0]]),
                float(nearest[i]),
                float(known[i]),
            )
            for i, best in enumerate(order)
        ]

    def nearest(self, vector: Vectors, label: str | None = None, top: int = 5) -> list[tuple[int, float]]:
        """The nearest examples (of `label`, if one is named): position as given to `fit`, and cosine."""
        similarities = self.vectors @ vector
        if label is not None:
            similarities = np.where(self.labels[self.codes] == label, similarities, -np.inf)
        order = np.argsort(-similarities)[:top]
        return [(int(self.kept[i]), float(similarities[i])) for i in order if np.isfinite(similarities[i])]

    def dumps(self) -> bytes:
        """The classifier as bytes that `loads` understands: an .npz of plain arrays, nothing that could run."""
        calibration = np.empty(0) if self.calibration is None else self.calibration
        target = io.BytesIO()
        np.savez_compressed(
            target,
            format=np.int32(FORMAT),
            labels=self.labels,
            codes=self.codes,
            kept=self.kept,
            vectors=self.vectors.astype(np.float16),
            weights=self.weights,
            calibration=calibration,
            figures=np.array([self.floor, self.left_out_accuracy]),
        )
        return target.getvalue()

    @classmethod
    def loads(cls, data: bytes) -> "Classifier":
        """The classifier that `dumps` made into `data`; it answers as the first one does.

        Raises:
            ValueError: the bytes are damaged, or of another release.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                if int(found["format"]) != FORMAT:
                    raise ValueError("of another release")
                calibration = found["calibration"]
                floor, accuracy = found["figures"]
                return cls(
                    found["labels"],
                    found["codes"],
                    found["kept"],
                    found["vectors"].astype(np.float32),
                    found["weights"],
                    calibration if len(calibration) else None,
                    float(floor),
                    float(accuracy),
                )
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a classifier, or a damaged one: {error}") from error


def _rounded(vectors: Vectors) -> Vectors:
    """As the bytes hold them, so that what was fitted and what was loaded answer alike."""
    return np.ascontiguousarray(vectors, dtype=np.float16).astype(np.float32)


def _kernel(similarities: Vectors) -> Vectors:
    """In place: a copy would double the memory."""
    similarities -= 1.0
    similarities *= SHARPNESS
    return np.exp(similarities, out=similarities)


def _known(scores: Vectors, nearest: Vectors) -> Vectors:
    return scores.max(axis=1).clip(0) * nearest.clip(0)


def _features(scores: Vectors, nearest: Vectors) -> Vectors:
    """What tells whether the best label is right: its score, its lead over the next, the nearest example."""
    best = np.sort(scores, axis=1)[:, -2:]
    return np.column_stack([best[:, 1], best[:, 1] - best[:, 0], nearest])


def _logistic(features: Vectors, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Coefficients, and the intercept last."""
    from sklearn.linear_model import LogisticRegression  # seconds that no other command should pay for

    head = LogisticRegression(C=10.0).fit(features, right)
    return np.append(head.coef_[0], head.intercept_[0]).astype(np.float64)


def _probability(coefficients: NDArray[np.float64], features: Vectors) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-(features @ coefficients[:-1] + coefficients[-1]))))


def _thinned(labels: Sequence[str]) -> NDArray[np.intp]:
    """Positions of `MOST` examples, of each label the share it has among all, the first given first."""
    order = np.argsort(np.asarray(labels, dtype=str), kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, MOST).astype(int)])
