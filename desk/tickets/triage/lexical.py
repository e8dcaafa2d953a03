"""Texts as sparse rows of their words, pairs of words and parts of words, weighed by how rare these are.

Features are hashed: nothing of a customer's words can be read out of what is stored. A row has length 1, its words and
their parts half each, so the product of two rows is how much two texts say with the same words, 0 to 1.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from desk.tickets import scikit_learn

SIZE = 2**17  # features of each of the two kinds
LONGEST = 600  # characters of a text that are read
COMMON = 0.1  # share of the texts, from which on a feature says too little for its cost
COMMON_FROM = 500  # … where so many texts have it
PARTS = (3, 4)  # characters of a part of a word
REMEMBERED = 20_000  # words whose features a process keeps: 10 MB, 20 at the most …
SHORT = 40  # … of so many characters: longer ones are hardly said twice
TEXTS = 32  # that a process keeps: each is put to several models

_WORD = re.compile(r"\w+")

_remembered: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = {}


def rarity(counts: sparse.csr_matrix) -> NDArray[np.float32]:
    """The weight of each feature from the texts that have it, as the bytes of a classifier hold it (float16)."""
    having = np.bincount(counts.indices, minlength=2 * SIZE)
    weights = np.log((1 + counts.shape[0]) / (1 + having)) + 1
    telling = (having > 0) & (having <= max(COMMON_FROM, COMMON * counts.shape[0]))
    return np.where(telling, weights, 0).astype(np.float16).astype(np.float32)


def count(texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each text has each feature, damped: 1 + log of it."""
    read = [text[:LONGEST] for text in texts]
    counts = sparse.hstack([counter.transform(read) for counter in _counters()], format="csr")
    counts.data = 1 + np.log(counts.data)
    return counts


@lru_cache(maxsize=TEXTS)
def count_text(text: str) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """As `count`, of one text and of each of its `words` alone; nobody may change them.

    Customers use the same words again and again: what each has is remembered, what is new is counted with the text.
    """
    given = words(text)
    known = {word: found for word in given if (found := _remembered.get(word))}  # another thread may forget meanwhile
    new = [word for word in given if word not in known]
    counts = count([text, *new])
    for word, start, stop in zip(new, counts.indptr[1:-1], counts.indptr[2:], strict=True):
        known[word] = counts.indices[start:stop].copy(), counts.data[start:stop].copy()
    if len(_remembered) > REMEMBERED:
        _remembered.clear()
    _remembered.update((word, known[word]) for word in new if len(word) <= SHORT)
    features = np.concatenate([np.empty(0, np.int32), *(known[word][0] for word in given)])
    data = np.concatenate([np.empty(0, np.float32), *(known[word][1] for word in given)])
    ends = np.cumsum([0, *(len(known[word][0]) for word in given)])
    return counts[:1], sparse.csr_matrix((data, features, ends), shape=(len(given), 2 * SIZE))


def rows(counts: sparse.csr_matrix, weights: NDArray[np.float32]) -> sparse.csr_matrix:
    """The rows of texts from their counts; a feature that no labelled text has, or too many, counts for nothing."""
    values = counts.data * weights[counts.indices]
    part = 2 * np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)) + (counts.indices >= SIZE)
    lengths = np.sqrt(np.bincount(part, values**2, minlength=2 * counts.shape[0]))
    values *= np.sqrt(0.5) / np.maximum(lengths, 1e-9)[part]
    found = sparse.csr_matrix(
        (values.astype(np.float16).astype(np.float32), counts.indices, counts.indptr), shape=counts.shape, copy=True
    )
    found.eliminate_zeros()
    return found


def words(text: str) -> list[str]:
    """The different words of `text`, in its order."""
    return list(dict.fromkeys(_WORD.findall(text[:LONGEST].lower())))


@cache
def _counters() -> tuple[Any, Any]:
    common = {"n_features": SIZE, "norm": None, "alternate_sign": False, "dtype": np.float32}
    vectorizer = scikit_learn.module("feature_extraction.text").HashingVectorizer
    return (
        vectorizer(ngram_range=(1, 2), token_pattern=_WORD.pattern, **common),
        vectorizer(analyzer="char_wb", ngram_range=PARTS, **common),
    )
