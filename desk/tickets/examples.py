"""What an organization's people have labelled, fitted and kept per process; nothing of it serves another organization.

Only tickets whose category a person set, the newest `NEWEST`. Vectors that are missing are made first, in batches,
outside any transaction. A fit is used again until labels change, and then for at least `REST` times as long as it took:
fitting costs a busy desk five per cent of one core at the most, and a new label counts within half a minute.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any
from uuid import UUID

from desk import database
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import label_names, vectors
from desk.tickets.classifier import Classifier
from desk.tickets.lexical import LONGEST

NEWEST = 5_000
REST = 20
KEPT = 16  # organizations of which a process keeps its fit: some 40 MB each at 5,000 labels


@dataclass
class Examples:
    """The labelled tickets of one organization, in one order; no `classifier` where labels do not suffice."""

    version: tuple[Any, ...]
    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    priorities: list[str | None] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    classifier: Classifier | None = None
    found: vectors.Vectors | None = None
    fresh_until: float = 0.0

    @cached_property
    def by_priority(self) -> tuple[Classifier, list[int]] | None:
        """A classifier of priorities and the positions it learnt from; None where people have used only one."""
        usable = [i for i, priority in enumerate(self.priorities) if priority]
        if self.found is None or len({self.priorities[i] for i in usable}) < 2:
            return None
        texts = [self.texts[i] for i in usable]
        return Classifier.fit(texts, self.found[usable], [str(self.priorities[i]) for i in usable]), usable


_kept: OrderedDict[tuple[UUID, str], Examples] = OrderedDict()
_locks: dict[UUID, Lock] = {}
_guard = Lock()


def of(organization_id: UUID) -> Examples:
    """The examples of this organization, fitted.

    Raises:
        ModelUnavailable: vectors are missing and there is no model.
    """
    key = (organization_id, embedding.model_name())
    with _guard:
        lock = _locks.setdefault(organization_id, Lock())
    with lock:  # several threads with tickets of one organization: one fits, the others wait for it
        known = _kept.get(key)
        if known and time.monotonic() < known.fresh_until:
            return known
        count, with_vector, digest = _version(*key)
        if known and known.version == (count, digest):
            return known
        started = time.monotonic()
        if with_vector < count:
            vectors.embed_missing(organization_id, newest=NEWEST)
        examples = _load(organization_id, key[1], (count, digest))
        now = time.monotonic()
        examples.fresh_until = now + REST * (now - started) if known else now
        with _guard:
            _kept[key] = examples
            _kept.move_to_end(key)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return examples


def _version(organization_id: UUID, model: str) -> tuple[int, int, Any]:
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "examples_version"),
            {"organization_id": organization_id, "model": model, "newest": NEWEST},
        )
        count, with_vector, digest = cursor.fetchone()  # type: ignore[misc]  # an aggregate has one row
    return count, with_vector, digest


def _load(organization_id: UUID, model: str, version: tuple[Any, ...]) -> Examples:
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets", "examples"),
            {"organization_id": organization_id, "model": model, "newest": NEWEST, "longest": LONGEST},
        )
        ids, texts, categories, priorities, tags, packed = cursor.fetchone()  # type: ignore[misc]
    if ids is None:
        return Examples(version)
    found = vectors.unpack(packed, len(ids))
    classifier = (
        Classifier.fit(texts, found, categories, label_names.of(categories)) if len(set(categories)) > 1 else None
    )
    return Examples(version, ids, texts, categories, priorities, tags, classifier, found)
