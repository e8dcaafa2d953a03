"""`make bench`: rounds of all contenders, interleaved on one Postgres with fsync and synchronous_commit on."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

import psycopg2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.drain import CONTENDERS
from desk.embedded import EmbeddedServer

# Stock dramatiq-pg manages some 25 to 600 a second; it gets fewer messages and the same question.
MESSAGES = {"StubBroker": 20_000, "pgbroker": 20_000, "dramatiq-pg": 1_000}


def main() -> None:
    """Print one table: medians over the rounds, their spread, and the ratio to the ceiling."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of messages")
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="atum-bench-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        server = EmbeddedServer(Path(home))
        server.attach()
        try:
            plan = [name for _ in range(arguments.rounds) for name in CONTENDERS]
            for name in track(plan, description="drain, 1 process × 8 threads", console=Console(stderr=True)):
                rates[name].append(_run(server, name, max(100, int(MESSAGES[name] * arguments.scale))))
        finally:
            server.stop()
            server.detach()
    ceiling = statistics.median(rates["StubBroker"])
    table = Table(
        title=f"drain no-op messages, 1 process × 8 threads, medians of {arguments.rounds} interleaved rounds"
    )
    for column in ("contender", "messages/s", "lowest", "highest", "× StubBroker"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, measured in rates.items():
        median = statistics.median(measured)
        table.add_row(
            name, f"{median:,.0f}", f"{min(measured):,.0f}", f"{max(measured):,.0f}", f"{median / ceiling:.2f}"
        )
    Console().print(table)


def _run(server: EmbeddedServer, contender: str, messages: int) -> float:
    name = f"bench_{uuid4().hex[:12]}"
    admin = psycopg2.connect(server.url(database="postgres"))
    admin.autocommit = True
    try:
        with admin.cursor() as cursor:
            cursor.execute(f"create database {name}")
        outcome = subprocess.run(
            [sys.executable, "-m", "bench.drain", contender, server.url(database=name), str(messages)],
            env={**os.environ, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if outcome.returncode != 0:
            raise SystemExit(f"{contender} failed:\n{outcome.stderr}")
        with admin.cursor() as cursor:
            cursor.execute(f"drop database {name} with (force)")
        return float(outcome.stdout.splitlines()[-1])
    finally:
        admin.close()


if __name__ == "__main__":
    main()
