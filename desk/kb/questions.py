"""An organization's own questions with judged articles: what another model must answer as well as the active one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, execute_values

from desk import database
from desk.errors import InvalidInput
from desk.kb.evaluation import DEPTH, Answer, Quality, Query, quality
from desk.kb.searching import search

JUDGED = ("ndcg_at_10", "answer_accuracy")  # the order, and whether anything was given at all
BOTH = ("public", "internal")


@dataclass(frozen=True)
class Questions:
    """Questions and the grades of articles (external ids) for them."""

    queries: Sequence[Query]
    grades: Mapping[str, Mapping[str, float]]


def put(connection: Connection, organization_id: UUID, asked: Questions) -> None:
    """Make these the organization's questions, in the place of all earlier ones; none: it has none.

    Raises:
        InvalidInput: a text cannot be stored.
    """
    if any("\x00" in query.id + query.text for query in asked.queries):
        raise InvalidInput("A question holds a NUL character.")
    with connection.cursor() as cursor:
        cursor.execute("delete from search_questions where organization_id = %s", (organization_id,))
        execute_values(
            cursor,
            "insert into search_questions (organization_id, question_id, text, answerable, grades) values %s",
            [
                (organization_id, query.id, query.text, query.answerable, Json(dict(asked.grades.get(query.id, {}))))
                for query in asked.queries
            ],
        )


def read(connection: Connection, organization_id: UUID) -> Questions:
    """The organization's questions; none where it has none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select question_id, text, answerable, grades from search_questions where organization_id = %s"
            " order by question_id",
            (organization_id,),
        )
        rows = cursor.fetchall()
    return Questions([Query(*row[:3]) for row in rows], {row[0]: row[3] for row in rows})


def judge(organization_id: UUID, asked: Questions, model_id: int | None) -> Quality:
    """How well search answers, by the active model's vectors or by another's that are there (`model_id`)."""
    return quality(
        asked.queries, {query.id: _ask(organization_id, query, model_id) for query in asked.queries}, asked.grades
    )


def worse(before: Quality, after: Quality, tolerance: float) -> str:
    """What got worse by more than `tolerance`, in words; empty: nothing did."""
    then, now = asdict(before), asdict(after)
    return ", ".join(
        f"{name} {now[name]:.3f} instead of {then[name]:.3f}"
        for name in JUDGED
        if then[name] is not None and now[name] < then[name] - tolerance
    )


def _ask(organization_id: UUID, query: Query, model_id: int | None) -> Answer:
    with database.transaction(organization_id) as connection:
        with connection.cursor() as cursor:  # of this transaction alone: nobody else's search notices
            cursor.execute("select set_config('app.embed_model_id', %s, true)", (str(model_id or ""),))
        hits = search(connection, organization_id, query.text, top=DEPTH, visibility=BOTH, relevant_only=False)
        given = search(connection, organization_id, query.text, top=1, visibility=BOTH)
    return Answer([hit.external_id for hit in hits], bool(given))
