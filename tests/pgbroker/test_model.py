"""Any story of sends, claims, finishes, deaths, pauses and cancels, told to the queue and to a model in memory.

After every step the tables hold what the model holds. A claim must take what the model says: by priority, then age,
due, not paused, within the limits of the run keys, as many as there are and as were asked for.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from uuid import uuid4

import psycopg2
import pytest
from dramatiq.message import Message
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pgbroker import PostgresBroker, dead_letters, operate
from pgbroker.claim import Claims
from pgbroker.connections import Line
from pgbroker.counters import Counters
from pgbroker.finish import Finisher
from pgbroker.leased import DeadLetter, Done, Lease, LeasedMessage, Release, Reschedule
from pgbroker.statements import sql

QUEUES = ("one", "two")
HOUR_MS = 3_600_000
WORKERS = ("ann", "bob")
OUTCOMES = {
    "done": Done(),
    "retry now": Reschedule(0),
    "retry later": Reschedule(HOUR_MS),
    "dead": DeadLetter("rejected"),
    "release": Release(),
}


@dataclass
class Modelled:
    """A message, as the model has it."""

    message_id: str
    queue: str
    priority: int
    seq: int
    due: bool
    tenant: str | None
    unique_key: str | None
    run_key: str | None
    state: str = "queued"
    worker: str | None = None
    token: str | None = None
    deaths: int = 0
    stale_tokens: list[str] = field(default_factory=list)


class Stories(RuleBasedStateMachine):
    broker: PostgresBroker
    owner: "psycopg2.extensions.connection"

    @initialize()
    def empty(self):
        self.ask(
            "truncate dramatiq.queue, pgbroker.finished, pgbroker.dead_letters, pgbroker.processes, pgbroker.queues"
        )
        self.ask("delete from pgbroker.levels")
        self.messages: dict[str, Modelled] = {}
        self.paused: set[str] = set()
        self.seq = 0
        self.line = Line(self.broker.connections)
        self.finisher = Finisher(self.broker.connections, Counters())
        self.workers = {}
        for name in WORKERS:
            self.hire(name)

    def hire(self, name):
        process_id = str(uuid4())
        self.ask(
            "insert into pgbroker.processes (process_id, host, pid, backend_pid) values (%s, %s, 1, pg_backend_pid())",
            process_id,
            name,
        )
        claims = Claims(self.line)
        for queue in QUEUES:
            claims.add(queue, limited=True)
        self.workers[name] = (process_id, claims)

    def teardown(self):
        if hasattr(self, "line"):
            self.line.close()
            self.finisher.close()

    def ask(self, statement, *parameters):
        with self.owner.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def held(self):
        return [m for m in self.messages.values() if m.state == "consumed"]

    @rule(
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([-1, 0, 0, 7]),
        later=st.sampled_from([False, False, False, True]),
        tenant=st.sampled_from([None, "acme", "zebra"]),
        unique_key=st.sampled_from([None, None, "u1", "u2"]),
        run_key=st.sampled_from([None, None, "r1", "r2"]),
        count=st.integers(1, 8),
    )
    def send(self, queue, priority, later, tenant, unique_key, run_key, count):
        options = {"priority": priority, "tenant": tenant, "unique_key": unique_key, "run_key": run_key}
        options = {name: value for name, value in options.items() if value is not None}
        for _ in range(count):
            message = Message(queue, "note", (), {}, dict(options))
            sent = self.broker.enqueue(message, delay=HOUR_MS if later else 0)
            first = next((m for m in self.messages.values()
                          if unique_key and m.unique_key == unique_key and m.state == "queued"), None)  # fmt: skip
            if first is not None:
                assert sent.message_id == first.message_id
                continue
            assert sent.message_id == message.message_id
            self.seq += 1
            self.messages[message.message_id] = Modelled(
                message.message_id, queue, priority, self.seq, not later, tenant, unique_key, run_key
            )

    @rule(worker=st.sampled_from(WORKERS), limits=st.lists(st.integers(0, 5), min_size=2, max_size=2))
    def claim(self, worker, limits):
        process_id, claims = self.workers[worker]
        wanted = {queue: limit for queue, limit in zip(QUEUES, limits, strict=True) if limit}
        for queue in wanted:  # by age, which the model can foretell; turns have tests of their own
            claims._queues[queue].crowded = False
        claims.look_now(QUEUES)
        claims._survey_at = 0.0
        shares = {queue: limit // 2 if limit > 1 else int(claims._queues[queue].limited_turn)
                  for queue, limit in wanted.items()}  # fmt: skip
        rows = claims.take(wanted, process_id) if wanted else []
        running = {key: sum(m.run_key == key for m in self.held()) for key in ("r1", "r2")}
        for queue, limit in wanted.items():
            taken = [self.messages[row[0]] for row in rows if row[1] == queue]
            self.check_taken(queue, limit, shares[queue], taken, running)
            for message in taken:
                if message.run_key:
                    running[message.run_key] += 1
        for row in rows:
            message = self.messages[row[0]]
            message.state, message.worker, message.token, message.unique_key = "consumed", worker, row[3], None

    def check_taken(self, queue, limit, share, taken, running):
        if queue in self.paused:
            assert not taken
            return
        waiting = [m for m in self.messages.values() if m.queue == queue and m.state == "queued" and m.due]
        free = sorted((m for m in waiting if m.run_key is None), key=lambda m: (m.priority, m.seq))
        limited = [m for m in taken if m.run_key is not None]
        assert all(m in waiting for m in taken)
        firsts = [
            min((m for m in waiting if m.run_key == key), key=lambda m: (m.priority, m.seq), default=None)
            for key in ("r1", "r2")
            if not running[key]
        ]
        candidates = sorted(filter(None, firsts), key=lambda m: (m.priority, m.seq))[:limit]
        may = [
            m
            for place, m in enumerate(candidates)
            if not free or m.priority < free[0].priority or (m.priority == free[0].priority and place < share)
        ]
        assert {m.message_id for m in limited} == {m.message_id for m in may}
        expected = free[: limit - len(limited)]
        assert {m.message_id for m in taken if m.run_key is None} == {m.message_id for m in expected}

    def write(self, message, token, outcome):
        leased = LeasedMessage(
            Message(message.queue, "note", (), {}, {}, message_id=message.message_id),
            Lease(token, str(uuid4()), 1, 0, 0, False, False, 0.0, ()),
            SimpleNamespace(),
        )
        self.finisher.finish([(leased, OUTCOMES[outcome])])

    @precondition(lambda self: any(m.stale_tokens for m in self.messages.values()))
    @rule(data=st.data(), outcome=st.sampled_from(["done", *sorted(OUTCOMES)]))
    def finish_late(self, data, outcome):
        """Who lost the lease changes nothing, wherever the message is by now."""
        message = data.draw(st.sampled_from([m for m in self.messages.values() if m.stale_tokens]))
        self.write(message, message.stale_tokens[-1], outcome)

    @precondition(lambda self: self.held())
    @rule(data=st.data(), outcome=st.sampled_from(["release", *sorted(OUTCOMES)]))
    def finish(self, data, outcome):
        message = data.draw(st.sampled_from(self.held()))
        self.write(message, message.token, outcome)
        self.give_up(message)
        if outcome == "done":
            message.state = "finished"
        elif outcome == "dead":
            message.state = "dead"
        else:
            message.state = "queued"
            message.due = outcome != "retry later"
            if outcome == "retry now":
                self.seq += 1
                message.seq = self.seq  # due from now on

    def give_up(self, message):
        message.stale_tokens.append(message.token)
        message.worker = message.token = None

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker):
        process_id, _ = self.workers[worker]
        self.ask("delete from pgbroker.processes where process_id = %s", process_id)
        self.ask("update dramatiq.queue set started_at = started_at - interval '1 minute' where state = 'consumed'")
        rescued = self.line.execute(sql("rescue"), {"young_seconds": 0.5, "most_deaths": 3})
        lost = sorted((m for m in self.held() if m.worker == worker), key=lambda m: m.message_id)
        assert sorted(row[0] for row in rescued) == [m.message_id for m in lost]
        for message in lost:
            self.give_up(message)
            message.deaths += 1
            message.state = "dead" if message.deaths == 3 else "queued"
        # Rescued twice they wait a random moment, and those of one instant have one due time: put them in order.
        for message in sorted((m for m in lost if m.state == "queued"), key=lambda m: m.seq):
            self.seq += 1
            message.seq = self.seq
            self.ask("update dramatiq.queue set run_at = clock_timestamp() where message_id = %s", message.message_id)
        self.hire(worker)

    @precondition(lambda self: not self.paused)
    @rule(queue=st.sampled_from(QUEUES))
    def pause(self, queue):
        operate.pause(self.broker.connections, queue)
        self.paused.add(queue)

    @precondition(lambda self: self.paused)
    @rule(queue=st.sampled_from(QUEUES))
    def resume(self, queue):
        operate.resume(self.broker.connections, queue)
        self.paused.discard(queue)

    @precondition(lambda self: any(m.state == "queued" for m in self.messages.values()))
    @rule(data=st.data())
    def cancel_one_that_waits(self, data):
        message = data.draw(st.sampled_from([m for m in self.messages.values() if m.state == "queued"]))
        operate.cancel(self.broker.connections, [message.message_id])
        message.state = "dead"

    @precondition(lambda self: any(m.state == "dead" for m in self.messages.values()))
    @rule(data=st.data())
    def discard_one(self, data):
        message = data.draw(st.sampled_from([m for m in self.messages.values() if m.state == "dead"]))
        dead_letters.discard(self.broker.connections, [message.message_id])
        del self.messages[message.message_id]

    @invariant()
    def every_message_is_where_the_model_has_it(self):
        if not hasattr(self, "messages"):
            return
        found = dict(
            self.ask(
                """select message_id::text, state::text from dramatiq.queue
                   union all select message_id::text, 'finished' from pgbroker.finished
                   union all select message_id::text, 'dead' from pgbroker.dead_letters"""
            )
        )
        assert found == {m.message_id: m.state for m in self.messages.values()}


def test_every_story_ends_as_the_model_says(broker, owner):
    """Hypothesis prints the story that fails, and the seed with which to tell it again."""
    machine = type("Told", (Stories,), {"broker": broker, "owner": owner})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=30,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.soak
def test_a_thousand_stories(broker, owner):
    machine = type("Told", (Stories,), {"broker": broker, "owner": owner})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=1_000, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
