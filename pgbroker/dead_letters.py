"""What failed for good: look at it, send it again, throw it away. How long it is kept: `pgbroker.retention`.

Each function takes a broker's `connections`; `ids` are message ids as text.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pgbroker.connections import Connections, rows
from pgbroker.errors import MessageRefused, UnknownDeadLetter
from pgbroker.statements import sql

logger = logging.getLogger(__name__)


def listed(connections: Connections, *, actor: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The newest dead letters: id, died_at, actor, queue, reason, error, tenant, deliveries, retries."""
    return connections.records(sql("dead_list"), {"actor": actor, "limit": limit})


def shown(connections: Connections, message_id: str) -> dict[str, Any]:
    """All of one dead letter: as in `listed`, and priority, created_at, message, traceback, and in history each
    attempt's error with when it began and ended (the newest fifty events).

    Raises:
        UnknownDeadLetter: it is none.
    """
    found = connections.records(sql("dead_show"), {"ids": _checked([message_id])})
    if not found:
        raise UnknownDeadLetter(f"There is no dead letter {message_id}.")
    return found[0]


def retry(connections: Connections, ids: Sequence[str] | None = None, *, actor: str | None = None) -> list[str]:
    """Send these again, or all, or all of an actor; the ids of those that were sent.

    They keep their id, tenant, unique_key and run_key; retries and age are counted from zero, and they are due now. Of
    messages with one unique_key only one may wait: what cannot be sent for that reason stays a dead letter, which is a
    warning in the log.

    Raises:
        UnknownDeadLetter: one of `ids` is none; nothing was changed.
        MessageRefused: one of `ids` would have to stay; nothing was changed.
    """
    with connections.transaction() as connection:
        found = rows(connection, sql("dead_retry"), {"ids": _checked(ids), "actor": actor})
        _all_there(ids, [row[0] for row in found])
        stay = [(message_id, key) for message_id, sent, key in found if not sent]
        if stay and ids is not None:
            message_id, key = stay[0]
            why = f"only one message with the unique_key {key!r} may wait" if key else "it is in the queue already"
            raise MessageRefused(f"Dead letter {message_id} cannot be sent again: {why}. Nothing was changed.")
    if stay:
        logger.warning("%d dead letters stay: only one message with their unique_key may wait", len(stay))
    return [message_id for message_id, sent, _ in found if sent]


def discard(connections: Connections, ids: Sequence[str] | None = None, *, actor: str | None = None) -> list[str]:
    """Throw these away, or all, or all of an actor; their ids.

    Raises:
        UnknownDeadLetter: one of `ids` is none; nothing was changed.
    """
    with connections.transaction() as connection:
        gone = [row[0] for row in rows(connection, sql("dead_discard"), {"ids": _checked(ids), "actor": actor})]
        _all_there(ids, gone)
        return gone


def _all_there(ids: Sequence[str] | None, found: list[str]) -> None:
    for message_id in _checked(ids) or ():
        if message_id not in found:
            raise UnknownDeadLetter(f"There is no dead letter {message_id}. Nothing was changed.")


def _checked(ids: Sequence[str] | None) -> list[str] | None:
    if ids is None:
        return None
    checked = []
    for message_id in ids:
        try:
            checked.append(str(UUID(message_id)))
        except ValueError:
            raise UnknownDeadLetter(f"{message_id!r} is no message id; `dead list` shows them.") from None
    return checked
