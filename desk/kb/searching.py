"""A question to the articles that answer it, or to none.

Promises: only published articles of the organization with the visibility that was asked for, as of this instant; at
most one hit an article, its best passage; nothing at all when nothing is near enough. Two legs find the chunks: the
vectors (meaning) and the words (stemmed, weighted by rarity); what either finds is measured by both. Their scores are
added: fusing ranks alone (RRF) was worse than the vectors on questions in customers' words, since it forgets by how
much a passage is nearer.

Where there is no pgvector or no model, the words answer alone, and `Hit.similarity` is None: a log line says why.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk import log
from desk.errors import InvalidInput, ModelUnavailable
from desk.kb import embedding, models, store
from desk.kb.embedding import Vectors
from desk.sql import statement

Leg = Literal["hybrid", "vector", "text"]
LEGS: tuple[Leg, ...] = get_args(Leg)

LONGEST_QUESTION = 4000  # characters of which the words are looked up; the model reads its first 256 tokens
MOST_HITS = 100

logger = log.get(__name__)
_said = threading.Event()


@dataclass(frozen=True)
class _Fusion:
    """How the two legs make a score, and the chunk's score below which an article is not relevant. Tuned on three help
    centres (tests/kb); each leg alone is as plain as can be, to compare with."""

    similarity_weight: float
    coverage_weight: float
    repeats_weight: float
    repeats_above: float
    navigation_penalty: float
    support_weight: float
    least: float


_FUSIONS: dict[Leg, _Fusion] = {
    "hybrid": _Fusion(1.0, 0.2, 8.0, 0.35, 0.02, 0.2, 0.32),
    "vector": _Fusion(1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.3),
    "text": _Fusion(0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.13),
}


@dataclass(frozen=True)
class Hit:
    """An article that answers. `passage` is the chunk that does, as a reader sees it, `excerpt` some words of it.

    `similarity` is the cosine of question and passage, None without vectors; `coverage` the share of the question's
    words, by rarity, that the passage has; `score` what the order follows. None of them is a probability.
    """

    article_id: UUID
    external_id: str
    title: str
    revision: int
    category: str | None
    heading_path: list[str]
    excerpt: str
    passage: str
    score: float
    similarity: float | None
    coverage: float


def search(
    connection: Connection,
    organization_id: UUID,
    text: str,
    *,
    top: int = 3,
    visibility: Sequence[str] = ("public",),
    language: str | None = None,
    category: str | None = None,
    leg: Leg = "hybrid",
    relevant_only: bool = True,
    embed: Callable[[str, list[str]], Vectors] = embedding.embed_with,
) -> list[Hit]:
    """Up to `top` articles that answer `text`, best first; [] when nothing is relevant.

    `connection` is inside a transaction of that organization. `leg` and `relevant_only` are for evaluation.
    `embed(model, [question])` is for who has the question's vector already.

    Raises:
        InvalidInput: the question is empty, or `top` is not from 1 to 100.
        ModelUnavailable: `leg="vector"`, and there are no vectors to search.
    """
    question = " ".join(text.replace("\x00", " ").split())
    if not question:
        raise InvalidInput("The question is empty: say what to search for.")
    if not 1 <= top <= MOST_HITS:
        raise InvalidInput(f"top must be from 1 to {MOST_HITS}, not {top}.")
    model_id, vector = None, None
    if leg != "text":
        try:
            if not models.has_vectors(connection):
                raise ModelUnavailable("This database has no pgvector.")
            model = models.active(connection)
            model_id, vector = model.id, store.as_text(embed(model.name, [question])[0])
        except ModelUnavailable as error:
            if leg == "vector":
                raise
            if not _said.is_set():
                _said.set()
                logger.warning("search_by_words_only", reason=str(error))
            leg = "text"
    return find(
        connection,
        organization_id,
        question,
        model_id,
        vector,
        top=top,
        visibility=visibility,
        language=language,
        category=category,
        leg=leg,
        relevant_only=relevant_only,
    )


def find(
    connection: Connection,
    organization_id: UUID,
    question: str,
    model_id: int | None,
    vector: str | None,
    *,
    top: int = 3,
    visibility: Sequence[str] = ("public",),
    language: str | None = None,
    category: str | None = None,
    leg: Leg = "hybrid",
    relevant_only: bool = True,
) -> list[Hit]:
    """As `search`, of a question whose vector by the model is there (`store.as_text`); None: by words alone."""
    fusion = _FUSIONS[leg]
    parameters = {
        **vars(fusion),
        "least": fusion.least if relevant_only else float("-inf"),
        "organization_id": organization_id,
        "model_id": model_id,
        "question": vector,
        "words": question[:LONGEST_QUESTION],
        "visibility": list(visibility),
        "language": language,
        "category": category,
        "top": top,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.kb", "search"), parameters)
        return [Hit(*row) for row in cursor.fetchall()]
