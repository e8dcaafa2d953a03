"""Every -Q of the command line counts."""

import subprocess
import sys

import psycopg2
import pytest
from waiting import until

from pgbroker.middleware.queue_options import named_queues


@pytest.mark.parametrize(
    ("arguments", "queues"),
    [
        (["brokers", "actors", "-Q", "tickets", "-Q", "upkeep"], {"tickets", "upkeep"}),
        (["brokers", "-Q", "tickets", "upkeep", "--threads", "4"], {"tickets", "upkeep"}),
        (["brokers", "--queues", "sla", "--processes", "1", "-Q", "kb"], {"sla", "kb"}),
        (["brokers", "actors"], set()),
    ],
)
def test_the_queues_of_all_options_are_named(arguments: list[str], queues: set[str]):
    assert named_queues(arguments) == queues


def test_a_worker_started_with_two_options_serves_both_queues(owner: psycopg2.extensions.connection):
    command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "schedules", "--processes", "1", "--threads", "2"]
    worker = subprocess.Popen([*command, "-Q", "tickets", "-Q", "upkeep"])
    try:

        def served() -> list[str]:
            with owner.cursor() as cursor:
                cursor.execute("select queues from pgbroker.processes")
                row = cursor.fetchone()
                return row[0] if row else []

        until(lambda: served() == ["tickets", "upkeep"], "it serves both queues", timeout_seconds=60)
    finally:
        worker.terminate()
        worker.wait(30)
