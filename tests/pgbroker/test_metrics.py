"""The figures that Prometheus reads, of real queues and workers."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import dramatiq
import psycopg2
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from workers import until, work_off, working

from pgbroker import PostgresBroker, metrics, operate
from pgbroker.lease import MOST_DEATHS
from pgbroker.metrics import BrokerCollector, Sparingly
from pgbroker.statements import sql


class Scrape(dict[str, float]):
    """Values by name and labels, as the text format writes them."""

    def __init__(self, collector: BrokerCollector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        self.text = generate_latest(registry).decode()
        self.families = list(text_string_to_metric_families(self.text))
        for family in self.families:
            for sample in family.samples:
                labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                self[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value


@pytest.fixture
def collector(broker) -> BrokerCollector:
    return BrokerCollector(broker.connections)


@pytest.fixture
def job(broker):
    @dramatiq.actor(broker=broker, queue_name="jobs", max_retries=1, min_backoff=1, max_backoff=1)
    def job(what="work"):
        if what == "wait":
            job.began.set()
            job.go_on.wait(10)
        elif what == "fail":
            raise ValueError("no")

    job.began, job.go_on = Event(), Event()
    return job


def test_the_queue_as_it_is(broker, job, collector, look):
    job.send("wait")
    with working(broker):
        assert job.began.wait(10)
        operate.pause(broker.connections, "jobs")
        for options in ({}, {"run_key": "one"}, {"delay": 60_000}, {"delay": 60_000, "run_key": "two"}):
            job.send_with_options(**options)
        look.rows("update dramatiq.queue set run_at = now() - interval '40 seconds' where run_key = 'one'")
        got = Scrape(collector)
        job.go_on.set()
    assert [got[f'pgbroker_messages_{state}{{queue="jobs"}}'] for state in ("waiting", "scheduled", "running")] == [
        2, 2, 1,
    ]  # fmt: skip
    assert 40 <= got['pgbroker_oldest_waiting_seconds{queue="jobs"}'] < 60
    assert got['pgbroker_queue_paused{queue="jobs"}'] == 1
    assert (got["pgbroker_processes"], got['pgbroker_queue_processes{queue="jobs"}']) == (1, 1)
    assert got["pgbroker_up"] == 1
    gone = Scrape(collector)
    assert (gone["pgbroker_processes"], gone['pgbroker_queue_processes{queue="jobs"}']) == (0, 0)


def test_what_workers_did_is_counted_while_they_live_and_when_they_are_gone(broker, job, collector):
    for what in ("work", "work", "fail"):
        job.send(what)
    expected = {"finished": 2, "retried": 1, "dead": 1, "claimed": 4, "released": 0, "rescued": 0, "cancelled": 0}

    def counted() -> dict[str, float]:
        got = Scrape(collector)
        return {name: got[f"pgbroker_messages_{name}_total"] for name in expected}

    with working(broker):
        broker.join("jobs", timeout=10_000)
        until(lambda: counted() == expected, "the beat has told")
    assert counted() == expected
    work_off(broker)
    got = Scrape(collector)
    assert counted() == expected
    assert got["pgbroker_late_finishes_total"] == 0
    assert got['pgbroker_dead_letters{actor="job",queue="jobs"}'] == 1
    for name in ("claim", "finish"):
        buckets = [value for key, value in got.items() if key.startswith(f"pgbroker_{name}_seconds_bucket")]
        assert buckets == sorted(buckets)
        assert 1 <= got[f"pgbroker_{name}_seconds_count"] == buckets[-1] <= 4
        assert 0 < got[f"pgbroker_{name}_seconds_sum"] < 10


def test_a_process_that_was_taken_for_dead_counts_nothing_twice(broker, job, collector, look, url):
    def finished() -> float:
        return Scrape(collector)["pgbroker_messages_finished_total"]

    with working(broker):
        job.send()
        until(lambda: finished() == 1, "the beat has told")
        with psycopg2.connect(url) as other, other.cursor() as cursor:
            cursor.execute("update pgbroker.processes set beat_at = now() - interval '1 s', lease_seconds = 0.1")
            cursor.execute(sql("rescue"), {"young_seconds": 0.5, "most_deaths": MOST_DEATHS})
        other.close()
        job.send()
        until(lambda: finished() > 1, "it has come back")
        assert finished() == 2
    assert finished() == 2


def test_every_figure_says_what_it_means(collector):
    assert [family.name for family in Scrape(collector).families if not family.documentation.endswith(".")] == []


def test_a_scheduler_that_is_late_shows(collector, look):
    look.rows("""
        insert into pgbroker.actors (actor_name, queue_name) values ('sweep', 'jobs'), ('never', 'jobs');
        insert into pgbroker.slots (actor_name, slot_at, sent_at, message_id)
        select 'sweep', now() - slot, now() - slot + late, gen_random_uuid()
          from (values (interval '90 s', interval '1 s'), (interval '30 s', interval '4 s')) s (slot, late)""")
    got = Scrape(collector)
    assert 30 <= got['pgbroker_last_tick_age_seconds{actor="sweep"}'] < 60
    assert got['pgbroker_last_tick_late_seconds{actor="sweep"}'] == pytest.approx(4)
    assert [name for name in got if "never" in name] == []


@pytest.fixture(params=["the broker's login", "another login"])
def reader(request, url, server, database_name) -> Iterator[psycopg2.extensions.connection]:
    """Somebody who has read the table and keeps his transaction open."""
    where = url if request.param == "the broker's login" else server.url(database=database_name)
    connection = psycopg2.connect(where, application_name="a long look")
    connection.set_session(isolation_level="repeatable read")
    with connection.cursor() as cursor:
        cursor.execute("select 'a secret' from dramatiq.queue")
    yield connection
    connection.close()


def test_a_transaction_that_keeps_dead_rows_is_named_once_and_never_what_it_asked(broker, reader, caplog):
    collector = BrokerCollector(broker.connections, old_transaction_seconds=0)
    warnings: list[str] = []

    def age() -> float:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "pgbroker.metrics"):
            found = Scrape(collector)["pgbroker_oldest_transaction_seconds"]
        warnings.extend(record.getMessage() for record in caplog.records)
        return found

    until(lambda: age() > 0.1, "its age grows")
    (warning,) = warnings
    assert f"Backend {reader.info.backend_pid}" in warning
    assert "a long look" in warning
    assert "secret" not in warning
    reader.rollback()
    assert age() == 0


def test_a_young_transaction_is_no_warning(collector, reader, caplog):
    Scrape(collector)
    assert caplog.records == []


def test_no_scrape_reads_what_is_finished(collector, look):
    look.rows("revoke select on pgbroker.finished from atum_worker")
    assert Scrape(collector)["pgbroker_up"] == 1


def test_what_takes_long_is_read_a_hundredth_of_the_time(url, server, monkeypatch):
    reads = []

    def read(connection):
        reads.append(1)
        with connection.cursor() as cursor:
            cursor.execute("select pg_sleep(0.02), count(*) from pg_class")
            return cursor.fetchall()

    monkeypatch.setattr(metrics, "QUICK_SECONDS", 0.01)
    slow, here, there = Sparingly(read), psycopg2.connect(url), psycopg2.connect(server.url(database="postgres"))
    try:
        assert slow(here) == slow(here)
        assert len(reads) == 1
        slow(there)
        assert len(reads) == 2
        monkeypatch.setattr(metrics, "QUICK_SECONDS", 10)
        quick = Sparingly(read)
        quick(here), quick(here)
        assert len(reads) == 4
    finally:
        here.close()
        there.close()


def test_a_database_that_is_away_is_a_figure_and_not_an_error():
    broker = PostgresBroker("postgresql://nobody@127.0.0.1:1/nothing")
    assert Scrape(BrokerCollector(broker.connections)) == {"pgbroker_up": 0}


def test_the_broker_works_without_prometheus():
    program = "import sys; sys.modules['prometheus_client'] = None; import pgbroker, pgbroker.operate, pgbroker.stats"
    subprocess.run([sys.executable, "-c", program], check=True)
