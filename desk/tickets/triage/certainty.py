"""How sure an answer is: a logistic head over a few signs, fitted to examples that were left out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desk.tickets import scikit_learn

Signs = NDArray[np.float64]

WARMTH = 8.0  # scores run from 0 to 1; a softmax of them needs a scale


@dataclass(frozen=True, eq=False)
class Head:
    """A logistic regression: its coefficients, the intercept last."""

    coefficients: NDArray[np.float64]

    def probability(self, signs: Signs) -> NDArray[np.float64]:
        """The probability for each row of `signs`."""
        return np.asarray(1.0 / (1.0 + np.exp(-(_terms(signs) @ self.coefficients[:-1] + self.coefficients[-1]))))


def fit(signs: Signs, right: NDArray[np.bool_]) -> Head:
    """The head that says how likely an answer with such signs is right."""
    terms = _terms(signs)
    mean, scale = terms.mean(axis=0), terms.std(axis=0) + 1e-6
    head = scikit_learn.module("linear_model").LogisticRegression(C=1.0, max_iter=1_000)
    head.fit((terms - mean) / scale, right)
    slopes = head.coef_[0] / scale
    return Head(np.append(slopes, head.intercept_[0] - slopes @ mean))


def signs(
    scores: NDArray[np.float32], cosines: NDArray[np.float32], shared: NDArray[np.float32], codes: NDArray[np.int32]
) -> Signs:
    """One row a text, from its scores by label, and its cosines and shared words by example of label `codes`."""
    order = np.argpartition(-scores, 1, axis=1)[:, :2]
    two = np.take_along_axis(scores, order, axis=1)
    best = np.where(two[:, 0] >= two[:, 1], order[:, 0], order[:, 1])
    top, second = two.max(axis=1), two.min(axis=1)
    warm = np.exp(WARMTH * (scores - top[:, None]))
    nearest = cosines.max(axis=1)
    own = codes[None, :] == best[:, None]
    nearest_own = np.where(own, cosines, -1).max(axis=1)
    nearest_other = np.where(own, -1, cosines).max(axis=1)
    return np.column_stack(
        [top, top - second, np.log(warm.sum(axis=1)), nearest, nearest_own - nearest_other, shared.max(axis=1)]
    ).astype(np.float64)


def _terms(signs: Signs) -> Signs:
    return np.hstack([signs, signs[:, :3] ** 2])
