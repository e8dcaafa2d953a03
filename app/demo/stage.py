"""What the demo stands on: a home of its own, the model, and the desk's processes under supervision."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

from app import processes as desk_processes
from app.install import declare_actors, install
from app.output import console, progress
from app.up import Processes
from desk import database
from desk.embedded import EmbeddedServer
from desk.errors import DeskError
from desk.kb import model
from desk.settings import settings

HOST = "127.0.0.1"


class Stage:
    """The running desk of the demo. `log` is the file to which its processes write."""

    def __init__(self, processes: Processes, log: Path, port: int) -> None:
        self.processes = processes
        self.log = log
        self.url = f"http://{HOST}:{port}"

    def log_lines(self, containing: str) -> list[str]:
        """What the processes have said so far that contains `containing`."""
        return [line for line in self.log.read_text("utf-8", "replace").splitlines() if containing in line]


def atum(*arguments: str) -> None:
    """Run an `atum` command as a reader would, showing it first.

    Raises:
        DeskError: it failed; its own message stands above.
    """
    console.print(f"[dim]$[/dim] [bold]atum {' '.join(_quoted(part) for part in arguments)}[/bold]", highlight=False)
    sys.stdout.flush()
    code = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", *arguments], check=False
    ).returncode
    if code != 0:
        raise DeskError(f"atum {arguments[0]} failed with status {code}.")


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Everything up and ready; at the end, however it comes, everything down and the demo's database removed.

    Raises:
        DeskError: another demo runs in this ATUM_HOME.
    """
    with _signals_as_interrupts(), _alone(), _own_home() as home:
        with console.status("starting the embedded Postgres, making the schema"):
            install()
            declare_actors()
        log = home / "processes.log"
        port = _free_port()
        stop = Event()
        with Processes(log=log, say=lambda name, line: None) as processes:
            with console.status("starting three workers, the scheduler and the web process"):
                desk_processes.start_desk(processes, workers=3, threads=4, host=HOST, port=port)
            watcher = Thread(target=processes.supervise, args=(stop,), daemon=True)
            watcher.start()
            try:
                yield Stage(processes, log, port)
            finally:
                stop.set()
                watcher.join()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """The one demo of this ATUM_HOME. The lock is on the folder itself: it leaves no file and goes with the process."""
    home = settings().home
    _ = EmbeddedServer(home / "demo").base  # makes the folder, or says in one line why it cannot
    folder = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DeskError(
                f"Another `atum demo` runs in ATUM_HOME={home}. Wait until it has ended, or set ATUM_HOME elsewhere."
            ) from None
        yield
    finally:
        os.close(folder)


def _model() -> Path:
    with progress() as bar:
        task = bar.add_task("looking for the embedding model", total=None)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done // 1_000_000, total=total // 1_000_000 or None)

        return model.ensure(report)


@contextlib.contextmanager
def _own_home() -> Iterator[Path]:
    """ATUM_HOME is a fresh folder below the real one, and no setting of the user's but the model reaches the demo."""
    directory = _model()
    home = settings().home / "demo"
    before_environment, before_folder = dict(os.environ), Path.cwd()
    _remove(home)
    home.mkdir(parents=True)
    for name in [name for name in os.environ if name.startswith("ATUM_")]:
        del os.environ[name]
    os.environ |= {"ATUM_HOME": str(home), "ATUM_EMBED_MODEL_DIR": str(directory), "ATUM_LOG_FORMAT": "console"}
    os.chdir(home)  # away from the user's .env
    settings.cache_clear()
    try:
        yield home
    finally:
        database.close()
        EmbeddedServer(home).leave()
        os.chdir(before_folder)
        os.environ.clear()
        os.environ |= before_environment
        settings.cache_clear()
        _remove(home)


def _remove(home: Path) -> None:
    """End what a demo that was killed left running, and remove its data. Touches only the demo's own folders."""
    server = EmbeddedServer(home)
    server.stop()
    for folder in (server.base, server.socket, home):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: in order."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _quoted(part: str) -> str:
    return f'"{part}"' if " " in part else part
