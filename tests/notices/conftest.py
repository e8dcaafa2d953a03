"""What the notice tests stand on: a real mail server, real receivers of webhooks, settings, and notices to be told."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from post_office import PostOffice
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json
from receiver import Receiver

from actors import notices as jobs
from desk import database
from desk.notices import document, gathering, store
from desk.notices.reach import Reach
from desk.settings import settings

REACH = "127.0.0.1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Webhooks may reach this machine, and somebody sends the mails; who wants a mail server names it."""
    monkeypatch.setenv("ATUM_MAIL_FROM", "ATUM Desk <desk@desk.example>")
    monkeypatch.setenv("ATUM_WEBHOOKS_MAY_REACH", REACH)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def post_office(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    """A mail server that is open, and configured."""
    office = PostOffice()
    office.open()
    monkeypatch.setenv("ATUM_SMTP_URL", office.url)
    settings.cache_clear()
    yield office
    office.held.clear()
    office.close()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Start a receiver of webhooks; all end with the test."""
    made: list[Receiver] = []

    def make(*answers: Any, **more: Any) -> Receiver:
        made.append(Receiver(*answers, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again after moments instead of minutes."""
    for actor in (jobs.send_mail, jobs.post_webhook):
        monkeypatch.setitem(actor.options, "min_backoff", 50)
        monkeypatch.setitem(actor.options, "max_backoff", 200)
    monkeypatch.setattr(gathering, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(gathering, "AGAIN_WHILE_FAILING_SECONDS", 0.2)


@pytest.fixture
def want(organization: UUID) -> Callable[..., None]:
    """Set what Acme (or another organization) wants, from a document; mails are not gathered unless it says so."""

    def put(of: UUID = organization, **given: Any) -> None:
        if "mail" in given:
            given["mail"] = {"gather_seconds": 0, **given["mail"]}
        wanted = document.read(given, Reach.read([REACH]))
        with database.transaction(of) as connection:
            store.put(connection, of, wanted)

    return put


@pytest.fixture
def notify(organization: UUID) -> Callable[..., UUID]:
    """Write a notification about no ticket in particular, as a sweep would; its trigger sends it."""

    def write(recipient: str | None = "kim", kind: str = "sla_warning", of: UUID = organization, **detail: Any) -> UUID:
        with database.transaction(of) as connection, connection.cursor() as cursor:
            cursor.execute(
                """insert into notifications (organization_id, idempotency_key, kind, recipient, detail)
                   values (%s, %s, %s, %s, %s) returning id""",
                (of, str(uuid4()), kind, recipient, Json({"subject": "The box blinks red", **detail})),
            )
            return cursor.fetchone()[0]

    return write


@pytest.fixture
def ask(owner: Connection) -> Callable[..., list[Any]]:
    """Rows of any table, whoever's they are; single columns as plain values."""

    def ask(statement: str, *parameters: Any) -> list[Any]:
        with owner.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            rows = cursor.fetchall() if cursor.description else []
        return [row[0] if len(row) == 1 else row for row in rows]

    return ask


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1 that nobody trusts by himself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", made[0], "-keyout", made[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return made
