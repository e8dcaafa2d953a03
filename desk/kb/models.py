"""Which model's vectors are in use. The database says it, once for all processes; they must be configured alike."""

from psycopg2.extensions import connection as Connection

from desk.errors import ModelUnavailable
from desk.kb import embedding


def active_id(connection: Connection) -> int:
    """The id of the active model, which is the one this process is configured with.

    Raises:
        ModelUnavailable: this process is configured with another model than the vectors were made with.
    """
    with connection.cursor() as cursor:
        cursor.execute("select id, name from active_model(%s, %s)", (embedding.model_name(), embedding.DIMENSIONS))
        identifier, name = cursor.fetchone()  # type: ignore[misc]  # there is always one
    if name != embedding.model_name():
        raise ModelUnavailable(
            f"The vectors in this database are {name}'s, but ATUM_EMBED_MODEL is {embedding.model_name()}. "
            f"Set ATUM_EMBED_MODEL={name}."
        )
    return identifier


def has_vectors(connection: Connection) -> bool:
    """Whether this database has pgvector and our table of vectors."""
    with connection.cursor() as cursor:
        cursor.execute("select to_regclass('public.embeddings') is not null")
        return bool(cursor.fetchone()[0])  # type: ignore[index]
