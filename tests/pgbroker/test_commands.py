"""`python -m pgbroker`, for those who have no desk."""

import json
import subprocess
import sys

import dramatiq
import pytest
from builders import fresh_database

from pgbroker.__main__ import main


@pytest.fixture
def run(monkeypatch, capsys, url):
    """Run a command as its process would; what it wrote. On the test's database, unless told otherwise."""

    def run(*arguments: str, code: int = 0, where: str = url) -> tuple[str, str]:
        monkeypatch.setenv("PGBROKER_URL", where)
        monkeypatch.setattr(sys, "argv", ["pgbroker", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert (ended.value.code or 0) == code, output
        return output

    return run


@pytest.fixture
def note(broker):
    @dramatiq.actor(broker=broker, queue_name="notes")
    def note(number):
        pass

    return note


def test_migrate_makes_the_tables_once(run, server):
    with fresh_database(server, template="template0") as name:
        where = server.url(database=name)
        out, err = run("stats", where=where, code=1)
        assert (out, err.count("\n")) == ("", 1)
        assert "python -m pgbroker migrate" in err
        assert json.loads(run("migrate", "--json", where=where)[0])["applied"][:3] == [
            "0001_dramatiq_pg.sql",
            "0001b_set_aside.sql",
            "0002_leases.sql",
        ]
        assert "0 steps applied" in run("migrate", where=where)[0]
        assert json.loads(run("stats", "--json", where=where)[0]) == {"queues": [], "processes": []}


def test_a_queue_is_paused_listed_and_resumed(run, note):
    note.send(1)
    assert "Queue notes is paused" in run("pause", "notes")[0]
    (row,) = json.loads(run("queues", "--json")[0])
    assert (row["queue"], row["waiting"], row["processes"]) == ("notes", 1, 0)
    assert row["paused_since"] is not None
    assert json.loads(run("resume", "notes", "--json")[0]) == {"queue": "notes", "paused_since": None}
    assert json.loads(run("queues", "--json")[0])[0]["paused_since"] is None


def test_a_name_that_nobody_knows_is_paused_all_the_same_and_doubted(run, note):
    note.send(1)
    out, err = run("pause", "nots")
    assert "is paused" in out
    assert "Nobody has heard of a queue 'nots'" in err
    assert "notes" in err


def test_messages_are_cancelled_shown_sent_again_and_discarded(run, note, look):
    first, second = note.send(1).message_id, note.send(2).message_id
    out, _ = run("cancel", first, second, "--json")
    assert json.loads(out) == [{"id": first, "outcome": "cancelled"}, {"id": second, "outcome": "cancelled"}]
    assert {row["id"] for row in json.loads(run("dead", "list", "--json")[0])} == {first, second}
    assert json.loads(run("dead", "show", first, "--json")[0])["reason"] == "cancelled"
    assert "1 sent again" in run("dead", "retry", first)[0]
    assert "1 discarded" in run("dead", "discard", "--all")[0]
    assert [str(row["message_id"]) for row in look.waiting] == [first]
    assert f"{first} cancelled" in run("cancel", first)[0]


def test_what_is_old_is_pruned(run, note, look):
    run("cancel", note.send(1).message_id)
    assert json.loads(run("prune", "--finished-days", "0", "--dead-days", "1", "--json")[0]) == {
        "finished": 0,
        "dead": 0,
    }
    assert "1 dead letters deleted" in run("prune", "--dead-days", "0")[0]
    assert look.dead == []


def test_a_failure_is_one_line_and_status_1(run):
    for arguments, said in (
        (("cancel", "nonsense"), "'nonsense' is no message id"),
        (("dead", "show", "nonsense"), "'nonsense' is no message id"),
        (("stats", "--url", "postgresql://nobody@127.0.0.1:1/x"), "cannot be used"),
        (("stats", "--url=not a url"), "invalid dsn"),
    ):
        out, err = run(*arguments, code=1)
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("pgbroker: ")
        assert said in err


def test_misuse_is_status_2(run):
    for arguments, said in (
        (("prune",), "--finished-days"),
        (("prune", "--dead-days", "-1"), "greater than or equal"),
        (("cancel",), "ID"),
        (("dead", "retry"), "Name either"),
        (("nothing",), "nothing"),
    ):
        assert said in run(*arguments, code=2)[1]
    assert "PGBROKER_URL" in run("stats", where="", code=2)[1]


def test_the_program_itself(url):
    program = [sys.executable, "-m", "pgbroker"]
    answer = subprocess.run([*program, "queues", "--url", url, "--json"], capture_output=True, text=True, check=True)
    assert isinstance(json.loads(answer.stdout), list)
