"""`atum kb models | reindex | use | cancel | questions`, with a real worker that does the work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from further_models import write_model
from typer.testing import CliRunner
from workers import until, work_off, working

import actors.kb
from app.cli import app
from brokers import broker
from desk.kb import embedding, model
from desk.settings import settings

SMALL = "local/minilm-128"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def atum(kb) -> Any:
    """Run a command; its outcome."""

    def atum(*arguments: str, code: int = 0) -> Any:
        outcome = CliRunner().invoke(app, ["kb", *arguments])
        assert outcome.exit_code == code, (outcome.output, outcome.exception)
        return outcome

    yield atum
    broker.close()
    embedding.unload()


@pytest.fixture
def small(kb, model_dir: Path) -> Path:
    """The folder of a model of 128 dimensions, and a help centre of one article."""
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.index()
    kb.rows("delete from dramatiq.queue")
    return write_model(model_dir, model.folder_of(SMALL), dimensions=128)


def states(atum: Callable[..., Any]) -> list[tuple[Any, ...]]:
    rows = json.loads(atum("models", "--json").stdout)
    return [(row["organization"], row["model"], row["state"], row["coverage"]) for row in rows]


def test_a_model_is_built_by_a_worker_used_and_left_again(kb, atum, small):
    assert states(atum) == [("Acme", MINILM, "active", 1.0)]
    with working(broker, queues={"kb"}):
        outcome = atum("reindex", "--model", SMALL, "--org", "Acme", "--wait")
    assert "Acme: local/minilm-128 is active" in outcome.stdout
    assert states(atum) == [("Acme", SMALL, "active", 1.0), ("Acme", MINILM, "kept", 1.0)]
    assert kb.found("when does the bill come") == ["pay"]
    assert json.loads(atum("status", "--json").stdout)[0]["model"] == SMALL
    atum("use", MINILM, "--org", "Acme")
    atum("cancel", SMALL, "--org", "Acme")
    assert states(atum) == [("Acme", MINILM, "active", 1.0)]
    assert kb.rows("select count(*) from embeddings") == [(1,)]
    assert "100%" in atum("models").stdout


def test_for_all_organizations_at_once_and_then_for_new_ones_by_the_setting(kb, other_kb, atum, small, monkeypatch):
    other_kb.put("pay", "Invoices", "We send no bills.")
    other_kb.index()
    atum("reindex", "--model", SMALL)
    work_off(broker, "kb", seconds=60)
    assert [row[:2] for row in states(atum) if row[2] == "active"] == [("Acme", SMALL), ("Other", SMALL)]
    monkeypatch.setenv("ATUM_EMBED_MODEL", SMALL)
    monkeypatch.setenv("ATUM_EMBED_MODEL_DIR", str(small))
    settings.cache_clear()
    embedding.unload()
    kb.put("car", "Parking", "Where to leave your car.")
    assert kb.index().failed == 0
    assert kb.found("where do I leave my car") == ["car"]
    kb.assert_vectors_equal_distinct_chunks_of_what_is_published()


def test_without_its_files_a_worker_says_so_and_comes_back(kb, atum, small, monkeypatch):
    atum("reindex", "--model", SMALL, "--org", "Acme")
    monkeypatch.setenv("ATUM_EMBED_MODELS_DIR", str(small / "nothing"))
    settings.cache_clear()
    embedding.unload()
    with working(broker, queues={"kb"}):
        until(lambda: kb.rows("select 1 from pgbroker.finished where actor_name = 'build_model'"), "the build gave up")
    (row,) = [row for row in json.loads(atum("models", "--json").stdout) if row["state"] == "building"]
    assert "is not on this machine" in row["note"]
    waiting = "select retries, run_at > now() + interval '30 s' from dramatiq.queue where actor_name = 'build_model'"
    assert kb.rows(waiting) == [(0, True)]
    monkeypatch.undo()
    settings.cache_clear()


def test_the_same_message_a_hundred_times_builds_once(kb, atum, small, monkeypatch):
    atum("reindex", "--model", SMALL, "--no-activate")
    (model_id,) = kb.rows("select id from models where name = %s", SMALL)[0]
    made: list[str] = []
    real = embedding.embed_with
    monkeypatch.setattr(embedding, "embed_with", lambda name, texts: made.extend(texts) or real(name, texts))
    for _ in range(100):
        actors.kb.build_model.send(str(kb.organization), model_id)
    work_off(broker, "kb", seconds=120)
    assert kb.rows("select count(*) from embeddings where model_id = %s", model_id) == [(1,)]
    assert len(set(made)) == 1
    assert len(made) <= 4  # as many as there were threads to begin at once
    assert [row[2] for row in states(atum)] == ["active", "kept"]


def test_questions_are_put_and_shown(kb, atum, small, tmp_path: Path):
    (tmp_path / "q.jsonl").write_text('{"id": "1", "text": "when does the bill come"}\n')
    (tmp_path / "q.tsv").write_text("query_id\tarticle_id\tgrade\n1\tpay\t2\n1\tgone\t1\n")
    files = ("--queries", str(tmp_path / "q.jsonl"), "--qrels", str(tmp_path / "q.tsv"))
    outcome = atum("questions", "--org", "Acme", *files)
    assert "1 questions" in outcome.stdout
    assert "1 graded articles are not in the help centre" in outcome.stderr
    (row,) = json.loads(atum("questions", "--org", "Acme", "--json").stdout)
    assert (row["text"], row["grades"]) == ("when does the bill come", {"pay": 2.0, "gone": 1.0})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("reindex", "--model", MINILM, "--org", "Acme"), "is the active model already"),
        (("reindex", "--model", MINILM), "is the active model of every organization already"),
        (("reindex", "--model", "local/nowhere", "--org", "Acme"), "is not on this machine"),
        (("reindex", "--model", "x" * 5000), "is not on this machine"),
        (("reindex", "--model", " ", "--org", "Acme"), "--model is empty"),
        (("reindex", "--model", SMALL, "--org", "Nobody"), "Nobody"),
        (("use", "local/nowhere", "--org", "Acme"), "There are no vectors of a model 'local/nowhere' here"),
        (("cancel", MINILM, "--org", "Acme"), "is the active model"),
        (("questions", "--org", "Acme", "--queries", "x.jsonl"), "--queries and --qrels go together"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error(atum, small, arguments, says):
    outcome = CliRunner().invoke(app, ["kb", *arguments])
    assert outcome.exit_code != 0
    assert says in str(outcome.exception)
