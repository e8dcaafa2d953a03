"""What failed for good: look at it, send it again, throw it away.

Each function takes a broker's `connections`; `ids` are message ids as text. Raises UnknownDeadLetter where an id is
none, and then changes nothing.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pgbroker.connections import Connections, rows
from pgbroker.errors import UnknownDeadLetter
from pgbroker.statements import sql


def listed(connections: Connections, *, actor: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The newest dead letters: id, died_at, actor, queue, reason, error, tenant, deliveries, retries."""
    return connections.records(sql("dead_list"), {"actor": actor, "limit": limit})


def shown(connections: Connections, message_id: str) -> dict[str, Any]:
    """All of one dead letter, with its message, traceback and history."""
    found = connections.records(sql("dead_show"), {"id": _checked([message_id])[0]})
    if not found:
        raise UnknownDeadLetter(f"There is no dead letter {message_id}.")
    return found[0]


def retry(connections: Connections, ids: Sequence[str] | None = None, *, actor: str | None = None) -> list[str]:
    """Send these again, or all, or all of an actor; their ids. Their retries are counted from zero."""
    return _change(connections, "dead_retry", ids, actor)


def discard(connections: Connections, ids: Sequence[str] | None = None, *, actor: str | None = None) -> list[str]:
    """Throw these away, or all, or all of an actor; their ids."""
    return _change(connections, "dead_discard", ids, actor)


def _change(connections: Connections, statement: str, ids: Sequence[str] | None, actor: str | None) -> list[str]:
    wanted = None if ids is None else _checked(ids)
    with connections.transaction() as connection:
        changed = [row[0] for row in rows(connection, sql(statement), {"ids": wanted, "actor": actor})]
        missing = [message_id for message_id in wanted or () if message_id not in changed]
        if missing:
            raise UnknownDeadLetter(f"There is no dead letter {missing[0]}. Nothing was changed.")
        return changed


def _checked(ids: Sequence[str]) -> list[str]:
    checked = []
    for message_id in ids:
        try:
            checked.append(str(UUID(message_id)))
        except ValueError:
            raise UnknownDeadLetter(f"{message_id!r} is no message id; `dead list` shows them.") from None
    return checked
