"""The labelled tickets of an organization: what triage learns from, and nothing else.

A label is what a person set: a category, a priority, tags, an intent. What triage or an escalation set is never one.
Vectors that are missing are made first, in batches, outside any transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np

from desk import database
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import vectors
from desk.tickets.vectors import Vectors

NEWEST = 10_000  # labels that count


@dataclass(frozen=True)
class Labelled:
    """Labelled tickets, the oldest first; all lists in one order. A category, priority or intent is None where no
    person gave it; tags are None where triage added some, [] where a person left the ticket without. `newest_label` is
    the latest instant of a label."""

    ids: list[str]
    texts: list[str]
    categories: list[str | None]
    priorities: list[str | None]
    tags: list[list[str] | None]
    intents: list[str | None]
    vectors: Vectors
    newest_label: datetime | None

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, keep: list[int]) -> "Labelled":
        """Those at these positions."""
        return Labelled(
            [self.ids[i] for i in keep],
            [self.texts[i] for i in keep],
            [self.categories[i] for i in keep],
            [self.priorities[i] for i in keep],
            [self.tags[i] for i in keep],
            [self.intents[i] for i in keep],
            self.vectors[keep],
            self.newest_label,
        )

    @property
    def with_category(self) -> list[int]:
        """The positions of those whose category a person set."""
        return [i for i, category in enumerate(self.categories) if category]

    @property
    def with_priority(self) -> list[int]:
        """The positions of those whose priority a person set."""
        return [i for i, priority in enumerate(self.priorities) if priority]

    @property
    def with_tags(self) -> list[int]:
        """The positions of those whose tags people chose, or that they left without, from the first on that has any.

        What is older than the first was labelled when nobody gave tags, and says nothing about them.
        """
        known = [i for i, tags in enumerate(self.tags) if tags is not None]
        return known[next((place for place, i in enumerate(known) if self.tags[i]), len(known)) :]

    @property
    def with_intent(self) -> list[int]:
        """The positions of those whose intent a person set."""
        return [i for i, intent in enumerate(self.intents) if intent]


@dataclass(frozen=True)
class Version:
    """What there is to learn from; `digest` changes when a label comes, goes or changes."""

    count: int
    with_vector: int
    newest_label: datetime | None
    digest: Any


def version(organization_id: UUID, *, newest: int = NEWEST) -> Version:
    """The state of the organization's labels, read at once."""
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.triage", "labelled_version"), _key(organization_id, newest))
        return Version(*cursor.fetchone())  # type: ignore[misc]  # an aggregate has one row


def read(organization_id: UUID, *, newest: int = NEWEST) -> Labelled:
    """The newest labelled tickets with their vectors, which are made where they are missing.

    Raises:
        ModelUnavailable: vectors are missing and there is no model.
    """
    found = version(organization_id, newest=newest)
    if found.with_vector < found.count:
        vectors.embed_missing(organization_id, newest=newest)
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.triage", "labelled"), _key(organization_id, newest) | {"longest": vectors.LOOKED_AT}
        )
        ids, subjects, bodies, categories, priorities, tags, intents, packed = cursor.fetchone()  # type: ignore[misc]
    if ids is None:
        return Labelled([], [], [], [], [], [], np.empty((0, 0), dtype=np.float32), found.newest_label)
    texts = [vectors.text_of(subject, body) for subject, body in zip(subjects, bodies, strict=True)]
    found_vectors = vectors.unpack(packed, len(ids))
    return Labelled(ids, texts, categories, priorities, tags, intents, found_vectors, found.newest_label)


def _key(organization_id: UUID, newest: int) -> dict[str, Any]:
    return {"organization_id": organization_id, "model": embedding.model_name(), "newest": newest}
