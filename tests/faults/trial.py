"""A trial: one database, the processes that work on it, what was sent, and the ledger that tells what ran.

trial.send("once")
worker = trial.worker()
trial.kill(worker)
...
trial.finish()          # until nothing waits or runs
trial.verdict()         # nothing lost, nothing twice
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
from dramatiq.message import Message
from faults.nursery import Nursery, Process
from waiting import until

from pgbroker import PostgresBroker

SHORT_LEASE_SECONDS = 3.0

_TABLES = """
create table ledger (run uuid primary key, message_id uuid not null, pid integer,
                     began_at timestamptz not null default clock_timestamp(), ended_at timestamptz);
create table effects (message_id uuid, pid integer);
create table sent (message_id uuid primary key, actor text, parent uuid, how text);
grant all on ledger, effects, sent to public;
"""

# Every way in which a message can have come to grief, with its id.
_WRONGS = """
with ended as (
    select message_id, 'finished' as how, deliveries from pgbroker.finished
    union all
    select message_id, 'dead', deliveries from pgbroker.dead_letters
), known as (
    select unnest(%(sent)s::uuid[]) as message_id union select message_id from sent
), doomed as (
    select unnest(%(doomed)s::uuid[]) as message_id
), ran as (
    select message_id, count(*) as runs, count(ended_at) as ends from ledger group by 1
)
select message_id, 'is lost' from known where message_id not in (select message_id from ended)
union all
select message_id, 'waits still' from dramatiq.queue where state in ('queued', 'consumed')
union all
select message_id, 'has more than one end' from ended group by 1 having count(*) > 1
union all
select message_id, concat_ws(': ', 'is dead, and should not be', actor_name, reason, error, history)
  from pgbroker.dead_letters
 where message_id not in (table doomed)
union all
select message_id, 'is finished, and should be dead' from ended where how = 'finished' and message_id in (table doomed)
union all
select message_id, 'is finished and never ran to its end' from ended left join ran using (message_id)
 where how = 'finished' and coalesce(ran.ends, 0) = 0 and message_id not in (select message_id from effects)
union all
select message_id, 'ran more often than it was delivered' from ended join ran using (message_id)
 where ran.runs > ended.deliveries
union all
select message_id, 'took effect more than once' from effects group by 1 having count(*) > 1
union all
select message_id, 'took effect and is not finished' from effects
 where message_id not in (select message_id from ended where how = 'finished')
union all
select message_id, 'is finished without its effect' from ended
  join (select unnest(%(effective)s::uuid[]) as message_id
        union select message_id from sent where actor = 'once') e using (message_id)
 where how = 'finished' and message_id not in (select message_id from effects)
union all
select parent, 'sent more than one message with its finish' from sent
 where how = 'with the finish' group by 1 having count(*) > 1
union all
select a.message_id, 'ran twice at once' from ledger a join ledger b using (message_id)
 where a.began_at < b.began_at and a.ended_at > b.began_at
"""


class Trial:
    """`owner_url` is a superuser's, `url` what the processes use for the broker; `logs` a folder for their output."""

    def __init__(self, nursery: Nursery, owner_url: str, url: str, logs: Path, *, lease_seconds: float = 15.0) -> None:
        self.url = url
        self._nursery = nursery
        self.logs = logs
        self.owner_url = owner_url
        self._owner: Any = None
        self._lease_seconds = lease_seconds
        self._broker = PostgresBroker(owner_url, middleware=[], results=False)
        self.started: list[Process] = []
        self.sent: dict[str, str] = {}  # id: actor
        logs.mkdir(parents=True, exist_ok=True)
        self.ask(_TABLES)

    # The database

    def ask(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run a statement as superuser, over a new connection where the server took the last."""
        for _ in range(2):
            try:
                if self._owner is None:
                    self._owner = psycopg2.connect(self.owner_url)
                    self._owner.autocommit = True
                with self._owner.cursor() as cursor:
                    cursor.execute(statement, parameters)
                    return cursor.fetchall() if cursor.description is not None else []
            except psycopg2.Error as error:
                if error.pgcode is not None and not self._owner.closed:
                    raise
                lost, self._owner = error, None
        raise lost

    def count(self, what: str) -> int:
        """How many rows `what` has: a table, with a condition if you like."""
        return int(self.ask(f"select count(*) from {what}")[0][0])

    def total(self, counter: str) -> float:
        """What processes counted, those that are gone and those that live."""
        return float(
            self.ask(
                """select coalesce(sum(value), 0) from (
                       select value from pgbroker.totals where name = %(name)s
                       union all
                       select (counters ->> %(name)s)::double precision from pgbroker.processes) v""",
                {"name": counter},
            )[0][0]
        )

    # Messages

    def send(self, actor_name: str, *args: Any, **options: Any) -> str:
        """Send a message to an actor of `jobs.py`, which this process does not import; its id."""
        queue_name = "limits" if actor_name == "limited" else "default"
        message = self._broker.enqueue(Message(queue_name, actor_name, args, {}, options))
        self.sent.setdefault(str(message.message_id), actor_name)
        return str(message.message_id)

    def send_pipeline(self, *actor_names: str, **options: Any) -> list[str]:
        """Each of them after the one before, those after the first with `options`; their ids."""
        target: Message[Any] | None = None
        ids = []
        for place, name in reversed(list(enumerate(actor_names))):
            pipe = {"pipe_target": target.asdict()} if target is not None else {}
            target = Message("default", name, (0.0,), {}, pipe | (options if place else {}))
            self.sent[target.message_id] = name
            ids.insert(0, target.message_id)
        self._broker.enqueue(target)
        return ids

    def left(self) -> int:
        """How many messages wait or run."""
        return self.count("dramatiq.queue where state in ('queued', 'consumed')")

    def finish(self, timeout_seconds: float = 30) -> None:
        """Wait until nothing waits or runs."""
        until(lambda: self.left() == 0, "nothing is left in the queue", timeout_seconds)

    def wrongs(self, doomed: tuple[str, ...] = ("fails",)) -> list[str]:
        """What came to grief, one line each. Messages to the `doomed` actors must be dead letters, no others."""
        found = self.ask(
            _WRONGS,
            {
                "sent": list(self.sent),
                "doomed": [message_id for message_id, actor in self.sent.items() if actor in doomed],
                "effective": [message_id for message_id, actor in self.sent.items() if actor in ("once", "sends")],
            },
        )
        return [f"{self.sent.get(str(message_id), 'a message')} {message_id} {wrong}" for message_id, wrong in found]

    def verdict(self, doomed: tuple[str, ...] = ("fails",)) -> None:
        """Fails where a message was lost, has two ends, or did something twice."""
        wrongs = self.wrongs(doomed)
        assert not wrongs, "\n".join(wrongs)

    # Processes

    def start(self, program: str, *arguments: str, **environment: str) -> Process:
        """Start `dramatiq`, `periodiq` or `python` where it sees `jobs.py`."""
        addressed = {
            "TEST_BROKER_URL": self.url,
            "TEST_LEDGER_URL": self.owner_url,
            "TEST_LEASE_SECONDS": str(self._lease_seconds),
        }
        log = self.logs / f"{len(self.started)}.log"
        self.started.append(self._nursery.start(log, program, *arguments, **(addressed | environment)))
        return self.started[-1]

    def worker(self, threads: int = 2, *more: str, **environment: str) -> Process:
        """A `dramatiq` process with one worker process."""
        return self.start("dramatiq", "jobs", "-p", "1", "-t", str(threads), *more, **environment)

    def workers_up(self, how_many: int) -> None:
        """Wait until so many workers have begun."""
        until(lambda: self.count("pgbroker.processes") == how_many, f"{how_many} workers have begun")

    def kill(self, process: Process) -> None:
        """`kill -9` for the process and its children, all at once as far as one can."""
        if process.poll() is not None:
            return  # its number may be another's by now
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            for victim in [*parent.children(recursive=True), parent]:
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
        process.wait()

    def end(self) -> None:
        """Kill what is left."""
        for process in self.started:
            self.kill(process)
        self._broker.close()
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def said(self) -> str:
        """The output of all processes."""
        return "\n".join(f"--- {p.args}\n{p.log.read_text()[-4000:]}" for p in self.started)


def child_of(process: Process) -> int:
    """The process of a `dramatiq` command that works."""
    return until(lambda: psutil.Process(process.pid).children(), "the worker's process is there")[0].pid
