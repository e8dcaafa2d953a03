"""`atum stats` and `atum dead`, on the product's own broker."""

import json
from uuid import uuid4

import pytest
import typer
from dramatiq.message import Message
from typer.testing import CliRunner
from workers import until, working

from app.commands import queue
from brokers import broker as desk_broker
from pgbroker.errors import PgBrokerError

app = typer.Typer()
queue.register(app)


LETTER = """
insert into pgbroker.dead_letters (message_id, queue_name, actor_name, message, created_at, died_at, deliveries,
                                   retries, reason, error, traceback, history)
select id, 'default', %(actor)s,
       jsonb_build_object('actor_name', %(actor)s::text, 'queue_name', 'default', 'args', '[7]'::jsonb,
                          'kwargs', '{}'::jsonb, 'options', '{"retries": 3, "traceback": "T"}'::jsonb,
                          'message_id', id, 'message_timestamp', 1),
       now(), clock_timestamp(), 4, 3, 'retries exhausted', 'ValueError: [no]', 'Traceback [x]',
       '[{"at": "2024-01-01", "event": "failed", "error": "no"}]'
  from gen_random_uuid() id
"""


@pytest.fixture
def letters(database_name, look):
    """Three dead letters of two actors; their ids, oldest first."""
    for actor in ("one", "one", "two"):
        look.rows(LETTER, {"actor": actor})
    yield [str(letter["message_id"]) for letter in look.dead]
    desk_broker.close()


def run(*arguments, code=0):
    outcome = CliRunner().invoke(app, list(arguments))
    assert outcome.exit_code == code, outcome.output
    return outcome


def test_the_list_shows_the_newest_first_and_can_be_narrowed(letters):
    listed = json.loads(run("dead", "list", "--json").stdout)
    assert [row["id"] for row in listed] == letters[::-1]
    assert [row["id"] for row in json.loads(run("dead", "list", "--actor", "two", "--json").stdout)] == letters[2:]
    assert len(json.loads(run("dead", "list", "--limit", "1", "--json").stdout)) == 1
    assert "ValueError" in run("dead", "list").stdout


def test_one_is_shown_with_its_traceback(letters):
    shown = json.loads(run("dead", "show", letters[0], "--json").stdout)
    assert (shown["traceback"], shown["message"]["args"]) == ("Traceback [x]", [7])
    assert "Traceback [x]" in run("dead", "show", letters[0]).stdout


def test_one_is_sent_again_with_a_clean_count(letters, look):
    run("dead", "retry", letters[1])
    (row,) = look.waiting
    assert str(row["message_id"]) == letters[1]
    assert (row["retries"], row["message"]["options"]) == (0, {})
    assert [entry["event"] for entry in row["history"]] == ["failed", "revived"]
    assert len(look.dead) == 2


@pytest.mark.parametrize(("choice", "left"), [(("--actor", "one"), 1), (("--all",), 0)])
def test_all_of_an_actor_or_all_are_sent_again_or_discarded(letters, look, choice, left):
    assert json.loads(run("dead", "retry", *choice, "--json").stdout)["ids"]
    assert (len(look.dead), len(look.waiting)) == (left, 3 - left)


def test_discarded_ones_are_gone(letters, look):
    run("dead", "discard", *letters[:2])
    assert [str(letter["message_id"]) for letter in look.dead] == letters[2:]
    assert look.waiting == []


def test_a_wrong_id_is_one_clear_line_and_nothing_happens(letters, look):
    for wrong, reason in ((str(uuid4()), "There is no dead letter"), ("nonsense", "is no message id")):
        outcome = run("dead", "retry", letters[0], wrong, code=1)
        assert isinstance(outcome.exception, PgBrokerError)
        assert reason in str(outcome.exception)
        assert "\n" not in str(outcome.exception)
    assert len(look.dead) == 3


@pytest.mark.parametrize("choice", [(), ("--all", "--actor", "one")])
def test_what_is_meant_must_be_said(letters, choice):
    assert "Name either" in run("dead", "discard", *choice, code=2).output


def test_stats_count_per_queue_and_actor(letters, look):
    desk_broker.enqueue(Message("default", "one", (), {}, {}))
    desk_broker.enqueue(Message("default", "one", (), {}, {}), delay=60_000)
    with working(desk_broker):
        until(lambda: look.rows("select from pgbroker.processes"))
        told = json.loads(run("stats", "--json").stdout)
    one = next(row for row in told["queues"] if row["actor"] == "one")
    assert (one["waiting"], one["scheduled"], one["dead"], one["retried"]) == (1, 1, 2, 6)
    assert 0 <= one["oldest_seconds"] < 30
    assert told["processes"][0]["beat_seconds_ago"] < 5
    assert "Messages" in run("stats").stdout
