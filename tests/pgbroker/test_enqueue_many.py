"""Sending many messages of one actor from SQL."""

import json
from contextlib import closing

import dramatiq
import psycopg2
import pytest
from workers import work_off


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker)
    def note(*args):
        note.ran.append(args)

    note.ran = []
    broker.register_actors()
    return note


@pytest.fixture
def send(url):
    def send(**arguments):
        names = {"args": "jsonb[]", "unique_keys": "text[]", "tenants": "text[]"}
        arguments = {"args": [], "actor": "note"} | arguments
        arguments["args"] = [json.dumps(list_) for list_ in arguments["args"]]
        given = ", ".join(f"{name} => %({name})s::{names.get(name, 'text')}" for name in arguments)
        with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(f"select id::text from pgbroker.enqueue_many({given}) id", arguments)
            return [row[0] for row in cursor.fetchall()]

    return send


def test_what_is_sent_runs_in_its_order(broker, note, send, look):
    ids = send(args=[[number] for number in range(300)], tenants=[str(number % 3) for number in range(300)])
    assert len(set(ids)) == 300
    assert [row["message"]["args"] for row in look.waiting] == [[number] for number in range(300)]
    assert {row["tenant"] for row in look.waiting} == {"0", "1", "2"}
    work_off(broker)
    assert sorted(note.ran) == [(number,) for number in range(300)]


def test_nothing_sends_nothing(note, send, look):
    assert send(args=[]) == []
    assert look.waiting == []


def test_a_key_that_waits_already_or_comes_twice_is_not_sent_again(note, send, look):
    (first,) = send(args=[[1]], unique_keys=["a"])
    ids = send(args=[[2], [3], [4]], unique_keys=["a", "b", "b"])
    assert len(ids) == 3
    assert first in ids
    assert len(set(ids)) == 2
    assert [row["message"]["args"] for row in look.waiting] == [[1], [3]]
    assert [row["message"]["options"] for row in look.waiting] == [{"unique_key": "a"}, {"unique_key": "b"}]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"args": [[1], {}]}, "JSON array"),
        ({"args": [[1]], "tenants": ["a", "b"]}, "as long as args"),
        ({"args": [[1]], "actor": ""}, "named"),
        ({"args": [[1]], "actor": "nobody"}, "unknown"),
    ],
)
def test_what_no_worker_could_run_is_refused(note, look, url, arguments, reason):
    args = [json.dumps(one) for one in arguments["args"]]
    parameters = {"actor": "note", "tenants": None} | arguments | {"args": args}
    with (
        closing(psycopg2.connect(url)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.RaiseException, match=reason),
    ):
        cursor.execute(
            "select pgbroker.enqueue_many(%(actor)s, %(args)s::jsonb[], tenants => %(tenants)s::text[])", parameters
        )
    assert look.waiting == []
