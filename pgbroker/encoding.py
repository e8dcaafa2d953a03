"""A Dramatiq message as a row of the queue, and back.

Everything that Postgres or Dramatiq would refuse later is refused here, while the sender can still do something about
it.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from dramatiq.common import q_name
from dramatiq.encoder import JSONEncoder
from dramatiq.message import Message, get_encoder

from pgbroker.errors import MessageRefused, NotAMessage

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DOUBTFUL = re.compile(r"\\u0000|\\u[dD][89a-fA-F]|NaN|Infinity")
_LARGEST_DELAY_MS = 10 * 366 * 86_400_000
_INT4 = 2**31
_EXPECTED = {"actor_name": str, "args": tuple, "kwargs": dict, "options": dict, "message_timestamp": int}
_COPY_SPECIAL = re.compile(r"[\\\t\n\r]")
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FIELDS = tuple(field.name for field in fields(Message))
_NUMBER = (int, float)
_usual = json.JSONEncoder(separators=(",", ":")).encode
_TEXT_OR_NONE = (str, type(None))
_TEXT_OPTIONS = {"unique_key", "tenant", "run_key"}
_LONGEST_TEXT_BYTES = 2_000  # an entry of an index holds 2,704 with all its columns


class Row(NamedTuple):
    """A message as the queue's columns take it; `text` is the message in JSON."""

    message_id: str
    queue_name: str
    priority: int
    delay_ms: float
    unique_key: str | None
    tenant: str | None
    run_key: str | None
    run_at_most: int | None
    text: str

    def parameters(self) -> dict[str, Any]:
        """For `sql/send_one.sql`."""
        return self._asdict()

    def json(self) -> str:
        """For `sql/send.sql`, as an element of its array."""
        columns = self._asdict()
        del columns["text"]
        return json.dumps(columns)[:-1] + ', "message": ' + self.text + "}"

    def line(self) -> str:
        """For `sql/send_copy.sql`."""
        message_id, queue_name, priority, _, _, tenant, run_key, run_at_most, text = self
        limit = "\\N" if run_at_most is None else run_at_most
        return (
            f"{message_id}\t{_copied(queue_name)}\tqueued\t{priority}\t{_copied(tenant)}\t{_copied(run_key)}\t{limit}\t"
            f"{_copied(text)}\n"
        )


class Rows:
    """The rows of many messages, each made by `make` when it is first asked for, and kept. The messages are drawn from
    their iterable as late as that."""

    def __init__(self, messages: Iterable[Message[Any]], make: Callable[[Message[Any]], Row]) -> None:
        self._coming = iter(messages)
        self._make = make
        self.messages: list[Message[Any]] = []  # those that were drawn
        self.made: list[Row] = []

    def all(self) -> list[Row]:
        """Every row, in the messages' order. Raises MessageRefused."""
        self.next(None)
        return self.made

    def next(self, how_many: int | None) -> list[Row]:
        """The next rows, at most so many of them. Raises MessageRefused."""
        drawn = list(islice(self._coming, how_many))
        made = [self._make(message) for message in drawn]
        self.messages += drawn
        self.made += made
        return made

    def queue_names(self) -> set[str]:
        """The queues of those that were made."""
        return {row.queue_name for row in self.made}


def row_of(
    message: Message[Any], delay_ms: float | None, actor_options: dict[str, Any], priority: int, largest_bytes: int
) -> Row:
    """`message` as a row of the queue. `priority` is its actor's, which its own option overrules.

    Raises:
        MessageRefused: it could not be stored or not be read again; the text names the actor and the reason.
    """

    def refuse(reason: str) -> MessageRefused:
        return MessageRefused(f"A message for {message.actor_name!r} cannot be sent: {reason}")

    options = message.options
    delay = delay_ms or 0
    if isinstance(delay, bool) or not isinstance(delay, _NUMBER) or not 0 <= delay <= _LARGEST_DELAY_MS:
        raise refuse(f"its delay must be 0 to {_LARGEST_DELAY_MS} milliseconds, but it is {delay!r}.")
    priority = options.get("priority", priority)
    if isinstance(priority, bool) or not isinstance(priority, int) or not -_INT4 <= priority < _INT4:
        raise refuse(f"its priority must be a whole number of 32 bits, but it is {priority!r}.")
    for option in _TEXT_OPTIONS & options.keys():
        if not isinstance(options[option], _TEXT_OR_NONE):
            raise refuse(f"its {option} must be text, but it is {options[option]!r}.")
        if (size := len((options[option] or "").encode("utf-8", "replace"))) > _LONGEST_TEXT_BYTES:
            raise refuse(f"its {option} takes {size:,} bytes, {_LONGEST_TEXT_BYTES:,} are allowed. Use a hash of it.")
    if not _is_uuid(message.message_id):
        raise refuse(f"its id must be a UUID, but it is {message.message_id!r}.")
    run_at_most = actor_options.get("run_at_most")
    run_key = options.get("run_key") or (message.actor_name if run_at_most else None)
    queue_name = q_name(message.queue_name)
    if queue_name != message.queue_name or "eta" in options:
        message = message.copy(queue_name=queue_name)
        message.options.pop("eta", None)  # the row's run_at says when

    try:
        encoded = _encoded({name: getattr(message, name) for name in _FIELDS})
    except (TypeError, ValueError, RecursionError) as error:
        raise refuse(f"JSON cannot hold it ({error}).") from None
    if len(encoded) > largest_bytes:
        raise refuse(f"it takes {len(encoded):,} bytes, {largest_bytes:,} are allowed. Store the data and send its id.")
    try:
        text = _checked(encoded)
    except ValueError as error:
        raise refuse(f"{error}.") from None
    return Row(
        message.message_id, queue_name, priority, delay, options.get("unique_key"), options.get("tenant"),
        run_key, (run_at_most or 1) if run_key else None, text,
    )  # fmt: skip


def message_of(text: str | None, message_id: str, queue_name: str) -> Message[Any]:
    """The message in a row. The row's id and queue win over what the text says.

    Raises:
        NotAMessage: the text is no Dramatiq message; the error says why.
    """
    try:
        decoded = get_encoder().decode((text or "null").encode())
        if isinstance(decoded["args"], str | dict):
            raise NotAMessage("args is no list")
        found: Message[Any] = Message(**(decoded | {"queue_name": queue_name, "message_id": message_id}))
    except NotAMessage:
        raise
    except Exception as error:
        raise NotAMessage(f"{type(error).__name__}: {error}") from error
    for name, kind in _EXPECTED.items():
        if not isinstance(getattr(found, name), kind):
            raise NotAMessage(f"{name} is no {kind.__name__}")
    found.options.pop("eta", None)  # Dramatiq would keep the message in memory until then; it is due already
    return found


def storable(text: str, limit: int) -> str:
    """`text` as Postgres takes it: without NUL or lone surrogates, and its end only where it is longer than `limit`."""
    if len(text) > limit:
        text = "… " + text[2 - limit :]
    return text.replace("\x00", "␀").encode("utf-8", "replace").decode("utf-8")


def changes_of(message: Message[Any]) -> Any:
    """What of a stored message changed while it was processed, as JSON: its options, or all of it where the encoder
    hides them. A value that the database could not hold is replaced by its text; arguments stay as they were sent."""
    bare = replace(message, args=(), kwargs={})
    options = {}
    for name, value in message.options.items():
        try:
            _json(replace(bare, options={name: value}))
            options[name] = value
        except (TypeError, ValueError, RecursionError):
            options[name] = storable(str(value), 10_000)
    encoded = _json(replace(bare, options=options))
    if isinstance(encoded, dict) and "options" in encoded:
        return {"options": encoded["options"]}
    return _json(replace(message, options=options))


def _json(message: Message[Any]) -> Any:
    return json.loads(_checked(message.encode()))


def _encoded(values: dict[str, Any]) -> str | bytes:
    """As Dramatiq's encoder has it: text in ASCII where it is the usual one, which is made but once here."""
    encoder = get_encoder()
    return _usual(values) if type(encoder) is JSONEncoder else encoder.encode(values)


def _checked(encoded: str | bytes) -> str:
    """`encoded` as text that jsonb takes. Raises ValueError with the reason."""
    if isinstance(encoded, bytes):
        if encoded[:1] not in b'{["0123456789-tfn':
            raise ValueError("its encoder does not produce JSON")
        encoded = encoded.decode("utf-8")
    text = encoded
    if _DOUBTFUL.search(text):
        if _NUL.search(text):
            raise ValueError("it holds a NUL character, which Postgres cannot store")
        try:
            json.dumps(json.loads(text), allow_nan=False, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("it holds half a character (a lone surrogate)") from None
        except ValueError:
            raise ValueError("it holds NaN or an infinity, which JSON does not have") from None
    return text


def _is_uuid(text: Any) -> bool:
    if isinstance(text, str) and _UUID.fullmatch(text):
        return True
    try:
        UUID(text)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


def _copied(value: str | None) -> str:
    """A value as COPY's text format has it."""
    if value is None:
        return "\\N"
    return value.translate(_COPY_ESCAPES) if _COPY_SPECIAL.search(value) else value
