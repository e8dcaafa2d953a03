"""`atum eval search`: how well a help centre's questions find its articles."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from app.output import AsJson, errors, progress, show_json, show_table
from app.scratch import scratch_database
from desk import database, organizations
from desk.errors import InvalidInput
from desk.kb import importing, indexing, judgements, model, search, status
from desk.kb.evaluation import DEPTH, Answer, Query, quality
from desk.kb.searching import LEGS, Leg

SLICE_SECONDS = 2.0  # of indexing, between two moves of the progress bar


def register(app: typer.Typer) -> None:
    """Add the verb to `atum eval`."""
    app.command("search")(evaluate)


def evaluate(
    kb: Annotated[Path, typer.Option(help="A folder of articles, or JSONL, as `atum kb import` takes it.")],
    queries: Annotated[Path, typer.Option(help="JSONL: id, text, answerable.")],
    qrels: Annotated[Path, typer.Option(help="TSV: query_id, article_id, grade (0 no, 1 helps, 2 answers).")],
    leg: Annotated[str, typer.Option(help=f"What searches: {', '.join(LEGS)}.")] = "hybrid",
    as_json: AsJson = False,
) -> None:
    """Judge search on a help centre, queries and judgements of your own.

    Works in a database of its own on the embedded Postgres, without a worker, and removes it: your data is not touched.
    hit_at_1, hit_at_3, mrr and ndcg_at_10 are means over the answerable queries and count the whole ranking;
    answer_accuracy is the share of all queries that were answered if they can be, and left unanswered if they cannot.
    """
    if leg not in LEGS:
        raise InvalidInput(f"--leg is {leg!r}, but must be one of {', '.join(LEGS)}.")
    reading = importing.read(kb)
    asked = judgements.read_queries(queries)
    grades = judgements.read_grades(qrels)
    strangers = judgements.check(asked, grades, {article.external_id for article in reading.articles})
    if strangers:
        first = min(strangers)
        errors.print(
            f"{len(strangers)} graded articles are not in {kb}, {first} for one.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    with progress() as bar:
        task = bar.add_task("getting the model", total=None)
        model.ensure()
        with scratch_database():
            with database.transaction() as connection:
                organization = organizations.find_or_create(connection, "evaluation")
            importing.put(organization, reading)
            bar.update(task, description="indexing articles", total=len(reading.articles))
            while left := indexing.index(organization, run_seconds=SLICE_SECONDS).left:
                bar.update(task, completed=len(reading.articles) - left)
                _refuse_failures(organization)
            bar.update(task, description=f"asking {len(asked)} questions", completed=0, total=len(asked))
            answers = {}
            for query in asked:
                answers[query.id] = _ask(organization, query, leg)
                bar.advance(task)
    found = asdict(quality(asked, answers, grades))
    if as_json:
        show_json(found)
    else:
        title = f"{leg}: {len(asked)} questions, {len(reading.articles)} articles"
        show_table(title, [{"figure": name.replace("_", " "), "value": value} for name, value in found.items()])


def _ask(organization: UUID, query: Query, leg: Leg) -> Answer:
    with database.transaction(organization) as connection:
        hits = search(
            connection,
            organization,
            query.text,
            top=DEPTH,
            visibility=("public", "internal"),
            leg=leg,
            relevant_only=False,
        )
        given = search(connection, organization, query.text, top=1, visibility=("public", "internal"), leg=leg)
    return Answer([hit.external_id for hit in hits], bool(given))


def _refuse_failures(organization: UUID) -> None:
    """An evaluation of a part of the articles would not be one of the help centre."""
    with database.transaction(organization) as connection:
        failures = status.status(connection, organization).failures
    if failures:
        raise InvalidInput(f"{failures[0].external_id} cannot be indexed: {failures[0].error}")
