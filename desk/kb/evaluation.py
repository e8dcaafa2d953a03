"""How good a search is: figures from ranked answers and from judgements that people made. Pure arithmetic.

A judgement grades an article for a query: 0 does not answer it, 1 helps, 2 and more answers it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEPTH = 10  # of nDCG


@dataclass(frozen=True)
class Query:
    """A question, and whether the help centre can answer it."""

    id: str
    text: str
    answerable: bool


@dataclass(frozen=True)
class Answer:
    """What search said: article ids, best first, relevant or not, and whether it gave any of them to the reader."""

    ranking: Sequence[str]
    answered: bool


@dataclass(frozen=True)
class Quality:
    """Means over the answerable queries, from the whole ranking; `answer_accuracy` over all: answered where there is an
    answer, silent where there is none. A figure that does not apply is None."""

    hit_at_1: float | None
    hit_at_3: float | None
    mrr: float | None
    ndcg_at_10: float | None
    answer_accuracy: float | None


def quality(
    queries: Sequence[Query], answers: Mapping[str, Answer], grades: Mapping[str, Mapping[str, float]]
) -> Quality:
    """The figures of `answers` (by query id) under `grades` (by query id, then article id)."""
    judged = [(answers[query.id].ranking, grades[query.id]) for query in queries if query.answerable]
    right = [answers[query.id].answered == query.answerable for query in queries]
    return Quality(
        _mean([_first(ranking, good) <= 1 for ranking, good in judged]),
        _mean([_first(ranking, good) <= 3 for ranking, good in judged]),
        _mean([1 / _first(ranking, good) for ranking, good in judged]),
        _mean([_ndcg(ranking, good) for ranking, good in judged]),
        _mean(right),
    )


def _first(ranking: Sequence[str], grades: Mapping[str, float]) -> float:
    """The place, from 1, of the first article that helps; infinite where none does."""
    return next((place for place, article in enumerate(ranking, start=1) if grades.get(article, 0) > 0), math.inf)


def _ndcg(ranking: Sequence[str], grades: Mapping[str, float]) -> float:
    """Gain is the grade, as trec_eval has it, discounted by the logarithm of the place; over the best order's sum."""
    ideal = _dcg(sorted(grades.values(), reverse=True))
    return _dcg([grades.get(article, 0) for article in ranking]) / ideal if ideal else 0.0


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 1) for place, gain in enumerate(gains[:DEPTH], start=1))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
