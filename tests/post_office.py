"""A real mail server on this machine, in the test's hand: it goes away, comes back, refuses, and holds its answer."""

import asyncio
import logging
import socket
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

logging.getLogger("mail.log").setLevel(logging.ERROR)  # it tells every step


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class PostOffice:
    """`mails`: all that it took, in order. `refusals`: address to the answer that it gets instead of 250.

    While `held` is set it has read a mail and keeps the sender waiting for the answer; `holding` says that it does.
    """

    def __init__(self, *, encryption: ssl.SSLContext | None = None, password: str | None = None) -> None:
        self.port = free_port()
        self.mails: list[EmailMessage] = []
        self.refusals: dict[str, str] = {}
        self.held = threading.Event()
        self.holding = threading.Event()
        self._encryption = encryption
        self._password = password
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def open(self) -> None:
        more: dict[str, Any] = {}
        if self._encryption:
            more |= {"tls_context": self._encryption}
        if self._password:
            more |= {"authenticator": self._authenticate, "auth_require_tls": False, "auth_required": True}
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **more)
        self._controller.start()

    def close(self) -> None:
        if self._controller:
            self._controller.stop()
            self._controller = None

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"] == address]

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: Any, data: Any) -> AuthResult:
        return AuthResult(success=data.password.decode() == self._password, handled=False)

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        while self.held.is_set():
            self.holding.set()
            await asyncio.sleep(0.01)
        return "250 OK"
