"""Whatever goes wrong around a command, it says so in one line, with exit status 1 and no traceback."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from builders import fresh_database
from psycopg2.extensions import connection as Connection

from app import start
from app.cli import main
from app.doctor import examine
from desk import database
from desk.errors import SettingsError
from desk.settings import settings

Run = Callable[..., str]


@pytest.fixture
def atum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command as its console script does; the line that it says where it fails."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["atum", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 1
        said = capsys.readouterr().err.strip()
        assert said.startswith("atum: ")
        assert "\n" not in said
        return said

    return run


@pytest.fixture
def without_schema(server, database_name: str, monkeypatch: pytest.MonkeyPatch):
    """A database in whose server another one has the schema: the roles are there, and nothing else."""
    with fresh_database(server, "template1") as name:
        monkeypatch.setenv("ATUM_DATABASE_URL", server.url(user="atum_worker", database=name))
        settings.cache_clear()
        database.close()
        yield
        database.close()


@pytest.mark.parametrize("command", ["kb status", "sla sweep", "sla report", "notices show --org Acme"])
def test_a_database_of_a_server_that_has_another_desk_says_that_init_is_missing(without_schema, atum: Run, command):
    assert "Run `atum init`" in atum(*command.split())


def test_the_doctor_goes_on_where_a_database_lacks_the_schema(without_schema):
    findings = {finding.check: finding for finding in examine()}
    assert findings["schema"].status == "fail"
    assert findings["mail"].status == "fail"
    assert "model" in findings


def test_metrics_and_the_api_say_so_where_the_schema_is_older_than_the_program(client, owner: Connection):
    with owner.cursor() as cursor:
        cursor.execute("alter table sla_sweeps rename column skipped_paused to gone")
        cursor.execute("alter table notifications rename column read_at to gone")
        cursor.execute("insert into organizations (name) values ('Acme')")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "atum_database_up 0.0" in answer.text
    answer = client.get("/api/v1/notifications", params={"org": "Acme"})
    assert answer.status_code == 503
    assert "Run `atum init`" in answer.json()["detail"]


def test_a_server_that_ends_the_session(database_name: str, owner: Connection, atum: Run, monkeypatch):
    def ends(cursor) -> None:
        cursor.execute("select pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr("desk.organizations.names", lambda connection: ends(connection.cursor()))
    assert "The database could not go on" in atum("kb", "status")


@pytest.fixture
def stranger(server, owner: Connection) -> Iterator[str]:
    """A login that may do nothing here."""
    name = f"stranger_{uuid4().hex[:8]}"
    with owner.cursor() as cursor:
        cursor.execute(f"create role {name} login")
        yield name
        cursor.execute(f"drop role {name}")


def test_init_by_a_login_that_may_not_make_roles(server, database_name: str, atum: Run, monkeypatch):
    monkeypatch.setenv("ATUM_OWNER_URL", server.url(user="atum_worker", database=database_name))
    settings.cache_clear()
    assert "name such a login in ATUM_OWNER_URL" in atum("init")


def test_a_login_that_is_no_member_of_the_workers(server, database_name, stranger, client, atum: Run, monkeypatch):
    monkeypatch.setenv("ATUM_DATABASE_URL", server.url(user=stranger, database=database_name))
    settings.cache_clear()
    database.close()
    assert "may not act as atum_worker" in atum("kb", "status")
    answer = client.get("/api/v1/notifications", params={"org": "Acme"})
    assert answer.status_code == 503
    assert "may not act as atum_worker" in answer.json()["detail"]
    database.close()


def test_a_figure_that_no_column_holds(organization, atum: Run):
    assert "bigint out of range" in atum("notices", "list", "--org", "Acme", "--top", "9" * 20)


def test_an_organizations_name_that_no_request_could_name(database_name: str, atum: Run, tmp_path: Path):
    (tmp_path / "a.md").write_text("# A")
    assert "has at most 1,000 characters; this has 1,001" in atum("kb", "import", str(tmp_path), "--org", "x" * 1001)


def test_a_log_line_does_not_come_into_the_data(database_name: str, organization, tmp_path: Path):
    search = [
        sys.executable,
        "-c",
        "from app.start import main; main()",
        "kb",
        "search",
        "x",
        "--org",
        "Acme",
        "--json",
    ]
    no_model = {**os.environ, "ATUM_EMBED_MODEL_DIR": str(tmp_path)}
    outcome = subprocess.run(search, capture_output=True, text=True, check=True, env=no_model)
    assert json.loads(outcome.stdout) == []
    assert "search_by_words_only" in outcome.stderr


def test_standard_output_that_is_closed(database_name: str, organization):
    command = f"{sys.executable} -c 'from app.start import main; main()' organization settings --org Acme >&-"
    outcome = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
    assert (outcome.returncode, outcome.stderr) == (0, "")


def test_bytes_that_are_not_utf_8(database_name: str, atum: Run):
    assert "not UTF-8" in atum("kb", "status", "--org", os.fsdecode(b"\xff"))


def test_a_name_that_no_file_system_takes(database_name: str, atum: Run):
    assert "File name too long" in atum("kb", "import", "a" * 300, "--org", "Acme")


@pytest.mark.parametrize("command", ["kb status", "init", "up --port 1", "stats"])
def test_a_home_that_is_no_folder(atum: Run, monkeypatch, tmp_path: Path, command: str):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ATUM_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("ATUM_DATABASE_URL", raising=False)
    monkeypatch.setattr("app.commands.up.refuse_taken_port", lambda host, port: None)
    settings.cache_clear()
    assert f"ATUM_HOME={tmp_path / 'file'} cannot be used" in atum(*command.split())
    findings = {finding.check: finding for finding in examine()}
    assert "cannot be used" in findings["database"].found
    settings.cache_clear()


def test_a_home_whose_folder_is_taken(atum: Run, monkeypatch, tmp_path: Path):
    (tmp_path / "postgres").touch()
    monkeypatch.setenv("ATUM_HOME", str(tmp_path))
    monkeypatch.delenv("ATUM_DATABASE_URL", raising=False)
    monkeypatch.setattr("desk.embedded.reachable_by_others", lambda path: True)
    settings.cache_clear()
    assert f"ATUM_HOME={tmp_path} cannot be used" in atum("kb", "status")
    settings.cache_clear()


def test_the_home_of_nobody(atum: Run, monkeypatch):
    monkeypatch.setenv("ATUM_HOME", "~nobody-of-that-name/desk")
    settings.cache_clear()
    assert "ATUM_HOME cannot be used" in atum("kb", "status")
    settings.cache_clear()


def test_a_dotenv_that_is_not_text(atum: Run, monkeypatch, tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"ATUM_API_TOKEN=\xff\n")
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    assert "is not UTF-8 at byte 15" in atum("kb", "status")
    settings.cache_clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_working_folder_that_is_closed_to_us(monkeypatch, tmp_path: Path):
    """As `sudo -u atum-desk atum …` in root's own folder."""
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    os.seteuid(65534)
    try:
        with pytest.raises(SettingsError, match="cannot be looked for in this folder: Permission denied"):
            settings()
    finally:
        os.seteuid(0)
        settings.cache_clear()


def test_ctrl_c_while_the_command_is_loaded(monkeypatch, capsys: pytest.CaptureFixture[str]):
    class Loading:
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "app.cli", Loading())
    with pytest.raises(SystemExit) as left:
        start.main()
    assert (left.value.code, capsys.readouterr().err) == (130, "atum: interrupted\n")
