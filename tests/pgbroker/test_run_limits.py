"""At most so many messages of one key run at once, in all processes together."""

from threading import Barrier, BrokenBarrierError, Lock
from time import monotonic
from uuid import uuid4

import dramatiq
import pytest
from workers import until, work_off, working

from pgbroker import PostgresBroker, dead_letters, operate
from pgbroker.claim import MOST_KEYS, Claims
from pgbroker.connections import Line, rows
from pgbroker.middleware import Retries


class Gauge:
    """How many runs there are at once per key, and how many there were at the most."""

    def __init__(self):
        self.now, self.most, self.lock = {}, {}, Lock()

    def __call__(self, key, work):
        with self.lock:
            self.now[key] = self.now.get(key, 0) + 1
            self.most[key] = max(self.most.get(key, 0), self.now[key])
        work()
        with self.lock:
            self.now[key] -= 1


def declare(broker, gauge, work=lambda: None):
    @dramatiq.actor(broker=broker, run_at_most=2)
    def limited(key):
        gauge(key, work)

    @dramatiq.actor(broker=broker)
    def free():
        pass

    return limited, free


def test_no_more_than_the_limit_run_at_once_over_two_workers(broker, url, look):
    gauge, together = Gauge(), Barrier(2)

    def meet():
        """Two do run at once: they wait for each other, where there are two left."""
        try:
            together.wait(timeout=0.5)
        except BrokenBarrierError:
            together.reset()

    limited, free = declare(broker, gauge, meet)
    other = PostgresBroker(url, middleware=[Retries()], results=False)
    declare(other, gauge, meet)
    for key in ("a", "b"):
        broker.send_many([limited.message_with_options(args=(key,), run_key=key) for _ in range(6)])
    free.send()
    with working(broker, threads=6), working(other, threads=6):
        until(lambda: len(look.finished) == 13)
    assert gauge.most == {"a": 2, "b": 2}


def test_the_actor_is_the_key_where_none_is_given(broker, look):
    gauge = Gauge()
    limited, _ = declare(broker, gauge)
    for _ in range(5):
        limited.send("x")
    assert {row["run_key"] for row in look.waiting} == {"limited"}
    assert {row["run_at_most"] for row in look.waiting} == {2}
    work_off(broker)
    assert len(look.finished) == 5


def test_messages_that_may_not_run_yet_hold_up_nobody(broker, look):
    began, gauge = [], Gauge()

    @dramatiq.actor(broker=broker, run_at_most=1)
    def slow(number):
        began.append(number)
        gauge("slow", lambda: until(lambda: len(free_ran) == 50))

    free_ran = []

    @dramatiq.actor(broker=broker, priority=5)
    def free(number):
        free_ran.append(number)

    for number in range(4):
        slow.send(number)
    broker.send_many([free.message(number) for number in range(50)])
    work_off(broker, threads=2)
    assert sorted(began) == [0, 1, 2, 3]
    assert gauge.most == {"slow": 1}


def test_a_limit_holds_for_messages_sent_in_sql(broker, look):
    declare(broker, Gauge())
    broker.register_actors()
    look.rows("select pgbroker.enqueue('limited', '[\"x\"]'), pgbroker.enqueue('limited', '[\"x\"]', run_key => 'x')")
    assert [(row["run_key"], row["run_at_most"]) for row in look.waiting] == [("limited", 2), ("x", 2)]
    work_off(broker)
    assert len(look.finished) == 2


def test_a_worker_without_the_actor_finds_limited_messages_of_others(broker, url, look):
    """Sent by a program that declares the limit, to a queue whose workers learn of it by their survey."""
    sender = PostgresBroker(url, middleware=[Retries()], results=False)
    limited, _ = declare(sender, Gauge())

    @dramatiq.actor(broker=broker, actor_name="limited")
    def without_limit(key):
        pass

    limited.send("x")
    work_off(broker)
    assert len(look.finished) == 1


@pytest.fixture
def claimed(broker):
    """The actors of so many messages, claimed one by one: as by a worker whose threads are all busy but one."""
    line = Line(broker.connections)

    def claim(how_many):
        broker.register_actors()
        claims = Claims(line)
        claims.add("default", limited=True)
        taken = [row for _ in range(how_many) for row in claims.take({"default": 1}, str(uuid4()))]
        names = {row["message_id"]: row["actor_name"] for row in broker.connections.records(
            "select message_id::text, actor_name from dramatiq.queue")}  # fmt: skip
        return [names[row[0]] for row in taken]

    yield claim
    line.close()


def declare_many(broker):
    """An actor whose limit leaves room for many, and one without a limit."""

    @dramatiq.actor(broker=broker, run_at_most=50)
    def export():
        pass

    @dramatiq.actor(broker=broker)
    def free():
        pass

    return export, free


def test_a_backlog_with_a_limit_starves_no_message_without_one(broker, claimed):
    export, free = declare_many(broker)
    broker.send_many([export.message() for _ in range(20)])
    broker.send_many([free.message() for _ in range(4)])
    first = claimed(10)
    assert (first.count("free"), first.count("export")) == (4, 6)


def test_priority_goes_before_limits(broker, claimed):
    export, free = declare_many(broker)
    broker.send_many([export.message() for _ in range(5)])
    broker.send_many([free.message_with_options(priority=-1) for _ in range(5)])
    broker.send_many([export.message_with_options(priority=-2) for _ in range(5)])
    assert claimed(15) == ["export"] * 5 + ["free"] * 5 + ["export"] * 5


def test_of_several_keys_the_oldest_message_is_first(broker, claimed):
    export, _ = declare_many(broker)

    @dramatiq.actor(broker=broker, run_at_most=50)
    def report():
        pass

    report.send()
    broker.send_many([export.message() for _ in range(20)])
    assert claimed(1) == ["report"]


def test_a_delayed_message_is_looked_for_when_it_is_due(broker):
    """And not with the next of the looks at what a limit holds up, which are a quarter of a second apart."""
    export, _ = declare_many(broker)
    line = Line(broker.connections)
    claims = Claims(line)
    claims.add("default", limited=True)
    export.send_with_options(delay=10_000)
    for _ in range(12):  # each pause is longer than the one before
        claims.take({"default": 1}, str(uuid4()))
    export.send_with_options(delay=150, priority=-1)
    claims.take({"default": 1}, str(uuid4()))
    assert claims.next_look() - monotonic() <= 0.151
    line.close()


def test_the_next_begins_as_soon_as_a_limit_is_free(broker, look):
    """One look each quarter of a second would take longer than this waits."""

    @dramatiq.actor(broker=broker, run_at_most=1)
    def one_by_one():
        pass

    broker.send_many([one_by_one.message() for _ in range(100)])
    work_off(broker, seconds=15)
    assert len(look.finished) == 100


def test_an_empty_run_key_holds_up_no_message(broker, look):
    declare(broker, Gauge())
    broker.register_actors()
    look.rows("select pgbroker.enqueue('free', run_key => '')")
    sent = broker.actors["free"].send_with_options(run_key="")
    operate.cancel(broker.connections, [sent.message_id])
    dead_letters.retry(broker.connections)
    assert [row["run_key"] for row in look.waiting] == ["", None]
    work_off(broker)
    assert len(look.finished) == 2


def test_a_key_without_a_limit_written_by_hand_is_run_one_by_one(broker, look):
    declare(broker, Gauge())
    for _ in range(2):
        look.rows(
            """insert into dramatiq.queue (message_id, message, run_key) values (gen_random_uuid(),
               '{"actor_name": "free", "args": [], "kwargs": {}, "options": {}}', 'by hand')"""
        )
    work_off(broker)
    assert len(look.finished) == 2


def test_every_key_has_its_turn_where_more_wait_than_one_claim_looks_at(broker, look):
    @dramatiq.actor(broker=broker, run_at_most=1)
    def limited():
        pass

    broker.send_many([limited.message_with_options(run_key=f"key {n:03}") for n in range(2 * MOST_KEYS + 20)])
    work_off(broker)
    assert len(look.finished) == 2 * MOST_KEYS + 20


def test_keys_that_are_due_later_hide_none_that_is_due(broker, claimed):
    """Each look at the next of them came a quarter of a second after the last."""
    export, _ = declare_many(broker)

    @dramatiq.actor(broker=broker, run_at_most=1)
    def urgent():
        pass

    later = [export.message_with_options(run_key=f"key {n:04}") for n in range(20 * MOST_KEYS)]
    broker.send_many(later, delay=3_600_000)
    urgent.send()
    assert claimed(2) == ["urgent"]


@pytest.mark.parametrize("default", ["repeatable read", "serializable"])
def test_claims_see_what_was_committed_whatever_the_default_is(broker, look, database_name, default):
    """With a snapshot from before its lock, a claim under a limit would not see who took the last place."""
    look.rows(f"""alter database "{database_name}" set default_transaction_isolation = '{default}'""")
    line = Line(broker.connections)
    levels = [line.execute("select current_setting('transaction_isolation')")]
    for connections in (line, broker.connections):
        with connections.transaction() as connection:
            levels.append(rows(connection, "select current_setting('transaction_isolation')"))
    line.close()
    assert levels == [[("read committed",)]] * 3
    assert broker.connections.execute("select current_setting('transaction_isolation')") == [(default,)], (
        "behind a pooler others use it"
    )
