"""`atum up` and `uvicorn app:api` as real processes: healthy, mended when killed, gone when told."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import until

from desk.embedded import EmbeddedServer

ATUM = str(Path(sys.executable).with_name("atum"))
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command; what it says is in `tmp_path/said`. Nothing of it outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*command: str, **environment: str) -> subprocess.Popen[str]:
        with (tmp_path / "said").open("a") as said:
            process = subprocess.Popen(
                command, cwd=tmp_path, stdout=said, stderr=said, text=True, env={**os.environ, **environment}
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()  # its children end with it, the keeper of its database after them
        process.wait()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of its own; the data is removed where it is, which for root is not below it."""
    home = tmp_path / "home"
    yield home
    server = EmbeddedServer(home)
    server.leave()
    shutil.rmtree(server.base)


def health(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health", timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)
    except OSError:
        return {"status": "not there"}


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    living = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def workers(up: subprocess.Popen[str]) -> list[psutil.Process]:
    """Dramatiq's processes: a master and the worker that it forked have the same command line."""
    return [child for child in alive(psutil.Process(up.pid).children(recursive=True)) if runs_dramatiq(child)]


def runs_dramatiq(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):  # it may end between the two looks
        return "dramatiq" in process.cmdline()
    return False


@pytest.mark.timeout(300)
def test_atum_up_brings_up_everything_mends_it_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, model_dir: Path, tmp_path: Path, home: Path, port: int, start: Start
):
    for variable in ("ATUM_DATABASE_URL", "ATUM_OWNER_URL"):
        monkeypatch.delenv(variable, raising=False)
    up = start(ATUM, "up", "--threads", "2", "--port", str(port), ATUM_HOME=str(home))
    said = tmp_path / "said"
    # Either may come first: health ok, or `up` having seen all that it waits for, before which a dead worker ends it.
    until(lambda: up.poll() is not None or "The desk is up" in said.read_text(), "it says that it is up", 120)
    until(lambda: up.poll() is not None or health(port)["status"] == "ok", "health is ok", 60)
    assert up.poll() is None, said.read_text()

    first = workers(up)
    assert len(first) >= 2
    first[-1].kill()  # the worker itself, with no chance to say good-bye
    until(lambda: workers(up) and not alive(first), "the worker's master gives up as well", 60)
    until(lambda: health(port)["queue"]["status"] == "ok" and len(workers(up)) >= 2, "another worker beats", 60)

    everything = psutil.Process(up.pid).children(recursive=True)
    server = EmbeddedServer(home)
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
    up.send_signal(signal.SIGTERM)
    assert up.wait(60) == 0, said.read_text()
    assert alive([*everything, postmaster]) == []
    assert "Everything is stopped." in said.read_text()
    assert health(port)["status"] == "not there"


@pytest.mark.timeout(120)
def test_atum_up_with_a_port_that_is_taken_starts_nothing_and_says_so_in_one_line(
    database_name: str, tmp_path: Path, port: int, start: Start
):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        up = start(ATUM, "up", "--port", str(port))
        assert up.wait(90) == 1
    said = (tmp_path / "said").read_text().strip()
    assert said.startswith(f"atum: The API cannot listen on 127.0.0.1:{port}: Address already in use")
    assert "\n" not in said


def test_uvicorn_serves_the_api_and_logs_one_json_line_per_request(
    database_name: str, tmp_path: Path, port: int, start: Start
):
    served = start(
        sys.executable, "-m", "uvicorn", "app:api", "--port", str(port),
        ATUM_LOG_FORMAT="json", PYTHONPATH=str(Path(__file__).parents[2]),
    )  # fmt: skip
    until(lambda: served.poll() is not None or health(port)["status"] != "not there", "it answers", 60)
    assert health(port)["database"]["status"] == "ok"
    served.send_signal(signal.SIGTERM)
    served.wait(30)
    lines = [json.loads(line) for line in (tmp_path / "said").read_text().splitlines()]
    completed = [line for line in lines if line["event"] == "request_completed"]
    assert completed
    assert {line["path"] for line in completed} == {"/api/v1/health"}
    assert all(set(line) >= {"duration", "method", "path", "status_code", "timestamp", "level"} for line in completed)
    assert not [line for line in lines if "GET /api" in line["event"]], "uvicorn logs requests as well"


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"ATUM_WEB_HOST": "0.0.0.0"}, "Set ATUM_API_TOKEN"),
        ({"ATUM_POOL_SIZE": "many"}, "ATUM_POOL_SIZE cannot be used"),
    ],
)
def test_uvicorn_does_not_start_with_what_cannot_be_used_and_says_so_in_one_line(
    tmp_path: Path, port: int, start: Start, environment: dict[str, str], line: str
):
    served = start(sys.executable, "-m", "uvicorn", "app:api", "--port", str(port), **environment)
    assert served.wait(30) == 1
    said = (tmp_path / "said").read_text().strip()
    assert line in said
    assert "\n" not in said


def test_importing_the_package_for_the_command_imports_no_web_framework():
    code = "import sys, app, app.up, app.glance; sys.exit('fastapi' in sys.modules or 'dramatiq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_api_imports_no_dramatiq():
    code = "import sys; from app import api; sys.exit('dramatiq' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
