"""Tags learnt from those that people gave: a ridge over meaning and words for each tag, one against the rest.

A tag is answered from a threshold of its own on: of the scores from which on `PRECISION` of the tickets really carry
it, each left out in turn, the one with the best F1. A tag for which there is no such score is never answered.
Leaving one out needs no second fit. Confidence is the probability that an answered tag is right, fitted on the tags
that would have been answered for the left-out tickets.

Both likenesses are linear, so that a tag is one row of weights, however many tickets taught it, and thousands of tags
cost little.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_solve, lapack

from desk.tickets import scikit_learn
from desk.tickets.triage import archive, lexical
from desk.tickets.vectors import Vectors

FORMAT = 1  # of the bytes
LEAST_OF_EACH = 10  # tickets that carry a tag, for it to be learnt
ENOUGH = 50  # tickets with tags below which there is no model
PRECISION = 0.7  # of a tag, that its threshold aims at
LEAST_ANSWERED = 20  # left-out answers from which a calibration means something
MOST = 8_000  # tickets, the newest: their kernel takes 260 MB
MOST_ANSWERED = 10  # tags of one ticket
WORDS = 0.35  # share of the words in the kernel
RIDGE = 0.3
HEARD = 500  # features of a tag that are kept, the strongest
BLOCK = 64  # tags at a time
ROWS = 1_000  # tickets at a time


@dataclass(frozen=True)
class TagAnswer:
    """A tag that fits, and the probability that it is right."""

    tag: str
    confidence: float
    score: float


@dataclass(frozen=True, eq=False)
class TagModel:
    """What was learnt about tags. Made by `fit` or `loads`; immutable, safe for threads.

    Shapes: `weights` (tags, dimensions), `word_weights` (tags, features), `offsets` and `thresholds` (tags,),
    `calibration` (3,). `carriers` (tags, tickets with one of the tags) says which carry which; `kept` are their
    positions as given to `fit`, `vectors` theirs.
    """

    tags: list[str]
    weights: Vectors
    word_weights: sparse.csr_matrix
    rarity: NDArray[np.float32]
    offsets: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    calibration: NDArray[np.float64]
    carriers: sparse.csr_matrix
    kept: NDArray[np.int32]
    vectors: Vectors

    @staticmethod
    def can_learn(tags: Sequence[Sequence[str]]) -> bool:
        """Whether so many tickets carry tags, and one tag so many of them, that a model means something."""
        return sum(map(bool, tags)) >= ENOUGH and bool(_learnable(tags))

    @classmethod
    def fit(cls, texts: Sequence[str], vectors: Vectors, tags: Sequence[Sequence[str]]) -> "TagModel | None":
        """Learn from texts with their vectors (unit length) and the tags of each, [] for none; the oldest first.

        None where no tag can be told well enough, or their confidence could not be measured.

        Raises:
            ValueError: `can_learn` says no, or not one text and vector a ticket.
        """
        if not len(texts) == len(vectors) == len(tags) or not cls.can_learn(tags):
            raise ValueError("too few tickets with tags, or not one text and one vector for each")
        first = max(len(texts) - MOST, 0)
        texts, vectors, tags = texts[first:], np.asarray(vectors[first:], dtype=np.float32), tags[first:]
        names = _learnable(tags)
        if not names:
            return None
        truth = _carried(tags, names)
        counts = lexical.count(texts)
        rarity = lexical.rarity(counts)
        words = lexical.rows(counts, rarity)
        factor, left_out = _factored(vectors, words)
        used = np.unique(words.indices)
        narrow = words[:, used].T.tocsr()
        mean = truth.mean(axis=1).A1.astype(np.float32)

        kept_weights, kept_words, thresholds, answered = [], [], [], []
        for start in range(0, len(names), BLOCK):
            block = truth[start : start + BLOCK].toarray().T.astype(np.float32)
            duals = cho_solve((factor, False), block - mean[start : start + BLOCK], check_finite=False)
            scores = block - duals / left_out[:, None]
            kept_weights.append((1 - WORDS) * duals.T @ vectors)
            kept_words.append(_strongest(WORDS * (narrow @ duals).T, used))
            for column in range(block.shape[1]):
                threshold = _threshold(scores[:, column], block[:, column] > 0)
                thresholds.append(threshold)
                reaching = scores[:, column] >= threshold
                answered.append(
                    np.column_stack(
                        [
                            scores[reaching, column],
                            np.full(int(reaching.sum()), threshold),
                            block[reaching, column],
                        ]
                    )
                )
        calibration = _calibrated(np.vstack(answered))
        usable = np.flatnonzero(np.isfinite(thresholds))
        if calibration is None or not len(usable):
            return None
        carriers = truth[usable]
        carrying = np.flatnonzero(carriers.sum(axis=0).A1)
        return cls(
            [names[i] for i in usable],
            np.vstack(kept_weights)[usable].astype(np.float16).astype(np.float32),
            sparse.vstack(kept_words, format="csr")[usable],
            rarity,
            mean[usable],
            np.asarray(thresholds, dtype=np.float32)[usable],
            calibration,
            carriers[:, carrying],
            (carrying + first).astype(np.int32),
            vectors[carrying].astype(np.float16).astype(np.float32),
        )

    @cached_property
    def _places(self) -> dict[str, int]:
        return {tag: place for place, tag in enumerate(self.tags)}

    @cached_property
    def _columns(self) -> sparse.csr_matrix:
        """The words' weights turned, for products with them."""
        return self.word_weights.T.tocsr()

    def answers(self, texts: Sequence[str], vectors: Vectors) -> list[list[TagAnswer]]:
        """The tags of each of `texts`, whose `vectors` are given, the surest first; often none."""
        if len(texts) != len(vectors):
            raise ValueError("one text a vector is needed")
        if not len(texts):
            return []
        words = lexical.rows(lexical.count(texts), self.rarity)
        scores = np.asarray(vectors, dtype=np.float32) @ self.weights.T + self.offsets
        scores += (words @ self._columns).toarray()
        found = []
        for row in scores:
            reached = np.flatnonzero(row >= self.thresholds)
            sure = self._sureness(row[reached], self.thresholds[reached])
            order = np.lexsort((-row[reached], -sure))[:MOST_ANSWERED]
            found.append([TagAnswer(self.tags[reached[i]], float(sure[i]), float(row[reached[i]])) for i in order])
        return found

    def _sureness(self, scores: NDArray[Any], thresholds: NDArray[Any]) -> NDArray[np.float64]:
        by_score, by_threshold, offset = self.calibration
        return 1 / (1 + np.exp(-(by_score * scores + by_threshold * thresholds + offset)))

    def nearest(self, vector: Vectors, tag: str, top: int = 5) -> list[tuple[int, float]]:
        """The nearest tickets that carried `tag`: position as given to `fit`, and cosine."""
        carrying = self.carriers[self._places[tag]].indices
        similarities = self.vectors[carrying] @ vector
        order = np.argsort(-similarities, kind="stable")[:top]
        return [(int(self.kept[carrying[i]]), float(similarities[i])) for i in order]

    def telling_words(self, text: str, tag: str, top: int = 5) -> list[str]:
        """The words of `text` that spoke most for `tag`, the strongest first."""
        words = lexical.words(text)
        if not words:
            return []
        rows = lexical.rows(lexical.count_text(text)[1], self.rarity)
        points = (rows @ self.word_weights[self._places[tag]].T).toarray()[:, 0]
        order = np.argsort(-points, kind="stable")[:top]
        return [words[i] for i in order if points[i] > 0]

    def dumps(self) -> bytes:
        """The model as bytes that `loads` understands."""
        return archive.pack(
            FORMAT,
            tags=np.asarray(self.tags, dtype=str),
            weights=self.weights.astype(np.float16),
            words=self.word_weights.data.astype(np.float16),
            word_columns=self.word_weights.indices.astype(np.int32),
            word_rows=self.word_weights.indptr.astype(np.int32),
            rarity=self.rarity.astype(np.float16),
            offsets=self.offsets,
            thresholds=self.thresholds,
            calibration=self.calibration,
            carriers=self.carriers.indices.astype(np.int32),
            carrier_rows=self.carriers.indptr.astype(np.int32),
            kept=self.kept,
            vectors=self.vectors.astype(np.float16),
        )

    @classmethod
    def loads(cls, data: bytes) -> "TagModel":
        """The model that `dumps` made into `data`; it answers as the first one does.

        Raises:
            ValueError: the bytes are damaged, or of another release.
        """
        found = archive.unpack(data, "a model of tags", FORMAT)
        count = len(found["tags"])
        words = (found["words"].astype(np.float32), found["word_columns"], found["word_rows"])
        carriers = (np.ones(len(found["carriers"]), dtype=np.int8), found["carriers"], found["carrier_rows"])
        return cls(
            [str(tag) for tag in found["tags"]],
            found["weights"].astype(np.float32),
            sparse.csr_matrix(words, shape=(count, 2 * lexical.SIZE)),
            found["rarity"].astype(np.float32),
            found["offsets"],
            found["thresholds"],
            found["calibration"],
            sparse.csr_matrix(carriers, shape=(count, len(found["kept"]))),
            found["kept"],
            found["vectors"].astype(np.float32),
        )


def _learnable(tags: Sequence[Sequence[str]]) -> list[str]:
    counts = Counter(tag for each in tags for tag in set(each))
    return sorted(tag for tag, count in counts.items() if count >= LEAST_OF_EACH and count < len(tags))


def _carried(tags: Sequence[Sequence[str]], names: list[str]) -> sparse.csr_matrix:
    """1 where a ticket (column) carries a tag (row)."""
    places = {name: place for place, name in enumerate(names)}
    pairs = [(places[tag], i) for i, each in enumerate(tags) for tag in set(each) if tag in places]
    rows, columns = np.array(pairs).T
    return sparse.csr_matrix((np.ones(len(pairs), dtype=np.int8), (rows, columns)), shape=(len(names), len(tags)))


def _factored(vectors: Vectors, words: sparse.csr_matrix) -> tuple[Vectors, Vectors]:
    """The triangle of the regularized kernel, and the diagonal of its inverse, by which one is left out."""
    kernel = (1 - WORDS) * (vectors @ vectors.T)
    columns = words.T.tocsr()
    for start in range(0, len(kernel), ROWS):
        kernel[start : start + ROWS] += WORDS * (words[start : start + ROWS] @ columns).toarray()
    kernel[np.diag_indices(len(kernel))] += RIDGE
    factor, failed = lapack.spotrf(kernel.T, lower=0, overwrite_a=1)
    if failed:
        raise ValueError("the vectors are not finite")
    inverse, _ = lapack.spotri(factor, lower=0)
    return factor, np.diag(inverse).copy()


def _strongest(weights: Vectors, columns: NDArray[Any]) -> sparse.csr_matrix:
    """Of each row the `HEARD` largest weights, at their features."""
    most = min(HEARD, weights.shape[1])
    best = np.argpartition(-np.abs(weights), most - 1, axis=1)[:, :most]
    rows = np.repeat(np.arange(len(weights)), most)
    values = np.take_along_axis(weights, best, axis=1).ravel().astype(np.float16).astype(np.float32)
    return sparse.csr_matrix((values, (rows, columns[best.ravel()])), shape=(len(weights), 2 * lexical.SIZE))


def _threshold(scores: NDArray[Any], carries: NDArray[np.bool_]) -> float:
    """Of the scores from which on `PRECISION` of the tickets carry the tag, one wrong one more counted, so that two
    lucky ones do not do, the one with the best F1; infinite where there is none."""
    order = np.argsort(-scores, kind="stable")
    right, answered = np.cumsum(carries[order]), np.arange(1, len(order) + 1)
    f1 = np.where(right / (answered + 1) >= PRECISION, right / (answered + carries.sum()), 0)
    best = int(f1.argmax())
    return float(scores[order[best]]) if f1[best] > 0 else np.inf


def _calibrated(answered: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Weights of score and threshold, and an offset, for the probability that an answered tag is right; None where too
    few were answered. Where all are right, as with tags that a rule gave, one wrong one more is supposed."""
    right = answered[:, 2] > 0
    if len(right) < LEAST_ANSWERED:
        return None
    if right.all():
        return np.array([0.0, 0.0, np.log(len(right))])
    head = scikit_learn.module("linear_model").LogisticRegression(C=10.0, max_iter=500).fit(answered[:, :2], right)
    return np.append(head.coef_[0], head.intercept_).astype(np.float64)
