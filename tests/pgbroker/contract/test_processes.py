"""Processes: the command line that forks its workers, and a fork by hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import dramatiq
from waiting import until
from workers import work_off

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def test_the_command_line_starts_processes_that_work_and_stop(broker, board, url, ask):
    @dramatiq.actor(store_results=True)
    def which_process():
        raise AssertionError("not here")

    @dramatiq.actor
    def long():
        raise AssertionError("not here")

    command = [sys.executable, "-m", "dramatiq", "jobs", "--processes", "2", "--threads", "2"]
    environment = {**os.environ, "JOBS_URL": url, "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}"}
    master = subprocess.Popen(command, env=environment)
    try:
        until(lambda: ask("select from pgbroker.processes having count(*) = 2"), "two workers")
        sent = broker.send_many([which_process.message() for _ in range(50)])
        pids = {message.get_result(block=True, timeout=10_000) for message in sent}
        assert pids <= {pid for (pid,) in ask("select pid from pgbroker.processes")}
        long.send()
        until(lambda: board.held == 1, "the long one has begun")
        master.send_signal(signal.SIGTERM)
        assert master.wait(20) == 0
    finally:
        master.kill()
        master.wait()
    assert (board.finished, board.waiting, board.held, board.reasons) == (50, 1, 0, [])
    assert ask("select count(*) from pgbroker.processes") == [(0,)]


def test_a_broker_that_was_used_may_be_forked_and_work_on_both_sides(broker, board, ask):
    @dramatiq.actor
    def note(who):
        pass

    note.send("parent")
    child = os.fork()
    if child == 0:
        try:
            note.send("child")
            work_off(broker)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert board.finished == 2
    note.send("parent again")
    work_off(broker)
    assert board.finished == 3
