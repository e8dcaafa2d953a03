"""The demo, as a reader runs it. Two minutes of real clock: part of `make soak`; `make demo` itself fails on less."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import until


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_demo_ends_with_everything_done_and_nothing_running(model_dir: Path, tmp_path: Path):
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    outcome = subprocess.run(
        [sys.executable, "-c", "from app.cli import main; main()", "demo"],
        env={**os.environ, "ATUM_HOME": str(home), "ATUM_EMBED_MODEL_DIR": str(model_dir)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-2000:]
    said = outcome.stdout
    assert "kill -9 of the ticket worker" in said + outcome.stderr
    assert all(notice in said for notice in ("75 % used", "90 % used", "breached"))
    assert "SLA Worker Summary: processed=3, skipped_null_sla=0, skipped_paused=0" in said
    assert re.search(r"TRIAGE_TICKET\s+│ DONE\s+│\s+28", said)
    assert "dead letters: 0 · jobs lost: 0" in said
    assert not (home / "demo").exists()
    assert [p.pid for p in psutil.process_iter() if str(home) in " ".join(_command(p))] == []


@pytest.mark.timeout(300)
def test_a_second_demo_in_the_same_home_leaves_the_first_alone_and_says_so(model_dir: Path, tmp_path: Path):
    tmp_path.chmod(0o755)
    home = tmp_path / "home"
    environment = {**os.environ, "ATUM_HOME": str(home), "ATUM_EMBED_MODEL_DIR": str(model_dir)}
    command = [sys.executable, "-c", "from app.cli import main; main()", "demo"]
    first = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        until((home / "demo" / "processes.log").exists, "the first works", timeout_seconds=120)
        second = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1].startswith(f"atum: Another `atum demo` runs in ATUM_HOME={home}.")
        assert first.poll() is None
        assert (home / "demo" / "processes.log").exists()
    finally:
        first.terminate()
        first.wait(timeout=100)
    assert not (home / "demo").exists()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
