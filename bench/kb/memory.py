"""Memory of a real worker process while it indexes 10,000 chunks of four organizations at once."""

from collections.abc import Iterator
from statistics import median

from rich.progress import Progress

from bench.kb import corpus
from bench.kb.desk import desk, wait
from bench.kb.line import Line
from desk import database
from desk.embedded import EmbeddedServer
from desk.kb import articles, status

CHUNKS = 10_000
ORGANIZATIONS = 4  # more than the passes that run at once
MEGABYTE = 1_000_000


def measure(server: EmbeddedServer, scale: float, rounds: int, progress: Progress) -> Iterator[Line]:
    """The lines of this row; it is long, so it runs once."""
    with desk(server) as place:
        organizations = [place.organization(f"Organization {number}") for number in range(ORGANIZATIONS)]
        written = corpus.articles_of_chunks(max(200, round(CHUNKS * scale)))
        samples: list[tuple[int, int]] = []  # articles left, resident bytes

        with place.worker() as worker:
            empty = worker.resident_bytes()
            for number, organization in enumerate(organizations):
                with database.transaction(organization) as connection:
                    articles.put_all(connection, organization, written[number::ORGANIZATIONS])
            task = progress.add_task("memory", total=len(written))

            def left() -> int:
                total = 0
                for organization in organizations:
                    with database.transaction(organization) as connection:
                        total += status.left(connection, organization)
                return total

            def look() -> None:
                worker.check()
                samples.append((left(), worker.resident_bytes()))
                progress.update(task, completed=len(written) - samples[-1][0])

            wait(lambda: samples and samples[-1][0] == 0, "everything is indexed", look, pause_seconds=0.5)
            seconds = worker.cpu_seconds()
        chunks = 0
        for organization in organizations:
            with database.transaction(organization) as connection:
                found = status.status(connection, organization)
            assert (found.coverage, found.dead) == (1.0, 0), found
            assert found.vectors == found.chunks, found
            chunks += found.chunks
    peak = max(size for _, size in samples) / MEGABYTE
    text = f"the worker's most memory (RSS) in {chunks:,} chunks of {ORGANIZATIONS} organizations"
    yield Line("peak_mb", text, "MB", [peak], 700, 500, digits=0)
    yield Line("flat", "the last quarter of the way, × the second", "×", [_flat(samples, len(written))], 1.1, 1.02)
    yield Line("empty_mb", "the same process before its first message", "MB", [empty / MEGABYTE], digits=0)
    text = "CPU of a chunk in the worker, everything included"
    yield Line("all_ms", text, "ms", [seconds * 1000 / chunks], digits=1)


def _flat(samples: list[tuple[int, int]], articles_: int) -> float:
    """Memory near the end over memory near the beginning, when everything that is loaded once has been."""

    def during(first: float, last: float) -> float:
        sizes = [size for left, size in samples if first <= 1 - left / articles_ < last]
        return median(sizes or [size for _, size in samples])

    return during(0.75, 1.01) / during(0.25, 0.5)
