"""Posting a webhook, as the Standard Webhooks specification (standardwebhooks.com) has it: signed, one id per notice.

The address is checked when the connection is made, and the connection goes to the very address that was checked: a
name that answers differently the second time changes nothing. Redirects are not followed, the bodies of answers are not
read, and all of it ends within `DEADLINE_SECONDS`, however slowly a server drips.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_address
from threading import Thread
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpcore2

from desk.errors import DeliveryFailed, DeliveryRefused
from desk.notices.document import key_of
from desk.notices.reach import Reach
from desk.notices.wording import one_line
from desk.settings import settings

DEADLINE_SECONDS = 15.0
STEP_TIMEOUT_SECONDS = 10.0
LONGEST_RETRY_AFTER_SECONDS = 3_600.0
_TRY_AGAIN = (408, 425, 429)


@dataclass(frozen=True)
class Post:
    """A post that is ready to leave, to the webhook `name`."""

    id: UUID
    name: str
    url: str
    secret: str = field(repr=False)
    body: bytes

    @property
    def host(self) -> str:
        """Where it goes. The rest of the URL may be a secret, so messages name only this."""
        return urlsplit(self.url).hostname or ""


def body_of(notice: dict[str, Any]) -> bytes:
    """What a post says of a notification, a row of `sql/post.sql`, as JSON; always the same for the same one."""
    detail = notice["detail"]
    data = {
        "notification_id": notice["notification_id"],
        "organization": notice["organization"],
        "recipient": notice["recipient"],
        "ticket_id": notice["ticket_id"],
        "subject": detail.get("subject"),
        "priority": detail.get("priority"),
        "metric": notice["metric"],
        "cycle": notice["cycle"],
        "threshold": notice["threshold"],
        "due_at": detail.get("due_at"),
    }
    told = {"type": notice["kind"], "timestamp": notice["created_at"].astimezone(UTC).isoformat(), "data": data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(post: Post, at: datetime) -> dict[bytes | str, bytes | str]:
    """The headers of a post that leaves at `at`: id, instant, and the signature over both and the body."""
    stamp = str(int(at.timestamp()))
    signed = hmac.new(key_of(post.secret), f"{post.id}.{stamp}.".encode() + post.body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "atum-desk",
        "webhook-id": str(post.id),
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def send(post: Post) -> None:
    """Post it. When this returns, the receiver has answered 2xx.

    Raises:
        DeliveryFailed: it did not answer in time, or with 5xx, 408, 425 or 429 (perhaps with its Retry-After).
        DeliveryRefused: it answered anything else; or it is at an address that must not be reached.
    """
    reach = Reach.read(settings().webhooks_may_reach)
    try:
        status, headers = asyncio.run(_within(post, reach, DEADLINE_SECONDS))
    except TimeoutError:
        raise DeliveryFailed(f"{post.host} did not answer within {DEADLINE_SECONDS:g} seconds.") from None
    except httpcore2.TimeoutException:
        raise DeliveryFailed(f"{post.host} did not answer within {STEP_TIMEOUT_SECONDS:g} seconds.") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError, OSError) as error:
        raise DeliveryFailed(f"{post.host} cannot be reached: {_cause_of(error)}") from None
    judge(post.host, status, headers.get("retry-after"))


def judge(host: str, status: int, retry_after: str | None = None, now: datetime | None = None) -> None:
    """What an answer means. Pure.

    Raises:
        DeliveryFailed, DeliveryRefused: as `send` does.
    """
    if 200 <= status < 300:
        return
    if status >= 500 or status in _TRY_AGAIN:
        raise DeliveryFailed(f"{host} answered {status}.", _retry_after(retry_after, now or datetime.now(UTC)))
    if 300 <= status < 400:
        raise DeliveryRefused(f"{host} answered {status}, a redirect; redirects are not followed.")
    gone = " It is gone: take it out of the settings." if status == 410 else ""
    raise DeliveryRefused(f"{host} answered {status}.{gone}")


def _cause_of(error: BaseException) -> str:
    """The system's own words, below those of the libraries around it."""
    while (below := error.__cause__ or error.__context__) is not None and isinstance(below, OSError):
        error = below
    return one_line(getattr(error, "strerror", None) or str(error), 200) or type(error).__name__


def _retry_after(given: str | None, now: datetime) -> float | None:
    """Seconds, from seconds or a date; an hour at the most, None where it makes no sense."""
    if given is None:
        return None
    try:
        is_number = given.isascii() and given.strip().isdigit()
        seconds = float(given) if is_number else (parsedate_to_datetime(given) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 1.0), LONGEST_RETRY_AFTER_SECONDS)


async def _within(post: Post, reach: Reach, seconds: float) -> tuple[int, dict[str, str]]:
    parts = urlsplit(post.url)
    steps = dict.fromkeys(("connect", "read", "write", "pool"), STEP_TIMEOUT_SECONDS)
    pool = httpcore2.AsyncConnectionPool(
        ssl_context=_encryption(),
        network_backend=_Guarded(reach, encrypted=parts.scheme == "https"),
        max_connections=1,
        max_keepalive_connections=0,
    )
    async with asyncio.timeout(seconds):
        async with (
            pool,
            pool.stream(
                "POST",
                post.url,
                headers=headers_of(post, datetime.now(UTC)),
                content=post.body,
                extensions={"timeout": steps},
            ) as answer,
        ):
            # Its body is left unread: nothing in it could change what follows, and it may be endless.
            return answer.status, {name.decode().lower(): value.decode("latin-1") for name, value in answer.headers}


@cache
def _encryption() -> ssl.SSLContext:
    return ssl.create_default_context()


async def _looked_up(host: str, port: int) -> list[Any]:
    """What `socket.getaddrinfo` finds, asked in a thread that nobody waits for: while a name server hangs, the loop's
    own would hold up its end, whatever the deadline."""
    found: Future[list[Any]] = Future()
    found.set_running_or_notify_cancel()  # so that its result may come late

    def look() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            found.set_exception(error)

    Thread(target=look, name="webhook-lookup", daemon=True).start()
    return await asyncio.wrap_future(found)


class _Guarded(httpcore2.AnyIOBackend):
    """Connects to addresses that have been checked, and to no other."""

    def __init__(self, reach: Reach, *, encrypted: bool) -> None:
        self._reach = reach
        self._encrypted = encrypted

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to `host`, if none of its addresses is one that must not be reached."""
        addresses = await self._checked(host, port)
        for last, address in zip([*[False] * (len(addresses) - 1), True], addresses, strict=True):
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if last:
                    raise
        raise AssertionError("unreachable")

    async def _checked(self, host: str, port: int) -> list[str]:
        try:
            found = await _looked_up(host, port)
        except (OSError, UnicodeError) as error:
            raise DeliveryFailed(f"The name {host} cannot be looked up: {one_line(str(error), 100)}") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for text in addresses:
            address = ip_address(text.partition("%")[0])
            objection = self._reach.objection(host, address)
            if objection:
                raise DeliveryRefused(f"{objection}.")
            if not self._encrypted and not self._reach.allows(host, address):
                raise DeliveryRefused(f"{host} is outside the installation's own networks, where only https:// goes.")
        return addresses
