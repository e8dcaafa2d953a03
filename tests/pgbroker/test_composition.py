"""Dramatiq's own ways to combine messages, and results."""

import dramatiq
import psycopg2
import pytest
from builders import admin
from dramatiq.middleware import Middleware
from dramatiq.results import ResultFailure, ResultMissing
from workers import until, work_off, working

from pgbroker import PostgresBroker
from pgbroker.middleware import Retries
from pgbroker.migrate import migrate


def test_a_pipeline_hands_results_on(broker):
    got = []

    @dramatiq.actor(broker=broker)
    def add(x, y):
        return x + y

    @dramatiq.actor(broker=broker)
    def note(x):
        got.append(x)

    dramatiq.pipeline([add.message(1, 2), add.message(10), note.message()], broker=broker).run()
    work_off(broker)
    assert got == [13]


def test_callbacks_are_sent_with_the_finish_of_their_message(broker, look):
    got = []

    @dramatiq.actor(broker=broker)
    def after(message, result):
        got.append((message["actor_name"], result))

    @dramatiq.actor(broker=broker, max_retries=0)
    def good():
        return 7

    @dramatiq.actor(broker=broker, max_retries=0)
    def bad():
        raise ValueError("no")

    good.send_with_options(on_success=after)
    bad.send_with_options(on_failure=after)
    work_off(broker)
    assert sorted(got, key=str) == [("bad", {"type": "ValueError", "message": "no"}), ("good", 7)]


def test_a_callback_of_a_run_whose_lease_was_lost_is_not_sent(broker, look):
    @dramatiq.actor(broker=broker)
    def after(message, result):
        raise AssertionError("must not run")

    @dramatiq.actor(broker=broker)
    def job():
        look.rows("update dramatiq.queue set lease_token = gen_random_uuid()")

    job.send_with_options(on_success=after)
    with working(broker):
        until(lambda: broker.engine.counters["finish_late"] == 1)
    assert [row["actor_name"] for row in look.waiting] == ["job"]


@pytest.fixture
def results(url):
    broker = PostgresBroker(url, middleware=[Retries(max_retries=0)])
    yield broker
    broker.close()


def test_a_group_gives_its_results(results):
    @dramatiq.actor(broker=results, store_results=True)
    def double(x):
        return 2 * x

    group = dramatiq.group([double.message(x) for x in range(5)], broker=results).run()
    work_off(results)
    assert list(group.get_results()) == [0, 2, 4, 6, 8]


def test_d15_a_large_result_with_nul_comes_back(results):
    value = "\0" + "x" * 900_000

    @dramatiq.actor(broker=results, store_results=True)
    def big():
        return value

    message = big.send()
    work_off(results)
    assert message.get_result(backend=results.backend) == value


def test_d16_a_stored_exception_is_raised_again(results):
    @dramatiq.actor(broker=results, store_results=True)
    def bad():
        raise ValueError("no")

    message = bad.send()
    work_off(results)
    with pytest.raises(ResultFailure, match="no"):
        message.get_result(backend=results.backend)


def test_d17_a_result_ends_with_its_time(results, look):
    @dramatiq.actor(broker=results, store_results=True, result_ttl=1)
    def short():
        return 1

    message = short.send()
    work_off(results)
    with pytest.raises(ResultMissing):
        message.get_result(backend=results.backend)
    short.send()
    work_off(results)
    assert len(look.rows("select * from pgbroker.results")) == 1


@pytest.fixture
def elsewhere(server):
    """A broker of the same process on a database of its own."""
    with admin(server) as cursor:
        cursor.execute("create database elsewhere template template0")
    url = server.url(database="elsewhere")
    connection = psycopg2.connect(url)
    migrate(connection)
    connection.close()
    broker = PostgresBroker(url, middleware=[], results=False)
    yield broker
    broker.close()
    with admin(server) as cursor:
        cursor.execute("drop database elsewhere with (force)")


def test_what_a_hook_sends_through_another_broker_goes_there(broker, elsewhere, look):
    @dramatiq.actor(broker=elsewhere)
    def there():
        pass

    class Tells(Middleware):
        def after_process_message(self, broker, message, *, result=None, exception=None):
            there.send()

    @dramatiq.actor(broker=broker, max_retries=0)
    def here():
        with psycopg2.connect(elsewhere.connections._url) as connection, elsewhere.finish_in(connection):
            there.send()

    broker.add_middleware(Tells())
    here.send()
    work_off(broker)
    assert (len(look.finished), look.dead, look.waiting) == (1, [], [])
    sent = elsewhere.connections.execute("select actor_name from dramatiq.queue")
    assert sent == [("there",), ("there",)]


def test_a_next_step_that_waits_for_somebodys_transaction_holds_up_no_other_finish(broker, url, look):
    ran = []

    @dramatiq.actor(broker=broker)
    def first():
        ran.append("first")

    @dramatiq.actor(broker=broker)
    def second(*_):
        ran.append("second")

    @dramatiq.actor(broker=broker)
    def other():
        ran.append("other")

    def finished():
        return [row["actor_name"] for row in look.finished]

    somebody = psycopg2.connect(url)
    try:
        with broker.enlist(somebody):
            second.send_with_options(unique_key="ticket 1")
        pipeline = [first.message(), second.message_with_options(unique_key="ticket 1", pipe_ignore=True)]
        dramatiq.pipeline(pipeline, broker=broker).run()
        with working(broker):
            until(lambda: look.rows("select from pg_stat_activity where wait_event = 'transactionid'"))
            other.send()
            until(lambda: finished() == ["other"], "another finish is written meanwhile")
            somebody.rollback()
            until(lambda: sorted(finished()) == ["first", "other", "second"])
    finally:
        somebody.close()
    assert sorted(ran) == ["first", "other", "second"]
