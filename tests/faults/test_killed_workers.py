"""Workers that are killed, stopped and cut off while real messages run; the ledger says what was lost: nothing."""

import os
import random
import signal
import time

import psutil
from workers import until


def left(ask):
    return ask("select count(*) from dramatiq.queue")[0][0]


def test_a_message_of_a_killed_worker_runs_again_within_seconds(processes, send, ask, settled_server):
    victim, heir = processes.worker(), processes.worker()
    until(lambda: ask("select from pgbroker.processes having count(*) = 2"), "two workers")
    send("plain", 60)
    ((pid,),) = until(lambda: ask("select pid from ledger"), "the start of the job")
    victim = next(p for p in (victim, heir) if pid in [c.pid for c in psutil.Process(p.pid).children(recursive=True)])
    processes.kill(victim)
    killed_at = time.monotonic()
    until(lambda: ask("select from ledger having count(*) = 2"), "the second start", timeout_seconds=14)
    took = time.monotonic() - killed_at
    print(f"the message ran again after {took:.2f} s")
    assert took < 5, took  # 2 s on a quiet machine
    assert [row[0] for row in ask("select distinct event from job_events where event = 'rescued'")] == ["rescued"]


def test_every_message_succeeds_once_or_is_dead_while_workers_are_killed(processes, send, ask, settled_server):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    workers = [processes.worker(4), processes.worker(4)]
    sent = [send("once", dice.uniform(0, 0.05)) for _ in range(600)] + [send("fails") for _ in range(20)]
    for _ in range(4):
        before = left(ask)
        until(lambda before=before: left(ask) < before - 20, "progress", timeout_seconds=30)
        processes.kill(workers.pop(0))
        workers.append(processes.worker(4))
    until(lambda: left(ask) == 0, "an empty queue", timeout_seconds=90)
    (facts,) = ask(
        """select (select count(*) from ledger), (select count(distinct message_id) from ledger),
                  (select count(*) from pgbroker.finished), (select count(*) from pgbroker.dead_letters),
                  (select count(*) from pgbroker.finished join pgbroker.dead_letters using (message_id))"""
    )
    assert facts == (600, 600, 600, 20, 0)
    known = {row[0] for row in ask("select message_id::text from pgbroker.finished")}
    known |= {row[0] for row in ask("select message_id::text from pgbroker.dead_letters")}
    assert known == set(sent)


def test_a_message_that_kills_its_worker_ends_as_a_dead_letter_and_the_others_run(processes, send, ask, settled_server):
    send("kills_its_worker")
    sent = [send("once") for _ in range(20)]

    def tend():
        for process in list(processes.started):
            if process.poll() is not None and len([p for p in processes.started if p.poll() is None]) < 2:
                processes.worker(2)
        return ask("select reason from pgbroker.dead_letters") and left(ask) == 0

    processes.worker(2)
    until(tend, "the dead letter", timeout_seconds=90)
    assert ask("select reason, actor_name from pgbroker.dead_letters") == [("killed its worker", "kills_its_worker")]
    assert ask("select count(*), count(distinct message_id) from ledger") == [(len(sent), len(sent))]


def test_a_stopped_worker_that_wakes_after_its_lease_changes_nothing(processes, send, ask, settled_server):
    zombie = processes.worker(1)
    send("watched", 1.5)
    ((pid,),) = until(lambda: ask("select pid from ledger"), "the start")
    os.kill(pid, signal.SIGSTOP)
    processes.worker(1)
    until(lambda: ask("select from effects"), "the second run", timeout_seconds=30)
    until(lambda: left(ask) == 0, "its finish")
    os.kill(pid, signal.SIGCONT)
    until(lambda: "another worker has it" in zombie.log.read_text(), "the refusal")
    until(lambda: ask("select from pgbroker.processes having count(*) = 2"), "a new beginning")
    assert len(ask("select from ledger")) == 2
    ((winner,),) = ask("select pid from effects")
    assert winner != pid
    assert ask("select count(*) from pgbroker.finished") == [(1,)]


def test_a_worker_told_to_stop_finishes_what_runs_and_gives_back_the_rest(processes, send, ask):
    for _ in range(6):
        send("once", 1.0)
    worker = processes.worker(2)
    until(lambda: ask("select from dramatiq.queue where state = 'consumed'"), "the claim")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert ask("select count(*) from ledger") == ask("select count(*) from pgbroker.finished") == [(2,)]
    assert ask("select state::text, retries, count(*) from dramatiq.queue group by 1, 2") == [("queued", 0, 4)]
    assert ask("select count(*) from pgbroker.processes") == [(0,)]
