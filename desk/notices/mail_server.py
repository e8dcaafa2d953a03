"""Reading ATUM_SMTP_URL: which mail server, as whom, and how the line is encrypted. Pure."""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from desk.errors import InvalidInput

_USUAL_PORTS = {"smtp": 25, "smtps": 465}
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class MailServer:
    """`tls`: implicit (from the first byte), starttls (asked for, and refused where the server has none) or none."""

    host: str
    port: int
    tls: Literal["implicit", "starttls", "none"]
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def read(cls, url: str) -> "MailServer":
        """`smtp://user:password@host:587?starttls=yes`, or `smtps://…` for TLS from the first byte.

        `starttls` is `yes` by default where there is a password, else `no`. A password goes over a plain line to this
        machine alone.

        Raises:
            InvalidInput: it cannot be used; the message never repeats it, since it may hold a password.
        """
        parts = urlsplit(url)
        if parts.scheme not in _USUAL_PORTS:
            raise InvalidInput("must begin with smtp:// or smtps://")
        try:
            host, port = parts.hostname, parts.port or _USUAL_PORTS[parts.scheme]
        except ValueError:
            raise InvalidInput("has a port that is no number (is a sign in the password not %-encoded?)") from None
        if not host or parts.path.strip("/") or parts.fragment:
            raise InvalidInput("must be smtp://user:password@host:port, the password with / and # as %2F and %23")
        if (parts.username is None) != (parts.password is None):
            raise InvalidInput("has a user without a password, or the reverse")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        wish = query.pop("starttls", "yes" if parts.password else "no")
        if query or wish not in ("yes", "no"):
            raise InvalidInput("takes one option, starttls=yes or starttls=no")
        tls: Literal["implicit", "starttls", "none"] = (
            "implicit" if parts.scheme == "smtps" else "starttls" if wish == "yes" else "none"
        )
        if tls == "none" and parts.password and host not in _LOCAL:
            raise InvalidInput("would send the password in the clear; leave out starttls=no")
        user = None if parts.username is None else unquote(parts.username)
        return cls(host, port, tls, user, None if parts.password is None else unquote(parts.password))
