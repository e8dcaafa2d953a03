"""Trials of the ticket jobs on labelled data: the same engines as the product, and the figures they reach.

Each takes texts or rows of a training and a test part, and learns from the first alone.
"""

import time
from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

from desk.errors import InvalidInput
from desk.kb import embedding
from desk.tickets import measures
from desk.tickets.mood import leaning, sentiment
from desk.tickets.mood.mood_model import MoodModel
from desk.tickets.risk.tabular import TabularModel
from desk.tickets.triage import label_names
from desk.tickets.triage.classifier import Classifier
from desk.tickets.vectors import LONGEST, Vectors

Figures = dict[str, float | None]
Progress = Callable[[int, int], None]
BATCH = 256


def _silent(done: int, total: int) -> None:
    """Tells nobody."""


def triage(
    train: Sequence[tuple[str, str]],
    test: Sequence[tuple[str, str]],
    *,
    out_of_scope: str | None = None,
    per_class: int | None = None,
    on_progress: Progress = _silent,
) -> Figures:
    """Categories of (text, label) pairs. Rows labelled `out_of_scope` are not learnt; those of the test are strangers.

    `per_class` learns from so many rows of each label, chosen by a hash of their text.

    Raises:
        InvalidInput: fewer than two labels to learn.
        ModelUnavailable: there is no embedding model.
    """
    started = time.perf_counter()
    known = [(text, label) for text, label in train if label != out_of_scope]
    known = _fewer(known, per_class) if per_class else known
    if len({label for _, label in known}) < 2:
        raise InvalidInput("The training file has fewer than two labels to tell apart.")
    inside = [(text, label) for text, label in test if label != out_of_scope]
    outside = [text for text, label in test if label == out_of_scope]
    texts = [*(text for text, _ in known), *(text for text, _ in inside), *outside]
    vectors = embed(texts, on_progress)
    labels = [label for _, label in known]
    classifier = Classifier.fit(texts[: len(known)], vectors[: len(known)], labels, label_names.of(labels))
    answers = classifier.answers(texts[len(known) :], vectors[len(known) :])
    strangers = [answer.known for answer in answers[len(inside) :]]
    answers = answers[: len(inside)]
    said, truth = [answer.label for answer in answers], [label for _, label in inside]
    sure, familiar = [answer.confidence for answer in answers], [answer.known for answer in answers]
    return {
        "accuracy": measures.accuracy(said, truth),
        "macro_f1": measures.macro_f1(said, truth),
        "ece": measures.calibration_error(sure, said, truth) if classifier.calibrated else None,
        "accuracy_at_80_coverage": measures.accuracy_at(0.8, sure, said, truth),
        "oos_auroc": measures.separation(familiar, strangers),
        "in_scope_accuracy_at_90_kept": measures.accuracy_at(0.9, sure, said, truth) if out_of_scope else None,
        "oos_recall_at_80_kept": measures.recall_outside(0.8, familiar, strangers),
        "seconds": time.perf_counter() - started,
    }


def risk(train: Sequence[dict[str, str]], test: Sequence[dict[str, str]], label: str) -> Figures:
    """The probability that `label` is 1, from what a row says of its opening.

    Raises:
        InvalidInput: a label is neither 0 nor 1, or the training rows all have the same.
    """
    truth = _binary(test, label)
    model = TabularModel(train, _binary(train, label), label)
    said = model.probabilities(test)
    return {
        "auc": measures.separation(said[truth == 1], said[truth == 0]),
        "brier": float(np.mean((said - truth) ** 2)),
        "base_rate": float(truth.mean()),
    }


def moods(
    train: Sequence[tuple[str, str]] | None, test: Sequence[tuple[str, str]], on_progress: Progress = _silent
) -> Figures:
    """Moods of (text, label) pairs: taught by `train`, or without, as tickets are read, for 1/0 or positive/negative.

    Raises:
        InvalidInput: without training rows, other labels than those.
        ModelUnavailable: there is no embedding model.
    """
    truth = [label for _, label in test]
    texts = [text for text, _ in test]
    names = ("1", "0") if set(truth) <= {"0", "1"} else ("positive", "negative")
    if not train and not set(truth) <= set(names):
        raise InvalidInput("Without --train the labels must be 1 and 0, or positive and negative.")
    learnt = [text for text, _ in train or ()]
    vectors = embed(learnt + texts, on_progress)
    if train:
        model = MoodModel(learnt, vectors[: len(learnt)], [label for _, label in train])
        said, sure = model.answers(texts, vectors[len(learnt) :])
    else:
        leans = leaning.scores(vectors)
        scores = [sentiment.together(sentiment.score(text), lean) for text, lean in zip(texts, leans, strict=True)]
        said, sure = [names[0] if score > 0 else names[1] for score in scores], [abs(score) for score in scores]
    return {
        "accuracy": measures.accuracy(said, truth),
        "accuracy_at_80_coverage": measures.accuracy_at(0.8, sure, said, truth),
    }


def embed(texts: Sequence[str], on_progress: Progress) -> Vectors:
    """Vectors of `texts` as tickets get them."""
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(embedding.embed([text[:LONGEST] for text in texts[start : start + BATCH]]))
        on_progress(min(start + BATCH, len(texts)), len(texts))
    return np.concatenate(parts) if parts else embedding.embed([])


def _fewer(rows: Sequence[tuple[str, str]], per_class: int) -> list[tuple[str, str]]:
    taken: dict[str, int] = {}
    chosen = []
    for text, label in sorted(rows, key=lambda row: sha256(row[0].encode()).digest()):
        if taken.get(label, 0) < per_class:
            taken[label] = taken.get(label, 0) + 1
            chosen.append((text, label))
    return chosen


def _binary(rows: Sequence[dict[str, str]], label: str) -> np.ndarray:
    values = [row[label].strip() for row in rows]
    for number, value in enumerate(values, start=1):
        if value not in ("0", "1"):
            raise InvalidInput(f"Row {number} after the header: {label} must be 0 or 1, not {value[:40]!r}.")
    return np.array([int(value) for value in values])
