"""What holds for every request: log line, id, limit of the body, who may call, one clear line in refusal."""

import json
import logging
from collections.abc import Iterator
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from app.web.access import refuse_open_door
from app.web.application import build
from app.web.body_limit import MAX_BODY_BYTES
from desk import log
from desk.errors import SettingsError
from desk.settings import settings

TICKET = {"organization": "Acme", "subject": "The lights blink"}


@pytest.fixture
def lines(
    database_name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[list[dict]]:
    """Collects the log lines of the API, parsed."""
    monkeypatch.setenv("ATUM_LOG_FORMAT", "json")
    settings.cache_clear()
    collected: list[dict] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name != "httpx2":  # the caller in this process, not the API
                collected.append(json.loads(self.format(record)))

    handler = Collect()
    root = logging.getLogger()
    root.addHandler(handler)
    yield collected
    root.removeHandler(handler)
    settings.cache_clear()
    log.configure()


def test_each_request_is_one_line_with_its_words(lines: list[dict], client: TestClient, organization: UUID):
    client.post("/api/v1/tickets", json=TICKET, headers={"X-Request-ID": "call-7"})
    completed = [line for line in lines if line["event"] == "request_completed"]
    assert len(completed) == 1
    line = completed[0]
    assert (line["method"], line["path"], line["status_code"]) == ("POST", "/api/v1/tickets", 201)
    assert 0 < line["duration"] < 60_000
    assert line["request_id"] == "call-7"
    assert line["level"] == "info"


def test_what_a_caller_writes_does_nothing_to_the_terminal_of_who_reads_the_log(
    monkeypatch: pytest.MonkeyPatch, client: TestClient
):
    shown: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(self.format(record))

    handler = Collect()
    logging.getLogger().addHandler(handler)
    log.configure()
    try:
        client.get("/x%1b%5d0;mine%07%9b31m")
        try:
            raise ValueError("they said \x1b[2J\x00")
        except ValueError:
            log.get("desk").exception("it \x1b[2J failed", what=["\x1b"])
        logging.getLogger("another").warning("said %s", "\x1b[2J")
    finally:
        logging.getLogger().removeHandler(handler)
    assert any(r"path=/x\x1b]0;mine\x07" in line for line in shown)
    assert any(r"ValueError: they said \x1b[2J\x00" in line for line in shown)
    assert any(r"said \x1b[2J" in line and "another" in line for line in shown)
    assert [line for line in shown if not line.replace("\n", "").isprintable()] == []


def test_a_refused_request_is_logged_as_well_and_without_its_query(lines: list[dict], client: TestClient):
    client.get("/api/v1/search", params={"org": "nobody", "q": "my secret problem"})
    line = next(line for line in lines if line["event"] == "request_completed")
    assert (line["path"], line["status_code"]) == ("/api/v1/search", 404)
    assert "secret" not in json.dumps(lines)


def test_an_id_that_could_forge_a_log_line_is_replaced(client: TestClient):
    given = "x" * 65
    answer = client.get("/api/v1/health", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_what_nobody_caught_is_one_line_that_names_the_request(
    lines: list[dict], client: TestClient, organization: UUID, owner
):
    with owner.cursor() as cursor:
        cursor.execute("""
            create function explode() returns trigger language plpgsql as $$ begin raise 'internal detail'; end $$;
            create trigger explode before insert on tickets for each row execute function explode()""")
    answer = client.post("/api/v1/tickets", json=TICKET)
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "internal detail" not in answer.text
    failed = next(line for line in lines if line["event"] == "request_failed")
    assert "internal detail" in failed["exception"]
    assert [line["status_code"] for line in lines if line["event"] == "request_completed"] == [500]


def test_a_body_that_says_it_is_too_long_is_refused_unread(client: TestClient):
    answer = client.post("/api/v1/tickets", content=b"{" + b" " * MAX_BODY_BYTES)
    assert (answer.status_code, answer.json()) == (413, {"detail": "The body is larger than 4 MB."})


def test_a_body_that_does_not_say_how_long_it_is_is_cut_at_the_limit(client: TestClient):
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 10 * MAX_BODY_BYTES:
            sent += 65536
            yield b" " * 65536

    answer = client.post("/api/v1/tickets", content=endless())
    assert (answer.status_code, answer.json()) == (413, {"detail": "The body is larger than 4 MB."})


class TestWithToken:
    @pytest.fixture(autouse=True)
    def token(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ATUM_API_TOKEN", "s3cret")

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}])
    def test_who_does_not_name_it_is_refused(self, client: TestClient, organization: UUID, headers: dict[str, str]):
        answer = client.post("/api/v1/tickets", json=TICKET, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "s3cret" not in answer.text

    def test_who_names_it_is_served(self, client: TestClient, organization: UUID):
        answer = client.post("/api/v1/tickets", json=TICKET, headers={"Authorization": "Bearer s3cret"})
        assert answer.status_code == 201

    def test_a_token_in_other_letters_than_ascii(
        self, client: TestClient, organization: UUID, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("ATUM_API_TOKEN", "für-voilà")
        settings.cache_clear()
        for token, status_code in (("für-voilà", 201), ("fur-voila", 401)):
            headers = {b"Authorization": f"Bearer {token}".encode()}
            assert client.post("/api/v1/tickets", json=TICKET, headers=headers).status_code == status_code

    def test_health_and_metrics_answer_everybody(self, client: TestClient):
        assert client.get("/api/v1/health").status_code in (200, 503)
        assert client.get("/metrics").status_code == 200


def test_without_a_token_only_this_machine_may_call(database_name: str, organization: UUID):
    with TestClient(build(), base_url="http://localhost", client=("192.0.2.7", 50000)) as far:
        answer = far.post("/api/v1/tickets", json=TICKET)
        assert answer.status_code == 403
        assert "ATUM_API_TOKEN" in answer.json()["detail"]
        assert far.get("/api/v1/health").status_code in (200, 503)


def test_listening_to_the_network_without_a_token_is_refused_at_the_start(database_name, monkeypatch):
    monkeypatch.setenv("ATUM_WEB_HOST", "0.0.0.0")
    settings.cache_clear()
    with pytest.raises(SettingsError, match="ATUM_API_TOKEN"):
        refuse_open_door()
    monkeypatch.setenv("ATUM_API_TOKEN", "s3cret")
    settings.cache_clear()
    refuse_open_door()


def test_no_page_takes_a_script_from_elsewhere(client: TestClient):
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    assert "/api/v1/search" in client.get("/openapi.json").json()["paths"]


class TestHostWithoutToken:
    """A web page whose name is made to lead here (DNS rebinding) calls from this machine, under that name."""

    @pytest.mark.parametrize(
        "host", ["rebound.example", "rebound.example:8000", "localhost.example", "192.0.2.7", "", "["]
    )
    def test_another_name_is_refused(self, client: TestClient, organization: UUID, owner, host: str):
        answer = client.post("/api/v1/tickets", json=TICKET, headers={"Host": host})
        assert answer.status_code == 403
        assert answer.json() == {
            "detail": "Without ATUM_API_TOKEN the API answers as localhost only, or as 127.0.0.1 or [::1]. "
            "Call it so, or set a token and name it in the request."
        }
        with owner.cursor() as cursor:
            cursor.execute("select count(*) from tickets")
            assert cursor.fetchone() == (0,)

    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]", "[::1]:8000"]
    )
    def test_a_name_of_this_machine_is_served(self, client: TestClient, organization: UUID, host: str):
        assert client.post("/api/v1/tickets", json=TICKET, headers={"Host": host}).status_code == 201

    def test_health_and_metrics_answer_under_every_name(self, client: TestClient):
        assert client.get("/api/v1/health", headers={"Host": "rebound.example"}).status_code in (200, 503)
        assert client.get("/metrics", headers={"Host": "rebound.example"}).status_code == 200

    def test_with_a_token_every_name_will_do(self, client: TestClient, organization: UUID, monkeypatch):
        monkeypatch.setenv("ATUM_API_TOKEN", "s3cret")
        settings.cache_clear()
        headers = {"Host": "desk.example", "Authorization": "Bearer s3cret"}
        assert client.post("/api/v1/tickets", json=TICKET, headers=headers).status_code == 201
