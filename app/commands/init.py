"""`atum init`: the schema."""

from app.install import Installed, declare_actors, install
from app.output import AsJson, errors, progress, show_json
from desk import database

_REMEDIES = {
    "vector": "Without pgvector search is by words alone. Get it (`apt install postgresql-17-pgvector`, "
    "`brew install pgvector`, or the image pgvector/pgvector:pg17), or let a superuser run `create extension vector`; "
    "then run `atum init` again."
}


def init(as_json: AsJson = False) -> None:
    """Create the schema, or bring it up to date; say what is missing.

    Safe to run twice and by several at once. Connects as ATUM_OWNER_URL where that is set: who migrates needs `create`
    on the database and may make roles; the login of the workers needs neither.
    """
    with progress() as bar:
        task = bar.add_task("schema", total=2)
        installed = install()
        bar.update(task, description="actors", completed=1)
        actors = declare_actors()
        bar.update(task, completed=2)
    if as_json:
        show_json({"applied": installed.applied, "waiting": installed.waiting, "actors": actors})
    else:
        tell(installed, actors)


def tell(installed: Installed, actors: list[str]) -> None:
    """What was done and what could not be, on standard error."""
    for name in installed.applied:
        errors.print(f"applied  {name}", highlight=False)
    if not installed.applied:
        place = database.describe(database.owner_url())
        errors.print(f"The schema in {place} is up to date.", markup=False, highlight=False, soft_wrap=True)
    for name, extension in installed.waiting.items():
        errors.print(f"waiting  {name}: it needs the extension {extension}", style="yellow", highlight=False)
    for extension in sorted(set(installed.waiting.values())):
        remedy = _REMEDIES.get(extension, f"Install {extension}, then run `atum init` again.")
        errors.print(remedy, style="yellow", highlight=False, soft_wrap=True)
    errors.print(f"{len(actors)} actors are declared.", highlight=False)
