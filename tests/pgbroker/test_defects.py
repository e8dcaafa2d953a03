"""What was wrong in dramatiq-pg 0.12, by the numbers of our list: the same scenario on `ours`, where it is cured, and
on `stock`, where it shows.

A scenario is a function of a site: a database, and brokers of one kind on it, each as if in a process of its own. What
other tests prove stands in ELSEWHERE, what cannot happen here in NOT_HERE. periodiq's defects are in
test_periodiq_defects.py.
"""

import re
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Thread

import dramatiq
import dramatiq_pg
import psycopg2
import pytest
import tenacity
from builders import fresh_database
from dramatiq.message import Message
from dramatiq.results import ResultFailure, ResultMissing
from dramatiq_pg.utils import raise_connection_error
from waiting import until
from workers import working

from pgbroker import DatabaseAway, MessageRefused, PostgresBroker, dead_letters, doorbell, retention
from pgbroker.connections import Connections, Line
from pgbroker.migrate import migrate
from pgbroker.statements import sql

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "pgbroker"

ELSEWHERE = {
    "D06": "pgbroker/test_send.py::test_d06_a_connection_that_is_lost_in_use_is_a_connection_error_for_dramatiq",
    "D09": "pgbroker/test_outcomes.py::test_d09_a_retry_without_delay_runs_at_once",
    "D11": "pgbroker/test_leases.py::test_d11_a_long_job_of_a_living_process_is_not_taken_away",
    "D13": "pgbroker/test_leases.py::test_d13_a_message_that_killed_its_worker_too_often_is_a_dead_letter",
    "D19b": "pgbroker/test_leases.py::test_d19_a_connection_that_drops_under_a_running_job_makes_nothing_run_twice",
    "D28": "pgbroker/test_retention.py::test_workers_delete_what_was_kept_long_enough",
    "D32": "pgbroker/contract/test_newest_dramatiq.py::test_the_contract_holds_on_the_newest_dramatiq",
}
NOT_HERE = {
    "D02": "a lock taken twice and given back once: there are no advisory locks, as D01 shows",
    "D31": "a schema without a prefix, or the reverse: neither can be chosen, the table is dramatiq.queue",
}


def test_every_number_of_the_list_is_answered():
    """D01 to D35 and D19b each have a test here, one elsewhere that is really there, or a reason."""
    here = {number for name in globals() if name.startswith("test_D") for number in re.findall(r"D\d\db?", name)}
    numbers = {f"D{number:02}" for number in range(1, 36)} | {"D19b"}
    assert here | ELSEWHERE.keys() | NOT_HERE.keys() == numbers
    for place in ELSEWHERE.values():
        path, name = place.split("::")
        assert f"def {name}(" in (TESTS / path).read_text(), place


class Site:
    """A database with brokers of one kind."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.brokers: list[dramatiq.Broker] = []
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True

    def broker(self, **options):
        """A broker as in a process of its own, with an actor `note`."""
        broker = self.make(**{"url": self.url, "middleware": [], "results": False} | options)
        dramatiq.actor(lambda *args: None, broker=broker, actor_name="note")
        self.brokers.append(broker)
        return broker

    def ask(self, statement, *parameters):
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def close(self) -> None:
        for broker in self.brokers:
            self.end(broker)
        self._connection.close()


class Stock(Site):
    make = dramatiq_pg.PostgresBroker
    tables = "dramatiq.queue"
    states_of = "select state::text from dramatiq.queue order by state"

    def end(self, broker):
        broker.pool.closeall()


class Ours(Site):
    make = PostgresBroker
    tables = "dramatiq.queue, pgbroker.finished, pgbroker.dead_letters, pgbroker.results, pgbroker.processes"
    states_of = """select state::text from dramatiq.queue union all select 'done' from pgbroker.finished
                   union all select 'rejected' from pgbroker.dead_letters order by 1"""

    def end(self, broker):
        broker.close()


@pytest.fixture(scope="module")
def databases(server):
    """URLs of a database with the stock schema and of one with ours."""
    with fresh_database(server, template="template0") as stock, fresh_database(server, template="template0") as ours:
        connection = psycopg2.connect(server.url(database=stock))
        with closing(connection), connection, connection.cursor() as cursor:
            cursor.execute(dramatiq_pg.generate_init_sql())
        with closing(psycopg2.connect(server.url(database=ours))) as connection:
            migrate(connection)
        yield {Stock: server.url(database=stock), Ours: server.url(database=ours)}


def site(kind):
    @pytest.fixture(name=kind.__name__.lower())
    def fixture(databases):
        made = kind(databases[kind])
        made.ask(f"truncate {kind.tables}")
        yield made
        made.close()

    return fixture


stock, ours = site(Stock), site(Ours)


def message(*args, queue_name="default"):
    return Message(queue_name, "note", args, {}, {})


def take(broker, queue_name="default", *, prefetch=4, timeout_ms=2000):
    """A new consumer and its first message."""
    consumer = broker.consume(queue_name, prefetch=prefetch, timeout=timeout_ms)
    return consumer, next(consumer)


def states(site):
    """Of all messages, finished ones included."""
    return [state for (state,) in site.ask(site.states_of)]


# c.1 Correctness


def test_D01_no_lock_outlives_its_message(ours, stock):
    def locks_after_ten(site):
        broker = site.broker()
        for _ in range(12):
            broker.enqueue(message())
        consumer, found = take(broker)
        for _ in range(10):
            consumer.ack(found)
            found = next(consumer)
        return site.ask(
            """select count(*) from pg_locks l join pg_database d on d.oid = l.database
                where locktype = 'advisory' and datname = current_database()"""
        )[0][0]

    assert locks_after_ten(ours) == 0
    assert locks_after_ten(stock) == 11


def test_D03_what_a_worker_gave_back_can_be_taken_by_another(ours, stock):
    def taken_by_another(site):
        one, another = site.broker(), site.broker()
        sent = one.enqueue(message())
        consumer, found = take(one)
        consumer.requeue([found])
        consumer.close()
        _, found = take(another, timeout_ms=2000 if site is ours else 0)
        return found is not None and found.message_id == sent.message_id

    assert taken_by_another(ours)
    assert not taken_by_another(stock), "the first still has its lock, on a connection in its pool"


def test_D04_a_message_is_finished_through_whichever_consumer_there_is(ours, stock):
    def finish(site):
        broker = site.broker()
        broker.enqueue(message())
        first, found = take(broker)
        first.close()
        broker.consume("default", prefetch=4, timeout=0).ack(found)
        return states(site)

    assert finish(ours) == ["done"]
    with pytest.raises(KeyError):
        finish(stock)


def test_D05_eight_queues_do_not_use_up_the_connections(ours, stock):
    def finish_beside_seven_others(site):
        broker = site.broker()
        for number in range(8):
            broker.declare_queue(f"queue{number}")
        broker.enqueue(message(queue_name="queue7"))
        for number in range(7):
            take(broker, f"queue{number}", timeout_ms=0)
        consumer, found = take(broker, "queue7")
        consumer.ack(found)
        return site.ask(
            """select count(*) from pg_stat_activity
                where datname = current_database() and application_name <> '' and pid <> pg_backend_pid()"""
        )[0][0]

    assert finish_beside_seven_others(ours) <= 4
    with pytest.raises(psycopg2.pool.PoolError, match="exhausted"):
        finish_beside_seven_others(stock)


def test_D06_a_closed_connection_is_a_connection_error_for_dramatiq(ours, stock):
    """The worker then tries again; anything else it gives up. More of ours: see ELSEWHERE."""
    with closing(psycopg2.connect(stock.url)) as connection:
        pass
    with pytest.raises(psycopg2.InterfaceError):
        raise_connection_error(connection.cursor)()
    with pytest.raises(psycopg2.InterfaceError) as error:
        connection.cursor()
    assert isinstance(ours.broker().connections.translated(error.value), dramatiq.errors.ConnectionError)


def test_D07_a_late_finish_does_not_end_the_run_of_another(ours, stock):
    def finish_late(site, lose):
        one, another = site.broker(), site.broker()
        one.enqueue(message())
        consumer, found = take(one)
        lose(consumer)
        theirs = another.consume("default", prefetch=4, timeout=2000 if site is ours else 0)
        until(lambda: next(theirs), "another has the message")
        consumer.ack(found)
        return states(site)

    def rescue(_):
        ours.ask("update dramatiq.queue set state = 'queued', lease_token = null, process_id = null")

    assert finish_late(ours, rescue) == ["consumed"]
    assert finish_late(stock, lambda consumer: consumer._consume_conn.close()) == ["done"]


def test_D08_a_send_whose_answer_was_lost_runs_nothing_twice(ours, stock, monkeypatch):
    """The message was committed, and is even done, when the sender finds its connection gone and tries again."""

    def end_it(site):
        consumer, found = take(site.broker())
        consumer.ack(found)

    lost = []

    def losing_one_answer(execute):
        def executes(line, statement, parameters=None):
            found = execute(line, statement, parameters)
            if statement in (sql("send_one"), sql("send")) and not lost:
                lost.append(end_it(ours))
                raise DatabaseAway("the answer was lost")
            return found

        return executes

    broker = ours.broker()
    for kind in (Line, Connections):
        monkeypatch.setattr(kind, "execute", losing_one_answer(kind.execute))
    broker.enqueue(message())
    monkeypatch.undo()
    assert (len(lost), states(ours)) == (1, ["done"])

    broker = stock.broker()
    sent = broker.enqueue(message())
    end_it(stock)
    assert states(stock) == ["done"]
    broker.enqueue(sent)  # what its retry does
    assert states(stock) == ["queued"]


def test_D08_a_connection_that_is_lost_loses_no_message_beside_one_that_was_sent_before(ours, monkeypatch):
    broker = ours.broker()
    old = broker.enqueue(message("old"))
    lost = []

    def losing_the_first(execute):
        def executes(line, statement, parameters=None):
            if statement in (sql("send_one"), sql("send")) and not lost:
                lost.append(statement)
                raise DatabaseAway("before it was executed")
            return execute(line, statement, parameters)

        return executes

    for kind in (Line, Connections):
        monkeypatch.setattr(kind, "execute", losing_the_first(kind.execute))
    for new in (message("new"), message("newer")):
        lost.clear()
        broker.send_many([old, new])
        assert lost
    broker.enqueue(old)
    monkeypatch.undo()
    waiting = ours.ask("select message #>> '{args,0}' from dramatiq.queue order by seq")
    assert waiting == [("old",), ("new",), ("newer",)]


def test_D10_what_is_done_cannot_be_given_back(ours, stock):
    def give_back(site):
        broker = site.broker()
        broker.enqueue(message())
        consumer, found = take(broker)
        consumer.ack(found)
        consumer.requeue([found])
        return states(site)

    assert give_back(ours) == ["done"]
    assert give_back(stock) == ["queued"]


def test_D12_times_are_right_whatever_the_sessions_time_zone(ours, stock):
    def hours_wrong(site):
        broker = site.broker(url=site.url + "&options=-c%20timezone%3DAmerica/New_York")
        broker.enqueue(message())
        take(broker)
        return site.ask("select abs(extract(epoch from now() - mtime))::float / 3600 from dramatiq.queue")[0][0]

    assert hours_wrong(ours) < 0.1
    assert hours_wrong(stock) > 3.9


def test_D14_dead_letters_are_not_thrown_away_with_what_is_done(ours, stock):
    def fail(site):
        broker = site.broker()
        sent = broker.enqueue(message())
        consumer, found = take(broker)
        found.fail()
        consumer.nack(found)
        assert states(site) == ["rejected"]
        return broker, sent

    broker, sent = fail(ours)
    retention.prune(broker.connections, finished_older_than=timedelta(0))
    assert states(ours) == ["rejected"]
    assert dead_letters.retry(broker.connections) == [sent.message_id]
    assert states(ours) == ["queued"]

    fail(stock)
    with closing(psycopg2.connect(stock.url)) as connection, connection, connection.cursor() as cursor:
        dramatiq_pg.broker.purge(cursor, "-1 day")
    assert states(stock) == []


def test_D15_a_large_result_is_stored(ours, stock):
    value = "x" * 9000
    backend, sent = ours.broker(results=True).backend, message()
    backend.store_result(sent, value, 60_000)
    assert backend.get_result(sent) == value

    backend = stock.broker(results=True).backend
    once = type(backend)._store.__wrapped__  # it would try ten times
    with pytest.raises(psycopg2.DatabaseError, match="payload string too long"):
        once(backend, backend.build_message_key(sent), value, 60_000)


def test_D16_a_stored_exception_is_raised_again(ours, stock):
    def raised(site):
        backend, sent = site.broker(results=True).backend, message()
        backend.store_exception(sent, ValueError("no such ticket"), 60_000)
        return backend.get_result(sent, block=True, timeout=1000)

    with pytest.raises(ResultFailure, match="no such ticket"):
        raised(ours)
    assert raised(stock)["exn"]["msg"] == "no such ticket"


def test_D17_a_result_whose_time_is_over_is_gone(ours, stock):
    def after_its_time(site):
        backend, sent = site.broker(results=True).backend, message()
        backend.store_result(sent, "old", -1)
        return backend.get_result(sent)

    with pytest.raises(ResultMissing):
        after_its_time(ours)
    assert after_its_time(stock) == "old"


class CountSends(dramatiq.Middleware):
    sends = 0

    def before_enqueue(self, broker, message, delay):
        self.sends += 1


def test_D18_D19_what_postgres_cannot_store_is_refused_at_once(ours, stock):
    """A NUL in an argument. D19: the hooks run once for each send, not for each try."""
    count = CountSends()
    with pytest.raises(MessageRefused, match="NUL"):
        ours.broker(middleware=[count]).enqueue(message("\0"))
    assert count.sends == 1

    count, waits = CountSends(), []
    broker = stock.broker(middleware=[count])
    without_sleep = type(broker).enqueue.retry_with(sleep=waits.append)
    with pytest.raises(psycopg2.DataError):
        without_sleep(broker, message("\0"))
    assert count.sends == 10
    assert sum(waits) > 5, waits


def test_D19_a_missing_table_is_told_at_once(ours, stock, server):
    elsewhere = server.url(database="postgres")
    count = CountSends()
    with pytest.raises(DatabaseAway, match="schema"):
        ours.broker(middleware=[count], url=elsewhere).enqueue(message())
    assert count.sends == 1
    count = CountSends()
    broker = stock.broker(middleware=[count], url=elsewhere)
    with pytest.raises(psycopg2.errors.UndefinedTable):
        type(broker).enqueue.retry_with(wait=tenacity.wait_none())(broker, message())
    assert count.sends == 10


def test_D19b_on_stock_a_dropped_connection_makes_a_message_run_twice_at_once(stock):
    """Ours: see ELSEWHERE."""
    one, another = stock.broker(), stock.broker()
    one.enqueue(message())
    consumer, found = take(one)
    consumer._consume_conn.close()
    theirs = another.consume("default", prefetch=4, timeout=0)
    assert until(lambda: next(theirs), "another has it as well").message_id == found.message_id


# c.2 Throughput and memory


def test_D20_a_slot_that_comes_free_is_filled_at_once(ours, stock):
    def seconds_to_the_next(site):
        broker = site.broker()
        for _ in range(2):
            broker.enqueue(message())
        consumer, found = take(broker, prefetch=1)
        if site is stock:
            consumer.misses = 20  # as after a minute of work: nothing ever sets it back
        taken = []

        def take_next():
            while not taken:
                if next(consumer):
                    taken.append(time.monotonic())

        waits = Thread(target=take_next)
        waits.start()
        freed_at = time.monotonic()
        consumer.ack(found)
        waits.join()
        return taken[0] - freed_at

    assert seconds_to_the_next(ours) < 0.4 < seconds_to_the_next(stock)


def test_D21_a_process_loads_what_it_can_start_and_not_the_whole_queue(ours, stock):
    def loaded(site):
        broker = site.broker()
        site.ask(
            """insert into dramatiq.queue (message_id, state, message)
               select id, 'queued', jsonb_build_object('actor_name', 'note', 'args', '[]'::jsonb, 'kwargs', '{}'::jsonb,
                      'options', '{}'::jsonb, 'queue_name', 'default', 'message_id', id, 'message_timestamp', 1)
                 from (select gen_random_uuid() as id from generate_series(1, 300)) ids"""
        )
        consumer, _ = take(broker, prefetch=4)
        if site is stock:
            return 1 + len(consumer.notifies)
        return site.ask("select count(*) from dramatiq.queue where state = 'consumed'")[0][0]

    assert loaded(ours) <= 4
    assert loaded(stock) == 300


def test_D22_many_messages_share_a_claim_and_a_finish(ours):
    broker = ours.broker()
    broker.send_many([message() for _ in range(300)])
    with working(broker, threads=8):
        broker.join("default", timeout=20_000)
        counters = dict(broker.engine.counters)
    assert counters["claimed"] == counters["finish_done"] == 300
    assert counters["claim_seconds_count"] < 150
    assert counters["finish_seconds_count"] < 300


def test_D23_D24_no_message_is_broadcast(ours, stock):
    """D23: when it is sent, to every worker. D24: when it is done, to nobody."""

    def heard(site):
        broker = site.broker()
        with closing(psycopg2.connect(site.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            for channel in ("dramatiq.default.enqueue", "dramatiq.default.ack", doorbell.channel("default")):
                cursor.execute(f'listen "{channel}"')
            if site is ours:  # so that there is somebody to ring for
                take(broker, timeout_ms=200)
                until(lambda: site.ask("select from pgbroker.processes where hears_until > now()"), "somebody listens")
            broker.enqueue(message("in confidence"))
            consumer, found = take(broker)
            consumer.ack(found)
            expected = 1 if site is ours else 2
            until(lambda: connection.poll() or len(connection.notifies) >= expected, "notifications")
        return [notice.payload for notice in connection.notifies]

    assert set(heard(ours)) == {""}
    assert [("in confidence" in payload) for payload in heard(stock)] == [True, True]


def test_D25_a_queue_has_one_consumer(ours, stock):
    assert ours.broker().get_declared_delay_queues() == set()
    assert stock.broker().get_declared_delay_queues() == {"default.DQ"}


def test_D26_an_index_serves_the_claim(ours, stock):
    def indexed(site):
        return site.ask(
            """select count(*) from pg_indexes where schemaname = 'dramatiq' and tablename = 'queue'
                  and indexdef ~ 'queue_name, priority, run_at'"""
        )[0][0]

    assert indexed(ours) > 0
    assert indexed(stock) == 0


def test_D27_a_wait_of_less_than_a_second_waits(ours, stock):
    def waited(site):
        consumer, _ = take(site.broker(), timeout_ms=10)
        consumer = site.brokers[-1].consume("default", prefetch=4, timeout=300) if site is ours else consumer
        if site is stock:
            consumer.timeout = 300 // 1000  # as its constructor does
        began = time.monotonic()
        assert next(consumer) is None
        return time.monotonic() - began

    assert waited(ours) >= 0.29
    assert waited(stock) < 0.2


# c.3 Fit and packaging


def test_D29_nothing_that_newer_pythons_lack_is_imported():
    gone = re.compile(r"^(?:from|import) (?:distutils|pkg_resources)", re.MULTILINE)
    assert gone.search((Path(dramatiq_pg.__file__).parent / "cli.py").read_text())
    assert [path.name for path in PACKAGE.rglob("*.py") if gone.search(path.read_text())] == []


def test_D30_two_brokers_of_one_process_do_not_mix(ours, stock, server):
    with fresh_database(server, template="template0") as name:
        with closing(psycopg2.connect(server.url(database=name))) as connection:
            migrate(connection)
        one, other = ours.broker(), ours.broker(url=server.url(database=name))
        one.enqueue(message())
        assert states(ours) == ["queued"]
        assert other.connections.execute("select count(*) from dramatiq.queue") == [(0,)]
        other.close()

    queries = dramatiq_pg.broker.QUERIES
    try:
        dramatiq_pg.PostgresBroker(pool=object(), results=False, schema="one", prefix="")
        dramatiq_pg.PostgresBroker(pool=object(), results=False, schema="two", prefix="")
        assert "two" in queries.ENQUEUE, "which the first now uses as well"
    finally:
        queries.build_queries("dramatiq", "")


def test_D33_a_queue_can_be_joined_and_flushed(ours, stock):
    for use in (lambda broker: broker.join("default"), lambda broker: broker.flush("default")):
        with pytest.raises(NotImplementedError):
            use(stock.broker())
    broker = ours.broker()
    broker.enqueue(message())
    with pytest.raises(dramatiq.errors.QueueJoinTimeout):
        broker.join("default", timeout=10)
    broker.flush("default")
    broker.join("default", timeout=10)


def test_D34_the_schema_may_be_made_twice(ours, stock):
    with closing(psycopg2.connect(ours.url)) as connection:
        assert migrate(connection).applied == []
    with pytest.raises(psycopg2.errors.DuplicateObject):
        stock.ask(dramatiq_pg.generate_init_sql())


def test_D35_a_senders_wrong_clock_delays_nothing(ours, stock, monkeypatch):
    real = time.time
    for place in ("time.time", "dramatiq.common.time"):
        monkeypatch.setattr(place, lambda: real() + 3600)
    for site in (ours, stock):
        site.broker().enqueue(message(), delay=60_000)
    monkeypatch.undo()
    ((seconds,),) = ours.ask("select extract(epoch from run_at - now())::float from dramatiq.queue")
    assert 50 < seconds <= 60
    ((eta,),) = stock.ask("select (message #>> '{options,eta}')::bigint from dramatiq.queue")
    assert eta / 1000 - real() > 3600
