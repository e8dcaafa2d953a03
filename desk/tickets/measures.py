"""Figures of how good answers are, from what was said, what was true and how sure the answer was."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from desk.tickets import scikit_learn

BINS = 15


def accuracy(said: Sequence[str], truth: Sequence[str]) -> float | None:
    """The share that is right; None of nothing."""
    return float(np.mean(_right(said, truth))) if len(truth) else None


def macro_f1(said: Sequence[str], truth: Sequence[str]) -> float | None:
    """F1 of each label that occurs, averaged without regard to how often it does; None of nothing."""
    if not len(truth):
        return None
    return float(scikit_learn.module("metrics").f1_score(truth, said, average="macro", zero_division=0))


def of_sets(said: Sequence[Collection[str]], truth: Sequence[Collection[str]]) -> dict[str, float | None]:
    """Of several labels each: micro-F1 over all, precision and recall; None of nothing."""
    both = sum(len(set(ours) & set(theirs)) for ours, theirs in zip(said, truth, strict=True))
    answered, true = sum(len(set(ours)) for ours in said), sum(len(set(theirs)) for theirs in truth)
    return {
        "micro_f1": 2 * both / (answered + true) if answered + true else None,
        "precision": both / answered if answered else None,
        "recall": both / true if true else None,
    }


def calibration_error(confidence: ArrayLike, said: Sequence[str], truth: Sequence[str]) -> float | None:
    """Expected calibration error: how far confidence is from the share that is right, over `BINS` equal bins."""
    if not len(truth):
        return None
    sure, right = np.asarray(confidence, dtype=float), _right(said, truth)
    bins = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += inside.mean() * abs(sure[inside].mean() - right[inside].mean())
    return float(error)


def accuracy_at(coverage: float, confidence: ArrayLike, said: Sequence[str], truth: Sequence[str]) -> float | None:
    """Accuracy of that share of the answers which are surest."""
    kept = int(coverage * len(truth))
    if kept == 0:
        return None
    order = np.argsort(-np.asarray(confidence, dtype=float), kind="stable")[:kept]
    return float(_right(said, truth)[order].mean())


def separation(inside: ArrayLike, outside: ArrayLike) -> float | None:
    """AUROC of a score that should be higher inside than outside; None where one side is empty."""
    inside, outside = np.asarray(inside, dtype=float), np.asarray(outside, dtype=float)
    if not len(inside) or not len(outside):
        return None
    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return float(scikit_learn.module("metrics").roc_auc_score(truth, np.concatenate([inside, outside])))


def recall_outside(kept: float, inside: ArrayLike, outside: ArrayLike) -> float | None:
    """The share outside that falls below the threshold which keeps the share `kept` inside."""
    inside, outside = np.asarray(inside, dtype=float), np.asarray(outside, dtype=float)
    if not len(inside) or not len(outside):
        return None
    return float((outside < np.quantile(inside, 1 - kept)).mean())


def _right(said: Sequence[str], truth: Sequence[str]) -> NDArray[np.bool_]:
    return np.asarray(said, dtype=object) == np.asarray(truth, dtype=object)
