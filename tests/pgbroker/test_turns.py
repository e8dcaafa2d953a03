"""Tenants take turns inside a queue: who sends much waits for himself, not the others for him."""

from uuid import uuid4

import dramatiq
from workers import until, working

from pgbroker.claim import Claims
from pgbroker.connections import Line

TENANTS = 20


def in_order(broker, look, actor, expected, threads=2):
    with working(broker, threads=threads):
        broker.join("default", timeout=30_000)
    rows = look.rows("select tenant from pgbroker.finished order by started_at, finished_at")
    assert len(rows) == expected
    return [row["tenant"] for row in rows]


def test_a_single_message_passes_a_backlog_of_another_tenant(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    broker.send_many([note.message_with_options(tenant="large") for _ in range(3_000)])
    note.send_with_options(tenant="small")
    note.send()  # nobody's, which is a tenant of its own
    order = in_order(broker, look, note, 3_002)
    # A few claims, each of which takes what can be started within some milliseconds.
    assert order.index("small") < 1_200
    assert order.index(None) < 1_200


def test_tenants_with_backlogs_share_evenly(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    for tenant in range(TENANTS):
        broker.send_many([note.message_with_options(tenant=f"tenant {tenant:02}") for _ in range(60)])
    order = in_order(broker, look, note, 60 * TENANTS)
    half = order[: len(order) // 2]
    shares = [half.count(f"tenant {tenant:02}") for tenant in range(TENANTS)]
    assert min(shares) >= 10, shares
    assert max(shares) <= 55, shares


def test_priority_goes_before_turns(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    broker.send_many([note.message_with_options(tenant="a") for _ in range(300)])
    broker.send_many([note.message_with_options(tenant="b", priority=-1) for _ in range(100)])
    order = in_order(broker, look, note, 400)
    assert set(order[:90]) == {"b"}


def test_tenants_whose_messages_are_all_due_later_take_no_turn(broker, look):
    @dramatiq.actor(broker=broker)
    def note():
        pass

    broker.send_many([note.message_with_options(tenant=f"later {n}") for n in range(300)], delay=3_600_000)
    broker.send_many([note.message_with_options(tenant="zz now") for _ in range(200)])
    with working(broker, threads=2):
        until(lambda: len(look.finished) == 200)
    assert len(look.waiting) == 300


def test_turns_are_taken_by_one_message_at_a_time_as_well(broker, look):
    """A worker with one thread and long work claims one by one."""

    @dramatiq.actor(broker=broker)
    def note():
        pass

    for tenant in ("a", "b", "c"):
        broker.send_many([note.message_with_options(tenant=tenant) for _ in range(12)])
    claims = Claims(Line(broker.connections))
    claims.add("default", limited=False)
    broker.register_actors()
    taken = [row[8] for _ in range(18) for row in claims.take({"default": 1}, str(uuid4()))]
    assert len(taken) == 18
    assert min(taken.count(tenant) for tenant in "abc") >= 5, taken
    claims._line.close()


def test_tenants_whose_messages_are_all_due_later_end_no_turn(broker, look):
    """They lie between two tenants with work: whoever claims one by one walks past them, and is not stuck there."""

    @dramatiq.actor(broker=broker)
    def note():
        pass

    broker.send_many([note.message_with_options(tenant="a") for _ in range(60)])
    broker.send_many([note.message_with_options(tenant=f"b {n}") for n in range(40)], delay=3_600_000)
    note.send_with_options(tenant="c")
    claims = Claims(Line(broker.connections))
    claims.add("default", limited=False)
    broker.register_actors()
    taken = [row[8] for _ in range(12) for row in claims.take({"default": 1}, str(uuid4()))]
    assert "c" in taken
    claims._line.close()
