"""From the commit of an edit until search finds it, with an idle worker process."""

import random
import time
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from rich.progress import Progress

from bench.kb import corpus
from bench.kb.desk import desk, wait
from bench.kb.line import Line
from bench.row import quantile
from desk import database, kb
from desk.embedded import EmbeddedServer
from desk.kb import articles, status
from desk.kb.articles import Article

ARTICLES = 96
EDITS = 20  # a round
LONGEST_IDLE_SECONDS = 1.5
SEED = 20_261_125


def measure(server: EmbeddedServer, scale: float, rounds: int, progress: Progress) -> Iterator[Line]:
    """The lines of this row: percentiles of each round's edits."""
    dice = random.Random(SEED)
    edits = max(5, round(EDITS * scale))
    with desk(server) as place:
        organization = place.organization("Acme")
        pages = list(islice(corpus.articles(), ARTICLES))
        with database.transaction(organization) as connection:
            articles.put_all(connection, organization, pages)
        with place.worker() as worker:
            task = progress.add_task("freshness: indexing", total=rounds * edits + 1)
            wait(lambda: indexed(organization), "the help centre is indexed", worker.check)
            waits = []
            for number in range(rounds):
                waits.append([])
                for edit in range(edits):
                    progress.update(task, description="freshness", advance=1)
                    time.sleep(dice.uniform(0.3, LONGEST_IDLE_SECONDS))  # the moment of the edit, for an idle worker
                    waits[-1].append(seconds_until_found(organization, dice.choice(pages), number * edits + edit))
        with place.worker() as worker:
            first = seconds_until_found(organization, pages[0], rounds * edits)
            progress.update(task, advance=1)
    text = f"an edit of one section until search shows it, {edits} edits a round, {ARTICLES} articles"
    yield Line("p50_s", f"{text}: median", "s", [quantile(one, 0.5) for one in waits])
    yield Line("p95_s", "the same: 95 of 100", "s", [quantile(one, 0.95) for one in waits], 3, 1)
    yield Line("worst_s", "the same: the slowest", "s", [max(one) for one in waits])
    yield Line("first_s", "the first edit of a worker that has just started: it loads the model", "s", [first])


def indexed(organization: UUID) -> bool:
    """Whether nothing is left to do."""
    with database.transaction(organization) as connection:
        return status.left(connection, organization) == 0


def seconds_until_found(organization: UUID, page: Article, number: int) -> float:
    """Add a section with a word of its own, and ask for it until it is found."""
    word = f"zw{number:06}"
    body = f"{page.body_md}\n\n## Reference {word}\n\nThe part with the number {word} is kept in the north store."
    with database.transaction(organization) as connection:
        articles.put(
            connection, organization, external_id=page.external_id, title=page.title, body_md=body,
            category=page.category, visibility="public",
        )  # fmt: skip
    began = time.monotonic()

    def found() -> bool:
        with database.transaction(organization) as connection:
            hits = kb.search(connection, organization, f"where is the part {word} kept", top=1)
        return bool(hits) and word in hits[0].passage

    wait(found, f"search finds {word}", pause_seconds=0.01)
    return time.monotonic() - began
