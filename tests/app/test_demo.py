"""The demo, as a reader runs it. Two minutes of real clock: part of `make soak`; `make demo` itself fails on less."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest


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


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
