"""The units and the compose file: valid, hardened, and together they serve every queue that an actor declares."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.processes import QUEUES

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NAMES = {
    "atum-desk-job-worker", "atum-desk-sla-worker", "atum-desk-rag-worker", "atum-desk-scheduler", "atum-desk-api",
}  # fmt: skip
# From the compose specification: what our file may use, so that a misspelt key is found here.
SERVICE_KEYS = {
    "image", "build", "command", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "environment",
    "depends_on", "shm_size", "volumes", "healthcheck", "stop_grace_period", "ports",
}  # fmt: skip
HEALTHCHECK_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
DURATION = re.compile(r"\d+(s|m)")


def declared_queues() -> set[str]:
    """What the actors really declare, not what we think they do."""
    import actors  # noqa: F401
    import schedules  # noqa: F401
    from brokers import broker

    return set(broker.get_declared_queues())


def served_queues(command: list[str]) -> set[str]:
    """The queues of a Dramatiq command line, as Dramatiq itself reads it."""
    from dramatiq.cli import make_argument_parser

    if Path(command[0]).name != "dramatiq":
        return set()
    return set(make_argument_parser().parse_args(command[1:]).queues)


def unit(path: Path) -> dict[str, list[str]]:
    """Every `Key=value` of a unit file."""
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_units_have_their_names():
    assert {path.stem for path in UNITS} == NAMES


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_nothing_wrong_with_the_unit(path: Path, tmp_path: Path):
    # It wants the programs to be there; the units name those of an installation, so `true` stands in for them here.
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"/opt/atum-desk/\.venv/bin/\w+", "/bin/true", path.read_text()))
    outcome = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    complaints = [line for line in outcome.stderr.splitlines() if path.name in line]
    assert complaints == []


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_unit_is_hardened_and_comes_back(path: Path):
    keys = unit(path)
    assert keys["NoNewPrivileges"] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"]
    assert keys["PrivateTmp"] == ["yes"]
    assert keys["CapabilityBoundingSet"] == [""]
    assert keys["Restart"] == ["always"]
    assert keys["StartLimitIntervalSec"] == ["0"]
    assert keys["EnvironmentFile"] == ["/etc/atum-desk/atum.env"]
    assert keys["User"] == ["atum-desk"]
    assert keys["ExecStart"][0].startswith("/opt/atum-desk/.venv/bin/")


@pytest.mark.parametrize("path", [path for path in UNITS if "worker" in path.stem], ids=lambda path: path.stem)
def test_a_worker_unit_gives_its_jobs_the_time_that_it_promises_them(path: Path):
    keys = unit(path)
    assert keys["KillMode"] == ["mixed"], "a worker that gets SIGTERM from systemd and from its master drops its work"
    milliseconds = int(re.search(r"--worker-shutdown-timeout (\d+)", keys["ExecStart"][0])[1])  # type: ignore[index]
    assert int(keys["TimeoutStopSec"][0]) * 1000 > milliseconds


def test_the_units_serve_every_declared_queue():
    served = set.union(*(served_queues(shlex.split(unit(path)["ExecStart"][0])) for path in UNITS))
    assert served == declared_queues()


def test_the_compose_services_serve_every_declared_queue(compose: dict[str, Any]):
    services = compose["services"].values()
    served = set.union(*(served_queues(service["command"]) for service in services if "command" in service))
    assert served == declared_queues()


def test_atum_up_serves_every_declared_queue():
    from app.processes import assign, worker

    assert {queue for queues in QUEUES.values() for queue in queues} == declared_queues()
    for workers in range(1, 9):
        assigned = assign(workers)
        assert len(assigned) == workers
        served = set.union(*(served_queues(worker(queues, threads=8)[2:]) for queues in assigned.values()))
        assert served == declared_queues()


def test_the_compose_file_says_only_what_the_specification_knows(compose: dict[str, Any]):
    assert set(compose) <= {"name", "services", "volumes", "x-desk"}
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS, name
        assert isinstance(service["image"], str), name
        assert service.get("restart", "no") in ("no", "always", "on-failure", "unless-stopped"), name
        assert all(isinstance(word, str) for word in service.get("command", [])), name
        assert all(value is None or isinstance(value, str) for value in service["environment"].values()), name
        assert DURATION.fullmatch(service.get("stop_grace_period", "1s")), name
        check = service.get("healthcheck", {})
        assert set(check) <= HEALTHCHECK_KEYS, name
        assert all(DURATION.fullmatch(check[key]) for key in ("interval", "timeout", "start_period") if key in check)
        assert not check or check["test"][0] in ("CMD", "CMD-SHELL"), name
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), f"{name} listens to the network"


def test_the_compose_services_wait_for_what_they_need(compose: dict[str, Any]):
    services = compose["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, f"{name} needs {needed}"
            assert how["condition"] in CONDITIONS
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed]
    assert set(services["init"]["depends_on"]) == {"db"}
    for name in set(services) - {"db", "init"}:
        assert services[name]["depends_on"]["init"] == {"condition": "service_completed_successfully"}
    assert services["db"]["image"] == "pgvector/pgvector:pg17"


def test_a_compose_worker_gives_its_jobs_the_time_that_it_promises_them(compose: dict[str, Any]):
    for name, service in compose["services"].items():
        if served_queues(service.get("command", [""])):
            milliseconds = int(service["command"][service["command"].index("--worker-shutdown-timeout") + 1])
            assert int(service["stop_grace_period"].removesuffix("s")) * 1000 > milliseconds, name


def test_only_init_knows_the_owners_password(compose: dict[str, Any]):
    knowing = {name for name, service in compose["services"].items() if "ATUM_OWNER_PASSWORD" in str(service)}
    assert knowing == {"db", "init"}


def test_what_a_worker_unit_may_be_told_a_compose_service_may_be_told_too(compose: dict[str, Any]):
    told = set(re.findall(r"^#?(ATUM_\w+)=", (DEPLOY / "systemd" / "atum.env.example").read_text(), re.MULTILINE))
    assert {"ATUM_SMTP_URL", "ATUM_LLM_URL", "ATUM_WEBHOOKS_MAY_REACH"} <= told
    in_the_image = {"ATUM_HOME"}
    of_the_api = {"ATUM_WEB_HOST", "ATUM_WEB_PORT", "ATUM_API_TOKEN"}
    for name in ("jobs", "sla", "kb", "scheduler", "web"):
        assert told - in_the_image - of_the_api <= set(compose["services"][name]["environment"]), name


def test_the_runbook_makes_the_state_folder_before_anything_is_stored_there():
    """`useradd --system` makes none, and systemd's StateDirectory only when a unit starts."""
    text = (DEPLOY / "README.md").read_text()
    folder = text.index("install -d -m 750 -o atum-desk -g atum-desk /var/lib/atum-desk\n")
    assert text.index("useradd --system") < folder < text.index("model fetch")


def test_the_image_runs_as_nobody_special_and_asks_no_hub():
    text = (DEPLOY / "Dockerfile").read_text()
    final = text.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001$", final, re.MULTILINE)
    assert "HF_HUB_OFFLINE=1" in final
    assert "atum model fetch" in text
    # Everything that the package is built from is copied, or the build fails far from here.
    for part in ("actors", "app", "desk", "pgbroker", "brokers.py", "schedules.py", "pyproject.toml"):
        assert re.search(rf"^COPY .*\b{re.escape(part)}\b", text, re.MULTILINE), part
        assert f"!{part}" in (DEPLOY / "Dockerfile.dockerignore").read_text()


def test_the_runbooks_queries_run(owner):
    """Every indented statement of the runbook, on a real schema."""
    blocks = re.findall(r"(?:^    .+\n)+", (DEPLOY / "README.md").read_text(), re.MULTILINE)
    statements = [part for block in blocks for part in block.split(";\n") if part.strip().startswith("select")]
    assert len(statements) >= 10
    with owner.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
