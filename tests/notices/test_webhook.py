"""Webhooks: signed so that a standard receiver believes them, and sent nowhere and for no longer than they may."""

import json
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from threading import Event
from uuid import uuid4

import pytest
from notice_parts import SECRET
from standardwebhooks.webhooks import Webhook as StandardReceiver

from desk.errors import DeliveryFailed, DeliveryRefused, InvalidInput
from desk.notices import webhook
from desk.notices.reach import Reach, is_public
from desk.notices.webhook import Post, judge, send
from desk.settings import settings


def post(url: str) -> Post:
    return Post(uuid4(), "pager", url, SECRET, '{"type":"sla_breach","data":{"subject":"Größe"}}'.encode())


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_SECONDS", 1.0)


def allow(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("ATUM_WEBHOOKS_MAY_REACH", what)
    settings.cache_clear()


def test_a_standard_receiver_takes_it_and_refuses_one_that_was_changed(receiver):
    hook = receiver()
    sent = post(hook.url)
    send(sent)
    ((headers, body),) = hook.posts
    assert StandardReceiver(SECRET).verify(body, headers) == json.loads(sent.body)
    assert headers["webhook-id"] == str(sent.id)
    with pytest.raises(Exception, match="signature"):
        StandardReceiver(SECRET).verify(body + b" ", headers)


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_receiver_that_hangs_or_drips_is_given_up_within_the_deadline(how, receiver, hurried):
    hook = receiver()
    hook.answers = [getattr(hook, how)]
    began = time.monotonic()
    with pytest.raises(DeliveryFailed, match=r"^127\.0\.0\.1 did not answer within 1 seconds\.$") as failed:
        send(post(hook.url))
    assert not isinstance(failed.value, DeliveryRefused)
    assert time.monotonic() - began < 5


def test_an_answer_without_end_is_not_read(receiver):
    hook = receiver()
    hook.answers = [hook.flood]
    began = time.monotonic()
    send(post(hook.url))
    assert time.monotonic() - began < 5


def test_nobody_there_is_tried_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryFailed, match="cannot be reached: Connect call failed") as failed:
            send(post(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert not isinstance(failed.value, DeliveryRefused)


def test_what_is_no_http_is_tried_again(receiver):
    hook = receiver()
    hook.answers = [lambda handler: handler.wfile.write(b"220 mail.example ready\r\n")]
    with pytest.raises(DeliveryFailed, match="cannot be reached"):
        send(post(hook.url))


def test_a_redirect_inward_is_refused_and_not_followed(receiver):
    inward = receiver()
    hook = receiver((302, {"location": inward.url}))
    with pytest.raises(DeliveryRefused, match="answered 302, a redirect; redirects are not followed"):
        send(post(hook.url))
    assert inward.posts == []


def test_a_name_that_leads_inward_is_refused(receiver, monkeypatch):
    hook = receiver()
    allow(monkeypatch, "10.0.0.0/8")
    with pytest.raises(DeliveryRefused, match=r"localhost is at .*, which is not on the public internet"):
        send(post(f"http://localhost:{hook.port}/"))
    assert hook.posts == []
    allow(monkeypatch, "localhost")
    send(post(f"http://localhost:{hook.port}/"))
    assert len(hook.posts) == 1


def test_a_name_that_leads_elsewhere_the_second_time_is_not_asked_twice(receiver, monkeypatch):
    hook = receiver()
    asked = []

    def changing(host, port, *more, **_):
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    allow(monkeypatch, "127.0.0.1/32")
    monkeypatch.setattr(socket, "getaddrinfo", changing)
    send(post(f"http://rebinding.example:{hook.port}/"))
    assert asked.count("rebinding.example") == 1
    assert hook.posts[0][0]["host"] == f"rebinding.example:{hook.port}"


def test_one_address_inside_is_enough_to_refuse(monkeypatch):
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("93.184.216.34", "10.0.0.1")
        ],
    )
    with pytest.raises(DeliveryRefused, match=r"two\.example is at 10\.0\.0\.1"):
        send(post("https://two.example/"))


def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch, hurried):
    answered = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(20) and [])
    began = time.monotonic()
    try:
        with pytest.raises(DeliveryFailed, match=r"slow\.example did not answer within 1 seconds"):
            send(post("https://slow.example/"))
        assert time.monotonic() - began < 10
    finally:
        answered.set()


def test_outside_our_networks_only_https_goes(monkeypatch):
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", port))],
    )
    with pytest.raises(DeliveryRefused, match="only https:// goes"):
        send(post("http://plain.example/"))


def test_a_certificate_that_nobody_trusts_is_not_accepted_and_one_for_the_name_is(receiver, certificate, monkeypatch):
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)
    hook = receiver(encryption=served)
    allow(monkeypatch, "127.0.0.0/8, ::1")
    with pytest.raises(DeliveryFailed, match=r"cannot be reached: .*certificate"):
        send(post(f"https://localhost:{hook.port}/"))
    assert hook.posts == []
    monkeypatch.setattr(webhook, "_encryption", lambda: ssl.create_default_context(cafile=str(certificate[0])))
    send(post(f"https://localhost:{hook.port}/"))
    assert len(hook.posts) == 1
    # The address is right and the name is not: going to a checked address does not spare the check of the name.
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))],
    )
    with pytest.raises(DeliveryFailed, match=r"cannot be reached: .*certificate"):
        send(post(f"https://another.example:{hook.port}/"))


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("120", 120), ("0", 1), ("999999999", 3600), ("Tue, 24 Nov 2026 12:05:00 GMT", 300),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 1), ("soon", None), ("-5", None), ("٣", None), (None, None),
    ],
)  # fmt: skip
def test_a_wish_to_come_back_later_is_heard_within_bounds(given, seconds):
    with pytest.raises(DeliveryFailed) as failed:
        judge("a.example", 429, given, NOW)
    assert failed.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "168.63.129.16", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_no_address_inside_is_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are(address):
    assert is_public(ip_address(address))


def test_what_the_installation_names_may_be_reached_in_every_writing():
    reach = Reach.read(["10.1.0.0/16", "Hooks.Internal", "fd00::/8"])
    assert reach.objection("x", ip_address("10.1.2.3")) is None
    assert reach.objection("x", ip_address("::ffff:10.1.2.3")) is None
    assert reach.objection("x", ip_address("10.2.2.3"))
    assert reach.objection("hooks.internal.", ip_address("192.168.0.1")) is None
    assert reach.objection("x", ip_address("fd12::1")) is None


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "10.0.0.1/8", "1.2.3", "http://x", "..."])
def test_what_names_no_place_is_refused(entry):
    with pytest.raises(InvalidInput, match="is no host name, address or network"):
        Reach.read([entry])


def test_a_delay_is_never_negative():
    with pytest.raises(DeliveryFailed) as failed:
        judge("a.example", 503, "Tue, 24 Nov 2026 11:00:00 GMT", NOW + timedelta(days=1))
    assert failed.value.retry_after_seconds == 1
