"""Organizations by name. Any worker may look one up: the table holds names and nothing of anybody's."""

from uuid import UUID

from psycopg2.extensions import connection as Connection

from desk.errors import InvalidInput, NotFound

SHOWN = 10
LONGEST_NAME = 1_000  # characters; a request of the API could not name a longer one


def find(connection: Connection, name: str) -> UUID:
    """The id of the organization called `name`.

    Raises:
        NotFound: there is none; the message lists the names that exist.
    """
    with connection.cursor() as cursor:
        cursor.execute("select id from organizations where name = %s", (_checked(name),))
        row = cursor.fetchone()
        if row:
            return row[0]
        cursor.execute("select name from organizations order by name limit %s", (SHOWN + 1,))
        names = [found for (found,) in cursor.fetchall()]
    if not names:
        raise NotFound(f"There is no organization {name!r}, nor any other. An import that names it makes it.")
    known = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    raise NotFound(f"There is no organization {name!r}. There are: {known}.")


def find_or_create(connection: Connection, name: str) -> UUID:
    """The id of the organization called `name`, made if it is not there; two callers at once get the same one.

    Raises:
        InvalidInput: the name is empty, longer than LONGEST_NAME, or holds a NUL character.
    """
    name = _checked(name)
    if not name:
        raise InvalidInput("An organization's name must not be empty.")
    if len(name) > LONGEST_NAME:
        raise InvalidInput(f"An organization's name has at most {LONGEST_NAME:,} characters; this has {len(name):,}.")
    with connection.cursor() as cursor:
        cursor.execute("insert into organizations (name) values (%s) on conflict (name) do nothing", (name,))
        cursor.execute("select id from organizations where name = %s", (name,))
        return cursor.fetchone()[0]  # type: ignore[index]  # it was there or was just made


def names(connection: Connection) -> list[str]:
    """The names of all organizations, sorted.

    Raises:
        NotFound: there is none yet.
    """
    with connection.cursor() as cursor:
        cursor.execute("select name from organizations order by name")
        found = [name for (name,) in cursor.fetchall()]
    if not found:
        raise NotFound("There is no organization yet. `atum kb import PATH --org NAME` makes one.")
    return found


def name_of(connection: Connection, organization_id: UUID | str) -> str:
    """The name of the organization with this id.

    Raises:
        NotFound: there is none.
    """
    with connection.cursor() as cursor:
        cursor.execute("select name from organizations where id = %s", (identifier(organization_id, "organization"),))
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no organization with the id {organization_id}.")
    return row[0]


def all_ids(connection: Connection) -> list[UUID]:
    """The ids of all organizations."""
    with connection.cursor() as cursor:
        cursor.execute("select id from organizations order by id")
        return [found for (found,) in cursor.fetchall()]


def identifier(text: UUID | str, what: str) -> UUID:
    """`text` as a UUID; ids arrive as text in messages and requests.

    Raises:
        NotFound: it is no UUID, so nothing can have it.
    """
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise NotFound(f"There is no {what} with the id {str(text)[:80]!r}: that is not a UUID.") from None


def _checked(name: str) -> str:
    if "\x00" in name:
        raise InvalidInput("An organization's name must not hold a NUL character.")
    return name.strip()
