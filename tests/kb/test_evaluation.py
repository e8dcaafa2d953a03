"""The figures mean what they say, and the command that prints them leaves nothing behind."""

import json
import math
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import psycopg2
import pytest
from typer.testing import CliRunner
from waiting import until

from app.commands.evaluate import app
from app.scratch import scratch_database
from desk.embedded import EmbeddedServer
from desk.errors import InvalidInput
from desk.kb.evaluation import Answer, Quality, Query, quality
from desk.settings import settings


def test_figures_of_a_case_that_was_reckoned_by_hand():
    queries = [Query("1", "", True), Query("2", "", True), Query("3", "", True), Query("4", "", False)]
    answers = {
        "1": Answer(["a", "b"], True),  # the best first
        "2": Answer(["x", "b", "a"], True),  # what helps second, what answers third
        "3": Answer(["x", "y", "z", "a"], False),  # fourth, and kept from the reader
        "4": Answer(["a"], False),
    }
    grades = {"1": {"a": 2.0, "b": 1.0}, "2": {"a": 2.0, "b": 1.0, "x": 0.0}, "3": {"a": 1.0}}
    best = 2 + 1 / math.log2(3)
    ndcg = (1 + (1 / math.log2(3) + 2 / 2) / best + 1 / math.log2(5)) / 3
    expected = Quality(1 / 3, 2 / 3, (1 + 1 / 2 + 1 / 4) / 3, ndcg, 3 / 4)
    assert vars(quality(queries, answers, grades)) == pytest.approx(vars(expected))


def test_a_figure_that_does_not_apply_is_none():
    only_unanswerable = quality([Query("1", "", False)], {"1": Answer([], False)}, {})
    assert only_unanswerable == Quality(None, None, None, None, 1.0)


@pytest.fixture
def files(tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATUM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ATUM_DATABASE_URL", raising=False)
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "returns.md").write_text("# Send something back\n\nPrint the label, put it on the box.")
    (tmp_path / "kb" / "bills.md").write_text("# Invoices\n\nWe send the bill on the first of each month.")
    (tmp_path / "queries.jsonl").write_text(
        '{"id": 1, "text": "how can I return a product", "answerable": true}\n'
        '{"id": 2, "text": "when does the bill come", "answerable": true}\n'
        '{"id": 3, "text": "who won the world cup", "answerable": false}\n'
    )
    (tmp_path / "qrels.tsv").write_text("query_id\tarticle_id\tgrade\n1\treturns\t2\n2\tbills\t2\n")
    return tmp_path


def evaluate(files: Path, *more: str):
    return CliRunner().invoke(
        app,
        [
            "search", "--kb", str(files / "kb"), "--queries", str(files / "queries.jsonl"),
            "--qrels", str(files / "qrels.tsv"), *more,
        ],
    )  # fmt: skip


def test_search_is_judged_without_a_server_of_the_users_and_nothing_is_left(files: Path):
    outcome = evaluate(files, "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout) == {
        "hit_at_1": 1.0, "hit_at_3": 1.0, "mrr": 1.0, "ndcg_at_10": 1.0, "answer_accuracy": 1.0,
    }  # fmt: skip
    (files / "qrels.tsv").write_text("1\treturns\t2\n2\tbills\t2\n2\tnowhere\t1\n")  # without a header line
    outcome = evaluate(files, "--leg", "text")
    assert outcome.exit_code == 0, outcome.output
    assert "1 graded articles are not in" in outcome.output
    server = EmbeddedServer(files / "home")
    connection = psycopg2.connect(server.url(database="postgres"))
    with connection.cursor() as cursor:
        cursor.execute("select datname from pg_database where datname like 'scratch%'")
        assert cursor.fetchall() == []
    connection.close()
    server.stop()
    server.detach()


WORK = """
import sys
from app.scratch import scratch_database
with scratch_database():
    print("works", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_one_left_is_removed_by_the_next_and_nothing_of_one_that_works(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ATUM_HOME", str(tmp_path / "home"))
    settings.cache_clear()

    def begin() -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", WORK], stdin=PIPE, stdout=PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "works\n"
        return process

    def names() -> set[str]:
        cursor.execute("select datname from pg_database where datname like 'scratch%'")
        return {name for (name,) in cursor.fetchall()}

    def locks() -> int:
        cursor.execute("select count(*) from pg_locks where locktype = 'advisory' and granted")
        return cursor.fetchone()[0]

    working = begin()
    server = EmbeddedServer(tmp_path / "home")
    connection = psycopg2.connect(server.url(database="postgres"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            of_working = names()
            killed = begin()
            of_killed = names() - of_working
            assert len(of_working) == len(of_killed) == 1
            killed.kill()
            killed.wait()
            until(lambda: locks() == 1, "the server has noticed")
            with scratch_database():
                assert of_working < names()
                assert not of_killed & names()
            assert names() == of_working
            working.communicate(timeout=60)
            assert names() == set()
    finally:
        working.kill()
        connection.close()
        server.leave()
        settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("queries.jsonl", '{"id": 1}\n', "line 1: text is missing or empty"),
        ("queries.jsonl", "x\n", "line 1 is not JSON"),
        ("queries.jsonl", '{"id": 1, "text": "x", "answerable": "yes"}\n', "line 1: answerable must be true or false"),
        ("queries.jsonl", "", "is empty"),
        ("queries.jsonl", '{"id": 9, "text": "x"}\n', "Query '9' is answerable, but no article has a positive grade"),
        ("qrels.tsv", "1 returns 2\n", "line 1 has 1 columns instead of query_id, article_id, grade"),
        ("qrels.tsv", "1\treturns\t2\n2\tbills\tgood\n", "line 2: grade 'good' is no number"),
        ("qrels.tsv", "", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(files: Path, name, text, says):
    (files / name).write_text(text)
    outcome = evaluate(files)
    assert isinstance(outcome.exception, InvalidInput)
    assert says in str(outcome.exception)


def test_a_leg_that_there_is_not_is_named(files: Path):
    assert "must be one of hybrid, vector, text" in str(evaluate(files, "--leg", "third").exception)
