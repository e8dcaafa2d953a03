"""brokers.py: the product's broker, as actors and commands use it."""

import os
import subprocess
import sys
from pathlib import Path

import dramatiq
import pytest
from workers import work_off

import brokers
from desk import database
from desk.settings import settings

ROOT = Path(brokers.__file__).parent


@pytest.fixture
def job(database_name, monkeypatch):
    """An actor that writes an audit line and sends a message, in one transaction; undeclared after the test."""
    actors, queues = dict(brokers.broker.actors), dict(brokers.broker.queues)

    @dramatiq.actor(queue_name="test", max_retries=0)
    def child(organization_id):
        pass

    @dramatiq.actor(queue_name="test", max_retries=1, min_backoff=1)
    def job(organization_id, fail_once=False):
        with brokers.in_transaction(organization_id) as connection, connection.cursor() as cursor:
            cursor.execute(
                """insert into audit_log (organization_id, who, action, subject_kind, subject_id)
                   values (%s, 'job', 'ran', 'test', '1')""",
                (organization_id,),
            )
            child.send(organization_id)
            job.runs += 1
            if fail_once and job.runs == 1:
                raise RuntimeError("once")

    job.runs = 0
    yield job
    brokers.broker.close()
    brokers.broker.actors, brokers.broker.queues = actors, queues


@pytest.mark.parametrize("fail_once", [False, True])
def test_an_effect_its_messages_and_the_finish_are_one(job, look, organization, fail_once):
    job.send(str(organization), fail_once=fail_once)
    work_off(brokers.broker, "test")
    assert len(look.rows("select * from audit_log")) == 1
    assert sorted(row["actor_name"] for row in look.finished) == ["child", "job"]
    assert {row["tenant"] for row in look.finished} == {str(organization)}
    assert look.dead == []


def test_outside_a_worker_it_is_the_desks_transaction_with_its_sends(job, look, organization):
    def fails():
        with brokers.in_transaction(organization):
            job.send(str(organization))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert look.waiting == []
    with brokers.in_transaction(organization) as connection, connection.cursor() as cursor:
        job.send(str(organization))
        cursor.execute("select current_user, current_organization()")
        assert cursor.fetchone() == ("atum_worker", organization)
    assert len(look.waiting) == 1


def test_messages_in_another_database_are_sent_at_once(job, look, organization, url, monkeypatch):
    monkeypatch.setenv("ATUM_BROKER_URL", url)
    settings.cache_clear()
    with brokers.in_transaction(organization):
        job.send(str(organization))
        assert len(look.waiting) == 1
    work_off(brokers.broker, "test")
    assert len(look.rows("select * from audit_log")) == 1
    settings.cache_clear()
    database.close()


def test_the_import_starts_nothing(tmp_path):
    program = "import brokers, threading, os; print(threading.active_count(), os.path.exists('home'))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT), "ATUM_HOME": "home", "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["1", "False"]


def test_a_forked_child_has_connections_of_its_own(broker, look):
    @dramatiq.actor(broker=broker)
    def note(who):
        pass

    note.send("parent")

    child = os.fork()
    if child == 0:
        try:
            note.send("child")
            assert len(broker.connections._pools) == 2
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    note.send("parent again")
    assert sorted(row["message"]["args"][0] for row in look.waiting) == ["child", "parent", "parent again"]
