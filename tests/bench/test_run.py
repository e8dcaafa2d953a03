"""A real run, as small as it can be, and what is said when a run goes wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.processes import RunFailed, call, check_alive, started

ROOT = Path(__file__).parents[2]


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_run_measures_everyone_who_was_asked_for() -> None:
    run = _bench(
        "--only", "drain,backlog", "--contenders", "pgbroker,stubbroker", "--rounds", "1", "--scale", "0.005",
        "--json",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["failed"] == []
    assert list(found["rows"]["drain"]) == ["StubBroker", "pgbroker"]
    assert all(value > 0 for value in found["targets"]["backlog: claim time, × empty table"]["measured"])
    assert all(value > 0 for value in found["targets"]["drain 1 × 8, × StubBroker"]["measured"])
    assert len(found["commits_per_second"]) == 2


def test_a_contender_that_nobody_knows_is_misuse() -> None:
    run = _bench("--contenders", "pgbroker,kafka")
    assert run.returncode == 2
    assert "unknown: kafka; there are pgbroker, StubBroker" in run.stderr


def test_a_worker_that_dies_is_told_at_once() -> None:
    with started(leave, 1, 3) as running:
        running[0].join()
        with pytest.raises(RunFailed, match="a worker ended with status 3"):
            check_alive(running)


def test_a_call_whose_process_dies_does_not_wait_for_its_answer() -> None:
    with pytest.raises(RunFailed, match="ended with status 3"):
        call(leave, 0, 3)


def leave(position: int, status: int) -> None:
    """Ends its process without an answer."""
    os._exit(status)
