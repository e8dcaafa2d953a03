"""One article saved a hundred times within a second: how often its changed section goes through the model."""

import time
from collections.abc import Iterator
from uuid import UUID

from rich.progress import Progress

from bench.kb.desk import Worker, desk, wait
from bench.kb.freshness import indexed
from bench.kb.line import Line
from desk import database, kb
from desk.embedded import EmbeddedServer
from desk.kb import articles

SECTIONS = 12
SAVES = 100
SECONDS = 1.0


def measure(server: EmbeddedServer, scale: float, rounds: int, progress: Progress) -> Iterator[Line]:
    """The lines of this row."""
    with desk(server) as place:
        organization = place.organization("Acme")
        save(organization, "as it was")
        with place.worker() as worker:
            task = progress.add_task("saves", total=rounds)
            wait(lambda: indexed(organization) and at_rest(worker), "the article is indexed", worker.check)
            made, waits = [], []
            for number in range(rounds):
                before = embedded(worker)
                began = time.monotonic()
                for each in range(SAVES):
                    save(organization, f"edition {number}.{each}")
                    time.sleep(max(0.0, began + SECONDS * (each + 1) / SAVES - time.monotonic()))
                began = time.monotonic()
                last = f"edition {number}.{SAVES - 1}"

                def found(last: str = last) -> bool:
                    with database.transaction(organization) as connection:
                        hits = kb.search(connection, organization, "news: which edition", top=1)
                    return bool(hits) and hits[0].passage.endswith(last)

                wait(found, "search shows the last text", worker.check, pause_seconds=0.01)
                waits.append(time.monotonic() - began)
                wait(lambda: at_rest(worker), "the worker is idle", worker.check)
                made.append(embedded(worker) - before)
                progress.update(task, advance=1)
    text = f"an article of {SECTIONS} sections saved {SAVES} times in {SECONDS:g} s: embeddings of the changed one"
    yield Line("embeddings", text, "", made, 2, 2, digits=0)
    yield Line("most_embeddings", "the same: the worst round", "", [max(made)], 2, 2, digits=0)
    yield Line("until_found_s", "the last save until search shows it", "s", waits, 3, 1)


def save(organization: UUID, news: str) -> None:
    """Save the article with another text in its last section."""
    body = "\n\n".join(f"## Part {number}\n\nWhat to do about number {number}." for number in range(SECTIONS - 1))
    with database.transaction(organization) as connection:
        articles.put(
            connection, organization, external_id="a", title="Delivery", body_md=f"{body}\n\n## News\n\nThis is {news}"
        )


def embedded(worker: Worker) -> int:
    """How many chunks the worker has embedded, by its own words."""
    return sum(line["embedded"] for line in worker.told("articles_indexed"))


def at_rest(worker: Worker) -> bool:
    """Whether no message waits or runs, and the worker has told of all that it did."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "select (select count(*) from dramatiq.queue where queue_name = 'kb' and state in ('queued', 'consumed')),"
            " (select count(*) from pgbroker.finished where actor_name = 'index_articles')"
        )
        return cursor.fetchone() == (0, len(worker.told("articles_indexed")))
