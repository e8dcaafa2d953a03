"""A dead letter tells its whole story, and sent again it is the message that it was."""

import dramatiq
import pytest
from dramatiq.middleware import AgeLimit
from workers import work_off

from pgbroker import MessageRefused, PostgresBroker, dead_letters, operate
from pgbroker.lease import MOST_DEATHS
from pgbroker.statements import sql


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker, queue_name="notes", max_retries=1, min_backoff=1, max_backoff=1)
    def note(number=0):
        note.runs += 1
        raise ValueError(f"attempt {note.runs}")

    note.runs = 0
    return note


@pytest.fixture
def limited(broker):
    @dramatiq.actor(broker=broker, queue_name="notes", run_at_most=2)
    def limited():
        pass

    broker.register_actors()
    return limited


def bury(broker, *messages):
    operate.cancel(broker.connections, [message.message_id for message in messages])


def test_every_attempt_is_told_with_its_error_and_its_times(broker, note):
    sent = note.send(7)
    work_off(broker)
    letter = dead_letters.shown(broker.connections, sent.message_id)
    assert [(entry["event"], entry["error"]) for entry in letter["history"]] == [
        ("retried", "ValueError: attempt 1"),
        ("failed", "ValueError: attempt 2"),
    ]
    times = [entry[name] for entry in letter["history"] for name in ("began_at", "at")]
    assert times == sorted(times)
    assert (letter["error"], letter["deliveries"], letter["retries"]) == ("ValueError: attempt 2", 2, 1)
    assert "raise ValueError" in letter["traceback"]
    assert letter["message"]["args"] == [7]
    assert letter["created_at"] < letter["died_at"]


def test_sent_again_it_keeps_its_keys(broker, note, look):
    options = {"unique_key": "ticket 1", "run_key": "customer 1", "priority": 3, "tenant": "acme"}
    sent = note.send_with_options(**options)
    (before,) = look.waiting
    bury(broker, sent)
    dead_letters.retry(broker.connections, [sent.message_id])
    (after,) = look.waiting
    assert after["message"].pop("message_timestamp") >= before["message"].pop("message_timestamp")
    for name in ("message_id", "unique_key", "run_key", "run_at_most", "priority", "tenant", "message", "created_at"):
        assert after[name] == before[name], name
    assert note.send_with_options(**options).message_id == sent.message_id


def test_sent_again_it_has_the_limit_of_its_actor(broker, limited, look):
    sent = limited.send()
    bury(broker, sent)
    look.rows("update pgbroker.actors set run_at_most = 5")
    dead_letters.retry(broker.connections)
    assert [(row["run_key"], row["run_at_most"]) for row in look.waiting] == [("limited", 5)]


def test_sent_again_it_is_not_too_old_at_once(url, look):
    broker = PostgresBroker(url, middleware=[AgeLimit(max_age=60_000)], results=False)
    ran = []

    @dramatiq.actor(broker=broker)
    def note():
        ran.append(1)

    note.send()
    look.rows("update dramatiq.queue set message = message || '{\"message_timestamp\": 1000}'")
    work_off(broker)
    assert [letter["reason"] for letter in look.dead] == ["too old"]
    dead_letters.retry(broker.connections)
    work_off(broker)
    assert (ran, look.dead) == ([1], [])


def test_while_another_waits_under_its_key_it_stays(broker, note, look, caplog):
    first = note.send_with_options(unique_key="ticket 1")
    other = note.send()
    bury(broker, first, other)
    note.send_with_options(unique_key="ticket 1")
    with pytest.raises(MessageRefused, match=r"unique_key 'ticket 1'.*Nothing was changed"):
        dead_letters.retry(broker.connections, [other.message_id, first.message_id])
    assert (len(look.dead), len(look.waiting)) == (2, 1)
    assert dead_letters.retry(broker.connections) == [other.message_id]
    assert [str(letter["message_id"]) for letter in look.dead] == [first.message_id]
    assert "1 dead letters stay" in caplog.text


def test_a_row_that_is_no_message_does_not_keep_the_others_dead(broker, note, look):
    for message in ("null", "[1]", '{"options": [1]}'):
        look.rows(
            """insert into pgbroker.dead_letters (message_id, queue_name, message, created_at, deliveries, retries,
                                                  reason, history)
               values (gen_random_uuid(), 'notes', %s, now(), 1, 0, 'not a message', '[]')""",
            message,
        )
    assert len(dead_letters.retry(broker.connections)) == 3
    work_off(broker)
    assert [letter["reason"] for letter in look.dead] == ["not a message"] * 3


def test_one_that_killed_its_worker_gets_all_its_chances_again(broker, note, look):
    def die():
        look.rows(
            """update dramatiq.queue set state = 'consumed', process_id = gen_random_uuid(),
               lease_token = gen_random_uuid(), started_at = now() - interval '1 minute'"""
        )
        broker.connections.execute(sql("rescue"), {"young_seconds": 0.5, "most_deaths": MOST_DEATHS})

    note.send()
    for _ in range(2):
        for death in range(1, MOST_DEATHS + 1):
            assert look.dead == []
            die()
            assert len(look.waiting) == (death < MOST_DEATHS)
        assert [letter["reason"] for letter in look.dead] == ["killed its worker"]
        dead_letters.retry(broker.connections)
