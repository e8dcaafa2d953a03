"""`atum up`: the whole desk in one terminal."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event
from typing import Annotated

import typer

from app.commands.init import tell
from app.install import declare_actors, install
from app.output import errors
from app.processes import refuse_taken_port, start_desk
from app.up import Processes
from app.web.access import refuse_open_door
from desk import database
from desk.errors import ModelUnavailable
from desk.kb import model
from desk.settings import settings

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    workers: Annotated[int, typer.Option(min=1, max=32, help="Worker processes; 1 serves all queues.")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=64, help="Threads of each worker process.")] = 8,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API; default ATUM_WEB_PORT.")] = None,
) -> None:
    """Everything in one terminal: Postgres if embedded, the schema, the model, workers, scheduler and API.

    Ctrl-C ends all of it: what runs is finished, nothing is left. A process that dies is started again; one that keeps
    dying ends the rest, with exit status 1.
    """
    port = port or settings().web_port
    refuse_open_door()
    refuse_taken_port(settings().web_host, port)
    with _asked_to_stop() as stop:
        try:
            tell(install(), declare_actors())
            _get_model(stop)
            if not stop.is_set():
                _run(stop, workers, threads, port)
        finally:
            database.close()
            server = database.embedded()
            if server is not None:
                server.leave()
    errors.print("Everything is stopped.")


def _run(stop: Event, workers: int, threads: int, port: int) -> None:
    host = settings().web_host
    with Processes() as processes:
        start_desk(processes, workers=workers, threads=threads, host=host, port=port, stop=stop)
        if not stop.is_set():
            errors.print(
                f"The desk is up: http://{host}:{port}/api/v1/health · Ctrl-C ends it.", style="green", highlight=False
            )
            processes.supervise(stop)
        errors.print("Stopping: what runs is finished first.", style="yellow")


def _get_model(stop: Event) -> None:
    """Fetch the model in a process of its own, which takes the memory of building it along when it ends."""
    try:
        model.locate()
    except ModelUnavailable:
        fetch = subprocess.Popen([sys.executable, "-c", "from app.cli import main; main()", "model", "fetch"])
        while fetch.poll() is None:
            if stop.wait(0.1):
                fetch.terminate()
                fetch.wait()
        if fetch.returncode != 0 and not stop.is_set():
            errors.print("Going on without the knowledge base; health is red until there is a model.", style="yellow")


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Event]:
    """An event that a signal sets. A second one ends us at once: `Processes` then kills what is left."""
    stop = Event()

    def asked(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, asked) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
