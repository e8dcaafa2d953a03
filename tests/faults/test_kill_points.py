"""A worker dies before and after every statement that the broker makes; another finishes; then the ledger is read.

A statement file that is new is tried as a worker's, at once and without a word here. Where a worker does not come to
it by itself, SCENES says who does, and UNREACHED why nobody has to.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from faults.nursery import Process
from faults.recognition import FILES
from faults.trial import Trial
from waiting import until

REACHED_WITHIN_SECONDS = 30

UNREACHED = dict.fromkeys(
    [
        "cancel", "dead_discard", "dead_list", "dead_retry", "dead_show", "depth", "flush", "metrics_counters",
        "metrics_dead", "metrics_ticks", "metrics_transactions", "pause", "paused", "processes", "queues", "result_get",
        "resume", "schedulers", "schedules", "stats", "testing_failed", "testing_left", "whereabouts",
    ],
    "one statement that somebody makes by hand, or a look that changes nothing",
)  # fmt: skip


@dataclass(frozen=True)
class Try:
    """One death: of whom in `scene`, and where."""

    scene: Callable[[Trial, str], None]
    point: str

    def __str__(self) -> str:
        return f"{self.scene.__name__}-{self.point}"


def a_few_of_each(trial: Trial) -> None:
    for number in range(3):
        trial.send("once", tenant="ab"[number % 2])
        trial.send("plain")
    trial.send("answers")
    for _ in range(2):
        trial.send("limited", run_key="k", run_at_most=1)
    trial.send("flaky")
    trial.send("fails")
    trial.send("sends")
    trial.send_pipeline("plain", "plain")
    for _ in range(2):
        trial.send("plain", unique_key="u")


def dies(trial: Trial, victim: Process, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until it has died at its point."""
    until(lambda: meanwhile() or victim.poll() is not None, "it dies at its point", REACHED_WITHIN_SECONDS)
    assert any(line.startswith("died ") for line in seen(trial)), f"it ended elsewhere, with {victim.poll()}"


def seen(trial: Trial) -> list[str]:
    path = trial.logs / "seen"
    return path.read_text().splitlines() if path.exists() else []


def at(trial: Trial, point: str, **more: str) -> dict[str, str]:
    return {"KILL_AT": point, "POINTS_SEEN": str(trial.logs / "seen"), **more}


def worker(trial: Trial, point: str) -> None:
    a_few_of_each(trial)

    def more() -> None:
        if trial.left() == 0:
            a_few_of_each(trial)

    dies(trial, trial.worker(2, **at(trial, point)), more)


def worker_that_idles(trial: Trial, point: str) -> None:
    a_few_of_each(trial)
    dies(trial, trial.worker(2, **at(trial, point, TEST_LEASE_SECONDS="6")))  # long enough to take turns


def worker_that_claimed_ahead(trial: Trial, point: str) -> None:
    """Short work makes it claim ahead; then both threads are busy, and it gives back what it cannot begin."""
    for number in range(300):
        trial.send("plain", 2.0 if number in (200, 201) else 0.0, unique_key=f"number {number}")
    dies(trial, trial.worker(2, **at(trial, point)))


def worker_that_is_told_to_stop(trial: Trial, point: str) -> None:
    both = [trial.send("interrupted") for _ in range(2)]  # begun nowhere else: the next worker does not wait for them
    a_few_of_each(trial)
    victim = trial.worker(2, **at(trial, point))
    until(lambda: len(trial.ask("select from ledger where message_id = any(%s::uuid[])", (both,))) == 2, "both run")
    victim.terminate()
    dies(trial, victim)


def worker_that_rescues(trial: Trial, point: str) -> None:
    a_few_of_each(trial)
    dies(trial, trial.worker(2, **at(trial, "claim:committed:2")))
    until(lambda: trial.count("pgbroker.processes where beat_at < now() - interval '1.5 s'"), "its beat is missed")
    dies(trial, trial.worker(2, **at(trial, point)))


def worker_whose_claim_was_not_answered(trial: Trial, point: str) -> None:
    a_few_of_each(trial)
    dies(trial, trial.worker(2, **at(trial, point, LOSE_AT="claim:committed:1")))


def sender(trial: Trial, point: str, **more: str) -> None:
    listener = trial.worker(2) if point.startswith("ring") else None
    if listener is not None:
        until(lambda: trial.count("pgbroker.processes where hears_until > now()"), "somebody listens")
    victim = trial.start("python", "sender.py", point.split(":")[0], **at(trial, point, **more))
    dies(trial, victim)
    for line in victim.log.read_text().splitlines():
        if line.startswith("promised "):
            _, message_id, actor = line.split()
            trial.sent[message_id] = actor


def sender_whose_insert_was_not_answered(trial: Trial, point: str) -> None:
    sender(trial, point, LOSE_AT="send_one:committed:1")


def scheduler(trial: Trial, point: str) -> None:
    dies(trial, trial.start("periodiq", "jobs", **at(trial, point)))
    again = trial.start("periodiq", "jobs")
    until(lambda: trial.count(f"pgbroker.schedulers where pid = {again.pid}"), "another has made its round")
    trial.kill(again)
    each_tick_has_its_message(trial)


def scheduler_that_is_told_to_stop(trial: Trial, point: str) -> None:
    victim = trial.start("periodiq", "jobs", **at(trial, point))
    until(lambda: trial.count("pgbroker.schedulers"), "it has made its round")
    victim.terminate()
    dies(trial, victim)
    each_tick_has_its_message(trial)


def each_tick_has_its_message(trial: Trial) -> None:
    ticks = trial.ask("select message_id::text from pgbroker.slots order by 1")
    assert ticks == trial.ask("select message_id::text from dramatiq.queue order by 1")
    assert ticks
    trial.sent |= {message_id: "tick" for (message_id,) in ticks}


# Who dies at a statement, where it is not (only) a worker in the middle of its work; and on an actor's own connection.
SCENES = {
    "actor/finish_done": [worker],
    "actor/send_one": [worker, sender],
    "disown": [worker_whose_claim_was_not_answered],
    "finish_released": [worker_that_is_told_to_stop],
    "forget_schedulers": [scheduler],
    "known": [sender_whose_insert_was_not_answered],
    "note_due": [scheduler],
    "prune_slots": [scheduler],
    "rescue": [worker_that_rescues],
    "restore_key": [worker_that_claimed_ahead],
    "ring": [worker, sender],
    "scheduler_beat": [scheduler],
    "scheduler_gone": [scheduler_that_is_told_to_stop],
    "send": [worker, sender],
    "send_copy": [sender],
    "send_one": [worker, sender, scheduler],
    "sign_off": [worker_that_is_told_to_stop],
    "take_slot": [scheduler],
    "waiting": [sender],
    "look": [worker_that_idles],
}
# What runs in a transaction with others, now and then at least: there is a moment between its answer and its commit.
IN_TRANSACTION = {
    worker: {"actor/finish_done", "actor/send_one", "finish_dead", "finish_done", "finish_rescheduled", "limited_claim",
             "limited_lock", "result_store", "send"},
    worker_that_is_told_to_stop: {"finish_released"},
    sender: {"actor/send_one", "send_copy"},
    scheduler: {"send_one", "take_slot"},
}  # fmt: skip
# At which of its passings, where the first is not enough.
PASSINGS = {"claim": (1, 3), "finish_done": (1, 3), "actor/finish_done": (1, 3), "beat": (1, 2)}


def places(statement: str, scene: Callable[[Trial, str], None]) -> list[str]:
    together = statement in IN_TRANSACTION.get(scene, ())
    return ["before", "uncommitted", "committed"] if together else ["before", "committed"]


STATEMENTS = sorted(({file.stem for file in FILES} | SCENES.keys()) - UNREACHED.keys())
TRIES = [
    Try(scene, f"{statement}:{place}:{passing}")
    for statement in STATEMENTS
    for scene in SCENES.get(statement, [worker])
    for place in places(statement, scene)
    for passing in PASSINGS.get(statement, (1,))
]


def play(trial: Trial, one: Try) -> None:
    one.scene(trial, one.point)
    trial.worker(4)
    trial.finish()
    trial.verdict()
    for point in [line[4:] for line in seen(trial) if line.startswith("saw ")]:
        assert any(each.point.startswith(f"{point}:") for each in TRIES), f"nobody dies at {point}"


@pytest.mark.parametrize("one", TRIES, ids=str)
def test_a_death_loses_nothing_and_repeats_no_effect(ahead: Callable[..., str], one: Try):
    problem = ahead(play, one)
    assert not problem, problem
