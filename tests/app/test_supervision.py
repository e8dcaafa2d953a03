"""`Processes`: real children that die, hang, and outlive each other; nothing is ever left."""

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest
from waiting import until

from app.processes import web, web_answers
from app.up import MAX_RESTARTS, Child, ChildFailed, Processes

PYTHON = sys.executable
SLEEPS = [PYTHON, "-c", "import time; time.sleep(600)"]
# A master that starts a worker and dies without it, as a Dramatiq master does that is killed.
MASTER = [
    PYTHON,
    "-c",
    "import subprocess, time; subprocess.Popen(['sleep', '600']); print('up', flush=True); time.sleep(600)",
]
DEAF = [
    PYTHON,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
]
COUNTS_TERMS = """
import os, signal, subprocess, sys, time
terms = []
signal.signal(signal.SIGTERM, lambda *_: terms.append(1))
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
while not terms:
    time.sleep(0.05)
worker.terminate()
worker.wait()
print("worker saw", worker.returncode, flush=True)
"""
WORKER = """
import signal, sys, time
terms = []
signal.signal(signal.SIGTERM, lambda *_: terms.append(1))
print("the worker listens", flush=True)
while not terms:
    time.sleep(0.05)
time.sleep(0.3)  # a second signal would come now
sys.exit(len(terms))
"""


class Heard:
    """What children say, by name."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))


def members(pid: int) -> list[psutil.Process]:
    return Child("", [], process=type("Ended", (), {"pid": pid})()).members()


def test_stop_ends_a_child_in_order_and_says_how_it_ended():
    with Processes() as processes:
        child = processes.start("sleeper", SLEEPS)
        assert child.running
        assert processes.stop("sleeper") == -signal.SIGTERM
        assert members(child.pid) == []


def test_a_worker_gets_one_signal_to_stop_and_not_two():
    heard = Heard()
    with Processes(heard) as processes:
        processes.start("master", [PYTHON, "-c", COUNTS_TERMS, WORKER])
        until(lambda: ("master", "the worker listens") in heard.lines, "master and worker listen to signals")
        processes.stop("master")
    until(lambda: ("master", "worker saw 1") in heard.lines, "the master says how its worker ended")


def test_what_does_not_stop_is_killed():
    heard = Heard()
    with Processes(heard) as processes:
        child = processes.start("deaf", DEAF)
        until(lambda: ("deaf", "up") in heard.lines, "it is deaf")
        assert processes.stop("deaf", timeout_seconds=0.3) == -signal.SIGKILL
        assert members(child.pid) == []


def test_a_killed_masters_workers_are_ended_before_it_starts_again():
    heard = Heard()
    stop = Event()
    with Processes(heard) as processes:
        child = processes.start("master", MASTER)
        until(lambda: len(child.members()) == 2, "master and worker run")
        first = child.pid
        os.kill(first, signal.SIGKILL)
        watching = Thread(target=processes.supervise, args=(stop,))
        watching.start()
        until(lambda: child.pid != first and len(child.members()) == 2, "both run again")
        assert members(first) == [], "the worker of the killed master still runs"
        stop.set()
        watching.join(10)
        second = child.pid
    assert members(first) == []
    assert members(second) == []


def test_what_keeps_dying_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.up.FIRST_PAUSE_SECONDS", 0.01)
    heard = Heard()
    with Processes(heard) as processes:
        processes.start("hopeless", [PYTHON, "-c", "raise SystemExit(7)"])
        with pytest.raises(ChildFailed, match=r"hopeless ended 6 times \(exit code 7\)"):
            processes.supervise(Event())
    assert len([line for _, line in heard.lines if "starts again" in line]) == MAX_RESTARTS


def test_an_exception_leaves_nothing_running():
    pids = []

    def fails() -> None:
        with Processes(Heard()) as processes:
            child = processes.start("master", MASTER)
            pids.append(child.pid)
            until(lambda: len(child.members()) == 2, "master and worker run")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert members(pids[0]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a child that its parent was killed")
def test_a_killed_supervisor_leaves_nothing_running(tmp_path: Path):
    script = tmp_path / "supervisor.py"
    script.write_text(
        "import sys, time\nfrom app.up import Processes\n"
        "processes = Processes()\n"
        "print(processes.start('sleeper', [sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    supervisor = subprocess.Popen([PYTHON, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert supervisor.stdout is not None
    pid = int(supervisor.stdout.readline())
    until(lambda: psutil.Process(pid).cmdline()[1:2] == ["-c"], "the leash has become the program")
    supervisor.kill()
    supervisor.wait()
    until(lambda: members(pid) == [], "the child ends")


def test_waiting_ends_when_a_child_dies_before_it_is_ready():
    with Processes(Heard()) as processes:
        processes.start("stillborn", [PYTHON, "-c", "raise SystemExit(3)"], ready=lambda child: False)
        with pytest.raises(ChildFailed, match=r"stillborn ended while it started \(exit code 3\)"):
            processes.wait_until_ready(20)


def test_waiting_ends_when_a_child_is_not_ready_in_time():
    with Processes(Heard()) as processes:
        processes.start("slow", SLEEPS, ready=lambda child: False)
        with pytest.raises(ChildFailed, match=r"slow was not ready within 0\.3 seconds"):
            processes.wait_until_ready(0.3)


def test_what_children_say_goes_to_a_file_where_one_is_given(tmp_path: Path):
    log = tmp_path / "children.log"
    with Processes(log=log) as processes:
        processes.start("one", [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr)"])
        until(lambda: not processes.children["one"].running, "it has ended")
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_the_web_process_is_asked_directly_whatever_proxy_the_environment_names(monkeypatch: pytest.MonkeyPatch):
    class Healthy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Healthy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        port = server.server_address[1]
        assert web_answers("127.0.0.1", port)(Child("web", web("127.0.0.1", port)))
        server.shutdown()
