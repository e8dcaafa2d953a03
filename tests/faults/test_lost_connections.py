"""Connections that end while their process lives: at every statement, or all of a worker's at once."""

import time
from pathlib import Path

from faults.proxy import Proxy
from faults.test_kill_points import TRIES, a_few_of_each, sender, worker
from faults.trial import child_of
from waiting import until

ONCE_A_CONNECTION = ("plan_by_index", "register", "register_actors", "note_levels")


def apart(point: str) -> str:
    """The same point at a later passing, so that what is tried again succeeds in between: waits would grow."""
    statement, place, _ = point.split(":")
    passing = 1 if statement in ONCE_A_CONNECTION else {"before": 1, "uncommitted": 2, "committed": 3}[place]
    return f"{statement}:{place}:{passing}"


def test_a_worker_that_loses_its_connection_at_every_point_runs_nothing_twice(short_trial):
    trial = short_trial
    points = sorted({apart(one.point) for one in TRIES if one.scene is worker})
    seen = trial.logs / "seen"
    a_few_of_each(trial)
    trial.worker(8, LOSE_AT=" ".join(points), POINTS_SEEN=str(seen))

    def missing() -> set[str]:
        passed = seen.read_text().splitlines() if seen.exists() else []
        return set(points) - {line.removeprefix("lost ") for line in passed}

    def lost_all() -> bool:
        if trial.count("dramatiq.queue where state = 'queued'") == 0:
            a_few_of_each(trial)
            a_few_of_each(trial)
        return not missing()

    try:
        until(lost_all, "a connection was lost at every point", timeout_seconds=60)
    finally:
        print("never lost:", missing())
    trial.finish()
    trial.verdict()
    often = trial.ask(
        """select message_id::text, count(*) from ledger join pgbroker.finished using (message_id)
            group by 1, retries having count(*) > 1 + retries"""
    )
    assert not often, [(trial.sent.get(message_id), runs) for message_id, runs in often]
    assert trial.total("rescued") == 0


def test_D19b_a_living_worker_that_loses_all_its_connections_keeps_its_messages(short_trial):
    trial = short_trial
    workers = [trial.worker(4), trial.worker(4)]
    trial.workers_up(2)
    for _ in range(6):
        trial.send("plain", 1.5)
        trial.send("once", 1.5)
    until(lambda: trial.count("ledger") == 8, "both are at work")
    victim = child_of(workers[0])
    for _ in range(4):
        taken = trial.ask(
            "select pid, pg_terminate_backend(pid) from pg_stat_activity where application_name = %s",
            (f"pgbroker:{victim}",),
        )
        pids = [pid for pid, _ in taken]
        until(
            lambda pids=pids: trial.ask(
                """select from pgbroker.processes
                    where pid = %s and backend_pid <> all (%s) and beat_at > now() - interval '1 s'""",
                (victim, pids),
            ),
            "it beats over another connection",
        )
    trial.finish()
    trial.verdict()
    assert trial.total("rescued") == 0
    assert trial.count("ledger") == 12


def test_who_lost_its_connection_as_well_lets_the_others_come_back(server, database_name, make_trial):
    """All are cut off at once, as by a failover: one is back soon, the other takes longer than a beat and works on."""
    url = server.url(user="atum_worker", database=database_name)
    trial = make_trial(server.url(database=database_name), url, lease_seconds=6)
    up = "select from pg_postmaster_start_time() s where s < now() - interval '6 s'"
    until(lambda: trial.ask(up), "the server is up for longer than a lease")
    with Proxy(server.socket) as proxy:
        quick = trial.worker(2)
        trial.worker(2, TEST_BROKER_URL=proxy.url(database_name, "atum_worker"))
        trial.workers_up(2)
        for _ in range(4):
            trial.send("plain", 5.0)
        until(lambda: trial.count("ledger") == 4, "both are at work")
        proxy.strike("beat", "reset")
        assert proxy.struck.wait(20)
        cut_off = trial.ask(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = %s",
            (f"pgbroker:{child_of(quick)}",),
        )
        assert cut_off[0][0] > 0
        time.sleep(2)  # this is the fault, not a wait for something
        proxy.heal()
        trial.finish()
        trial.verdict()
    assert trial.total("rescued") == 0
    assert trial.count("ledger") == 4


def test_a_sender_that_loses_its_connection_sends_everything_once(trial):
    # A transaction of the caller's own is lost with its connection, and so is a question.
    others = ("actor/", "waiting")
    points = [one.point for one in TRIES if one.scene is sender and not one.point.startswith(others)]
    senders = {
        point: trial.start(
            "python", "sender.py", "send_copy", LOSE_AT=point, POINTS_SEEN=str(Path(trial.logs) / point.split(":")[0])
        )
        for point in points
    }
    for point, process in senders.items():
        assert process.wait() == 0, point
    promised = [line.split()[1] for process in senders.values() for line in process.log.read_text().splitlines()]
    # One of two with the same unique_key is the other, across all senders.
    waiting = [message_id for (message_id,) in trial.ask("select message_id::text from dramatiq.queue")]
    assert sorted(waiting) == sorted(set(promised))
    assert len(waiting) == len(senders) * 55 + 1
