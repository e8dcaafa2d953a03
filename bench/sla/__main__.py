"""`python -m bench.sla`: the SLA engine at a million open tickets, on an embedded Postgres of its own.

Every line names what it does, what it took (the median of its repetitions, the span behind it) and what it must not
exceed. Loading a million tickets takes some minutes.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from psycopg2.extensions import connection as Connection
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.install import install
from bench.place import connected, fresh
from bench.processes import call_at_once, context
from bench.sla.burst import record_burst
from bench.sla.stock import BASE, BURST, CROSSINGS, MINUTES, OFFICE, POLICY, Stock, load
from desk.embedded import EmbeddedServer
from desk.sla.moves import BATCH, request
from desk.sla.policies import publish
from desk.sla.sweep import sweep
from desk.sla.urgent import urgent

SERVER_OPTIONS = ("max_connections=100", "shared_buffers=1GB", "max_wal_size=8GB")
SIZES = (10_000, 100_000, 1_000_000)
RECALCULATED = 100_000
SEED_TICKETS = 5_000
STATUS_CHANGES = 200
SHARE_RUNNING = 6 / 7


@dataclass
class Line:
    """One line of the table. `values` in the unit of `must`; `at_least`: more is better."""

    name: str
    text: str
    must: float | None
    unit: str
    values: list[float] = field(default_factory=list)
    at_least: bool = False
    digits: int = 1

    @property
    def reached(self) -> bool:
        """Whether the median is good enough."""
        if self.must is None:
            return True
        return median(self.values) >= self.must if self.at_least else median(self.values) <= self.must


def main() -> int:
    """Measure and print. 0: all was reached; 1: something was not."""
    parser = argparse.ArgumentParser(prog="python -m bench.sla", description=__doc__)
    parser.add_argument(
        "--tickets", type=int, default=1_000_000, help="open tickets of the largest desk (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON; the table goes to standard error")
    arguments = parser.parse_args()
    if arguments.tickets < SIZES[0]:
        parser.error(f"--tickets must be {SIZES[0]} or more")
    console = Console(stderr=arguments.json)
    if not console.is_terminal:
        console.width = 120
    lines: list[Line] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="atum-bench-", ignore_cleanup_errors=True) as home,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        Path(home).chmod(0o755)  # as root, Postgres runs as another user
        server = EmbeddedServer(Path(home), SERVER_OPTIONS)
        server.attach()
        try:
            lines += _all(server, arguments.tickets, progress)
        finally:
            server.stop()
            server.detach()
    _show(lines, console)
    if arguments.json:
        found = {one.name: {"must": one.must, "unit": one.unit, "values": one.values} for one in lines}
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if all(line.reached for line in lines) else 1


def _all(server: EmbeddedServer, tickets: int, progress: Progress) -> Iterator[Line]:
    minutes: dict[int, list[float]] = {}
    for size in [size for size in SIZES if size < tickets]:
        with _desk(server, size, progress) as (_, connection, stock):
            minutes[size] = _minutes(connection, stock)
            if size == RECALCULATED:
                recalculated = [_recalculate(connection, stock)]
                text = f"moving {RECALCULATED:,} clocks to another calendar and policy"
                yield Line("recalculate", text, 30, "s", recalculated)
    with _desk(server, tickets, progress) as (url, connection, stock):
        idle = Line("nothing due", "a sweep with nothing due", 10, "ms")
        idle.values = [_milliseconds(lambda: sweep(connection, stock.minute(-1))) for _ in range(9)]
        yield idle
        minutes[tickets] = _minutes(connection, stock)
        yield Line("minute", f"a normal minute: {CROSSINGS} crossings, everything written", 500, "ms", minutes[tickets])
        largest, smallest = median(minutes[tickets]), median(minutes[min(minutes)])
        spread = " ".join(f"{size:,}: {median(values):.0f} ms." for size, values in minutes.items())
        yield Line("flat", f"the same from {min(minutes):,} tickets on. {spread}", 1.5, "×", [largest / smallest])
        yield _seed(connection, tickets, median(idle.values))
        yield Line("urgent", "the fifty most urgent of one organization", 10, "ms", _urgent(connection, stock))
        bare, with_triggers = _status_changes(connection, stock)
        extra = [one - other for one, other in zip(with_triggers, bare, strict=True)]
        text = f"a ticket's status with three clocks, over a bare update ({median(bare):.2f} ms)"
        yield Line("trigger", text, 2, "ms", extra, digits=2)
        if tickets * SHARE_RUNNING > BURST * 6 + CROSSINGS * MINUTES:
            alone, together = [], []
            for number in range(0, 6, 2):
                alone.append(_burst(url, stock.burst(number), 1))
                together.append(_burst(url, stock.burst(number + 1), 2))
            yield Line("burst", f"a burst of {BURST:,} crossings, one worker", 5, "s", alone, digits=2)
            ratio = [one / two for one, two in zip(alone, together, strict=True)]
            yield Line("burst, two", "the same with two workers, times as fast", 1, "×", ratio, at_least=True, digits=2)


@contextmanager
def _desk(server: EmbeddedServer, tickets: int, progress: Progress) -> Iterator[tuple[str, Connection, Stock]]:
    """A database with so many open tickets, and a superuser's connection to it."""
    with fresh(server) as place:
        install(place.url)
        with closing(connected(place.url)) as connection:
            yield place.url, connection, load(connection, tickets, progress)


def _minutes(connection: Connection, stock: Stock) -> list[float]:
    """Milliseconds of sweeps that find a normal minute's crossings each. The first only warms up."""
    took = []
    for number in range(MINUTES):
        began = time.perf_counter()
        found = sweep(connection, stock.minute(number))
        took.append((time.perf_counter() - began) * 1000)
        assert found.crossings == CROSSINGS, found
    return took[1:]


def _recalculate(connection: Connection, stock: Stock) -> float:
    """Seconds until all clocks of open tickets count by office hours, as the job does it, one organization after the
    other."""
    began, moved = time.perf_counter(), 0
    with connection.cursor() as cursor:
        cursor.execute("select set_config('jit', 'off', false), set_config('app.at', %s, false)", (BASE.isoformat(),))
        for organization in stock.organizations:
            cursor.execute("select set_config('app.organization_id', %s, false)", (str(organization),))
            publish(connection, organization, {**POLICY, "calendar": OFFICE})
            move = request(connection, organization)
            while True:
                cursor.execute("select sla_move_batch(%s, %s, false)", (move, BATCH))
                (batch,) = cursor.fetchone() or (0,)
                if not batch:
                    break
                moved += batch
        took = time.perf_counter() - began
        cursor.execute("select count(*) from sla_clocks where calendar_version_id is not null")
        assert cursor.fetchone() == (moved,) == (stock.tickets,)
        cursor.execute("select count(*) from sla_crossings")  # each would have been told, which is another line's
        assert cursor.fetchone() == (CROSSINGS * MINUTES,)
        cursor.execute("select set_config('app.organization_id', '', false), set_config('app.at', '', false)")
    return took


def _burst(url: str, at: datetime, workers: int) -> float:
    """Seconds until workers that begin together have recorded a burst."""
    together = context.Barrier(workers)
    found = call_at_once([(record_burst, url, at, together)] * workers)
    assert sum(recorded for recorded, _, _ in found) == BURST, found
    return max(ended for _, _, ended in found) - min(began for _, began, _ in found)


def _seed(connection: Connection, tickets: int, sweep_ms: float) -> Line:
    """One query per running ticket against our sweep; neither finds anything due."""
    with connection.cursor() as cursor:
        cursor.execute("select ticket_id from sla_clocks where state = 'running' limit %s", (SEED_TICKETS,))
        ids = [row[0] for row in cursor.fetchall()]
        began = time.perf_counter()
        for ticket_id in ids:
            cursor.execute("select t.status, t.priority, t.accepted_at, c.target_seconds, c.due_at from tickets t "
                           "join sla_clocks c on c.ticket_id = t.id where t.id = %s", (ticket_id,))  # fmt: skip
            cursor.fetchall()
        each_ms = (time.perf_counter() - began) * 1000 / len(ids)
    text = f"one query per ticket ({each_ms:.2f} ms on {len(ids):,}, extrapolated), times our sweep"
    return Line("seed", text, 1000, "×", [each_ms * tickets * SHARE_RUNNING / sweep_ms], at_least=True, digits=0)


def _urgent(connection: Connection, stock: Stock) -> list[float]:
    took = []
    for organization in stock.organizations:
        with connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute(
                "select set_config('role', 'atum_worker', true), set_config('app.organization_id', %s, true)",
                (str(organization),),
            )
            took.append(_milliseconds(lambda organization=organization: urgent(connection, organization)))
            cursor.execute("rollback")
    return took


def _status_changes(connection: Connection, stock: Stock) -> tuple[list[float], list[float]]:
    """Milliseconds of changes of status without and with triggers, on tickets with three clocks, in turns."""
    organization = str(stock.organizations[0])
    with connection.cursor() as cursor:
        cursor.execute("select set_config('app.organization_id', %s, false)", (organization,))
        cursor.execute(
            "insert into tickets (organization_id, subject, status) "
            "select %s, 'Three clocks', 'accepted' from generate_series(1, %s) returning id",
            (organization, STATUS_CHANGES),
        )
        ids = [row[0] for row in cursor.fetchall()]
        for who in ("agent", "customer"):
            cursor.execute(
                "insert into ticket_messages (organization_id, ticket_id, author_kind, body) "
                "select %s, id, %s, 'words' from unnest(%s::uuid[]) id",
                (organization, who, ids),
            )
        cursor.execute("select count(*) from sla_clocks where ticket_id = %s", (ids[0],))
        assert cursor.fetchone() == (3,)
        took: dict[str, list[float]] = {"replica": [], "origin": []}
        for ticket_id in ids:
            for role, status in (("replica", "assigned"), ("origin", "waiting_customer")):
                cursor.execute("select set_config('session_replication_role', %s, false)", (role,))
                change = ("update tickets set status = %s where id = %s", (status, ticket_id))
                took[role].append(_milliseconds(lambda change=change: cursor.execute(*change)))
        cursor.execute("select set_config('app.organization_id', '', false)")
    return took["replica"], took["origin"]


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _show(lines: list[Line], console: Console) -> None:
    table = Table("work", title="the SLA engine")
    for heading in ("measured", "lowest–highest", "must", ""):
        table.add_column(heading, justify="right")
    for line in lines:
        low, high = (f"{value:,.{line.digits}f}" for value in (min(line.values), max(line.values)))
        verdict = "[green]reached[/]" if line.reached else "[red]missed[/]"
        must = "" if line.must is None else f"{'≥' if line.at_least else '≤'} {line.must:,g} {line.unit}"
        measured = f"{median(line.values):,.{line.digits}f} {line.unit}"
        table.add_row(line.text, measured, f"{low}–{high}", must, verdict)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
