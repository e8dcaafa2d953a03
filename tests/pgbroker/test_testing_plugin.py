"""The helpers for users' tests, as a user's test suite has them: in a pytest of its own."""

import subprocess
import sys
from pathlib import Path

import dramatiq
import pytest
from dramatiq.errors import QueueJoinTimeout

from pgbroker.testing import work_off, working

ROOT = Path(__file__).parents[2]

CONFTEST = 'pytest_plugins = ["pgbroker.testing"]'
SUITE = """
import os

import dramatiq
import pytest

from pgbroker import PostgresBroker

broker = PostgresBroker(os.environ["TEST_BROKER_URL"])
ran = []


@dramatiq.actor(broker=broker, queue_name="orders", min_backoff=1, max_backoff=1, max_retries=1)
def order(number, *, fails=0):
    ran.append(number)
    if ran.count(number) <= fails:
        raise ValueError("out of stock")
    if number == 1:
        receipt.send(number)


@dramatiq.actor(broker=broker, queue_name="mails")
def receipt(number):
    ran.append(f"receipt of {number}")


def test_everything_that_follows_is_run(pgbroker_worker):
    order.send(1)
    order.send_with_options(args=(2,), delay=50)
    pgbroker_worker(broker)
    assert sorted(map(str, ran)) == ["1", "2", "receipt of 1"]


def test_a_second_run_in_one_process(pgbroker_worker):
    order.send(3, fails=1)
    pgbroker_worker(broker, fail_fast=True)
    assert ran.count(3) == 2


def test_a_failure_for_good_can_fail_the_test(pgbroker_worker):
    order.send(4, fails=9)
    with pytest.raises(AssertionError, match=r"order failed for good \\(retries exhausted\\)(.|\\n)*out of stock"):
        pgbroker_worker(broker, fail_fast=True)
    pgbroker_worker(broker, fail_fast=True)  # an old one does not
"""


def test_a_suite_of_its_own(url, tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_orders.py").write_text(SUITE)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={"TEST_BROKER_URL": url, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "3 passed" in run.stdout, run.stdout + run.stderr


@pytest.fixture
def job(broker):
    @dramatiq.actor(broker=broker, queue_name="jobs", min_backoff=60_000)
    def job():
        raise ValueError("not yet")

    return job


def test_what_is_left_is_named_with_its_error(broker, job):
    sent = job.send()
    with pytest.raises(QueueJoinTimeout, match=f"jobs.*{sent.message_id}.*ValueError: not yet"):
        work_off(broker, timeout_seconds=0.5)


def test_queues_that_are_not_named_may_keep_theirs(broker, job, look):
    broker.declare_queue("other")
    job.send_with_options(delay=60_000)
    work_off(broker, "other")
    assert len(look.waiting) == 1


def test_nothing_of_the_worker_is_left(broker, look):
    members = list(broker.middleware)
    with working(broker):
        pass
    assert broker.middleware == members
    assert broker.engine is None
    assert look.rows("select from pgbroker.processes") == []
