"""Processes of one run: each is fresh, runs one function and says what it found; workers are killed when it is over.

A killed worker has nothing to tidy up: its database is dropped with the run.
"""

import logging
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

context = multiprocessing.get_context("spawn")
LONGEST_RUN_SECONDS = 600.0


class RunFailed(Exception):
    """A contender could not be measured; the text names it and says why."""


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a process of its own. Raises RunFailed; its traceback is on standard error."""
    return call_at_once([(function, *arguments)])[0]


def call_at_once(calls: list[tuple[Any, ...]]) -> list[Any]:
    """As `call`, for several (function, argument, …) at the same time."""
    pipes = [context.Pipe(duplex=False) for _ in calls]
    running = [
        context.Process(target=_answer, args=(theirs, *one), daemon=True)
        for (_, theirs), one in zip(pipes, calls, strict=True)
    ]
    try:
        for process in running:
            process.start()
        answers = []
        for process, (ours, theirs), one in zip(running, pipes, calls, strict=True):
            theirs.close()  # so that the end of the process ends our wait
            try:
                if not ours.poll(LONGEST_RUN_SECONDS):
                    raise RunFailed(f"{one[0].__module__} did not answer within {LONGEST_RUN_SECONDS:g} seconds")
                answers.append(ours.recv())
            except EOFError:
                process.join()
                raise RunFailed(f"{one[0].__module__} ended with status {process.exitcode}") from None
        return answers
    finally:
        _kill(running)


@contextmanager
def started(function: Callable[..., None], count: int, *arguments: Any) -> Iterator[list[BaseProcess]]:
    """`count` processes that run `function(position, *arguments)` until the end of the block, where they are killed."""
    running = [
        context.Process(target=_run, args=(function, position, *arguments), daemon=True) for position in range(count)
    ]
    try:
        for process in running:
            process.start()
        yield running
    finally:
        _kill(running)


def check_alive(running: list[BaseProcess]) -> None:
    """Raise RunFailed when a worker has ended."""
    for process in running:
        if not process.is_alive():
            raise RunFailed(f"a worker ended with status {process.exitcode}")


def _answer(pipe: Any, function: Callable[..., Any], *arguments: Any) -> None:
    _quiet()
    pipe.send(function(*arguments))


def _run(function: Callable[..., None], *arguments: Any) -> None:
    _quiet()
    function(*arguments)


def _quiet() -> None:
    logging.basicConfig(level=logging.WARNING)


def _kill(running: list[BaseProcess]) -> None:
    for process in running:
        if process.is_alive():
            process.kill()
    for process in running:
        if process.pid is not None:
            process.join()
