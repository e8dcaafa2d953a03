"""The database is away, restarts, or has no schema: a worker waits, says so once, and goes on."""

import os
import signal

import pytest
from faults.conftest import settle
from faults.trial import child_of
from waiting import until

from app.install import install
from desk.embedded import EmbeddedServer


def test_a_worker_that_is_there_before_its_schema_waits_for_it(own_server: EmbeddedServer, make_trial):
    trial = make_trial(own_server.url())
    worker = trial.worker()
    until(lambda: worker.lines("waits for the database"), "the one line")
    assert worker.lines("lacks the broker's schema") == 1
    assert worker.lines("Traceback") == 0
    install(own_server.url())
    until(lambda: worker.lines("connected_to_database"), "the connection")
    trial.send("plain")
    trial.finish()
    trial.verdict()


def test_a_restart_of_the_server_under_load_loses_nothing_and_runs_nothing_twice(own_server, own_trial):
    trial = own_trial
    for _ in range(150):
        trial.send("once", 0.05)
    settle(trial)
    workers = [trial.worker(2) for _ in range(2)]
    until(lambda: trial.count("ledger") > 20, "some progress")
    crash(own_server)
    until(lambda: all(worker.lines("waits for the database") for worker in workers), "both notice")
    own_server.attach()
    trial.finish(timeout_seconds=60)
    trial.verdict()
    assert trial.count("effects") == trial.count("pgbroker.finished") == 150
    assert trial.total("rescued") == 0, "living workers kept their messages over the restart"
    for worker in workers:
        assert worker.lines("The worker waits for the database") == 1
        assert worker.lines("The worker goes on") == 1


# The server writes what was committed without waiting for the disk at the latest after this.
LATE_WRITER = ("wal_writer_delay=10s",)


@pytest.mark.parametrize("own_server", [LATE_WRITER], indirect=True)
def test_a_finish_that_a_crash_of_the_server_forgot_is_made_up_for(own_server, own_trial):
    trial = own_trial
    worker = trial.worker(1)
    trial.workers_up(1)
    trial.send("plain")
    trial.finish()
    pid = child_of(worker)
    os.kill(pid, signal.SIGSTOP)  # it sleeps over the crash and sees nothing of it
    crash(own_server)
    own_server.attach()
    assert trial.left() == 1, "the finish was forgotten, or this test tests nothing"
    os.kill(pid, signal.SIGCONT)
    trial.finish()
    trial.verdict()


def crash(server: EmbeddedServer) -> None:
    server._run("pg_ctl", "stop", "-D", str(server.data), "-m", "immediate", "-w")


def test_a_worker_whose_server_is_not_there_says_so_once_and_ends_when_told(trial):
    trial.url = "postgresql://nobody@localhost:1/nothing"
    worker = trial.worker()
    until(lambda: worker.lines("waits for the database"), "the one line")
    worker.terminate()
    assert worker.wait() == 0
    assert worker.lines("Traceback") == 0
    assert worker.lines("waits for the database") == 1
