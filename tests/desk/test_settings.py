"""Settings: a value that cannot be used is one line that names its variable and never repeats it."""

import subprocess
import sys
from pathlib import Path

import pytest

from desk.errors import SettingsError
from desk.settings import settings


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ATUM_DATABASE_URL", "mysql://root:hunter22@db/atum"),
        ("ATUM_BROKER_URL", "hunter22"),
        ("ATUM_POOL_SIZE", "hunter22"),
        ("ATUM_POOL_SIZE", "0"),
        ("ATUM_POOL_TIMEOUT_SECONDS", "-1"),
        ("ATUM_WEB_PORT", "70000"),
        ("ATUM_LOG_FORMAT", "xml"),
        ("ATUM_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=rf"^{variable} cannot be used: ") as caught:
        settings()
    assert "\n" not in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_a_bad_line_in_the_env_file_is_named_as_well(tmp_path: Path):
    (tmp_path / ".env").write_text("ATUM_WEB_PORT=many\n")
    with pytest.raises(SettingsError, match=r"^ATUM_WEB_PORT cannot be used: .*\.env"):
        settings()


def test_the_environment_wins_over_the_env_file_and_an_empty_value_is_none(monkeypatch, tmp_path: Path):
    (tmp_path / ".env").write_text("ATUM_WEB_PORT=9000\nATUM_POOL_SIZE=3\n")
    monkeypatch.setenv("ATUM_WEB_PORT", "9001")
    monkeypatch.setenv("ATUM_DATABASE_URL", "")
    assert (settings().web_port, settings().pool_size, settings().database_url) == (9001, 3, None)


def test_the_home_is_absolute_so_that_every_process_means_the_same(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("ATUM_HOME", "here")
    assert settings().home == tmp_path / "here"


def test_a_token_is_not_shown_by_accident(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATUM_API_TOKEN", "hunter22")
    assert "hunter22" not in repr(settings())


def test_the_desk_imports_without_reading_settings():
    # A bad value must be a line of the command's, not a traceback from an import.
    code = "import os; os.environ['ATUM_WEB_PORT'] = 'x'; import desk.database, desk.kb, desk.tickets, app, app.up"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
