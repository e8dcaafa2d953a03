"""`make bench`: rounds of all contenders, interleaved on one Postgres with fsync and synchronous_commit on."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.contenders import CONTENDERS
from bench.place import SERVER_OPTIONS, commits_per_second, connected
from bench.processes import RunFailed
from bench.report import Outcome, as_json, check_readme, show, write_readme
from bench.row import Row
from bench.rows import ROWS, held
from desk.embedded import EmbeddedServer

README = Path(__file__).parents[1] / "README.md"


def main() -> int:
    """Run what was asked for and print it. 0 done, 1 a contender failed, 2 misused."""
    arguments = _arguments()
    rows = [held.row(arguments.minutes) if name == "held" else ROWS[name] for name in arguments.only]
    names = {name for row in rows for name in row.contenders if name not in CONTENDERS or name in arguments.contenders}
    absent = {name: reason for name in sorted(names) if name in CONTENDERS and (reason := CONTENDERS[name].absent())}
    console = Console(stderr=arguments.json)
    if not console.is_terminal:
        console.width = 120
    with tempfile.TemporaryDirectory(prefix="atum-bench-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)  # as root, Postgres runs as another user
        os.environ["dramatiq_prom_db"] = f"{home}/prometheus"  # noqa: SIM112  Dramatiq spells it so
        server = EmbeddedServer(Path(home), SERVER_OPTIONS)
        server.attach()
        try:
            outcome = Outcome(
                " ".join(["python -m bench", *sys.argv[1:]]), _version(server), arguments.scale, rows, absent=absent
            )
            _run(server, outcome, arguments.rounds, arguments.scale, names - absent.keys())
        except KeyboardInterrupt:
            outcome.failed.append("stopped by hand: what is told above was measured before")
        finally:
            server.stop()
            server.detach()
    show(outcome, console)
    if arguments.json:
        sys.stdout.write(as_json(outcome) + "\n")
    if arguments.readme and not outcome.failed:  # a table with holes would look like one without
        write_readme(outcome, README)
    return 1 if outcome.failed else 0


def _run(server: EmbeddedServer, outcome: Outcome, rounds: int, scale: float, names: set[str]) -> None:
    plan = [
        (row, number, contender)
        for row in outcome.rows
        for number in range(row.rounds(rounds))
        for contender in row.contenders
        if contender in names
    ]
    outcome.rounds = {row.name: [{} for _ in range(row.rounds(rounds))] for row in outcome.rows}
    outcome.seconds = {row.name: 0.0 for row in outcome.rows}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("commit probe", total=len(plan))
        probed: Row | None = None
        for row, number, contender in plan:
            began = time.monotonic()
            if row is not probed:  # each row has its own: neighbours on the disk come and go
                outcome.commits_per_second.append(commits_per_second(server))
                probed = row
            progress.update(task, description=f"{row.name}: {contender}")
            try:
                outcome.rounds[row.name][number] |= row.measure(server, contender, scale)
            except RunFailed as error:
                outcome.failed.append(f"{row.name}, {contender}: {error}")
            outcome.seconds[row.name] += time.monotonic() - began
            progress.advance(task)


def _version(server: EmbeddedServer) -> str:
    with closing(connected(server.url(database="postgres"))) as connection:
        major, minor = divmod(connection.info.server_version, 10_000)
    return f"PostgreSQL {major}.{minor}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    usual = [row.name for row in ROWS.values() if not row.on_request]
    parser.add_argument("--only", type=_names(ROWS), default=usual, metavar="ROW,…", help=f"of {', '.join(ROWS)}")
    parser.add_argument(
        "--contenders", type=_names(CONTENDERS), default=list(CONTENDERS), metavar="NAME,…",
        help=f"of {', '.join(CONTENDERS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each contender runs (default: 3; long rows: a third)"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of messages and seconds")
    parser.add_argument(
        "--minutes", type=int, default=held.USUAL_MINUTES, help="of the row held (default: %(default)s)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print every figure as JSON; the tables go to standard error"
    )
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    arguments = parser.parse_args()
    if min(arguments.rounds, arguments.minutes) < 1 or arguments.scale <= 0:
        parser.error("--rounds and --minutes must be 1 or more and --scale above 0")
    if arguments.readme:
        try:
            check_readme(README)  # now, and not after a quarter of an hour
        except ValueError as error:
            parser.error(str(error))
    return arguments


def _names(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        by_lower = {name.lower(): name for name in known}
        asked = [name.strip().lower() for name in text.split(",") if name.strip()]
        if unknown := [name for name in asked if name not in by_lower]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return [by_lower[name] for name in asked]

    return parse


if __name__ == "__main__":
    sys.exit(main())
