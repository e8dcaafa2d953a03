"""Workers that are killed, stopped and told to stop while real messages run; the ledger says what was lost: nothing."""

import os
import random
import signal
import time
from contextlib import closing

import dramatiq
import pytest
from dramatiq.results import ResultFailure
from faults.trial import child_of
from waiting import until

from pgbroker import PostgresBackend
from pgbroker.connections import Connections


def test_a_message_of_a_killed_worker_runs_again_within_seconds(short_trial):
    trial = short_trial
    workers = [trial.worker(), trial.worker()]
    trial.workers_up(2)
    trial.send("interrupted")
    ((pid,),) = until(lambda: trial.ask("select pid from ledger"), "the message runs")
    victim = next(worker for worker in workers if child_of(worker) == pid)
    trial.kill(victim)
    killed_at = time.monotonic()
    until(lambda: trial.count("ledger") == 2, "it runs again", timeout_seconds=14)
    took = time.monotonic() - killed_at
    print(f"the message ran again after {took:.2f} s")
    assert took < 5, took  # 2 s on a quiet machine
    trial.finish()
    trial.verdict()
    assert trial.ask("select distinct event from job_events where event = 'rescued'") == [("rescued",)]


def test_2000_effects_happen_once_each_while_workers_are_killed(short_trial):
    trial = short_trial
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(2000):
        trial.send("once", dice.choice((0.0, 0.0, 0.005)))
    for _ in range(10):
        trial.send("fails")
    workers = [trial.worker(4), trial.worker(4)]
    deaths = 0
    while left := trial.left():
        until(lambda left=left: trial.left() <= max(0, left - 150), "some progress", timeout_seconds=30)
        if trial.left():
            trial.kill(workers.pop(0))
            workers.append(trial.worker(4))
            deaths += 1
    print(deaths, "workers were killed,", trial.total("rescued"), "messages rescued")
    assert deaths >= 8
    trial.verdict()
    assert trial.count("effects") == 2000
    assert trial.count("pgbroker.finished") == 2000
    assert trial.count("pgbroker.dead_letters") == 10


def test_a_message_that_kills_its_worker_dies_with_the_third_and_its_neighbours_live(short_trial):
    trial = short_trial
    poison = trial.send("kills_its_worker")
    for _ in range(20):
        trial.send("once")
        trial.send("plain", 0.2)  # some of these run beside it, every time

    def tend() -> bool:
        while sum(process.poll() is None for process in trial.started) < 2:
            trial.worker(2)
        return trial.left() == 0

    until(tend, "the queue is empty", timeout_seconds=60)
    trial.verdict(doomed=("kills_its_worker",))
    assert trial.ask(
        "select message_id::text, reason, error, deliveries, jsonb_array_length(history) from pgbroker.dead_letters"
    ) == [(poison, "killed its worker", "3 worker processes died while they held this message.", 3, 3)]
    assert len(trial.ask("select from ledger where message_id = %s", (poison,))) == 3
    with closing(Connections(trial.url, "")) as connections:
        waiter = dramatiq.Message("default", "kills_its_worker", (), {}, {}, message_id=poison)
        with pytest.raises(ResultFailure, match="killed its worker: 3 worker processes died"):
            waiter.get_result(backend=PostgresBackend(connections), block=True)


def test_a_stopped_worker_that_wakes_after_its_lease_changes_nothing(short_trial):
    trial = short_trial
    zombie = trial.worker(1)
    trial.send("once", 1.0)
    ((pid,),) = until(lambda: trial.ask("select pid from ledger"), "it runs")
    os.kill(pid, signal.SIGSTOP)
    trial.worker(1)
    trial.finish()
    os.kill(pid, signal.SIGCONT)
    until(lambda: zombie.lines("another worker has it"), "the refusal")
    trial.workers_up(2)  # it has begun anew
    until(lambda: trial.total("finish_late") == 1, "the late finish is counted")
    assert trial.count("ledger") == 2
    ((winner,),) = trial.ask("select pid from effects")
    assert winner != pid
    assert trial.count("pgbroker.finished") == 1
    assert trial.left() == 0


def test_a_stopped_worker_whose_plain_message_ran_elsewhere_finishes_late(short_trial):
    trial = short_trial
    zombie = trial.worker(1)
    trial.send("plain", 1.0)
    ((pid,),) = until(lambda: trial.ask("select pid from ledger"), "it runs")
    os.kill(pid, signal.SIGSTOP)
    trial.worker(1)
    trial.finish()
    before = trial.ask("select * from pgbroker.finished")
    os.kill(pid, signal.SIGCONT)
    until(lambda: zombie.lines("Late finish of"), "it says so")
    until(lambda: trial.total("finish_late") == 1, "the late finish is counted")
    assert trial.ask("select * from pgbroker.finished") == before


def test_a_worker_told_to_stop_finishes_what_runs_and_gives_back_the_rest(trial):
    for _ in range(6):
        trial.send("once", 1.0)
    worker = trial.worker(2)
    until(lambda: trial.count("ledger") == 2, "two run")
    worker.terminate()
    assert worker.wait() == 0
    assert trial.count("effects") == trial.count("pgbroker.finished") == 2
    assert trial.ask("select state::text, retries, count(*) from dramatiq.queue group by 1, 2") == [("queued", 0, 4)]
    assert trial.count("pgbroker.processes") == 0
