"""A table of dramatiq-pg 0.12 with its messages is taken over as it stands."""

import shutil
from collections import Counter
from importlib.resources import files
from uuid import uuid4

import dramatiq
import psycopg2
import pytest
from builders import admin
from workers import until, work_off, working

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries
from pgbroker.migrate import DIRECTORY, migrate


@pytest.fixture
def old(server):
    """A database with dramatiq-pg's own schema, as its `dramatiq-pg init` makes it."""
    name = "old_dramatiq_pg"
    with admin(server) as cursor:
        cursor.execute(f"create database {name} template template0")
    connection = psycopg2.connect(server.url(database=name))
    schema = files("dramatiq_pg").joinpath("schema.sql").read_text()
    schema = "\n".join(line for line in schema.splitlines() if not line.startswith("\\"))
    for placeholder, value in (("schema", "dramatiq"), ("state", "state"), ("queue", "queue")):
        schema = schema.replace(f':"{placeholder}"', f'"{value}"')
    with connection, connection.cursor() as cursor:
        cursor.execute(schema)
    yield connection
    connection.close()
    with admin(server) as cursor:
        cursor.execute(f"drop database {name} with (force)")


INSERT = """insert into dramatiq.queue (message_id, queue_name, state, message) values (%(id)s, %(queue)s, %(state)s,
    jsonb_build_object('queue_name', %(queue)s::text, 'actor_name', 'note', 'args', jsonb_build_array(%(what)s::text),
    'kwargs', '{}'::jsonb, 'options', %(options)s::jsonb, 'message_id', %(id)s::text, 'message_timestamp', 1))"""


def test_its_waiting_running_delayed_done_and_rejected_messages_go_on(old, server):
    rows = [
        ("default", "queued", "waiting", "{}"),
        ("default", "consumed", "running", "{}"),
        ("default.DQ", "queued", "delayed", '{"eta": 1000}'),
        ("default", "done", "done", "{}"),
        ("default", "rejected", "rejected", '{"retries": 3, "traceback": "Traceback"}'),
    ]
    with old, old.cursor() as cursor:
        for number, (queue, state, what, options) in enumerate(rows):
            identity = f"00000000-0000-0000-0000-00000000000{number}"
            cursor.execute(INSERT, {"id": identity, "queue": queue, "state": state, "what": what, "options": options})
    migrate(old)
    broker = PostgresBroker(server.url(database="old_dramatiq_pg"), middleware=[Retries()], results=False)
    ran = []

    @dramatiq.actor(broker=broker)
    def note(what):
        ran.append(what)

    note.send("new")
    work_off(broker)
    assert sorted(ran) == ["delayed", "new", "running", "waiting"]
    with old, old.cursor() as cursor:
        cursor.execute("select count(*) from pgbroker.finished")
        assert cursor.fetchone() == (5,)
        cursor.execute("select reason, retries, traceback from pgbroker.dead_letters")
        assert cursor.fetchall() == [("rejected", 3, "Traceback")]


NO_MESSAGES = {
    '"text"': "TypeError",
    "null": "TypeError",
    "7": "TypeError",
    "[1, 2]": "TypeError",
    '{"args": [], "kwargs": {}, "options": [1], "actor_name": "note"}': "options",
    '{"args": [], "kwargs": {}, "options": "none", "actor_name": "note"}': "options",
}


@pytest.mark.parametrize("state", ["queued", "consumed"])
def test_rows_that_hold_no_message_are_dead_letters_that_say_why(old, server, state):
    insert = (
        "insert into dramatiq.queue (message_id, queue_name, state, message) values (gen_random_uuid(), %s, %s, %s)"
    )
    queues = ("default", "default.DQ")
    with old, old.cursor() as cursor:
        cursor.executemany(insert, [(queue, state, text) for text in NO_MESSAGES for queue in queues])
    migrate(old)
    broker = PostgresBroker(server.url(database="old_dramatiq_pg"), middleware=[Retries()], results=False)
    dramatiq.actor(lambda: None, actor_name="note", broker=broker)
    work_off(broker)
    with old, old.cursor() as cursor:
        cursor.execute("select message::text, queue_name, reason, error from pgbroker.dead_letters")
        dead = cursor.fetchall()
    assert Counter(text for text, _, _, _ in dead) == dict.fromkeys(NO_MESSAGES, 2)
    for text, queue_name, reason, error in dead:
        assert (queue_name, reason) == ("default", "not a message")
        assert NO_MESSAGES[text] in error


def test_nothing_is_set_aside_where_the_released_steps_have_run(old, tmp_path):
    for path in DIRECTORY.glob("000[1-7]_*.sql"):
        shutil.copy(path, tmp_path)
    migrate(old, tmp_path)
    insert = "insert into dramatiq.queue (message_id, state, message) values (gen_random_uuid(), 'consumed', '7')"
    with old, old.cursor() as cursor:
        cursor.execute(insert)
    assert "0001b_set_aside.sql" in migrate(old).applied
    with old, old.cursor() as cursor:
        cursor.execute("select state, message from dramatiq.queue")
        assert cursor.fetchall() == [("consumed", 7)]


@pytest.mark.parametrize("eta", ['"tomorrow"', "1e300", "-1e17", "true"])
def test_a_message_whose_due_time_is_none_runs_at_once(old, server, eta):
    row = {"id": str(uuid4()), "queue": "default.DQ", "state": "queued", "what": eta, "options": f'{{"eta": {eta}}}'}
    with old, old.cursor() as cursor:
        cursor.execute(INSERT, row)
    migrate(old)
    broker = PostgresBroker(server.url(database="old_dramatiq_pg"), middleware=[Retries()], results=False)
    ran = []
    dramatiq.actor(ran.append, actor_name="note", broker=broker)
    work_off(broker)
    assert ran == [eta]


def test_rejected_rows_are_kept_whatever_they_hold(old):
    """Without a time, without a message, and with a count of retries that is none: that count alone is dropped, as it
    would be by the letter's retry."""
    held = ['"text"', None, '{"actor_name": "note", "args": [1], "options": {"retries": "many", "kept": 1}}']
    insert = """insert into dramatiq.queue (message_id, state, message, mtime)
                values (gen_random_uuid(), 'rejected', %s, null)"""
    with old, old.cursor() as cursor:
        cursor.executemany(insert, [(text,) for text in held])
    migrate(old)
    with old, old.cursor() as cursor:
        cursor.execute("select message, reason from pgbroker.dead_letters order by message::text")
        assert cursor.fetchall() == [
            ("text", "rejected"),
            (None, "rejected"),
            ({"actor_name": "note", "args": [1], "options": {"kept": 1}}, "rejected"),
        ]
        cursor.execute("select count(*) from dramatiq.queue")
        assert cursor.fetchone() == (0,)


def test_the_upgrade_may_run_twice(old):
    assert migrate(old).applied
    assert migrate(old).applied == []


def test_due_times_that_no_worker_could_read_are_mended(old, server, tmp_path):
    """One of them kept a worker from whatever it had claimed together with it."""
    for path in DIRECTORY.glob("000[1-6]*.sql"):
        shutil.copy(path, tmp_path)
    migrate(old, tmp_path)
    insert = """insert into dramatiq.queue (message_id, run_at, message) values (gen_random_uuid(), %s,
        jsonb_build_object('actor_name', 'note', 'args', jsonb_build_array(%s), 'kwargs', '{}'::jsonb,
                           'options', '{}'::jsonb))"""
    times = ("-infinity", "0044-03-15 BC", "infinity", "20000-01-01")
    with old, old.cursor() as cursor:
        cursor.executemany(insert, [(run_at, run_at) for run_at in times])
    migrate(old)
    broker = PostgresBroker(server.url(database="old_dramatiq_pg"), middleware=[Retries()], results=False)
    ran = []

    @dramatiq.actor(broker=broker)
    def note(what):
        ran.append(what)

    with working(broker):
        until(lambda: len(ran) == 2)
    assert sorted(ran) == sorted(times[:2])
    for run_at in times:
        with pytest.raises(psycopg2.errors.CheckViolation, match="queue_run_at"), old, old.cursor() as cursor:
            cursor.execute(insert, (run_at, run_at))
