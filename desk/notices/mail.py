"""Sending a mail over SMTP: once per call, with time limits, and each failure as one line.

A mail has the Message-ID of its dispatch: one that is sent again after a crash is known as the same by the receiver.
"""

import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

from desk.errors import DeliveryFailed, DeliveryRefused
from desk.notices.addresses import sender
from desk.notices.mail_server import MailServer
from desk.notices.wording import Letter, one_line, subject_of, text_of
from desk.settings import settings

STEP_TIMEOUT_SECONDS = 20.0  # of each answer; the actor's time limit bounds the whole
NO_SERVER = "No mail server is configured (ATUM_SMTP_URL)."
NO_SENDER = "No sender is configured (ATUM_MAIL_FROM, or mail.from of the organization)."
_LONGEST_REPLY = 200


@dataclass(frozen=True)
class Mail:
    """A mail that is ready to leave. `mail_from`: the organization's, if it names one; `made_at` is its date."""

    id: UUID
    address: str
    mail_from: str | None
    made_at: datetime
    letter: Letter


def server() -> MailServer:
    """The configured mail server.

    Raises:
        DeliveryRefused: there is none.
    """
    url = settings().smtp_url
    if url is None:
        raise DeliveryRefused(NO_SERVER)
    return MailServer.read(url.get_secret_value())


def message_of(mail: Mail) -> EmailMessage:
    """The mail as a message, always the same for the same mail.

    Raises:
        DeliveryRefused: nobody is named whom it could be from.
    """
    written_by = mail.mail_from or settings().mail_from
    if written_by is None:
        raise DeliveryRefused(NO_SENDER)
    address = sender(written_by)
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = address
    message["To"] = mail.address
    # As written: an encoded word of a customer's would be decoded, line breaks and all, into headers of its own.
    message["Subject"] = subject_of(mail.letter).replace("=?", "= ?")
    message["Date"] = format_datetime(mail.made_at)
    message["Message-ID"] = f"<{mail.id}@{address.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # no answer by a machine, please
    message.set_content(text_of(mail.letter))
    return message


def send(mail: Mail) -> None:
    """Hand a mail to the mail server. When this returns, the server has taken it.

    Raises:
        DeliveryFailed: the server is away, or asks to come back.
        DeliveryRefused: it refuses the address, the sender or the mail for good; there is no server, or no sender.
    """
    where, message = server(), message_of(mail)
    with _line(where) as line, _failures(where, mail.address):
        line.send_message(message, to_addrs=[mail.address])


def probe(where: MailServer, timeout_seconds: float = 5.0) -> None:
    """Go as far as a mail would, without one: connection, encryption, login.

    Raises:
        DeliveryFailed: one line that says what does not work.
    """
    with _line(where, timeout_seconds) as line, _failures(where, "a probe"):
        line.noop()


@contextmanager
def _line(where: MailServer, timeout_seconds: float = STEP_TIMEOUT_SECONDS) -> Iterator[smtplib.SMTP]:
    with _failures(where, "the connection"):
        line = _connected(where, timeout_seconds)
    try:
        yield line
    finally:
        with suppress(smtplib.SMTPException, OSError):  # what it took, it took, however the goodbye goes
            line.quit()
        line.close()


def _connected(where: MailServer, timeout_seconds: float) -> smtplib.SMTP:
    name = socket.gethostname()  # what it would find out itself may take a name server's time
    line: smtplib.SMTP
    if where.tls == "implicit":
        line = smtplib.SMTP_SSL(where.host, where.port, name, timeout=timeout_seconds, context=_encryption())
    else:
        line = smtplib.SMTP(where.host, where.port, name, timeout=timeout_seconds)
    try:
        line.ehlo_or_helo_if_needed()
        if where.tls == "starttls":
            line.starttls(context=_encryption())
            line.ehlo()
        if where.user is not None:
            line.login(where.user, where.password or "")
    except BaseException:
        line.close()
        raise
    return line


def _encryption() -> ssl.SSLContext:
    return ssl.create_default_context()


@contextmanager
def _failures(where: MailServer, what: str) -> Iterator[None]:
    """Every way in which a mail server can fail, as one line. Its words are cut short; our password is in none."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        raise _answer(where, f"the address {what}", code, reply) from None
    except smtplib.SMTPAuthenticationError as error:  # our mistake, which somebody will correct: nothing is lost by it
        raise DeliveryFailed(
            f"The mail server {where} refuses our login: {_said(error.smtp_code, error.smtp_error)}"
        ) from None
    except smtplib.SMTPSenderRefused as error:
        raise _answer(where, "the sender", error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPConnectError as error:
        raise DeliveryFailed(f"The mail server {where} says {_said(error.smtp_code, error.smtp_error)}") from None
    except smtplib.SMTPResponseException as error:
        raise _answer(where, what, error.smtp_code, error.smtp_error) from None
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryFailed(f"The mail server {where} cannot do what is needed: {one_line(str(error), 200)}") from None
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryFailed(f"The mail server {where} does not answer: {one_line(str(error), 200)}") from None


def _answer(where: MailServer, what: str, code: int, reply: bytes | str) -> DeliveryFailed:
    """For good from 500 on, for now below."""
    kind = DeliveryRefused if 500 <= code < 600 else DeliveryFailed
    return kind(f"The mail server {where} refuses {what}: {_said(code, reply)}")


def _said(code: int, reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    return one_line(f"{code} {text}", _LONGEST_REPLY)
