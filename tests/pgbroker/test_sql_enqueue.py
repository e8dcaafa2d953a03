"""pgbroker.enqueue: sending from triggers and from other languages."""

import dramatiq
import psycopg2
import pytest
from dramatiq.common import q_name
from workers import work_off


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker, queue_name="notes", priority=3)
    def note(*args, **kwargs):
        note.ran.append((args, kwargs))

    note.ran = []
    broker.register_actors()
    return note


def test_args_and_kwargs_arrive(broker, note, look):
    (row,) = look.rows(
        """select pgbroker.enqueue('note', '[1, "two"]', '{"three": [4]}', tenant => 'acme')::text as id"""
    )
    (waiting,) = look.waiting
    assert (waiting["queue_name"], waiting["priority"], waiting["tenant"]) == ("notes", 3, "acme")
    assert waiting["message"]["message_id"] == row["id"]
    work_off(broker)
    assert note.ran == [((1, "two"), {"three": [4]})]


def test_it_rolls_back_with_its_transaction(note, look, owner):
    owner.autocommit = False
    with owner.cursor() as cursor:
        cursor.execute("select pgbroker.enqueue('note')")
    owner.rollback()
    owner.autocommit = True
    assert look.waiting == []


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("pgbroker.enqueue('nobody')", 'actor "nobody" is unknown'),
        ("pgbroker.enqueue(null)", "actor must be named"),
        ("pgbroker.enqueue('note', '{}')", "args must be a JSON array"),
        ("pgbroker.enqueue('note', null)", "args must be a JSON array"),
        ("pgbroker.enqueue('note', '[]', '[]')", "kwargs must be a JSON object"),
        ("pgbroker.enqueue('note', delay => '-1 s')", "delay must not be negative"),
        (r"""pgbroker.enqueue('note', '["\u0000"]')""", "u0000"),
        ("pgbroker.enqueue('note', queue => '')", 'queue "" is read by no worker'),
        ("pgbroker.enqueue('note', queue => 'notes.DQ')", 'queue "notes.DQ" is read by no worker'),
        ("pgbroker.enqueue('note', queue => 'notes.XQ')", 'queue "notes.XQ" is read by no worker'),
        ("pgbroker.enqueue('note', queue => '1st')", 'queue "1st" is read by no worker'),
        ("pgbroker.enqueue('note', queue => 'two words')", 'queue "two words" is read by no worker'),
        (r"pgbroker.enqueue('note', queue => E'notes\n')", "is read by no worker"),
        ("pgbroker.enqueue_many('note', array['[]'::jsonb], queue => 'notes.DQ')", "is read by no worker"),
    ],
)
def test_what_dramatiq_could_not_read_is_refused(note, look, call, reason):
    with pytest.raises(psycopg2.Error, match=reason):
        look.rows(f"select {call}")
    assert look.waiting == []


def test_a_named_queue_needs_no_worker_to_have_known_the_actor(look):
    look.rows("select pgbroker.enqueue('someday', queue => 'later')")
    assert look.waiting[0]["queue_name"] == "later"


NAMES = ["", "_", "a", "a.b-c_9", "a.DQ", "a.XQ", "DQ", ".DQ", "9a", "-a", "ä", "a b", "a\n", "a.dq"]


@pytest.mark.parametrize("name", NAMES)
def test_a_queue_is_refused_if_and_only_if_no_actor_could_read_it(broker, look, name):
    """Dramatiq's own rule, but for the names that it keeps for itself."""
    try:
        dramatiq.actor(lambda: None, actor_name="any", broker=broker, queue_name=name)
        allowed = q_name(name) == name
    except ValueError:
        allowed = False
    assert look.rows("select pgbroker.is_queue_name(%s) as allowed", name) == [{"allowed": allowed}]
