"""From the commit of an edit, by the API, which rings, and by SQL, until search finds it; the worker is idle."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from uuid import UUID

from fastapi.testclient import TestClient
from rich.progress import Progress

from app.web.application import build
from bench.kb import corpus
from bench.kb.desk import desk, wait
from bench.kb.line import Line
from bench.row import quantile
from desk import database, kb
from desk.embedded import EmbeddedServer
from desk.kb import articles, status
from desk.kb.articles import Article

ARTICLES = 96
EDITS = 20  # a round, of each way
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
        waits: dict[str, list[list[float]]] = {"api": [], "sql": []}
        with (
            place.worker() as worker,
            TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 50000)) as client,
        ):
            task = progress.add_task("freshness: indexing", total=2 * rounds * edits + 1)
            wait(lambda: indexed(organization), "the help centre is indexed", worker.check)
            words = (f"zw{number:06}" for number in count(1))
            ways = {"api": lambda page: by_api(client, page), "sql": lambda page: by_sql(organization, page)}
            for _ in range(rounds):
                for way in waits:
                    waits[way].append([])
                for _ in range(edits):
                    for way, edit in ways.items():
                        progress.update(task, description="freshness", advance=1)
                        time.sleep(dice.uniform(0.3, LONGEST_IDLE_SECONDS))  # the moment of an edit
                        word = next(words)
                        edit(with_section(dice.choice(pages), word))
                        waits[way][-1].append(seconds_until_found(organization, word))
        with place.worker():
            word = next(words)
            by_sql(organization, with_section(pages[0], word))
            first = seconds_until_found(organization, word)
            progress.update(task, advance=1)
    for way, text in (("api", "an edit of a section by the API until search shows it"), ("sql", "the same by SQL")):
        values = waits[way]
        yield Line(f"{way}_p50_s", f"{text}: median of {edits} edits", "s", [quantile(one, 0.5) for one in values])
        yield Line(f"{way}_p95_s", f"{text}: 95 of 100", "s", [quantile(one, 0.95) for one in values], 3, 1)
    yield Line("first_s", "the first edit of a worker that has just started: it loads the model", "s", [first])


def indexed(organization: UUID) -> bool:
    """Whether nothing is left to do."""
    with database.transaction(organization) as connection:
        return status.left(connection, organization) == 0


def with_section(page: Article, word: str) -> Article:
    """The page with one more section, which has a word of its own."""
    news = f"## Reference {word}\n\nThe part with the number {word} is kept in the north store."
    return replace(page, body_md=f"{page.body_md}\n\n{news}")


def by_api(client: TestClient, page: Article) -> None:
    """Committed when it returns, and idle workers are woken."""
    body = {"title": page.title, "body_md": page.body_md, "category": page.category}
    answer = client.put(f"/api/v1/articles/{page.external_id}", params={"org": "Acme"}, json=body)
    assert answer.status_code == 200, answer.text


def by_sql(organization: UUID, page: Article) -> None:
    """Committed when it returns; nobody rings."""
    with database.transaction(organization) as connection:
        articles.put_all(connection, organization, [page])


def seconds_until_found(organization: UUID, word: str) -> float:
    """Ask for the word's section until it is found."""
    began = time.monotonic()

    def found() -> bool:
        with database.transaction(organization) as connection:
            hits = kb.search(connection, organization, f"where is the part {word} kept", top=100)
        return any(word in hit.passage for hit in hits)  # whether it is the best one is another bench's question

    wait(found, f"search finds {word}", pause_seconds=0.01, longest_seconds=60)
    return time.monotonic() - began
