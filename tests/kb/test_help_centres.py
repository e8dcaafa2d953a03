"""Real help centres: all of each becomes searchable, none shows in another, and questions find what answers them.

The questions beside this file are in customers' words; search was tuned on them, so the floors are below what is
measured, to fall when quality does and not when a rounding does. Quotations are the other extreme:
sentences word by word, where the words must not lose to the vectors.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from builders import new_organization
from psycopg2.extensions import connection as Connection
from workers import work_off

from actors.kb import QUEUE
from brokers import broker
from desk import database
from desk.kb import embedding, importing
from desk.kb import search as kb_search
from desk.kb.embedding import Vectors
from desk.kb.evaluation import Answer, Quality, Query, quality
from desk.kb.searching import LEGS, Hit, Leg
from desk.kb.status import status

HERE = Path(__file__).parent
DATA = HERE.parents[2] / "shared" / "data"
SAMPLE = HERE.parents[1] / "app" / "sample"


@cache
def vector_of(model: str, question: str) -> Vectors:
    """Each question is asked of two organizations and of every leg, twice: the model reads it once."""
    return embedding.embed_with(model, [question])[0]


def embed(model: str, asked: list[str]) -> Vectors:
    return np.stack([vector_of(model, question) for question in asked])


def search(connection: Connection, organization: UUID, question: str, **wanted: Any) -> list[Hit]:
    return kb_search(connection, organization, question, embed=embed, **wanted)


def questions(path: Path) -> tuple[list[Query], dict[str, dict[str, float]]]:
    """Lines `question <tab> article ids`, best first; none or - where nothing answers."""
    queries, grades = [], {}
    for line in path.read_text().splitlines()[1:]:
        text, _, answers = line.partition("\t")
        ids = [identifier.strip() for identifier in answers.split(",") if identifier.strip() not in ("", "-")]
        queries.append(Query(text, text, bool(ids)))
        grades[text] = {identifier: 1.0 if place else 2.0 for place, identifier in enumerate(ids)}
    return queries, grades


def judge(organization: UUID, asked: tuple[list[Query], dict[str, dict[str, float]]], leg: Leg) -> Quality:
    queries, grades = asked
    answers = {}
    with database.transaction(organization) as connection:
        for query in queries:
            ranked = search(connection, organization, query.text, top=10, leg=leg, relevant_only=False)
            given = search(connection, organization, query.text, leg=leg)
            answers[query.id] = Answer([hit.external_id for hit in ranked], bool(given))
    return quality(queries, answers, grades)


def judged(organization: UUID, path: Path) -> Quality:
    return best_of_legs(organization, questions(path), path.name)


def best_of_legs(organization: UUID, asked: tuple[list[Query], dict[str, dict[str, float]]], name: str) -> Quality:
    """The quality of the whole, after a look that it is not worse than its better leg."""
    found = {leg: judge(organization, asked, leg) for leg in LEGS}
    for leg, figures in found.items():
        print(name, leg, figures)
    hybrid = found.pop("hybrid")
    assert hybrid.ndcg_at_10 > max(leg.ndcg_at_10 for leg in found.values()) - 0.01
    return hybrid


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not beside the repository")
@pytest.mark.timeout(900)
def test_two_help_centres_become_searchable_side_by_side_and_never_mix(kb, owner):
    organizations = {}
    for name, articles in (("logingov", 55), ("chatwoot", 87)):
        folder = DATA / {"logingov": "kb_logingov", "chatwoot": "kb_chatwoot_docs"}[name]
        organizations[name] = new_organization(owner, name)
        taken = importing.put(organizations[name], importing.read(folder / "articles_en.jsonl"))
        assert (taken.taken, taken.changed, taken.refused) == (articles, articles, [])
    work_off(broker, QUEUE, seconds=800, threads=2)
    own = {}
    for name, organization in organizations.items():
        with database.transaction(organization) as connection:
            found = status(connection, organization)
            assert (found.coverage, found.pending, found.dead, found.failures) == (1.0, 0, 0, [])
            with connection.cursor() as cursor:
                cursor.execute("select id from articles")
                own[name] = {identifier for (identifier,) in cursor.fetchall()}
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()
    for name, organization in organizations.items():
        for asked in ("logingov", "chatwoot"):
            for query in questions(HERE / f"questions_{asked}.tsv")[0]:
                with database.transaction(organization) as connection:
                    hits = search(connection, organization, query.text, top=100, relevant_only=False)
                assert {hit.article_id for hit in hits} <= own[name]
    for name, floor in (("logingov", 0.90), ("chatwoot", 0.88)):
        figures = judged(organizations[name], HERE / f"questions_{name}.tsv")
        assert figures.hit_at_3 >= floor
        assert figures.answer_accuracy >= 0.92


def quotations(organization: UUID, most: int, every: int) -> tuple[list[Query], dict[str, dict[str, float]]]:
    """Sentences that one article alone has, with that article; all of its words, or only every so manieth."""
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select a.external_id, c.text from chunks c join articles a on a.id = c.article_id"
            " where a.visibility = 'public' and not c.is_navigation order by c.chunk_sha"
        )
        passages = cursor.fetchall()
    queries, grades = [], {}
    for article, text in passages:
        sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+|\n", text) if len(sentence.split()) >= 14]
        own = [one for one in sentences if sum(one in other for _, other in passages) == 1]
        if own and len(queries) < most:
            asked = " ".join(own[0].split()[::every])
            queries.append(Query(asked, asked, True))
            grades[asked] = {article: 2.0}
    return queries, grades


@pytest.mark.timeout(600)
def test_questions_find_what_answers_them_in_the_sample(kb):
    taken = importing.put(kb.organization, importing.read(SAMPLE / "help-centre"))
    assert taken.refused == []
    assert kb.index().left == 0
    figures = judged(kb.organization, SAMPLE / "questions.tsv")
    assert figures.hit_at_3 >= 0.88
    assert figures.answer_accuracy >= 0.90
    for every, floor in ((1, 0.985), (2, 0.9)):
        asked = quotations(kb.organization, 70, every)
        assert len(asked[0]) == 70
        assert best_of_legs(kb.organization, asked, f"quotations, 1 word of {every}").hit_at_3 >= floor
