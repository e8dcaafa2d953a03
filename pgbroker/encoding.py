"""A Dramatiq message as a row of the queue, and back.

Everything that Postgres or Dramatiq would refuse later is refused here, while the sender can still do something about
it.
"""

import json
import re
from typing import Any
from uuid import UUID

from dramatiq.common import q_name
from dramatiq.errors import DecodeError
from dramatiq.message import Message

from pgbroker.errors import MessageRefused, NotAMessage

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DOUBTFUL = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity")
_LARGEST_DELAY_MS = 10 * 366 * 86_400_000
_INT4 = 2**31


def row_of(message: Message[Any], delay_ms: float | None, default_priority: int, largest_bytes: int) -> str:
    """`message` as the JSON object that `sql/send.sql` reads.

    Raises:
        MessageRefused: it could not be stored or not be read again; the text names the actor and the reason.
    """

    def refuse(reason: str) -> MessageRefused:
        return MessageRefused(f"A message for {message.actor_name!r} cannot be sent: {reason}")

    delay = delay_ms or 0
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LARGEST_DELAY_MS:
        raise refuse(f"its delay must be 0 to {_LARGEST_DELAY_MS} milliseconds, but it is {delay!r}.")
    priority = message.options.get("priority", default_priority)
    if isinstance(priority, bool) or not isinstance(priority, int) or not -_INT4 <= priority < _INT4:
        raise refuse(f"its priority must be a whole number of 32 bits, but it is {priority!r}.")
    for option in ("unique_key", "tenant"):
        if not isinstance(message.options.get(option), str | None):
            raise refuse(f"its {option} must be text, but it is {message.options[option]!r}.")
    try:
        UUID(message.message_id)
    except (ValueError, AttributeError, TypeError):
        raise refuse(f"its id must be a UUID, but it is {message.message_id!r}.") from None
    queue_name = q_name(message.queue_name)
    if queue_name != message.queue_name or "eta" in message.options:
        message = message.copy(queue_name=queue_name)
        message.options.pop("eta", None)  # the row's run_at says when

    try:
        encoded = message.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise refuse(f"JSON cannot hold it ({error}).") from error
    if len(encoded) > largest_bytes:
        raise refuse(f"it takes {len(encoded):,} bytes, {largest_bytes:,} are allowed. Store the data and send its id.")
    fields = {
        "message_id": message.message_id,
        "queue_name": queue_name,
        "priority": priority,
        "delay_ms": delay,
        "unique_key": message.options.get("unique_key"),
        "tenant": message.options.get("tenant"),
    }
    try:
        text = _checked(encoded)
    except ValueError as error:
        raise refuse(f"{error}.") from error
    return json.dumps(fields)[:-1] + ', "message": ' + text + "}"


def message_of(text: str | None, message_id: str, queue_name: str) -> Message[Any]:
    """The message in a row. The row's id and queue win over what the text says.

    Raises:
        NotAMessage: the text is no Dramatiq message; the error says why.
    """
    try:
        found: Message[Any] = Message.decode((text or "null").encode())
    except DecodeError as error:
        raise NotAMessage(f"{type(error.error).__name__}: {error.error}") from error
    expected = {"actor_name": str, "args": tuple, "kwargs": dict, "options": dict}
    for name, kind in expected.items():
        if not isinstance(getattr(found, name), kind):
            raise NotAMessage(f"{name} is no {kind.__name__}")
    if not isinstance(found.message_timestamp, int):
        raise NotAMessage("message_timestamp is no int")
    if isinstance(json.loads(text or "null").get("args"), str | dict):
        raise NotAMessage("args is no list")
    found = found.copy(queue_name=queue_name, message_id=message_id)
    found.options.pop("eta", None)  # Dramatiq would keep the message in memory until then; it is due already
    return found


def storable(text: str, limit: int) -> str:
    """`text` as Postgres takes it: without NUL or lone surrogates, and its end only where it is longer than `limit`."""
    if len(text) > limit:
        text = "… " + text[2 - limit :]
    return text.replace("\x00", "␀").encode("utf-8", "replace").decode("utf-8")


def storable_options(options: dict[str, Any]) -> dict[str, Any]:
    """`options` with every value that the database could not hold replaced by its text."""
    kept = {}
    for name, value in options.items():
        try:
            _checked(json.dumps(value).encode())
            kept[name] = value
        except (TypeError, ValueError):
            kept[name] = storable(str(value), 10_000)
    return kept


def _checked(encoded: bytes) -> str:
    """`encoded` as text that jsonb takes. Raises ValueError with the reason."""
    text = encoded.decode("utf-8")
    if encoded[:1] not in b'{["0123456789-tfn':
        raise ValueError("its encoder does not produce JSON")
    if _DOUBTFUL.search(encoded):
        if _NUL.search(text):
            raise ValueError("it holds a NUL character, which Postgres cannot store")
        try:
            json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it holds half a character (a lone surrogate)") from None
        except ValueError:
            raise ValueError("it holds NaN or an infinity, which JSON does not have") from None
    return text
