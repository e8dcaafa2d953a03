"""Articles to measure with: the sample's help centre, as often as it takes, each time under other titles.

Its chunks are as long as a help centre's are, and no two copies share one, since a chunk begins with the title.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

from desk.kb import chunking, embedding, sources
from desk.kb.articles import Article

SAMPLE = Path(__file__).parents[2] / "app" / "sample" / "help-centre"


def articles() -> Iterator[Article]:
    """Articles without end, all different."""
    pages = sources.read(SAMPLE).articles
    for number in count(1):
        for page in pages:
            yield replace(
                page,
                external_id=f"{page.external_id}-{number}",
                title=f"{page.title} {number}",
                visibility="public",  # search is asked as a customer asks
            )


def articles_of_chunks(chunks: int) -> list[Article]:
    """So many articles that they have about `chunks` chunks."""
    pages = sources.read(SAMPLE).articles
    each = sum(len(chunking.split(page.title, page.body_md, embedding.token_counts)) for page in pages) / len(pages)
    return list(islice(articles(), round(chunks / each)))


def texts(number: int) -> list[str]:
    """What the model sees of `number` chunks, in the order of their articles."""
    return list(
        islice(
            (
                chunk.embedded
                for article in articles()
                for chunk in chunking.split(article.title, article.body_md, embedding.token_counts)
            ),
            number,
        )
    )
