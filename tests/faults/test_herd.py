"""Two hundred idle workers and one job: how much they ask of the server."""

from waiting import until

PROCESSES, THREADS = 8, 25
SECONDS = 3
MOST_A_SECOND = 2  # transactions of an idle process


def test_idle_workers_ask_little_and_one_job_wakes_no_storm(trial):
    for _ in range(PROCESSES):
        trial.worker(THREADS, "-Q", "default")
    trial.workers_up(PROCESSES)
    until(lambda: trial.count("pgbroker.processes where hears_until > now()") == PROCESSES, "all are idle")

    def transactions_in(seconds: float) -> int:
        counted = "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
        ((before,),) = trial.ask(counted)
        trial.ask("select pg_sleep(%s)", (seconds,))
        ((after,),) = trial.ask(counted)
        return int(after - before)

    # A session that has nothing more to do reports its last transactions ten seconds later: a shorter calm would miss
    # what their start cost, and meet it below.
    calm, looks = PROCESSES * SECONDS * MOST_A_SECOND, 12 // SECONDS
    until(lambda: all(transactions_in(SECONDS) < calm for _ in range(looks)), "they have calmed down", 60)
    idle = transactions_in(SECONDS)
    print(f"{idle / PROCESSES / SECONDS:.1f} transactions a second and idle process")
    assert idle < PROCESSES * SECONDS * MOST_A_SECOND

    trial.send("plain")
    one_job = transactions_in(SECONDS)
    print(f"{one_job - idle} more for one job")
    assert one_job < idle + PROCESSES * 10
    trial.finish()
    trial.verdict()
    assert trial.count("ledger") == 1
