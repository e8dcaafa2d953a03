"""An organization's categories in its own words: a name, a description, phrases as customers write them.

Where no ticket has a label yet, the nearest description answers: a suggestion at most, never with more confidence than
`LOW`. A retired category is never answered and not learnt from. A document of `atum tickets categories set` is

    [{"name": "delivery", "description": "Parcels that are late or lost", "examples": ["where is my order"]}, …]
"""

import json
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass
from threading import Lock
from typing import Any
from uuid import UUID

import numpy as np
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor, execute_values

from desk import database
from desk.errors import InvalidInput, NotFound
from desk.kb import embedding
from desk.sql import statement
from desk.tickets import store, vectors
from desk.tickets.vectors import Vectors

LOW = 0.4  # the most that a description is ever sure of
MOST = 10_000
MOST_EXAMPLES = 50
KEPT = 64  # organizations whose descriptions a process keeps


@dataclass(frozen=True)
class Category:
    """A category as a person described it."""

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()

    @property
    def phrases(self) -> list[str]:
        """What is embedded of it."""
        return [f"{self.name}: {self.description}" if self.description else self.name, *self.examples]


@dataclass(frozen=True)
class Described:
    """The categories of an organization that are not retired; `owners` says whose each of `vectors` is."""

    names: list[str]
    owners: list[int]
    vectors: Vectors

    def nearest(self, vector: Vectors, without: Container[str] = ()) -> tuple[str, float] | None:
        """The category with the nearest phrase and its cosine; those in `without` do not count. None: there is none."""
        if not self.names:
            return None
        for at in np.argsort(-(self.vectors @ vector), kind="stable"):
            name = self.names[self.owners[int(at)]]
            if name not in without:
                return name, float(self.vectors[at] @ vector)
        return None


def read(text: str) -> list[Category]:
    """The categories of a JSON document.

    Raises:
        InvalidInput: it is none; the message names the place.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The document is no JSON: {error}.") from None
    if not isinstance(given, list) or len(given) > MOST:
        raise InvalidInput(f"The document must be a list of at most {MOST:,} categories.")
    found: dict[str, Category] = {}
    for place, entry in enumerate(given, 1):
        category = _category(f"category {place}", entry)
        if category.name in found:
            raise InvalidInput(f"category {place}: the name {category.name!r} is there twice.")
        found[category.name] = category
    return list(found.values())


def put(connection: Connection, organization_id: UUID, categories: list[Category]) -> None:
    """Replace the organization's descriptions in the caller's transaction. One that is described is retired no more;
    what was retired and is not named stays so."""
    rows = [(organization_id, one.name, one.description, list(one.examples)) for one in categories]
    with connection.cursor() as cursor:
        cursor.execute(
            "delete from triage_categories where organization_id = %s and (not retired or name = any(%s))",
            (organization_id, [one.name for one in categories]),
        )
        execute_values(
            cursor,
            "insert into triage_categories (organization_id, name, description, examples) values %s",
            rows,
            template="(%s, %s, %s, %s::text[])",
        )


def retire(connection: Connection, organization_id: UUID, name: str) -> None:
    """Never answer this category again, in the caller's transaction.

    Raises:
        NotFound: no ticket has it, and it is not described.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.triage", "retire_category"), {"organization_id": organization_id, "name": name}
        )
        if cursor.rowcount == 0:
            raise NotFound(f"There is no category {name[:80]!r}; `atum tickets categories list` tells which there are.")


def listed(connection: Connection, organization_id: UUID) -> list[dict[str, Any]]:
    """Every category that is described or that a labelled ticket has: its words, whether it is retired, how many
    tickets a person gave it to."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.tickets.triage", "categories"), {"organization_id": organization_id})
        return [dict(row) for row in cursor.fetchall()]


_kept: OrderedDict[tuple[UUID, str], tuple[Any, Described]] = OrderedDict()
_guard = Lock()


def described(organization_id: UUID) -> Described:
    """What the organization's descriptions say, with vectors; those that are missing are made and stored.

    Raises:
        ModelUnavailable: some are missing and there is no model.
    """
    key = (organization_id, embedding.model_name())
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*), max(set_at), count(*) filter (where retired) from triage_categories"
            " where organization_id = %s",
            (organization_id,),
        )
        mark = cursor.fetchone()
    with _guard:
        known = _kept.get(key)
    if known and known[0] == mark:
        return known[1]
    found = _read(*key)
    with _guard:
        _kept[key] = (mark, found)
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return found


def _read(organization_id: UUID, model: str) -> Described:
    with database.transaction(organization_id) as connection, connection.cursor() as cursor:
        cursor.execute(
            "select name, description, examples, case when embed_model = %s then vectors end from triage_categories"
            " where organization_id = %s and not retired order by name",
            (model, organization_id),
        )
        rows = [(Category(name, text, tuple(examples)), packed) for name, text, examples, packed in cursor.fetchall()]
    if not rows:
        return Described([], [], np.empty((0, 0), dtype=np.float32))
    missing = [one for one, packed in rows if packed is None]
    made = iter(embedding.embed([phrase for one in missing for phrase in one.phrases]))
    fresh = {one.name: np.stack([next(made) for _ in one.phrases]) for one in missing}
    if fresh:
        with database.transaction(organization_id) as connection, connection.cursor() as cursor:
            execute_values(
                cursor,
                statement("desk.tickets.triage", "keep_category_vectors"),
                [(organization_id, one.name, one.description, list(one.examples), model,
                  b"".join(vectors.pack(vector) for vector in fresh[one.name])) for one in missing],
                template="(%s::uuid, %s, %s, %s::text[], %s, %s::bytea)",
            )  # fmt: skip
    parts = [fresh[one.name] if one.name in fresh else vectors.unpack(packed, len(one.phrases)) for one, packed in rows]
    owners = [place for place, part in enumerate(parts) for _ in part]
    return Described([one.name for one, _ in rows], owners, np.concatenate(parts))


def _category(where: str, given: Any) -> Category:
    if not isinstance(given, dict) or not set(given) <= {"name", "description", "examples"}:
        raise InvalidInput(f"{where}: it must be an object with name, description, examples.")
    name, description, examples = given.get("name"), given.get("description", ""), given.get("examples", [])
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f"{where}: name is missing or empty.")
    if not isinstance(description, str):
        raise InvalidInput(f"{where}: description must be a text.")
    if not isinstance(examples, list) or len(examples) > MOST_EXAMPLES or not all(isinstance(e, str) for e in examples):
        raise InvalidInput(f"{where}: examples must be a list of at most {MOST_EXAMPLES} texts.")
    for field, text in (("name", name), ("description", description), *(("examples", text) for text in examples)):
        try:
            store.check_text(field, text, store.LONGEST_NAME if field == "name" else store.LONGEST_SUBJECT)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}.") from None
    return Category(name.strip(), description.strip(), tuple(text.strip() for text in examples if text.strip()))
