"""What has been kept long enough goes, in batches; what has not stays."""

from datetime import timedelta

import dramatiq
import psycopg2
import pytest
from workers import until, working

from pgbroker import PostgresBroker
from pgbroker.connections import Connections
from pgbroker.middleware import Retries
from pgbroker.retention import Pruned, Retention, prune

FINISHED = """
insert into pgbroker.finished (message_id, queue_name, actor_name, message, created_at, finished_at, deliveries,
                               retries, history)
select gen_random_uuid(), 'default', 'note', '{}', now(), now() - make_interval(days => age), 1, 0, '[]'
  from unnest(%(ages)s) age
"""
DEAD = """
insert into pgbroker.dead_letters (message_id, queue_name, actor_name, message, created_at, died_at, deliveries,
                                   retries, reason, history)
select gen_random_uuid(), 'default', 'note', '{}', now(), now() - make_interval(days => age), 1, 0, 'rejected', '[]'
  from unnest(%(ages)s) age
"""
WEEK, QUARTER = timedelta(days=7), timedelta(days=90)


@pytest.fixture
def kept(look):
    """Twenty finished messages and as many dead letters of each of these ages in days."""
    ages = {"ages": [age for age in (0, 6, 8, 89, 91) for _ in range(20)]}
    look.rows(FINISHED, ages)
    look.rows(DEAD, ages)


def days(look, table, column):
    """The ages of what is left."""
    left = look.rows(
        f"select distinct round(extract(epoch from now() - {column}) / 86400)::integer as days"
        f" from pgbroker.{table} order by 1"
    )
    return [row["days"] for row in left]


def test_each_of_the_two_has_an_age_of_its_own(broker, kept, look):
    assert prune(broker.connections, finished_older_than=WEEK, dead_older_than=QUARTER, batch=7) == Pruned(60, 20)
    assert days(look, "finished", "finished_at") == [0, 6]
    assert days(look, "dead_letters", "died_at") == [0, 6, 8, 89]
    assert prune(broker.connections, finished_older_than=WEEK, dead_older_than=QUARTER) == Pruned(0, 0)


def test_what_has_no_age_is_kept(broker, kept, look):
    assert prune(broker.connections, dead_older_than=WEEK) == Pruned(0, 60)
    assert prune(broker.connections) == Pruned(0, 0)
    assert len(look.finished) == 100


def test_a_batch_says_whether_more_is_left(broker, kept, look):
    retention = Retention(finished_older_than=WEEK, batch=40)
    assert retention.prune_batch(broker.connections)
    assert len(look.finished) == 60
    assert not retention.prune_batch(broker.connections)
    assert days(look, "finished", "finished_at") == [0, 6]
    look.rows(FINISHED, {"ages": [400]})  # older than all that it has seen
    assert not retention.prune_batch(broker.connections)
    assert retention.pruned == Pruned(61, 0)


def test_rows_that_another_prunes_at_the_moment_are_left_to_it(kept, look, url):
    impatient = Connections(f"{url}&options=-c%20lock_timeout%3D5s", "")
    other = psycopg2.connect(url)
    try:
        with other.cursor() as cursor:
            cursor.execute("delete from pgbroker.finished where finished_at < now() - interval '90 days'")
        assert prune(impatient, finished_older_than=WEEK, batch=7) == Pruned(40, 0)
        other.rollback()
    finally:
        other.close()
        impatient.close()
    assert days(look, "finished", "finished_at") == [0, 6, 91]


def test_every_batch_is_a_transaction_of_its_own(broker, kept, look):
    look.rows("""
        create table batches (transaction bigint, rows bigint);
        grant insert on batches to atum_worker;
        create function note_batch() returns trigger language plpgsql as $$
        begin insert into batches select txid_current(), count(*) from old_rows; return null; end $$;
        create trigger note_batch after delete on pgbroker.finished referencing old table as old_rows
            for each statement execute function note_batch()""")
    prune(broker.connections, finished_older_than=WEEK, batch=25)
    noted = look.rows("select count(distinct transaction) as transactions, max(rows) as most from batches")
    assert noted == [{"transactions": 3, "most": 25}]


@pytest.mark.parametrize("wrong", [{"finished_older_than": timedelta(days=-1)}, {"batch": 0}])
def test_nonsense_is_refused(broker, wrong):
    with pytest.raises(ValueError, match="must"):
        prune(broker.connections, **wrong)


def test_workers_delete_what_was_kept_long_enough(url, look, monkeypatch):
    monkeypatch.setattr("pgbroker.lease.SECONDS_BETWEEN_PRUNES", 0.0)
    tidy = PostgresBroker(url, middleware=[Retries()], results=False, keep_finished_days=2, keep_dead_days=None)

    @dramatiq.actor(broker=tidy)
    def note():
        pass

    for days in (1, 3):
        look.rows(
            """insert into pgbroker.finished (message_id, queue_name, message, created_at, finished_at, deliveries,
                                               retries, history)
               values (gen_random_uuid(), 'default', '{}', now(), now() - %s * interval '1 day', 1, 0, '[]')""",
            days,
        )
    with working(tidy):
        until(lambda: len(look.finished) == 1)
    assert look.rows("select from pgbroker.finished where finished_at > now() - interval '2 days'")
