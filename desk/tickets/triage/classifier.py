"""Labels for texts and their vectors, from labelled ones: kernel ridge over meaning and words, calibrated.

One engine for two examples and for ten thousand. Each labelled ticket speaks for its label by how near its vector is
and by the words that it shares; the ridge takes back what near-duplicates say twice. Words count the more, the more
examples a label has: ten say little about which words matter, a hundred much. Rare labels weigh more than their number,
so that they are not forgotten. Leaving one example out needs no second fit.

Confidence is the probability that the label is right, fitted on the organization's own left-out examples; with fewer
than `ENOUGH` of them, or where none or all were wrong, it is the raw score and `calibrated` is false.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_solve, lapack

from desk.tickets.triage import archive, certainty, lexical

Vectors = NDArray[np.float32]

FORMAT = 2  # of the bytes
SHARPNESS = np.float32(3.0)  # kernel exp(SHARPNESS * (cosine - 1)); flat between 2 and 6 on banking77
RIDGE = 0.3  # where labels have `MANY` examples; it grows with the root of their number …
LEAST_RIDGE, MOST_RIDGE = 0.1, 0.8  # … within these
BALANCE = 0.75  # 0: labels weigh as often as they occur, 1: all alike
MOST_BALANCE = 10.0
WORDS = 0.35  # share of the words in the kernel, where each label has many examples; flat between 0.25 and 0.5
MANY = 100  # examples a label
ENOUGH = 50  # examples from which a calibration means something
STRANGE = 0.02  # share of the rightly labelled that may look as strange as what is taken for unknown
UNCALIBRATED_FLOOR = 0.12
MOST = 15_000  # examples of few labels, fewer of many: kernel and weights take 0.9 GB
LEFT_OUT = 3_000  # examples from which the calibration comes
BLOCK = 1_000  # rows at a time


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

    `codes` is the position in `labels` of each example that was kept, and of each label's name. `floor` is of
    `Answer.known`: below it, nothing like the text was labelled. `left_out_accuracy` is the share of the examples that
    the others label rightly.
    """

    labels: NDArray[np.str_]
    codes: NDArray[np.int32]
    kept: NDArray[np.int32]  # -1: no example, but what a label is called
    vectors: Vectors
    words: sparse.csr_matrix
    rarity: NDArray[np.float32]
    weights: Vectors
    share: float  # of the words in the kernel
    sureness: certainty.Head | None
    floor: float
    left_out_accuracy: float

    @cached_property
    def _columns(self) -> sparse.csr_matrix:
        """The words' rows turned, for products with them."""
        return self.words.T.tocsr()

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        vectors: Vectors,
        labels: Sequence[str],
        names: Mapping[str, tuple[str, Vectors]] | None = None,
    ) -> "Classifier":
        """Learn from texts with their vectors (unit length) and one label each, two or more labels in all.

        `names` may say what labels are called, with a vector: one example more of each, which is shown to nobody.
        Takes seconds for 5,000 examples. More than `MOST` are thinned evenly over the labels.

        Raises:
            ValueError: fewer than two labels, not one text and label a vector, or a vector that is not finite.
        """
        if not len(texts) == len(vectors) == len(labels) or len(set(labels)) < 2:
            raise ValueError("two or more labels are needed, and one text and one label a vector")
        if not np.isfinite(vectors).all():
            raise ValueError("the vectors are not finite")
        kept = _thinned(labels)
        called = [(label, *names[label]) for label in sorted(set(labels)) if label in names] if names else []
        kept = np.append(kept, np.full(len(called), -1)).astype(np.int32)
        real = kept[kept >= 0]
        found, codes = np.unique([*(labels[i] for i in real), *(label for label, _, _ in called)], return_inverse=True)
        codes = codes.astype(np.int32)
        last = _left_out(kept)
        order = np.concatenate([np.setdiff1d(np.arange(len(codes)), last), last])

        vectors = np.vstack([vectors[real], *(vector[None, :] for _, _, vector in called)])[order]
        vectors = np.ascontiguousarray(vectors, dtype=np.float16).astype(np.float32)  # as the bytes hold them
        counts = lexical.count([*(texts[i] for i in real), *(name for _, name, _ in called)])[order]
        rarity = lexical.rarity(counts)
        words = lexical.rows(counts, rarity)
        codes, kept = codes[order], kept[order]
        plenty = float(np.sqrt(len(real) / len(found) / MANY))
        share, ridge = WORDS * min(1.0, plenty), min(max(LEAST_RIDGE, RIDGE * plenty), MOST_RIDGE)
        weights, inverse = _solved(vectors, words, codes, len(found), share, ridge, len(last))
        bare = cls(found, codes, kept, vectors, words, rarity, weights, share, None, UNCALIBRATED_FLOOR, 0.0)
        return bare._calibrated(np.diag(inverse))

    def _calibrated(self, left_out: Vectors) -> "Classifier":
        """With what its last examples teach, each left out in turn; `left_out`: the inverse's diagonal for them."""
        rows = np.arange(len(self.codes) - len(left_out), len(self.codes))
        codes = self.codes[rows]
        scores = -self.weights[rows] / left_out[:, None]
        scores[np.arange(len(rows)), codes] += 1
        right = scores.argmax(axis=1) == codes
        accuracy = float(right.mean())
        if len(right) < ENOUGH or not 0 < int(right.sum()) < len(right):
            return replace(self, left_out_accuracy=accuracy)
        signs = self._signs_without(rows, scores)
        known = _known(signs[:, 0], signs[:, 3])
        floor = float(np.quantile(known[right], STRANGE))
        return replace(self, sureness=certainty.fit(signs, right), floor=floor, left_out_accuracy=accuracy)

    def _signs_without(self, rows: NDArray[np.int64], scores: Vectors) -> certainty.Signs:
        """The signs of examples as they look to the others."""
        parts = []
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            cosines = self.vectors[block] @ self.vectors.T
            shared = (self.words[block] @ self._columns).toarray()
            cosines[np.arange(len(block)), block] = shared[np.arange(len(block)), block] = -1
            parts.append(certainty.signs(scores[start : start + BLOCK], cosines, shared, self.codes))
        return np.vstack(parts)

    @property
    def examples(self) -> int:
        """How many labelled texts it was fitted to."""
        return int((self.kept >= 0).sum())

    @property
    def calibrated(self) -> bool:
        """Whether confidence is a measured probability."""
        return self.sureness is not None

    def answers(self, texts: Sequence[str], vectors: Vectors) -> list[Answer]:
        """The answer for each of `texts`, whose `vectors` are given."""
        if len(texts) != len(vectors):
            raise ValueError("one text a vector is needed")
        found: list[Answer] = []
        for start in range(0, len(vectors), BLOCK):
            block = slice(start, start + BLOCK)
            found += self._told(*self._compared(lexical.count(texts[block]), vectors[block]))
        return found

    def hear(self, text: str, vector: Vectors) -> "Heard":
        """What there is to say about one text, whose `vector` is given."""
        cosines, shared = self._compared(lexical.count_text(text)[0], vector[None, :])
        return Heard(self, text, self._told(cosines, shared)[0], cosines[0])

    def _compared(self, counts: sparse.csr_matrix, vectors: Vectors) -> tuple[Vectors, Vectors]:
        """How near each text is to each example, and how much both say with the same words."""
        words = lexical.rows(counts, self.rarity)
        return np.asarray(vectors, dtype=np.float32) @ self.vectors.T, (words @ self._columns).toarray()

    def _told(self, cosines: Vectors, shared: Vectors) -> list[Answer]:
        scores = _kernel(cosines, shared, self.share) @ self.weights
        order = np.argsort(-scores, axis=1)[:, :2]
        nearest = cosines.max(axis=1)
        best = scores.max(axis=1)
        if self.sureness is None:
            confidence = np.clip(best, 0.0, 1.0)
        else:
            confidence = self.sureness.probability(certainty.signs(scores, cosines, shared, self.codes))
        known = _known(best, nearest)
        return [
            Answer(
                str(self.labels[first]),
                str(self.labels[second]),
                float(confidence[i]),
                float(best[i]),
                float(nearest[i]),
                float(known[i]),
            )
            for i, (first, second) in enumerate(order)
        ]

    def _code(self, label: str) -> int:
        """The position of a label that it knows."""
        return int(np.searchsorted(self.labels, label))

    def dumps(self) -> bytes:
        """The classifier as bytes that `loads` understands."""
        return archive.pack(
            FORMAT,
            labels=self.labels,
            codes=self.codes,
            kept=self.kept,
            vectors=self.vectors.astype(np.float16),
            words=self.words.data.astype(np.float16),
            word_columns=self.words.indices.astype(np.int32),
            word_rows=self.words.indptr.astype(np.int32),
            rarity=self.rarity.astype(np.float16),
            weights=self.weights.astype(np.float16),
            sureness=np.empty(0) if self.sureness is None else self.sureness.coefficients,
            figures=np.array([self.share, self.floor, self.left_out_accuracy]),
        )

    @classmethod
    def loads(cls, data: bytes) -> "Classifier":
        """The classifier that `dumps` made into `data`; it answers as the first one does.

        Raises:
            ValueError: the bytes are damaged, or of another release.
        """
        found = archive.unpack(data, "a classifier", FORMAT)
        return cls._of(found)

    @classmethod
    def _of(cls, found: dict[str, Any]) -> "Classifier":
        share, floor, accuracy = map(float, found["figures"])
        parts = (found["words"].astype(np.float32), found["word_columns"], found["word_rows"])
        return cls(
            found["labels"],
            found["codes"],
            found["kept"],
            found["vectors"].astype(np.float32),
            sparse.csr_matrix(parts, shape=(len(found["codes"]), 2 * lexical.SIZE)),
            found["rarity"].astype(np.float32),
            found["weights"].astype(np.float32),
            share,
            certainty.Head(found["sureness"]) if len(found["sureness"]) else None,
            floor,
            accuracy,
        )


@dataclass(frozen=True, eq=False)
class Heard:
    """One text before a classifier. How near it is to each example is found once, whatever is asked about it."""

    classifier: Classifier
    text: str
    answer: Answer
    cosines: Vectors

    def nearest(self, label: str | None = None, top: int = 5) -> list[tuple[int, float]]:
        """The nearest examples (of `label`, if one is named): position as given to `fit`, and cosine."""
        candidates = self.classifier.kept >= 0
        if label is not None:
            candidates &= self.classifier.codes == self.classifier._code(label)
        places = np.flatnonzero(candidates)
        if len(places) > top:
            places = places[np.argpartition(-self.cosines[places], top - 1)[:top]]
        places = places[np.argsort(-self.cosines[places], kind="stable")]
        return [(int(self.classifier.kept[i]), float(self.cosines[i])) for i in places]

    def telling_words(self, label: str, against: str | None = None, top: int = 5) -> list[str]:
        """The words of the text that spoke most for `label` (and not for `against`), the strongest first."""
        model, words = self.classifier, lexical.words(self.text)
        if not words:
            return []
        speaks = model.weights[:, model._code(label)]
        if against is not None:
            speaks = speaks - model.weights[:, model._code(against)]
        rows = lexical.rows(lexical.count_text(self.text)[1], model.rarity)
        features, places = np.unique(rows.indices, return_inverse=True)
        heard = model._columns[features] @ speaks
        points = sparse.csr_matrix((rows.data, places, rows.indptr), shape=(len(words), len(features))) @ heard
        order = np.argsort(-points, kind="stable")[:top]
        return [words[i] for i in order if points[i] > 0]


def _kernel(cosines: Vectors, shared: Vectors, share: float) -> Vectors:
    """How much each pair of texts is alike, in meaning and in words."""
    kernel = cosines - np.float32(1)
    kernel *= SHARPNESS
    np.exp(kernel, out=kernel)
    kernel *= np.float32(1 - share)
    kernel += np.float32(share) * shared
    return kernel


def _solved(
    vectors: Vectors,
    words: sparse.csr_matrix,
    codes: NDArray[np.int32],
    labels: int,
    share: float,
    ridge: float,
    last: int,
) -> tuple[Vectors, Vectors]:
    """The weight of each example for each label, and of the regularized kernel's inverse the `last` rows and columns.

    One triangle is made, factored and solved in place: a copy would double the memory. Of the inverse no more is needed
    than its corner, which comes from the factor's corner alone.
    """
    count = len(codes)
    columns = words.T.tocsc()
    kernel = np.empty((count, count), dtype=np.float32)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        shared = (words[start:stop] @ columns[:, :stop]).toarray()
        kernel[start:stop, :stop] = _kernel(vectors[start:stop] @ vectors[:stop].T, shared, share)
    often = np.bincount(codes, minlength=labels)
    balance = np.minimum((count / labels / often) ** BALANCE, MOST_BALANCE)[codes]
    kernel[np.diag_indices(count)] += (ridge / balance).astype(np.float32)
    factor, failed = lapack.spotrf(kernel.T, lower=0, overwrite_a=1)
    if failed:
        raise ValueError("the vectors are not of length 1")
    truth = np.zeros((count, labels), dtype=np.float32, order="F")
    truth[np.arange(count), codes] = 1
    solution = cho_solve((factor, False), truth, overwrite_b=True, check_finite=False)
    corner, _ = lapack.spotri(factor[count - last :, count - last :], lower=0)
    corner = np.triu(corner) + np.triu(corner, 1).T
    del kernel, factor
    return np.ascontiguousarray(solution.astype(np.float16), dtype=np.float32), corner


def _known(best: NDArray[Any], nearest: NDArray[Any]) -> NDArray[Any]:
    return best.clip(0) * nearest.clip(0)


def _left_out(kept: NDArray[np.int32]) -> NDArray[np.int64]:
    """Positions of the examples to be left out in turn: all, or a sample that is always the same."""
    examples = np.flatnonzero(kept >= 0)
    if len(examples) <= LEFT_OUT:
        return examples
    return np.sort(np.random.default_rng(0).choice(examples, LEFT_OUT, replace=False))


def _thinned(labels: Sequence[str]) -> NDArray[np.int32]:
    """Positions of the examples that are learnt from, of each label the share it has among all."""
    different = len(set(labels))
    most = int(np.sqrt(different**2 + MOST**2)) - different
    if len(labels) <= most:
        return np.arange(len(labels), dtype=np.int32)
    order = np.argsort(np.asarray(labels, dtype=str), kind="stable")
    return np.sort(order[np.linspace(0, len(order) - 1, most).astype(int)]).astype(np.int32)
