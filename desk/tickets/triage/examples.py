"""What triage knows of an organization, kept per process; nothing of it serves another organization.

Where a stored model is active (`triage_models`), that: every worker has the same, and a new version is seen at the
next message. Where none is, as with few labels, a fit made here of the newest labels: it is used again until labels
change, and then for at least `REST` times as long as it took. That costs a busy desk five per cent of one core at the
most, and a new label counts within half a minute.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk import database
from desk.kb import embedding
from desk.tickets.triage import label_names, labelled, triage_models
from desk.tickets.triage.classifier import Classifier
from desk.tickets.triage.priority_model import PriorityModel
from desk.tickets.triage.tag_model import TagModel

NEWEST = 5_000
REST = 20
KEPT = 16  # organizations of which a process keeps what it knows: some 40 MB each at 5,000 labels


@dataclass(frozen=True)
class Learnt:
    """The stored models of an organization that have no fit of a process in their place, each with the ids of the
    tickets that it counts, in its order."""

    version: tuple[Any, ...] = ()
    by_tag: TagModel | None = None
    tag_ids: list[str] = field(default_factory=list)
    by_intent: Classifier | None = None
    intent_ids: list[str] = field(default_factory=list)


@dataclass
class Examples:
    """The labelled tickets of one organization, in the order of `classifier` (None where labels do not suffice).

    `model_version` is that of the stored model, None for a fit of this process. `by_priority` tells priorities apart.
    """

    version: tuple[Any, ...]
    ids: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    priorities: list[str | None] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    classifier: Classifier | None = None
    by_priority: PriorityModel | None = None
    model_version: int | None = None
    learnt: Learnt = field(default_factory=Learnt)
    fresh_until: float = 0.0


_kept: OrderedDict[tuple[UUID, str], Examples] = OrderedDict()
_locks: dict[UUID, Lock] = {}
_guard = Lock()


def of(organization_id: UUID, active: dict[str, int] | None = None) -> Examples:
    """What is known of this organization's triage.

    `active` is the version of the active model for each question, as `triage_models.active_versions` says; it is read
    where it is not given.

    Raises:
        ModelUnavailable: vectors are missing and there is no model.
    """
    key = (organization_id, embedding.model_name())
    if active is None:
        with database.transaction(organization_id) as connection:
            active = triage_models.active_versions(connection, organization_id)
    with _guard:
        lock = _locks.setdefault(organization_id, Lock())
    with lock:  # several threads with tickets of one organization: one fits, the others wait for it
        known = _kept.get(key)
        found = _stored(organization_id, active, known) if "category" in active else None
        found = found or _fitted(organization_id, known)
        found.learnt = _learnt(organization_id, active, known.learnt if known else Learnt())
        with _guard:
            _kept[key] = found
            _kept.move_to_end(key)
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return found


def _stored(organization_id: UUID, active: dict[str, int], known: Examples | None) -> Examples | None:
    """By the stored model; None where it cannot be read."""
    version = tuple((what, active.get(what)) for what in ("category", "priority"))
    if known and known.version == version:
        return known
    with database.transaction(organization_id) as connection:
        return _load(connection, organization_id, active, version)


def _load(
    connection: Connection, organization_id: UUID, active: dict[str, int], version: tuple[Any, ...]
) -> Examples | None:
    read = _read(connection, organization_id, "category", active["category"], Classifier.loads)
    if read is None:
        return None
    stored, classifier = read
    ids = [str(ticket_id) for ticket_id in stored.ticket_ids]
    now = triage_models.as_labelled_now(connection, organization_id, ids)
    by_priority = None
    if "priority" in active:
        read_too = _read(connection, organization_id, "priority", active["priority"], PriorityModel.loads)
        by_priority = read_too[1] if read_too else None
    gone: tuple[str | None, str | None, list[str], str | None] = (None, None, [], None)
    rows = [now.get(ticket_id, gone) for ticket_id in ids]
    return Examples(
        version,
        ids,
        [category or "" for category, *_ in rows],
        [priority for _, priority, *_ in rows],
        [tags for _, _, tags, _ in rows],
        classifier,
        by_priority,
        active["category"],
    )


def _read(
    connection: Connection,
    organization_id: UUID,
    what: str,
    version: int,
    loads: Callable[[bytes], triage_models.Model],
) -> tuple[triage_models.Stored, triage_models.Model] | None:
    """As `triage_models.read`; where it says None, a message to learn anew is sent."""
    found = triage_models.read(connection, organization_id, what, version, loads)
    if found is None:
        triage_models.send_retraining(connection, organization_id)
    return found


def _learnt(organization_id: UUID, active: dict[str, int], known: Learnt) -> Learnt:
    version = tuple((what, active.get(what)) for what in ("tags", "intent"))
    if known.version == version or (not known.version and not {"tags", "intent"} & active.keys()):
        return known
    by_tag, by_intent = None, None
    tag_ids: list[str] = []
    intent_ids: list[str] = []
    with database.transaction(organization_id) as connection:
        if "tags" in active:
            tags = _read(connection, organization_id, "tags", active["tags"], TagModel.loads)
            if tags:
                tag_ids, by_tag = [str(ticket_id) for ticket_id in tags[0].ticket_ids], tags[1]
        if "intent" in active:
            read = _read(connection, organization_id, "intent", active["intent"], Classifier.loads)
            if read:
                intent_ids, by_intent = [str(ticket_id) for ticket_id in read[0].ticket_ids], read[1]
    return Learnt(version, by_tag, tag_ids, by_intent, intent_ids)


def _fitted(organization_id: UUID, known: Examples | None) -> Examples:
    if known and known.model_version is None and time.monotonic() < known.fresh_until:
        return known
    version = labelled.version(organization_id, newest=NEWEST)
    mark = (version.count, version.digest)
    if known and known.version == mark:
        return known
    started = time.monotonic()
    found = _fit(labelled.read(organization_id, newest=NEWEST), mark)
    now = time.monotonic()
    found.fresh_until = now + REST * (now - started) if known else now
    return found


def _fit(everything: labelled.Labelled, version: tuple[Any, ...]) -> Examples:
    usable = everything.where(everything.with_category)
    categories = [str(category) for category in usable.categories]
    found = Examples(version, usable.ids, categories, usable.priorities, [tags or [] for tags in usable.tags])
    if len(set(categories)) > 1:
        names = label_names.of(categories)
        found.classifier = Classifier.fit(usable.texts, usable.vectors, categories, names)
    ranked = everything.where(everything.with_priority)
    if PriorityModel.can_learn(ranked.priorities):
        found.by_priority = PriorityModel.fit(ranked.vectors, [str(priority) for priority in ranked.priorities])
    return found


def forget() -> None:
    """Forget everything: the next call reads it anew."""
    with _guard:
        _kept.clear()
