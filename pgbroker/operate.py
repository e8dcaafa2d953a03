"""Operating the queues while they run: pause, resume, cancel.

Each function takes a broker's `connections` and commits before it returns. What is paused stays so, whatever is
restarted, until somebody resumes it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pgbroker.connections import Connections, rows
from pgbroker.errors import UnknownMessage
from pgbroker.statements import sql

Cancellation = Literal["cancelled", "asked its worker"]


def pause(connections: Connections, queue_name: str) -> None:
    """Let nobody claim from a queue. What runs goes on to its end; what is sent waits. A paused one stays as it is.

    Any name will do: a queue may be paused before its first message.
    """
    connections.execute(sql("pause"), {"queue_name": queue_name})


def resume(connections: Connections, queue_name: str) -> None:
    """Let workers claim from a queue again. One that is not paused stays as it is."""
    connections.execute(sql("resume"), {"queue_name": queue_name})


def paused(connections: Connections) -> dict[str, datetime]:
    """The paused queues by name, each with the instant since when (aware)."""
    return dict(connections.execute(sql("paused")))


def cancel(connections: Connections, ids: Sequence[str]) -> dict[str, Cancellation]:
    """Cancel messages, given their ids as text; what happened to each.

    `cancelled`: it waited and is a dead letter with the reason `cancelled` now. `asked its worker`: it runs; its worker
    interrupts it with its next beat, and it becomes such a dead letter unless it ends before. An interrupt cannot stop
    a call into C code, only what follows it.

    Raises:
        UnknownMessage: one of them neither waits nor runs; nothing was changed.
    """
    wanted = [_checked(message_id) for message_id in ids]
    with connections.transaction() as connection:
        found = dict(rows(connection, sql("cancel"), {"ids": wanted}))
        missing = [message_id for message_id in wanted if message_id not in found]
        if missing:
            known = rows(connection, sql("whereabouts"), {"id": missing[0]})
            where = known[0][0] if known else "is unknown"
            raise UnknownMessage(f"Message {missing[0]} {where}; only one that waits or runs can be cancelled. "
                                 "Nothing was changed.")  # fmt: skip
    return {message_id: found[message_id] for message_id in wanted}


def _checked(message_id: str) -> str:
    try:
        return str(UUID(message_id))
    except ValueError:
        raise UnknownMessage(f"{message_id!r} is no message id. Nothing was changed.") from None
