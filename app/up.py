"""Child processes under supervision, for `atum up` and the demo.

Promises: each child runs in a process group of its own, so that Ctrl-C reaches the supervisor alone; `stop` ends a
child and everything that it started; leaving the `with` block leaves nothing running, whatever it was left by; and
where the supervisor is killed, Linux ends the children (`app.leash`).

SIGTERM goes to the child alone, never to its group: a Dramatiq master passes it on, and a worker that gets it twice
takes it as "at once". What is left of the group after the child has ended, or does not end in time, is killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import psutil

from desk.errors import DeskError

STOP_TIMEOUT_SECONDS = 30.0
MAX_RESTARTS = 5  # within RESTART_WINDOW_SECONDS; then something is wrong that starting again does not mend
RESTART_WINDOW_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 1.0
_LEASH = str(Path(__file__).with_name("leash.py"))
_POLL_SECONDS = 0.1

Say = Callable[[str, str], None]
"""Told (name of the child, one line of what it says)."""


class ChildFailed(DeskError):
    """A child process ended and did not come back, or was not ready in time."""


@dataclass
class Child:
    """One child process. `ready` says whether it does its work yet; without one it is ready while it runs."""

    name: str
    command: Sequence[str]
    ready: "Callable[[Child], bool] | None" = None
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    ended_at: list[float] = field(default_factory=list)  # monotonic seconds of each end that nobody asked for
    start_at: float | None = None  # monotonic seconds, while it waits to be started again

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's."""
        if self.process is None:
            raise ChildFailed(f"{self.name} was not started.")
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process itself has not ended."""
        return self.process is not None and self.process.poll() is None

    def members(self) -> list[psutil.Process]:
        """Every live process of the group: a worker's master and its workers, also those that outlived the master."""
        return [process for process in psutil.process_iter() if self._is_member(process)]

    def _is_member(self, process: psutil.Process) -> bool:
        try:
            return os.getpgid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE
        except (OSError, psutil.Error):
            return False


class Processes:
    """Named children that start, are watched and end together.

    What they say goes to `log` where that is given (a file, appended to), else line by line to `say`.
    """

    def __init__(self, say: Say | None = None, log: Path | None = None) -> None:
        self._say: Say = say or _to_standard_error
        self._log = log
        self.children: dict[str, Child] = {}

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def start(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[Child], bool] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `command` under `name`; `environment` comes on top of ours. Call it from the main thread."""
        child = self.children[name] = Child(name, command, ready, environment or {})
        self._launch(child)
        return child

    def wait_until_ready(self, timeout_seconds: float = 60.0, stop: Event | None = None) -> None:
        """Wait until every child is ready, or until `stop` is set.

        Raises:
            ChildFailed: one ended first, or was not ready in time.
        """
        deadline = time.monotonic() + timeout_seconds
        waiting = list(self.children.values())
        while waiting and not (stop and stop.is_set()):
            for child in waiting:
                if not child.running:
                    raise ChildFailed(f"{child.name} ended while it started (exit code {_code(child)}).")
            waiting = [child for child in waiting if child.ready is not None and not child.ready(child)]
            if waiting and time.monotonic() > deadline:
                raise ChildFailed(f"{waiting[0].name} was not ready within {timeout_seconds:g} seconds.")
            if waiting:
                time.sleep(_POLL_SECONDS)

    def supervise(self, stop: Event) -> None:
        """Until `stop` is set, start again what ends: after FIRST_PAUSE_SECONDS, then twice as long, …

        Like `start`, for a thread that outlives the children: Linux ends them with the thread that started them.

        Raises:
            ChildFailed: a child ended more than MAX_RESTARTS times within RESTART_WINDOW_SECONDS.
        """
        while not stop.wait(_POLL_SECONDS):
            for child in list(self.children.values()):
                if child.start_at is None and not child.running:
                    self._plan_restart(child)
                elif child.start_at is not None and time.monotonic() >= child.start_at:
                    child.start_at = None
                    self._launch(child)

    def kill(self, name: str) -> None:
        """End a child and all that it started at once, as a power cut would (SIGKILL). `supervise` starts it again."""
        _kill_group(self.children[name])

    def stop(self, name: str, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int | None:
        """End a child in order, or at once when it does not end in time; forget it. Returns its exit code."""
        child = self.children.pop(name)
        if child.running:
            child.process.terminate()  # type: ignore[union-attr]
        self._end(child, time.monotonic() + timeout_seconds)
        return child.process.returncode if child.process else None

    def stop_all(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """End all children, the youngest first: nobody sends to what has ended already."""
        deadline = time.monotonic() + timeout_seconds
        children = [self.children.pop(name) for name in reversed(self.children.copy())]
        try:
            for child in children:
                if child.running:
                    child.process.terminate()  # type: ignore[union-attr]
            for child in children:
                self._end(child, deadline)
        finally:
            for child in children:  # also when a second Ctrl-C came in between
                _kill_group(child)

    def _launch(self, child: Child) -> None:
        output = subprocess.PIPE if self._log is None else self._log.open("ab")
        try:
            child.process = subprocess.Popen(
                [sys.executable, _LEASH, str(os.getpid()), *child.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.environment},
            )
        finally:
            if not isinstance(output, int):
                output.close()
        if child.process.stdout is not None:
            Thread(
                target=self._pass_on, args=(child.name, child.process), name=f"log-{child.name}", daemon=True
            ).start()

    def _pass_on(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._say(name, line.decode("utf-8", "replace").rstrip())

    def _plan_restart(self, child: Child) -> None:
        now = time.monotonic()
        code = _code(child)
        _kill_group(child)  # a killed master leaves its workers
        child.ended_at = [at for at in child.ended_at if now - at < RESTART_WINDOW_SECONDS] + [now]
        if len(child.ended_at) > MAX_RESTARTS:
            raise ChildFailed(f"{child.name} ended {len(child.ended_at)} times (exit code {code}). It is left at that.")
        pause_seconds = FIRST_PAUSE_SECONDS * 2 ** (len(child.ended_at) - 1)
        self._say(child.name, f"ended with exit code {code}; starts again in {pause_seconds:g} s")
        child.start_at = now + pause_seconds

    def _end(self, child: Child, deadline: float) -> None:
        if child.process is not None:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(child.name, "does not stop in time and is killed; what it worked on is rescued")
        _kill_group(child)


def _to_standard_error(name: str, line: str) -> None:
    sys.stderr.write(f"{name:>9} │ {line}\n")
    sys.stderr.flush()


def _kill_group(child: Child) -> None:
    if child.process is None:
        return
    while child.members():
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            break
        time.sleep(0.01)
    child.process.wait()


def _code(child: Child) -> int | None:
    return child.process.poll() if child.process else None
