"""The articles of very many organizations, written in bulk: made-up words with the frequencies of a language, vectors
that gather around subjects. Few organizations are large and most are small, as they are.

Words are drawn by Zipf's law, each subject from its own part of the vocabulary and from what all use; a vector is its
subject's and as much of its own, so that the nearest are neither all alike nor all apart.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO, StringIO
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from psycopg2.extensions import connection as Connection
from rich.progress import Progress

SEED = 20261125
DIMENSIONS = 384
SUBJECTS = 400
COMMON, SPECIAL = 3_000, 300  # words that all subjects use, and of each its own
PLAIN_SHARE = 0.6  # of a chunk's words that are of the common ones
WORDS = (30, 140)
IN_ARTICLE = 7  # chunks
SPREAD = 1.0  # how long a vector's own part is, its subject's being 1
PART = 4_900  # chunks written at once, whole articles
_NAMES = UUID("b3c1f2a4-0000-4000-8000-000000000000")


@dataclass(frozen=True)
class Shelf:
    """An organization and the size of its knowledge base in chunks."""

    id: UUID
    chunks: int


@dataclass(frozen=True)
class Question:
    """Words as a customer puts them, and their vector."""

    text: str
    vector: NDArray[np.float32]


class Library:
    """All texts and vectors, the same in every run. `sizes`: the chunks of each organization."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self._random = np.random.default_rng(SEED)
        self._words = _vocabulary(COMMON + SUBJECTS * SPECIAL, self._random)
        self._subjects = _units(self._random.standard_normal((SUBJECTS, DIMENSIONS), dtype=np.float32))
        self._plain = _zipf(COMMON)
        self._special = _zipf(SPECIAL)

    def load(self, connection: Connection, progress: Progress) -> list[Shelf]:
        """Fill an installed, empty database. `connection` is a superuser's, in autocommit mode."""
        shelves = [Shelf(uuid5(_NAMES, str(number)), size) for number, size in enumerate(self.sizes)]
        task = progress.add_task(f"loading {sum(self.sizes):,} chunks", total=sum(self.sizes))
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into organizations (id, name) values (%s, %s)",
                [(str(shelf.id), f"Organization {number}") for number, shelf in enumerate(shelves)],
            )
            # Nobody is to index what is written here as if it were.
            cursor.execute("alter table articles disable trigger user")
            cursor.execute(
                "create temp table given (organization_id uuid, article_id uuid, ord int, title text, text text,"
                " sha bytea)"
            )
            for shelf in shelves:
                for first in range(0, shelf.chunks, PART):
                    self._write(cursor, shelf, first, min(PART, shelf.chunks - first))
                    progress.advance(task, min(PART, shelf.chunks - first))
            cursor.execute("alter table articles enable trigger user")
            progress.update(task, description="vacuum and checkpoint")
            cursor.execute("vacuum (analyze)")
            cursor.execute("checkpoint")
        progress.remove_task(task)
        return shelves

    def questions(self, count: int) -> Iterator[Question]:
        """Questions of eight words: half of them of one subject, half of those that all use."""
        random = np.random.default_rng(SEED + 1)
        for _ in range(count):
            subject = int(random.integers(SUBJECTS))
            plain = random.choice(COMMON, 4, p=self._plain)
            special = COMMON + subject * SPECIAL + random.choice(SPECIAL, 4, p=self._special)
            own = _units(random.standard_normal((1, DIMENSIONS), dtype=np.float32))[0]
            vector = _units((self._subjects[subject] + SPREAD * own)[None, :])[0]
            yield Question(" ".join(self._words[index] for index in (*plain, *special)), vector)

    def _write(self, cursor, shelf: Shelf, first: int, count: int) -> None:  # type: ignore[no-untyped-def]
        random = self._random
        # An article is of one subject.
        subjects = np.repeat(random.integers(SUBJECTS, size=count // IN_ARTICLE + 1), IN_ARTICLE)[:count]
        own = _units(random.standard_normal((count, DIMENSIONS), dtype=np.float32))
        vectors = _units(self._subjects[subjects] + SPREAD * own)
        rows, packed = StringIO(), BytesIO()
        packed.write(b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0))
        articles = {}
        for index in range(count):
            number = first + index
            article = uuid5(shelf.id, str(number // IN_ARTICLE))
            length = int(random.integers(*WORDS))
            title, text = self._text(int(subjects[index]), 5), self._text(int(subjects[index]), length)
            title = articles.setdefault(article, title)
            sha = hashlib.sha256(f"{shelf.id} {number}".encode()).digest()
            rows.write(f"{shelf.id}\t{article}\t{number % IN_ARTICLE}\t{title}\t{text}\t\\\\x{sha.hex()}\n")
            vector = struct.pack("!hh", DIMENSIONS, 0) + vectors[index].astype(">f2").tobytes()
            packed.write(struct.pack("!h", 4))
            for value in (shelf.id.bytes, struct.pack("!h", 1), sha, vector):
                packed.write(struct.pack("!i", len(value)) + value)
        packed.write(struct.pack("!h", -1))
        rows.seek(0)
        packed.seek(0)
        cursor.execute("truncate given")
        cursor.copy_expert("copy given from stdin", rows)
        cursor.execute(
            "insert into articles (id, organization_id, external_id, title, body_md)"
            " select distinct on (given.article_id) article_id, organization_id, article_id::text, title, text"
            " from given"
            " order by given.article_id, ord"
        )
        cursor.execute(
            "insert into chunks (organization_id, article_id, ord, heading_path, text, token_count, chunk_sha,"
            " article_revision, is_navigation, config, tsv, words)"
            " select organization_id, article_id, ord, '{}', text, 200, sha, 1, false, 'english', tsv, chunk_words(tsv)"
            " from given, chunk_tsv('english', title, '{}', text) as tsv"
        )
        cursor.copy_expert(
            "copy embeddings (organization_id, model_id, chunk_sha, embedding) from stdin binary", packed
        )

    def _text(self, subject: int, length: int) -> str:
        plain = self._random.choice(COMMON, length, p=self._plain)
        special = COMMON + subject * SPECIAL + self._random.choice(SPECIAL, length, p=self._special)
        chosen = np.where(self._random.random(length) < PLAIN_SHARE, plain, special)
        return " ".join(self._words[index] for index in chosen)


def skewed(organizations: int, chunks: int) -> list[int]:
    """Sizes as Zipf has them: the second organization has half of the first one's chunks, the third a third."""
    shares = 1 / np.arange(1, organizations + 1)
    return [max(1, round(chunks * share / shares.sum())) for share in shares]


def _zipf(size: int) -> NDArray[np.float64]:
    weights = 1 / (np.arange(size) + 3.0)
    return weights / weights.sum()


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _vocabulary(size: int, random: np.random.Generator) -> list[str]:
    """So many different words of two to four syllables."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    words: dict[str, None] = {}
    while len(words) < size:
        chosen = random.integers(len(syllables), size=random.integers(2, 5))
        words.setdefault("".join(syllables[index] for index in chosen) + "k")
    return list(words)
