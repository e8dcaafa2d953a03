"""The contract on the newest Dramatiq, in an environment of its own.

dramatiq-pg pins dramatiq below 2, so this project is installed with 1.x, and what comes next is tried here. The
environment lies beside .venv, one per version of Dramatiq and of Python, and is made once.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from builders import fresh_database

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PYTHON = f"py{sys.version_info.major}.{sys.version_info.minor}"
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input", "--retries", "1", "--timeout", "10"]

# What pgbroker imports besides Dramatiq. Those that pin it come without what they ask for.
PINNED_BELOW_2 = [f"dramatiq-pg=={version('dramatiq-pg')}"]
OTHERS = [
    f"{name}=={version(name)}" for name in ("psycopg2-binary", "sqlalchemy", "tenacity", "periodiq", "pytest", "psutil")
]


def newest() -> str | None:
    """The newest version of Dramatiq that the package index has for this Python; None where no index answers."""
    found = subprocess.run(
        [sys.executable, *PIP, "install", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-",
         "dramatiq>=2"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if found.returncode != 0:
        return None
    return str(json.loads(found.stdout)["install"][0]["metadata"]["version"])


def cached() -> str | None:
    """The newest version of which there is an environment."""
    ready = ROOT.glob(f".venv-dramatiq-*-{PYTHON}/ready")
    versions = [path.parent.name.split("-")[2] for path in ready]
    return max(versions, key=lambda text: [int(part) for part in text.split(".")], default=None)


@contextmanager
def environment(dramatiq_version: str) -> Iterator[Path]:
    """The Python of an environment with that Dramatiq; made where it is missing, by one process at a time."""
    folder = ROOT / f".venv-dramatiq-{dramatiq_version}-{PYTHON}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = folder / "bin" / "python"
        ready = folder / "ready"
        contents = "\n".join([*PINNED_BELOW_2, *OTHERS])
        if not ready.exists() or ready.read_text() != contents:
            (folder / ".gitignore").write_text("*\n")
            venv.create(folder, with_pip=True)
            subprocess.run([python, *PIP, "install", f"dramatiq=={dramatiq_version}", *OTHERS], check=True, timeout=150)
            subprocess.run([python, *PIP, "install", "--no-deps", *PINNED_BELOW_2], check=True, timeout=60)
            ready.write_text(contents)
    yield python


def wanted_version() -> str | None:
    """The newest version; the index is asked once a day."""
    known = cached()
    if known is not None:
        asked = ROOT / f".venv-dramatiq-{known}-{PYTHON}" / "newest"
        if asked.exists() and time.time() - asked.stat().st_mtime < 86_400:
            return known
    found = newest()
    if found is not None and found == known:
        asked.touch()
    return found or known


@pytest.mark.timeout(600)  # it may have to fetch and build the environment first
def test_the_contract_holds_on_the_newest_dramatiq(server):
    wanted = wanted_version()
    if wanted is None:
        pytest.skip("no package index answers, and no environment was made before")
    with environment(wanted) as python, fresh_database(server, template="template0") as database:
        outcome = subprocess.run(
            [
                python, "-m", "pytest", "-q", "-ra", "-c", os.devnull, "--rootdir", HERE, "--confcutdir", HERE,
                "--import-mode=importlib", "-p", "no:cacheprovider", "--ignore", HERE / "test_newest_dramatiq.py", HERE,
            ],
            env={**os.environ, "PGBROKER_CONTRACT_URL": server.url(database=database),
                 "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=150,
        )  # fmt: skip
        used = subprocess.run(
            [python, "-c", "import dramatiq; print(dramatiq.__version__)"], capture_output=True, text=True, check=True
        )
    print(outcome.stdout[-8000:])
    assert used.stdout.strip() == wanted
    assert outcome.returncode == 0, f"the contract does not hold on dramatiq {wanted}"
    assert " passed" in outcome.stdout
    assert "skipped" not in outcome.stdout
