"""finish_in: an actor's writes, its sends and its completion are one commit."""

import dramatiq
import psycopg2
import pytest
from dramatiq.results import Results
from workers import until, work_off, working

from pgbroker import AlreadyFinished, LeaseLost, PostgresBackend, PostgresBroker


@pytest.fixture
def effects(look):
    look.rows("create table effects (what text)")
    look.rows("grant all on effects to atum_worker")
    return lambda: [row["what"] for row in look.rows("select what from effects order by what")]


def write(connection, what):
    with connection.cursor() as cursor:
        cursor.execute("insert into effects values (%s)", (what,))


def test_writes_sends_and_completion_commit_together(broker, look, url, effects):
    @dramatiq.actor(broker=broker)
    def child():
        pass

    @dramatiq.actor(broker=broker)
    def parent():
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, "parent")
            child.send()
            assert len(look.waiting) == 1
            assert look.finished == []
        parent.seen = (len(look.finished), [row["actor_name"] for row in look.waiting])

    parent.send()
    with working(broker, threads=1):
        until(lambda: len(look.finished) == 2)
    assert effects() == ["parent"]
    assert parent.seen == (1, ["child"])
    assert look.dead == []


def test_an_actor_that_dies_after_its_commit_does_not_run_again(broker, look, url, effects):
    runs = []

    @dramatiq.actor(broker=broker, min_backoff=1)
    def job():
        runs.append(1)
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, "job")
        raise RuntimeError("after the commit")

    job.send()
    work_off(broker)
    assert (len(runs), effects(), len(look.finished), look.dead) == (1, ["job"], 1, [])


def test_an_actor_that_dies_before_its_commit_leaves_nothing_and_runs_again(broker, look, url, effects):
    runs = []

    @dramatiq.actor(broker=broker, min_backoff=1)
    def job():
        runs.append(1)
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, f"run {len(runs)}")
            if len(runs) == 1:
                raise RuntimeError("before the commit")

    job.send()
    work_off(broker)
    assert (effects(), len(look.finished)) == (["run 2"], 1)


def test_an_actor_that_forgets_to_commit_is_done_all_the_same(broker, look, url, effects):
    @dramatiq.actor(broker=broker)
    def job():
        connection = psycopg2.connect(url)
        with broker.finish_in(connection):
            write(connection, "lost by the actor itself")
        connection.close()

    job.send()
    work_off(broker)
    assert (effects(), len(look.finished), look.waiting) == ([], 1, [])


def test_a_worker_that_lost_its_lease_writes_nothing(broker, look, url, effects):
    errors = []

    @dramatiq.actor(broker=broker, max_retries=0)
    def job():
        look.rows("update dramatiq.queue set lease_token = gen_random_uuid()")
        try:
            with psycopg2.connect(url) as connection, broker.finish_in(connection):
                write(connection, "zombie")
        except LeaseLost as error:
            errors.append(error)
            raise

    job.send()
    with working(broker):
        until(lambda: errors)
        until(lambda: broker.engine.counters["finish_late"] == 1)
    assert effects() == []
    assert look.finished == look.dead == []
    assert [row["state"] for row in look.waiting] == ["consumed"]


def test_a_second_block_is_refused_loudly(broker, look, url, effects):
    errors = []

    @dramatiq.actor(broker=broker, max_retries=0)
    def job():
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, "first")
        try:
            with psycopg2.connect(url) as connection, broker.finish_in(connection):
                write(connection, "second")
        except AlreadyFinished as error:
            errors.append(str(error))
            raise

    job.send()
    work_off(broker)
    assert effects() == ["first"]
    assert "'job'" in errors[0]


def test_outside_a_worker_it_only_joins(broker, look, url, effects):
    @dramatiq.actor(broker=broker)
    def child():
        pass

    with psycopg2.connect(url) as connection, broker.finish_in(connection):
        write(connection, "script")
        child.send()
        assert look.waiting == []
    assert (effects(), len(look.waiting)) == (["script"], 1)


def test_a_message_with_a_callback_is_finished_after_its_callback_was_sent(broker, look, url, effects):
    @dramatiq.actor(broker=broker)
    def after(message, result):
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, "after")

    @dramatiq.actor(broker=broker)
    def job():
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            write(connection, "job")
        job.finished = look.finished

    job.send_with_options(on_success=after)
    work_off(broker)
    assert effects() == ["after", "job"]
    assert job.finished == []


def test_a_result_that_the_middleware_stores_of_every_actor_is_not_lost(url, look):
    broker = PostgresBroker(url, middleware=[], results=False)
    backend = PostgresBackend(broker.connections)
    broker.add_middleware(Results(backend=backend, store_results=True))

    @dramatiq.actor(broker=broker)
    def job():
        with psycopg2.connect(url) as connection, broker.finish_in(connection):
            pass
        return 7

    message = job.send()
    work_off(broker)
    assert message.get_result(backend=backend) == 7
