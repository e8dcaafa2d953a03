"""What `atum kb status` says is how it is, while a real worker process works and after it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from waiting import until

from app.cli import app
from desk import database
from desk.kb import status

ARTICLES = 24
SECTIONS = 5


def look(kb) -> status.Status:
    with database.transaction(kb.organization) as connection:
        return status.status(connection, kb.organization)


def page(number: int) -> str:
    return "\n\n".join(f"## Part {n}\n\nWhat to do about {number}.{n}." for n in range(SECTIONS))


def test_coverage_pending_lag_and_pace_are_what_a_worker_really_does(kb, tmp_path: Path):
    began = kb.rows("select clock_timestamp()")[0][0]
    for number in range(ARTICLES):
        kb.put(f"a{number}", f"Article {number}", page(number))
    before = look(kb)
    assert (before.published, before.searchable, before.pending, before.coverage) == (ARTICLES, 0, ARTICLES, 0)
    assert (before.articles_per_second, before.seconds_left) == (0, None)
    command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "schedules", "-Q", "kb", "-p", "1", "-t", "1"]
    seen = []
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:

            def done() -> bool:
                now = look(kb)
                seen.append(now)
                # One snapshot: what is not pending is searchable, whole, and the other way round.
                assert now.searchable + now.pending == ARTICLES
                assert now.chunks == now.vectors == now.searchable * SECTIONS
                waited = kb.rows("select extract(epoch from clock_timestamp() - %s)", began)[0][0]
                assert 0 <= now.lag_seconds <= waited
                return now.pending == 0

            until(done, "everything is indexed", 90)
        finally:
            worker.terminate()
            worker.wait(30)
    counts = [one.searchable for one in seen]
    assert counts == sorted(counts)
    after = json.loads(CliRunner().invoke(app, ["kb", "status", "--json"]).stdout)[0]
    assert (after["coverage"], after["pending"], after["dead"], after["lag_seconds"]) == (1.0, 0, 0, 0)
    assert (after["chunks"], after["vectors"]) == (ARTICLES * SECTIONS, ARTICLES * SECTIONS)
    assert (after["model"], after["seconds_left"]) == ("sentence-transformers/all-MiniLM-L6-v2", None)
    first, last = kb.rows("select min(done_at), max(done_at) from article_index")[0]
    assert after["articles_per_second"] == pytest.approx(
        ARTICLES / max(1.0, kb.rows("select extract(epoch from now() - %s)::float", first)[0][0]), rel=0.5
    )
    assert last > first


def test_a_pause_before_an_import_does_not_slow_its_pace_down(kb):
    for number in range(12):
        kb.put(f"a{number}", f"Article {number}", "Text.")
    kb.index()
    kb.rows("update article_index set done_at = now() - interval '4 minutes'")
    kb.put("b1", "B 1", "Text.")
    kb.put("b2", "B 2", "Text.")
    for name, seconds in (("a0", 4), ("a1", 3), ("a2", 2), ("a3", 1)):  # two of this import are done each second …
        kb.rows(
            "update article_index i set done_at = now() - make_interval(secs => %s) from articles a"
            " where a.id = i.article_id and a.external_id = %s",
            seconds / 2, name,
        )  # fmt: skip
    found = look(kb)
    assert found.articles_per_second == pytest.approx(2, rel=0.3)  # … and four minutes of rest do not count
    assert found.seconds_left == pytest.approx(1, rel=0.3)
