"""Processes that start in a tenth of the time: one that has imported everything forks them.

What it runs is what the commands `dramatiq` and `periodiq` run, from the parsing of their arguments on.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHONPATH = f"{HERE}:{ROOT}:{ROOT / 'tests'}"


class Process:
    """A process that the nursery started; what it says is in `log`. Used as subprocess.Popen is."""

    def __init__(self, pid: int, args: list[str], log: Path) -> None:
        self.pid = pid
        self.args = args
        self.log = log

    def poll(self) -> int | None:
        """Its exit status; None while it lives."""
        ended = self.log.with_suffix(".ended")
        return int(ended.read_text()) if ended.exists() else None

    def wait(self, timeout_seconds: float = 30) -> int:
        """Its exit status, when it has ended."""
        deadline = time.monotonic() + timeout_seconds
        while (status := self.poll()) is None:
            assert time.monotonic() < deadline, f"{self.args} did not end within {timeout_seconds:g} seconds"
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def lines(self, text: str) -> int:
        """How often it said `text`."""
        return self.log.read_text().count(text)


class Nursery:
    """Starts processes, which have `modules` already. For many threads at once."""

    def __init__(self, *modules: str) -> None:
        self._lock = Lock()
        self._parent = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
            text=True,
            bufsize=1,
        )

    def start(self, log: Path, program: str, *arguments: str, **environment: str) -> Process:
        """A process with these additions to this process's environment. `program`: dramatiq, periodiq or python."""
        log.touch()
        args = [program, *arguments]
        order = {"args": args, "log": str(log), "environment": {**os.environ, "PYTHONPATH": PYTHONPATH, **environment}}
        with self._lock:
            assert self._parent.stdin is not None
            assert self._parent.stdout is not None
            self._parent.stdin.write(json.dumps(order) + "\n")
            pid = int(self._parent.stdout.readline())
        return Process(pid, args, log)

    def end(self) -> None:
        """Start no more."""
        assert self._parent.stdin is not None
        self._parent.stdin.close()
        self._parent.wait()


def _serve() -> None:
    logs: dict[int, str] = {}

    def note_ends(*_: Any) -> None:
        while logs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            ended = Path(logs.pop(pid)).with_suffix(".ended")
            fresh = ended.with_suffix(".new")
            fresh.write_text(str(os.waitstatus_to_exitcode(status)))
            fresh.rename(ended)

    signal.signal(signal.SIGCHLD, note_ends)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    for line in sys.stdin:
        order = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _run(**order)
        logs[pid] = order["log"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        print(pid, flush=True)


def _run(args: list[str], log: str, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = args[1:] if args[0] == "python" else args
    if args[0] == "python":
        runpy.run_path(args[1], run_name="__main__")
        sys.exit(0)
    sys.exit({"dramatiq": dramatiq.cli.main, "periodiq": periodiq.entrypoint}[args[0]]())


if __name__ == "__main__":
    import dramatiq.cli
    import faults.points  # noqa: F401
    import periodiq

    import pgbroker.broker
    import pgbroker.middleware  # noqa: F401

    # Threads that they start must not be the ones to hear of ends: that would not wake this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for module in sys.argv[1:]:
        importlib.import_module(module)
    _serve()
