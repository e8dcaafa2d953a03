"""The embedded Postgres: shared, survives what may befall it, stops when nobody is left, opens nobody's folders."""

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from waiting import until

from desk import embedded, postgres_wheel
from desk.embedded import EmbeddedServer
from desk.errors import DatabaseUnavailable
from desk.postgres_wheel import SYSTEM_ROOT

ROOT = os.geteuid() == 0
FAST = ("fsync=off", "max_connections=20")
USE = """
import sys, os, signal
from pathlib import Path
from desk.embedded import EmbeddedServer
EmbeddedServer(Path(sys.argv[1]), ("fsync=off", "max_connections=20")).attach()
print("attached", flush=True)
sys.stdin.read()
"""

DIE_WHILE_IT_STARTS = """
import os, signal, subprocess, sys
from pathlib import Path
from desk.embedded import EmbeddedServer
run = subprocess.run
def start_and_die(command, **how):
    if "start" not in command:
        return run(command, **how)
    del how["check"]
    subprocess.Popen(command, **how)
    os.kill(os.getpid(), signal.SIGKILL)
subprocess.run = start_and_die
EmbeddedServer(Path(sys.argv[1]), ("fsync=off", "max_connections=20")).attach()
"""

ANSWER_CTRL_C_LATER = (
    """
import signal
signal.signal(signal.SIGINT, lambda number, frame: None)
"""
    + USE
)

MAKE_ACCOUNT = """
import sys
from desk import embedded, postgres_wheel
postgres_wheel.SYSTEM_USER = sys.argv[1]
print("ready", flush=True)
sys.stdin.read()
print(postgres_wheel.account().pw_uid)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that the server's user can reach, as `mkdir` in an ordinary project makes it."""
    with tempfile.TemporaryDirectory(prefix="atum-embedded-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        yield home
        server = EmbeddedServer(home)
        server.detach()
        server.stop()


@pytest.fixture
def user(home: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts processes that use the server until their standard input is closed."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", USE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "attached\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def postmaster(server: EmbeddedServer) -> psutil.Process:
    return psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))


def runs(pid: int) -> bool:
    """A zombie runs no more; whether somebody reaps it is up to the machine's init."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def kill_server(server: EmbeddedServer) -> None:
    """As the out-of-memory killer does: no lock file is removed."""
    found = postmaster(server)
    children = found.children()
    found.kill()
    psutil.wait_procs([found, *children], timeout=10)
    until(lambda: not server._processes(), "the children of the killed server end")


def answers(server: EmbeddedServer) -> bool:
    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(server.url()).close()
        return True
    return False


def test_who_is_killed_while_the_server_starts_leaves_none_running(home: Path):
    server = EmbeddedServer(home)
    killed = subprocess.run([sys.executable, "-c", DIE_WHILE_IT_STARTS, str(home)], check=False)
    assert killed.returncode == -signal.SIGKILL
    until(lambda: server.log.exists() and "shut down" in server.log.read_text(), "the server has come and gone")
    until(lambda: not server._processes(), "nothing of it is left")


def test_ctrl_c_in_the_terminal_does_not_reach_what_makes_the_data(home: Path):
    server = EmbeddedServer(home)
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWER_CTRL_C_LATER, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: (server.base / "data.new").exists(), "initdb is at work")
    until(lambda: os.killpg(process.pid, signal.SIGINT) or not (server.base / "data.new").exists(), "it is done")
    assert process.stdout is not None
    assert process.stdout.readline() == "attached\n"
    process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PGPORT", "6543"),
        ("PGHOSTADDR", "127.0.0.1"),
        ("PGOPTIONS", "-c no_such_setting=on"),
        ("PGSERVICE", "production"),
    ],
)
def test_what_the_environment_says_of_another_server_does_not_matter(home: Path, monkeypatch, name: str, value: str):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("PGSERVICEFILE", str(home.parent / "services"))
    (home.parent / "services").write_text("[production]\nhostaddr=127.0.0.1\noptions=-c no_such_setting=on\n")
    server = EmbeddedServer(home, FAST)
    server.attach()
    with contextlib.closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("show data_directory")
        assert cursor.fetchone() == (str(server.data),)


def test_two_processes_share_one_server_which_stops_after_the_last(home: Path, user):
    server = EmbeddedServer(home)
    first, second = user(), user()
    assert answers(server)
    pid = postmaster(server).pid
    first.communicate(timeout=10)
    assert answers(server)
    assert postmaster(server).pid == pid
    second.communicate(timeout=10)
    until(lambda: not runs(pid), "the keeper stops the server")


def test_a_killed_last_user_does_not_leave_the_server_running(home: Path, user):
    process = user()
    pid = postmaster(EmbeddedServer(home)).pid
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    until(lambda: not runs(pid), "the keeper stops the server")


def test_ten_processes_may_start_it_at_once(home: Path):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", USE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(10)
    ]
    assert [process.stdout.readline() for process in started if process.stdout] == ["attached\n"] * 10
    pid = postmaster(EmbeddedServer(home)).pid
    for process in started:
        process.communicate(timeout=20)
        assert process.returncode == 0
    until(lambda: not runs(pid), "the keeper stops the server")


def test_who_leaves_last_finds_the_server_down(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    pid = postmaster(server).pid
    server.leave()
    assert not runs(pid)


def test_who_leaves_while_others_use_it_leaves_it_running(home: Path, user):
    server = EmbeddedServer(home, FAST)
    server.attach()
    user()
    server.leave()
    assert answers(server)


def test_lock_files_that_name_another_program_are_stale(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    kill_server(server)
    # Since the crash the number has gone to a program of the same user, whom Postgres would believe to be a server.
    account = pwd.getpwnam("atum") if ROOT else None
    other = subprocess.Popen(["sleep", "60"], user=account.pw_uid if account else None)
    try:
        files = [server.data / "postmaster.pid", *server.socket.glob(".s.PGSQL.*.lock")]
        assert len(files) == 2
        for file in files:
            lines = file.read_text().splitlines()
            file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.attach()
        assert answers(server)
        server.stop()
        assert other.poll() is None, "the other program was stopped instead of the server"
    finally:
        other.kill()
        other.wait()


def test_stop_never_signals_a_program_that_has_the_number_of_a_dead_server(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    kill_server(server)
    account = pwd.getpwnam("atum") if ROOT else None
    other = subprocess.Popen(["sleep", "60"], user=account.pw_uid if account else None)
    try:
        (server.data / "postmaster.pid").write_text(f"{other.pid}\n{server.data}\n0\n5432\n{server.socket}\n\n\n")
        server.stop()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_killed_server_comes_back_with_what_was_committed(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    with contextlib.closing(psycopg2.connect(server.url())) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create table kept (x integer); insert into kept values (1)")
    kill_server(server)
    server.attach()
    with contextlib.closing(psycopg2.connect(server.url())) as connection, connection.cursor() as cursor:
        cursor.execute("select x from kept")
        assert cursor.fetchone() == (1,)


def test_an_initdb_that_was_cut_off_is_begun_anew(home: Path):
    server = EmbeddedServer(home, FAST)
    server._make_folders()
    half = server.base / "data.new"
    (half / "base").mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.attach()
    assert answers(server)
    assert not half.exists()


def test_data_of_another_major_version_is_refused_in_one_line(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    server.leave()
    (server.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(DatabaseUnavailable, match=r"made by Postgres 12, the embedded server is \d+") as caught:
        server.attach()
    assert "\n" not in str(caught.value)


def test_a_link_in_the_place_of_its_folder_is_refused(home: Path, tmp_path: Path):
    server = EmbeddedServer(home)
    home.mkdir()
    server.base.symlink_to(tmp_path, target_is_directory=True)
    before = tmp_path.stat()
    with pytest.raises(DatabaseUnavailable, match="is not a folder"):
        server.attach()
    assert (tmp_path.stat().st_uid, tmp_path.stat().st_mode) == (before.st_uid, before.st_mode)


def modes_above(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) for path in (folder, *folder.parents)}


def test_the_folders_above_keep_their_permissions(home: Path):
    home.mkdir()
    before = modes_above(home)
    server = EmbeddedServer(home, FAST)
    server.attach()
    assert modes_above(home) == before
    assert stat.S_IMODE(server.base.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700


@pytest.mark.skipif(not ROOT, reason="only root has folders that the server's user cannot reach")
def test_as_root_a_home_in_a_closed_folder_works_and_the_folder_stays_closed(home: Path):
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    before = modes_above(closed)
    server = EmbeddedServer(closed / "home", FAST)
    try:
        server.attach()
        assert answers(server)
        assert server.base.parent == SYSTEM_ROOT
        assert modes_above(closed) == before
    finally:
        server.leave()
        until(lambda: removed(server.base), "its keeper has left the folder")


@pytest.mark.skipif(not ROOT, reason="only root has folders that the server's user cannot reach")
def test_as_root_data_that_went_out_of_reach_is_not_replaced_by_an_empty_database(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    server.leave()
    home.chmod(0o700)
    try:
        with pytest.raises(DatabaseUnavailable, match="out of reach"):
            EmbeddedServer(home).attach()
    finally:
        home.chmod(0o755)


@pytest.mark.skipif(not ROOT, reason="only root runs the server as somebody else")
def test_as_root_programs_out_of_reach_run_from_a_copy(home: Path, monkeypatch: pytest.MonkeyPatch):
    home.mkdir(mode=0o755)
    monkeypatch.setattr(postgres_wheel, "SYSTEM_ROOT", home)
    monkeypatch.setattr(postgres_wheel, "reachable_by_others", lambda path: False)
    postgres_wheel._binaries.cache_clear()
    try:
        assert postgres_wheel._binaries().is_relative_to(home)
        code, said = postgres_wheel.run("initdb", "-D", str(home / "nowhere" / "data"), folder=Path("/"))
        # It found its libraries and ran as the server's user, who may not write here.
        assert (code, "error while loading" in said, "Permission denied" in said) == (1, False, True), said
    finally:
        postgres_wheel._binaries.cache_clear()


def test_a_long_path_works(home: Path):
    server = EmbeddedServer(home / ("long" * 20) / ("path" * 10), FAST)
    server.attach()
    assert answers(server)
    assert server.socket.parent != server.base
    server.leave()
    server.socket.rmdir()


@pytest.mark.skipif(not ROOT, reason="only root makes the user that the server runs as")
def test_as_root_all_who_start_at_once_run_the_server_as_the_same_user():
    """Ten rounds: without the lock, two users of the same name were made in about every third."""
    for at in range(10):
        name = f"atum-test-{os.getpid()}-{at}"
        starting = [
            subprocess.Popen(
                [sys.executable, "-c", MAKE_ACCOUNT, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        try:
            for one in starting:
                assert one.stdout.readline() == "ready\n"
            for one in starting:
                one.stdin.close()
            numbers = {one.stdout.read() for one in starting}
            assert numbers == {f"{pwd.getpwnam(name).pw_uid}\n"}
        finally:
            for one in starting:
                one.kill()
                one.wait()
            subprocess.run(["userdel", name], check=True)


def test_a_start_that_fails_says_what_the_log_says(home: Path):
    server = EmbeddedServer(home, FAST)
    server.attach()
    server.detach()
    server.stop()
    with pytest.raises(DatabaseUnavailable, match=r'unrecognized configuration parameter "nonsense"\)\. See .*/log\.'):
        EmbeddedServer(home, (*FAST, "nonsense=1")).attach()


def test_why_a_program_of_postgres_failed_is_not_what_it_cleaned_up():
    full = (
        'The files will be owned by user "atum".\nrunning bootstrap script ... FATAL:  could not extend file "base/1": '
        "No space left on device\nHINT:  Check free disk space.\nchild process exited with exit code 134\n"
        'initdb: removing data directory "/home/data.new"\n'
    )
    assert "No space left on device" in embedded._reason(full)
    assert embedded._reason("waiting...\n\nExamine the log output.\n\n") == "Examine the log output."
    assert embedded._reason("") == "no output"
