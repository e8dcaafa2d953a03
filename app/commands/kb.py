"""`atum kb`: help centres in, questions answered, how the index stands."""

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from app import bell
from app.commands import kb_models
from app.commands.kb_models import HINT_AFTER_SECONDS
from app.commands.organization import CreateOrg, named, of_import
from app.output import AsJson, console, errors, progress, show_json, show_table
from desk import database, organizations
from desk.kb import importing, search, status

app = typer.Typer(no_args_is_help=True, help="The knowledge base: import a help centre, search it, see how it stands.")

kb_models.register(app)

Organization = Annotated[str, typer.Option("--org", help="The organization's name.")]

WORD = re.compile(r"\w+")
SHORTEST_SHOWN = 3  # letters of a word of the question that is worth a colour
POLL_SECONDS = 0.3


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A folder of .md, .html and .txt files, or a .jsonl file.")],
    org: Organization,
    create_org: CreateOrg = True,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Take the good ones of a source with bad ones.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until a worker has made all of it searchable.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import a help centre: a folder of Markdown, HTML and text, or JSONL with
    id,title,body_md[,category,lang,visibility,status].

    Takes all of it or nothing, unless --skip-bad. Articles that say the same as before are not touched. In a folder
    the category is the subfolder, the id the path without its ending, the title the first heading, of plain text the
    first line; a front matter, in HTML <meta name= content=>, may say otherwise.
    """
    reading = importing.read(path, skip_bad=skip_bad)
    organization = of_import(org, create_org)
    outcome = importing.put(organization, reading)
    if outcome.changed:
        bell.ring("kb")
    if wait:
        _wait(organization)
    if as_json:
        show_json(asdict(outcome))
        return
    console.print(f"{outcome.taken} articles taken, {outcome.changed} of them new or changed", highlight=False)
    for refusal in outcome.refused:
        errors.print(f"refused {refusal.where}: {refusal.reason}", style="yellow", markup=False, soft_wrap=True)
    if outcome.changed and not wait:
        console.print("A worker makes them searchable; `atum kb status` tells how far it is.", highlight=False)


@app.command("status")
def status_(
    org: Annotated[str | None, typer.Option("--org", help="The organization's name; default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """How each knowledge base stands: coverage, what is pending or dead and why, vectors, lag, pace, time left."""
    with database.transaction() as connection:
        names = [org] if org else organizations.names(connection)
        ids = {name: organizations.find(connection, name) for name in names}
    found = {}
    for name, organization in ids.items():
        with database.transaction(organization) as connection:
            found[name] = status.status(connection, organization)
    if as_json:
        show_json(
            [
                {"organization": name, "coverage": one.coverage, "seconds_left": one.seconds_left, **asdict(one)}
                for name, one in found.items()
            ]
        )
        return
    shown = ("published", "chunks", "vectors", "pending", "dead")
    rows = [
        {"organization": name, "coverage": f"{one.coverage:.0%}"}
        | {key: getattr(one, key) for key in shown}
        | {"lag": f"{one.lag_seconds:.0f} s", "a second": f"{one.articles_per_second:.1f}"}
        | {"left": kb_models.duration(one.seconds_left), "model": one.model}
        for name, one in found.items()
    ]
    show_table("Knowledge bases", rows)
    for name, one in found.items():
        for failure in one.failures:
            what = "dead" if failure.dead else f"attempt {failure.attempts} of 5"
            errors.print(f"[yellow]{escape(name)}: {escape(failure.external_id)} ({what}): {escape(failure.error)}")
        if not one.has_vectors:
            errors.print("Without pgvector search is by words alone: install it and run `atum init`.", style="yellow")
            break


@app.command("search")
def search_(
    text: Annotated[str, typer.Argument(help="A question, in any words.")],
    org: Organization,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many articles at the most.")] = 3,
    internal: Annotated[bool, typer.Option("--internal", help="Internal articles, too.")] = False,
    language: Annotated[str | None, typer.Option(help="Only articles in this language: en, pt-BR.")] = None,
    category: Annotated[str | None, typer.Option(help="Only articles of this category.")] = None,
    as_json: AsJson = False,
) -> None:
    """The articles that answer a question, best first, or none if none does."""
    organization = named(org)
    visibility = ("public", "internal") if internal else ("public",)
    with database.transaction(organization) as connection:
        hits = search(
            connection, organization, text, top=top, visibility=visibility, language=language, category=category
        )
    if as_json:
        show_json([asdict(hit) for hit in hits])
        return
    if not hits:
        console.print("Nothing relevant.")
    for position, hit in enumerate(hits, start=1):
        where = " › ".join([hit.title, *(heading for heading in hit.heading_path if heading != hit.title)])
        console.print(f"[bold]{position}. {escape(where)}[/] [dim]{escape(hit.external_id)} {hit.score:.2f}[/]")
        console.print(_excerpt(hit.excerpt, text), "", sep="\n", highlight=False)
    if hits and hits[0].similarity is None:
        errors.print("By words alone: there are no vectors here. `atum doctor` says why.", style="yellow")


def _excerpt(excerpt: str, question: str) -> Padding:
    """The words that answer, those of the question among them in bold."""
    shown = Text(" ".join(excerpt.split()))
    asked = {word.casefold() for word in WORD.findall(question) if len(word) >= SHORTEST_SHOWN}
    for word in WORD.finditer(shown.plain):
        if word[0].casefold() in asked:
            shown.stylize("bold green", *word.span())
    return Padding(shown, (0, 0, 0, 3))


def _wait(organization: UUID) -> None:
    """Wait until nothing is pending, with a progress bar, and a hint if nothing moves."""
    with progress() as bar:
        task = bar.add_task("indexing", total=None)
        most = moved_at = 0.0
        before, hinted = -1, False
        while True:
            with database.transaction(organization) as connection:
                left = status.left(connection, organization)
            most = max(most, left)
            if left != before:
                before, moved_at = left, time.monotonic()
            if not hinted and time.monotonic() - moved_at > HINT_AFTER_SECONDS:
                errors.print(kb_models.NOTHING_MOVES, style="yellow")
                hinted = True
            bar.update(task, total=most, completed=most - left)
            if not left:
                return
            time.sleep(POLL_SECONDS)
