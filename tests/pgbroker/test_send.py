"""Sending: what arrives, with which transaction, and what is refused."""

import datetime
import random
import string
from threading import Thread

import dramatiq
import psycopg2
import pytest
import sqlalchemy
import sqlalchemy.orm
from dramatiq.message import Message
from dramatiq.middleware import TimeLimitExceeded
from workers import work_off

from pgbroker import MessageRefused, PostgresBroker, SchemaMissing
from pgbroker.errors import DatabaseAway


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker)
    def note(*args, **kwargs):
        note.ran.append((args, kwargs))

    note.ran = []
    return note


def test_a_sent_message_runs_and_leaves_the_queue_as_finished(broker, note, look):
    message = note.send("hello", loud=True)
    assert look.waiting[0]["message"]["args"] == ["hello"]
    work_off(broker)
    assert note.ran == [(("hello",), {"loud": True})]
    assert look.waiting == []
    assert [str(row["message_id"]) for row in look.finished] == [message.message_id]


def test_a_send_inside_a_transaction_commits_with_it(broker, note, look, url):
    with psycopg2.connect(url) as connection:
        with broker.enlist(connection):
            note.send(1)
        assert look.waiting == []
    assert [row["message"]["args"] for row in look.waiting] == [[1]]


def test_a_send_inside_a_transaction_that_rolls_back_never_was(broker, note, look, url):
    connection = psycopg2.connect(url)
    with connection, broker.enlist(connection):
        note.send(1)
        connection.rollback()
    assert look.waiting == []


def test_a_cursor_and_a_sqlalchemy_connection_and_session_can_be_joined(broker, note, look, url):
    with psycopg2.connect(url) as connection, connection.cursor() as cursor, broker.enlist(cursor):
        note.send("cursor")
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.begin() as connection, broker.enlist(connection):
        note.send("connection")
    with sqlalchemy.orm.Session(engine) as session:
        with broker.enlist(session):
            note.send("session")
        session.commit()
    with sqlalchemy.orm.Session(engine) as session, broker.enlist(session):
        note.send("rolled back")
    engine.dispose()
    assert [row["message"]["args"] for row in look.waiting] == [["cursor"], ["connection"], ["session"]]


def test_what_leads_to_no_cursor_is_refused_where_it_is_enlisted(broker):
    with pytest.raises(TypeError, match="cursor"), broker.enlist(object()):
        pass


def test_joined_transactions_nest_and_do_not_leak_into_threads(broker, note, look, url):
    outer, inner = psycopg2.connect(url), psycopg2.connect(url)
    with broker.enlist(outer):
        with broker.enlist(inner):
            note.send("inner")
        note.send("outer")
        thread = Thread(target=note.send, args=("thread",))
        thread.start()
        thread.join()
    assert [row["message"]["args"] for row in look.waiting] == [["thread"]]
    inner.commit()
    outer.commit()
    assert {row["message"]["args"][0] for row in look.waiting} == {"thread", "inner", "outer"}


def test_many_messages_are_sent_in_one_statement_in_their_order(broker, note, look):
    sent = broker.send_many([note.message(number) for number in range(1000)])
    assert [row["message"]["args"][0] for row in look.waiting] == list(range(1000))
    assert len({message.message_id for message in sent}) == 1000


def test_one_message_that_is_refused_keeps_all_of_send_many_back(broker, note, look):
    with pytest.raises(MessageRefused):
        broker.send_many([note.message(1), note.message("\0")])
    assert look.waiting == []


@pytest.mark.parametrize("bad", [0, 99, 100, 733, 999])
def test_one_refused_among_many_keeps_all_back_though_some_are_on_their_way(broker, note, look, bad):
    numbers = [number if number != bad else "\0" for number in range(1000)]
    with pytest.raises(MessageRefused, match="NUL") as refused:
        broker.send_many([note.message(number) for number in numbers])
    assert refused.value.__cause__ is None
    assert look.waiting == []
    broker.send_many([note.message(number) for number in range(1000)])
    assert len(look.waiting) == 1000


def test_messages_are_drawn_while_those_before_are_on_their_way(broker, note, look):
    drawn = []

    def messages(last):
        for number in range(300):
            drawn.append(number)
            yield note.message_with_options(args=(number,), **(last if number == 299 else {}))

    broker.send_many(messages({}))
    sent = broker.send_many(messages({"unique_key": "a key"}))  # COPY cannot send this one, and begins in vain
    again = broker.send_many(note.message_with_options(unique_key="a key") for _ in range(1))
    assert drawn == [*range(300)] * 2
    assert again[0].message_id == sent[-1].message_id
    assert [row["message"]["args"][0] for row in look.waiting] == [*range(300)] * 2


def test_an_iterable_that_fails_keeps_all_back(broker, note, look):
    def messages():
        yield from (note.message(number) for number in range(120))
        raise LookupError("no more of them")

    with pytest.raises(LookupError, match="no more of them"):
        broker.send_many(messages())
    assert look.waiting == []


def test_an_interrupt_among_many_keeps_all_back(broker, note, look, monkeypatch):
    made, interrupted_at = broker._row, 300

    def interrupted(message, delay):
        if message.args == (interrupted_at,):
            raise TimeLimitExceeded
        return made(message, delay)

    monkeypatch.setattr(broker, "_row", interrupted)
    with pytest.raises(TimeLimitExceeded):
        broker.send_many([note.message(number) for number in range(1000)])
    assert look.waiting == []


def test_of_many_those_that_were_sent_before_are_not_sent_again(broker, note, look):
    messages = [note.message(number) for number in range(1000)]
    broker.send_many(messages[400:600])
    assert broker.send_many(messages) == messages
    assert sorted(row["message"]["args"][0] for row in look.waiting) == list(range(1000))


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        (("a\0b",), {}, "NUL"),
        (("\ud800",), {}, "half a character"),
        ((float("nan"),), {}, "NaN"),
        (({1, 2},), {}, "JSON cannot hold it"),
        ((datetime.date(2024, 1, 1),), {}, "JSON cannot hold it"),
        ((), {"delay": -1}, "delay"),
        (("x" * 1_048_576,), {}, "bytes"),
        ((), {"priority": "high"}, "priority"),
        ((), {"unique_key": 7}, "unique_key"),
        ((), {"tenant": b"x"}, "tenant"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_one_line(broker, note, look, arguments, options, reason):
    with pytest.raises(MessageRefused, match=reason) as refused:
        note.send_with_options(args=arguments, **options)
    assert "\n" not in str(refused.value)
    assert "'note'" in str(refused.value)
    assert look.waiting == []


def test_text_that_only_looks_forbidden_is_taken(broker, note):
    texts = ["\\u0000", "a\\\\u0000", "NaN", "Infinity", "😀", "%s %(x)s"]
    note.send(*texts)
    work_off(broker)
    assert note.ran == [(tuple(texts), {})]


def test_an_id_that_is_no_uuid_is_refused(broker, note):
    with pytest.raises(MessageRefused, match="UUID"):
        broker.enqueue(note.message().copy(message_id="one"))


def test_the_delay_is_the_databases(broker, note, look):
    note.send_with_options(delay=60_000)
    assert "eta" not in look.waiting[0]["message"]["options"]
    assert look.waiting[0]["queue_name"] == "default"
    (row,) = look.rows("select extract(epoch from run_at - now())::float as seconds from dramatiq.queue")
    assert 55 < row["seconds"] <= 60


def test_the_same_message_sent_twice_is_there_once(broker, note, look):
    message = note.message(1)
    broker.enqueue(message)
    broker.enqueue(message)
    assert len(look.waiting) == 1


def test_d08_a_second_send_of_a_running_message_does_not_reset_it(broker, note, look):
    message = note.send(1)
    look.rows("update dramatiq.queue set state = 'consumed', process_id = gen_random_uuid()")
    broker.enqueue(message)
    assert look.waiting[0]["state"] == "consumed"


def test_the_tenant_is_read_from_the_argument(broker, look):
    @dramatiq.actor(broker=broker)
    def job(organization_id, ticket_id):
        pass

    job.send("acme", 1)
    job.send(ticket_id=1, organization_id="umbrella")
    job.send_with_options(args=("acme", 1), tenant="other")
    assert [row["tenant"] for row in look.waiting] == ["acme", "umbrella", "other"]


def test_a_database_that_is_away_is_one_clear_line_at_once(note):
    broker = PostgresBroker("postgresql://nobody@localhost:1/nothing")
    with pytest.raises(DatabaseAway) as error:
        broker.enqueue(note.message())
    assert "\n" not in str(error.value)
    assert isinstance(error.value, dramatiq.errors.ConnectionError)


def test_a_database_without_schema_says_what_to_run(server, note):
    broker = PostgresBroker(server.url(database="postgres"), install_hint="Run `atum init` first.")
    with pytest.raises(SchemaMissing, match="atum init"):
        broker.enqueue(note.message())
    broker.close()


def test_a_login_or_database_that_does_not_exist_yet_says_what_to_run(server, note):
    for url in (server.url(user="nobody_yet"), server.url(database="nothing_yet")):
        with pytest.raises(SchemaMissing, match="atum init") as error:
            PostgresBroker(url, install_hint="Run `atum init` first.").enqueue(note.message())
        assert "\n" not in str(error.value)


def test_making_a_broker_asks_for_no_database():
    def never():
        raise AssertionError("asked")

    broker = PostgresBroker(never)
    with pytest.raises(DatabaseAway, match="asked"):
        broker.enqueue(Message("default", "x", (), {}, {}))


def test_d05_more_senders_than_connections_wait_instead_of_failing(broker, note, look):
    threads = [Thread(target=lambda: [note.send(n) for n in range(10)]) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(look.waiting) == 200


def test_a_connection_that_the_server_closed_is_replaced_unnoticed(broker, note, look):
    note.send(1)
    look.rows("select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like 'pgbroker:%%'")
    note.send(2)
    assert len(look.waiting) == 2


def test_d06_a_transaction_after_the_server_closed_the_connection_works(broker, look):
    assert broker.connections.execute("select 1") == [(1,)]
    look.rows("select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name like 'pgbroker:%%'")
    with broker.connections.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("select 1")


def test_d06_a_connection_that_is_lost_in_use_is_a_connection_error_for_dramatiq(broker, look):
    with pytest.raises(dramatiq.errors.ConnectionError):
        broker.connections.execute("select pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(dramatiq.errors.ConnectionError), broker.connections.transaction() as connection:
        connection.close()  # so that the commit fails


def noise(length):
    """Text that no compression makes fit into an index."""
    return "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=length))


@pytest.mark.parametrize("option", ["unique_key", "tenant", "run_key"])
def test_a_key_that_no_index_holds_is_refused(broker, note, look, option):
    with pytest.raises(MessageRefused, match=rf"its {option} takes 4,000 bytes, 2,000 are allowed"):
        note.send_with_options(**{option: noise(4_000)})
    note.send_with_options(**{option: noise(2_000)})
    work_off(broker)
    assert len(look.finished) == 1


def test_a_finish_that_no_index_holds_is_a_dead_letter_and_blocks_nobody(broker, note, look):
    look.rows(
        """insert into dramatiq.queue (message_id, message, tenant, run_key, run_at_most)
           values (gen_random_uuid(), '{"actor_name": "note", "args": [], "kwargs": {}, "options": {}}', %s, 'k', 1)""",
        noise(4_000),
    )
    work_off(broker)
    (letter,) = look.dead
    assert (letter["reason"], "index row size" in letter["error"]) == ("could not be finished", True)


def test_many_messages_keep_their_letters_whatever_the_client_encoding(broker, note, look, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    broker.send_many([note.message_with_options(args=("Zoë",), tenant="Zoë") for _ in range(100)])
    assert {(row["tenant"], row["message"]["args"][0]) for row in look.waiting} == {("Zoë", "Zoë")}
