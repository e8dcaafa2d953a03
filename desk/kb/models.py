"""Which models' vectors an organization has. The database says it, once for all processes.

Search reads those of the active one: the organization's choice, else the installation's, which a process must be
configured with. Beside it there may be others (`builds`): being made, or kept to be switched to.
"""

from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from desk.errors import ModelUnavailable
from desk.kb import embedding


@dataclass(frozen=True)
class Model:
    """A model as the vectors know it."""

    id: int
    name: str


def active(connection: Connection) -> Model:
    """The model that search reads, of the organization that this transaction works for.

    Raises:
        ModelUnavailable: it is the installation's, and this process is configured with another.
    """
    found = _active(connection, None) or _active(connection, embedding.dimensions())
    assert found is not None  # with dimensions there is always one
    identifier, name, chosen = found
    if not chosen and name != embedding.model_name():
        raise ModelUnavailable(
            f"The vectors in this database are {name}'s, but ATUM_EMBED_MODEL is {embedding.model_name()}. "
            f"Set ATUM_EMBED_MODEL={name}."
        )
    return Model(identifier, name)


def active_id(connection: Connection) -> int:
    """The id of the active model.

    Raises:
        ModelUnavailable: as `active`.
    """
    return active(connection).id


def beside(connection: Connection) -> list[Model]:
    """The models beside the active one for which this organization's edits are embedded as well."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select m.id, m.name from model_builds b join models m on m.id = b.model_id"
            " where b.organization_id = current_organization() order by m.id"
        )
        return [Model(*row) for row in cursor.fetchall()]


def name_of(connection: Connection, model_id: int) -> str:
    """The name of the model with this id."""
    with connection.cursor() as cursor:
        cursor.execute("select name from models where id = %s", (model_id,))
        return cursor.fetchone()[0]  # type: ignore[index]  # ids come from the database


def has_vectors(connection: Connection) -> bool:
    """Whether this database has pgvector and our table of vectors."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('public.embeddings') is not null")
        return bool(cursor.fetchone()[0])  # type: ignore[index]


def _active(connection: Connection, dimensions: int | None) -> tuple[int, str, bool] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select id, name, nullif(current_setting('app.embed_model_id', true), '') is not null"
            " or exists (select from organization_settings"
            " where organization_id = current_organization() and embed_model_id is not null)"
            " from active_model(%s, %s)",
            (embedding.model_name(), dimensions),
        )
        return cursor.fetchone()
