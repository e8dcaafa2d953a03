"""Mails on a real mail server: what they say, and how each failure is told."""

import ssl
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from post_office import PostOffice, free_port

from desk.errors import DeliveryFailed, DeliveryRefused, InvalidInput
from desk.notices import mail
from desk.notices.mail import Mail
from desk.notices.mail_server import MailServer
from desk.notices.wording import Letter, Line, subject_of, text_of
from desk.settings import settings

NOON = datetime(2026, 11, 24, 11, tzinfo=UTC)
DUE = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
WARNED = Line("sla_warning", "The box blinks red", "resolution", 90, "high", DUE, "42")


def letter(*lines: Line, counts: dict[str, int] | None = None) -> Letter:
    found: dict[str, int] = {}
    for line in lines:
        found[line.kind] = found.get(line.kind, 0) + 1
    return Letter("Acme", "Europe/Berlin", NOON, counts or found, lines)


def a_mail(*lines: Line, **more) -> Mail:
    return Mail(uuid4(), "kim@acme.example", more.get("mail_from"), NOON, letter(*(lines or (WARNED,))))


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ATUM_SMTP_URL", url)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        (WARNED, "90 % of the time to resolve: The box blinks red (due 15:30)"),
        (Line("sla_breach", "Ä & ü", "first_response", 100, "low", DUE),
         "Missed the time to the first response: Ä & ü (due 15:30)"),
        (Line("sla_escalation", "x", "next_response", 100), "Escalated at 100 % of the time to the next response: x"),
        (Line("sla_warning", "x", "resolution", 75, "low", datetime(2026, 11, 25, 8, tzinfo=UTC)),
         "75 % of the time to resolve: x (due Wed 25 Nov 09:00)"),
        (Line("sla_warning", "x", "resolution", 75, "low", datetime(2027, 1, 1, tzinfo=UTC)),
         "75 % of the time to resolve: x (due 2027-01-01 01:00)"),
        (Line("test"), "A test notice from Acme"),
    ],
)  # fmt: skip
def test_one_notice_is_told_in_the_subject_in_the_recipients_time(line, subject):
    assert subject_of(letter(line)) == subject


def test_a_subject_is_one_line_of_bounded_length():
    subject = subject_of(letter(Line("sla_warning", "x\r\nBcc: y" + "z" * 5000, "resolution", 90, "low", DUE)))
    assert len(subject) <= 200
    assert subject.isprintable()
    assert subject.endswith("… (due 15:30)")


def test_a_digest_counts_groups_and_ends():
    lines = [Line("sla_breach", f"late {n}", "resolution", 100, "high", DUE) for n in range(3)]
    lines += [Line("sla_warning", f"soon {n}", "resolution", 90, "high", DUE) for n in range(22)]
    told = letter(*lines, counts={"sla_breach": 3, "sla_warning": 334})
    assert subject_of(told) == "337 notices: 3 missed, 334 running out"
    text = text_of(told)
    assert text.count("\n- ") == 25
    assert "Missed (3)\n- Missed the time to resolve · late 0 · high · due 15:30" in text
    assert "Running out (334)\n- 90 % of the time to resolve · soon 0" in text
    assert "… and 312 more." in text
    assert "times in Europe/Berlin" in text


def test_a_mail_arrives_as_it_was_written_and_the_same_mail_twice_has_one_id(post_office: PostOffice):
    written = a_mail(
        Line("sla_breach", "Größe\n.\nQUIT", "resolution", 100, "high", DUE), mail_from="Acme <a@acme.example>"
    )
    mail.send(written)
    mail.send(written)
    first, second = post_office.mails
    assert first["Message-ID"] == second["Message-ID"] == f"<{written.id}@acme.example>"
    assert first["Subject"] == "Missed the time to resolve: Größe . QUIT (due 15:30)"
    assert (first["From"], first["To"], first["Auto-Submitted"]) == (
        "Acme <a@acme.example>", "kim@acme.example", "auto-generated"
    )  # fmt: skip
    assert "Größe . QUIT" in first.get_content()
    assert first.as_bytes() == second.as_bytes()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("550 no such user", DeliveryRefused), ("452 mailbox full", DeliveryFailed), ("421 closing", DeliveryFailed)],
)
def test_a_refusal_is_for_good_from_500_on(post_office: PostOffice, answer, kind):
    post_office.refusals["kim@acme.example"] = answer
    with pytest.raises(DeliveryFailed, match=answer) as failed:
        mail.send(a_mail())
    assert type(failed.value) is kind
    assert "\n" not in str(failed.value)


def test_a_server_that_is_away_is_one_line(monkeypatch):
    use(monkeypatch, f"smtp://127.0.0.1:{free_port()}")
    with pytest.raises(DeliveryFailed, match=r"^The mail server 127\.0\.0\.1:\d+ does not answer: .*refused") as failed:
        mail.send(a_mail())
    assert not isinstance(failed.value, DeliveryRefused)


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_is_tried_again_and_told_to_nobody(monkeypatch):
    office = PostOffice(password="the right one")
    office.open()
    use(monkeypatch, f"smtp://kim:hunter22@127.0.0.1:{office.port}?starttls=no")
    try:
        with pytest.raises(DeliveryFailed, match="refuses our login: 535") as failed:
            mail.send(a_mail())
        assert not isinstance(failed.value, DeliveryRefused)
        assert "hunter22" not in repr(failed.value)
        use(monkeypatch, f"smtp://kim:the%20right%20one@127.0.0.1:{office.port}?starttls=no")
        mail.send(a_mail())
        assert len(office.mails) == 1
    finally:
        office.close()


def test_where_encryption_is_asked_for_nothing_goes_without(post_office: PostOffice, certificate, monkeypatch):
    use(monkeypatch, f"{post_office.url}?starttls=yes")
    with pytest.raises(DeliveryFailed, match="cannot do what is needed: STARTTLS"):
        mail.send(a_mail())
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)
    office = PostOffice(encryption=served)
    office.open()
    try:
        use(monkeypatch, f"smtp://localhost:{office.port}?starttls=yes")
        with pytest.raises(DeliveryFailed, match="certificate"):
            mail.send(a_mail())
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        mail.send(a_mail())
        assert (len(office.mails), post_office.mails) == (1, [])
    finally:
        office.close()


def test_without_a_sender_it_is_refused(post_office: PostOffice, monkeypatch):
    monkeypatch.delenv("ATUM_MAIL_FROM")
    settings.cache_clear()
    with pytest.raises(DeliveryRefused, match="No sender is configured"):
        mail.send(a_mail())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("smtp://mail.example", MailServer("mail.example", 25, "none")),
        ("smtp://mail.example:587?starttls=yes", MailServer("mail.example", 587, "starttls")),
        ("smtp://u:p%40%2F@mail.example", MailServer("mail.example", 25, "starttls", "u", "p@/")),
        ("smtps://u:p@mail.example", MailServer("mail.example", 465, "implicit", "u", "p")),
        ("smtp://u:p@localhost?starttls=no", MailServer("localhost", 25, "none", "u", "p")),
        ("smtp://[::1]:2525", MailServer("::1", 2525, "none")),
    ],
)
def test_a_mail_servers_url_is_read(url, found):
    assert MailServer.read(url) == found
    assert "p@/" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "hunter22", "http://x", "smtp://", "smtp://u:hunter22@x?starttls=no", "smtp://u@x", "smtp://u:hunter22/@x",
        "smtp://u:hunter22@x:y", "smtp://x?starttls=maybe", "smtp://x?tls=yes", "smtp://x/path", "smtp://u:hunter#22@x",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_used_is_refused_without_being_repeated(url):
    with pytest.raises(InvalidInput) as refused:
        MailServer.read(url)
    assert "hunter" not in str(refused.value)
