"""Priorities learnt from those that people gave: a linear model over the tickets' vectors, classes weighted alike.

Most tickets are of one priority; without the weights a model would answer that one and be right most of the time. Its
confidence is the probability that the answer is right, fitted on tickets that its fold had not learnt from; where none
or all of those were right there is nothing to fit it on, and there is no model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from desk.tickets import scikit_learn
from desk.tickets.triage import archive
from desk.tickets.vectors import Vectors

FORMAT = 1  # of the bytes
ENOUGH = 200  # labelled tickets below which there is no model
LEAST_OF_EACH = 5  # of a priority, for it to be one that can be answered; also the folds
STRENGTH = 1.0


@dataclass(frozen=True)
class PriorityAnswer:
    """The priority that fits best, and the probability that it is right."""

    priority: str
    confidence: float


class PriorityModel:
    """Immutable; safe for threads."""

    def __init__(
        self, priorities: list[str], weights: Vectors, offsets: Vectors, calibration: NDArray[np.float64]
    ) -> None:
        """As `fit` and `loads` make it. Shapes: (priorities, dimensions), (priorities,), (3,)."""
        self.priorities = priorities
        self.weights = weights
        self.offsets = offsets
        self._calibration = calibration

    @staticmethod
    def can_learn(priorities: Sequence[str | None]) -> bool:
        """Whether so many labels of at least two priorities are there that a model means something."""
        usable = [count for count in Counter(filter(None, priorities)).values() if count >= LEAST_OF_EACH]
        return len(usable) > 1 and sum(usable) >= ENOUGH

    @classmethod
    def fit(cls, vectors: Vectors, priorities: Sequence[str]) -> "PriorityModel | None":
        """Learn from `vectors` (unit length) with one priority each; None where its confidence could not be measured.

        Raises:
            ValueError: `can_learn` says no.
        """
        if not cls.can_learn(priorities):
            raise ValueError("too few labels of too few priorities")
        counts = Counter(priorities)
        keep = [i for i, priority in enumerate(priorities) if counts[priority] >= LEAST_OF_EACH]
        known, truth = vectors[keep], np.asarray([priorities[i] for i in keep])
        logistic = scikit_learn.module("linear_model").LogisticRegression
        head = logistic(C=STRENGTH, class_weight="balanced", max_iter=500)
        unseen = scikit_learn.module("model_selection").cross_val_predict(
            head, known, truth, cv=LEAST_OF_EACH, method="predict_proba"
        )
        names = np.unique(truth)
        right = names[unseen.argmax(axis=1)] == truth
        if right.all() or not right.any():
            return None
        calibration = logistic(C=10.0).fit(_features(unseen), right)
        head.fit(known, truth)
        weights, offsets = head.coef_, head.intercept_
        if len(names) == 2:  # scikit-learn keeps one row for two classes
            weights, offsets = np.vstack([-weights[0], weights[0]]) / 2, np.array([-offsets[0], offsets[0]]) / 2
        return cls(
            [str(name) for name in names],
            weights.astype(np.float32),
            offsets.astype(np.float32),
            np.append(calibration.coef_[0], calibration.intercept_).astype(np.float64),
        )

    def answers(self, vectors: Vectors) -> list[PriorityAnswer]:
        """The answer for each of `vectors`."""
        scores = vectors @ self.weights.T + self.offsets
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        sure = 1 / (1 + np.exp(-(_features(shares) @ self._calibration[:2] + self._calibration[2])))
        return [
            PriorityAnswer(self.priorities[int(best)], float(confidence))
            for best, confidence in zip(shares.argmax(axis=1), sure, strict=True)
        ]

    def dumps(self) -> bytes:
        """Bytes that `loads` reads."""
        return archive.pack(
            FORMAT,
            priorities=np.asarray(self.priorities),
            weights=self.weights,
            offsets=self.offsets,
            calibration=self._calibration,
        )

    @classmethod
    def loads(cls, packed: bytes) -> "PriorityModel":
        """The model that `dumps` wrote.

        Raises:
            ValueError: the bytes are damaged, or of another release.
        """
        found = archive.unpack(packed, "a model of priorities", FORMAT)
        return cls(
            [str(name) for name in found["priorities"]],
            found["weights"],
            found["offsets"],
            found["calibration"],
        )


def _features(shares: NDArray[np.floating]) -> NDArray[np.floating]:
    """What tells whether the best priority is right: its share and its lead over the next."""
    best = np.sort(shares, axis=1)[:, -2:]
    return np.column_stack([best[:, 1], best[:, 1] - best[:, 0]])
