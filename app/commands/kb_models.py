"""`atum kb models | reindex | use | cancel | questions`: another embedding model, beside the active one at first."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape

from app.output import AsJson, console, errors, progress, show_json, show_table
from desk import database, organizations
from desk.errors import InvalidInput
from desk.kb import builds, judgements, questions
from desk.kb.builds import ModelState

HINT_AFTER_SECONDS = 15
NOTHING_MOVES = "Nothing moves: does a worker run? `dramatiq brokers actors schedules -Q kb` is one."
POLL_SECONDS = 0.5

Organization = Annotated[str, typer.Option("--org", help="The organization's name.")]
Everybody = Annotated[str | None, typer.Option("--org", help="The organization's name; default: all.")]
Name = Annotated[str, typer.Argument(help="The model's name, as `atum kb models` lists it.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `atum kb`."""
    app.command("models")(models)
    app.command("reindex")(reindex)
    app.command("use")(use)
    app.command("cancel")(cancel)
    app.command("questions")(questions_)


def models(org: Everybody = None, as_json: AsJson = False) -> None:
    """Which models each organization has vectors of: active (search reads it), building, held back or kept."""
    found = _listed(org)
    if as_json:
        show_json([_plain(name, one) for name, listed in found.items() for one in listed])
        return
    show_table(
        "Models",
        [
            {"organization": name, "model": one.name, "state": one.state, "dimensions": one.dimensions}
            | {"vectors": f"{one.vectors:,} of {one.chunks:,}", "coverage": f"{one.coverage:.0%}", "failed": one.failed}
            | {"a second": f"{one.per_second:.1f}", "left": duration(one.seconds_left)}
            for name, listed in found.items()
            for one in listed
        ],
    )
    for name, listed in found.items():
        for one in listed:
            if one.note:
                errors.print(f"[yellow]{escape(name)}: {escape(one.name)}: {escape(one.note)}", soft_wrap=True)


def reindex(
    model: Annotated[str, typer.Option("--model", help="The model whose vectors are to be made.")],
    org: Everybody = None,
    activate: Annotated[bool, typer.Option(help="Search reads it once it is complete and not worse.")] = True,
    wait: Annotated[bool, typer.Option(help="Wait until it is complete, and show how far it is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the vectors of another model beside the active one, and activate it when it is complete and not worse.

    A worker makes them; search reads the old ones meanwhile, and edits are embedded for both. Repeated, or after a
    crash, it goes on where it was. Not worse means: the organization's own questions (`atum kb questions`), where it
    has some, are answered as well, within 0.01. The old model is kept for a week: `atum kb use` goes back at once.
    """
    if not model.strip():
        raise InvalidInput("--model is empty: name the model, such as BAAI/bge-small-en-v1.5.")
    with errors.status(f"trying {model}"):
        dimensions = builds.check(model)
    started = []
    for name, organization in _ids(org).items():
        with database.transaction(organization) as connection:
            active = builds.listed(connection, organization)[0]
            if org is None and active.name == model:
                continue
            builds.start(connection, organization, model, dimensions, activate=activate)
            started.append(name)
    if not started:
        raise InvalidInput(f"{model} is the active model of every organization already.")
    if wait:
        for name in started:
            _wait(name, model)
    if as_json:
        show_json([_plain(name, one) for name in started for one in _listed(name)[name] if one.name == model])
        return
    if wait:
        for name in started:
            one = next((one for one in _listed(name)[name] if one.name == model), None)
            state = one.state if one else "cancelled"
            console.print(f"{escape(name)}: {escape(model)} is {state}", highlight=False)
    else:
        console.print(f"{len(started)} organizations: {escape(model)} is being built.", highlight=False)
        console.print("A worker makes the vectors; `atum kb models` tells how far it is.", highlight=False)


def use(model: Name, org: Organization) -> None:
    """Let search read another model's vectors, from now on: one that is complete. This is also the way back."""
    with database.transaction(_ids(org)[org]) as connection:
        builds.use(connection, _ids(org)[org], model)
    console.print(f"{escape(org)}: search reads {escape(model)} now.", highlight=False)


def cancel(model: Name, org: Organization) -> None:
    """Give up a model beside the active one, with its vectors."""
    with database.transaction(_ids(org)[org]) as connection:
        builds.cancel(connection, _ids(org)[org], model)
    console.print(f"{escape(org)}: the vectors of {escape(model)} are gone.", highlight=False)


def questions_(
    org: Organization,
    queries: Annotated[Path | None, typer.Option(help="JSONL: id, text, answerable. Replaces what was there.")] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="TSV: query_id, article_id, grade (0 no, 1 helps, 2 answers).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The questions by which another model is judged before search reads it: put those of two files, or show them."""
    organization = _ids(org)[org]
    if (queries is None) != (qrels is None):
        raise InvalidInput("--queries and --qrels go together.")
    with database.transaction(organization) as connection:
        if queries is not None and qrels is not None:
            asked = questions.Questions(judgements.read_queries(queries), judgements.read_grades(qrels))
            with connection.cursor() as cursor:
                cursor.execute("select external_id from articles where organization_id = %s", (organization,))
                there = {external_id for (external_id,) in cursor.fetchall()}
            strangers = judgements.check(list(asked.queries), {k: dict(v) for k, v in asked.grades.items()}, there)
            if strangers:
                errors.print(
                    f"{len(strangers)} graded articles are not in the help centre, {min(strangers)} for one.",
                    style="yellow", soft_wrap=True, markup=False,
                )  # fmt: skip
            questions.put(connection, organization, asked)
        found = questions.read(connection, organization)
    if as_json:
        show_json([asdict(query) | {"grades": found.grades[query.id]} for query in found.queries])
    elif queries is not None:
        console.print(f"{len(found.queries)} questions; they judge the next model.", highlight=False)
    else:
        show_table("Questions", [asdict(query) for query in found.queries])


def duration(seconds: float | None) -> str:
    """Seconds as people say them; nothing for None."""
    if seconds is None:
        return ""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _plain(name: str, one: ModelState) -> dict[str, object]:
    figures = asdict(one)
    return {
        "organization": name,
        "model": figures.pop("name"),
        "coverage": one.coverage,
        "seconds_left": one.seconds_left,
        **figures,
    }


def _ids(org: str | None) -> dict[str, UUID]:
    with database.transaction() as connection:
        names = [org] if org else organizations.names(connection)
        return {name: organizations.find(connection, name) for name in names}


def _listed(org: str | None) -> dict[str, list[ModelState]]:
    found = {}
    for name, organization in _ids(org).items():
        with database.transaction(organization) as connection:
            found[name] = builds.listed(connection, organization)
    return found


def _wait(name: str, model: str) -> None:
    started, hinted, first = time.monotonic(), False, None
    with progress() as bar:
        task = bar.add_task(f"{name}: {model}", total=None)
        while True:
            one = next((one for one in _listed(name)[name] if one.name == model), None)
            if one is None or one.state != "building" or (one.failed and one.failed == one.chunks - one.vectors):
                return
            first = one.vectors if first is None else first
            bar.update(task, total=one.chunks, completed=one.vectors)
            if one.vectors == first and not hinted and time.monotonic() - started > HINT_AFTER_SECONDS:
                errors.print(NOTHING_MOVES, style="yellow")
                hinted = True
            time.sleep(POLL_SECONDS)
