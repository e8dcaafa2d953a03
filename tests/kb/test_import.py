"""A help centre comes in whole or not at all, and what is wrong with it is named by file, line and field."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pytest
from typer.testing import CliRunner
from waiting import until

from app.commands.kb import app
from desk.errors import DeskError, InvalidInput, NotFound
from desk.kb import articles, importing
from desk.kb.sources import Reading


def run(*arguments: str, ok: bool = True):
    """What the command printed; its error is raised, as `atum` gets it."""
    outcome = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if isinstance(outcome.exception, DeskError):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome


def jsonl(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def article(identifier: str = "a", **more: object) -> dict[str, object]:
    return {"id": identifier, "title": "Title", "body_md": "Text."} | more


def test_a_folder_becomes_articles_with_category_id_and_title_from_where_they_stand(kb, tmp_path):
    (tmp_path / "billing").mkdir()
    (tmp_path / "billing" / "invoices.md").write_text(
        "# Where are my invoices?\n\nUnder *Account*.\n\n## Old ones\n\nAsk."
    )
    (tmp_path / "billing" / "tax.md").write_text(
        "---\ntitle: Tax numbers\nvisibility: internal\nlang: de\ncategory: money\n---\nText.\n\n# Later\n\nMore."
    )
    (tmp_path / "top.md").write_text("\ufeff# Top\r\n\r\nText.\r\n")
    (tmp_path / "notes.docx").write_text("not an article")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.md").write_text("# Hidden")
    outcome = run("import", str(tmp_path), "--org", "Acme", "--json")
    assert json.loads(outcome.stdout) == {"taken": 3, "changed": 3, "refused": []}
    assert kb.rows(
        "select external_id, title, body_md, category, language, visibility, status from articles order by 1"
    ) == [
        (
            "billing/invoices", "Where are my invoices?", "Under *Account*.\n\n## Old ones\n\nAsk.", "billing", "en",
            "public", "published",
        ),
        ("billing/tax", "Tax numbers", "Text.\n\n# Later\n\nMore.", "money", "de", "internal", "published"),
        ("top", "Top", "Text.", None, "en", "public", "published"),
    ]  # fmt: skip


def test_pages_and_plain_texts_of_a_folder_are_taken_beside_markdown(kb, tmp_path):
    (tmp_path / "billing").mkdir()
    (tmp_path / "billing" / "refunds.html").write_text(
        '<!doctype html><html lang="de-AT"><head><title>Erstattung | Hilfe</title>'
        '<meta name="visibility" content="internal"></head><body><nav><a href="/">Start</a></nav>'
        "<main><h1>Geld <em>zurück</em></h1><p>Binnen 14 Tagen.</p></main><footer>Impressum</footer></body></html>"
    )
    (tmp_path / "old.HTM").write_bytes(
        b'<meta charset="iso-8859-1"><title>Gr\xf6\xdfe</title><body>In <b>Metern</b>.</body>'
    )
    (tmp_path / "plain.txt").write_bytes(b"\xef\xbb\xbf\r\nOpening hours\r\n\r\nMonday * to * Friday\r\n# 9 to 5\r\n")
    (tmp_path / "top.md").write_text("# Top\n\nText.")
    outcome = json.loads(run("import", str(tmp_path), "--org", "Acme", "--json").stdout)
    assert outcome == {"taken": 4, "changed": 4, "refused": []}
    assert kb.rows("select external_id, title, category, language, visibility from articles order by 1") == [
        ("billing/refunds", "Geld zurück", "billing", "de-AT", "internal"),
        ("old", "Größe", None, "en", "public"),
        ("plain", "Opening hours", None, "en", "public"),
        ("top", "Top", None, "en", "public"),
    ]
    kb.index()
    shown = dict(kb.rows("select external_id, text from articles a join chunks c on c.article_id = a.id"))
    assert shown == {
        "billing/refunds": "Binnen 14 Tagen.", "old": "In Metern.", "plain": "Monday * to * Friday\n# 9 to 5",
        "top": "Text.",
    }  # fmt: skip


def test_every_bad_page_and_text_is_named(kb, tmp_path):
    (tmp_path / "a.html").write_text("<p>No title at all</p>")
    (tmp_path / "b.html").write_bytes("<p>Größe".encode("latin-1"))
    (tmp_path / "c.html").write_text("<h1>Deep</h1>" + "<div>" * 50_000)
    (tmp_path / "d.txt").write_text("x" * 600)
    (tmp_path / "e.txt").write_text(" \n")
    (tmp_path / "f.html").write_text("<h1>F</h1>a\x00b")
    (tmp_path / "f.md").write_text("# F")
    (tmp_path / "g.md").write_text("# G")
    (tmp_path / "g.txt").write_text("G")
    (tmp_path / "h.html").write_bytes(b"<meta charset=undefined><h1>\xff</h1>")
    with pytest.raises(InvalidInput) as refused:
        run("import", str(tmp_path), "--org", "Acme")
    assert "nothing taken, 8 of 10 articles" in str(refused.value)
    outcome = json.loads(run("import", str(tmp_path), "--org", "Acme", "--skip-bad", "--json").stdout)
    assert {one["where"]: one["reason"] for one in outcome["refused"]} == {
        "a.html": "title is missing: no heading <h1> and no <title>",
        "b.html": "is not UTF-8 at byte 5",
        "c.html": "nests too deeply",
        "d.txt": "title has 600 characters, 500 are allowed",
        "e.txt": "is empty",
        "f.html": "holds a NUL character",
        "g.txt": "id 'g' is that of g.md",
        "h.html": "is not UTF-8 at byte 28",
    }


def test_a_second_import_touches_only_what_changed(kb, tmp_path):
    source = jsonl(tmp_path / "kb.jsonl", article("a"), article("b"), article("c", status="draft"))
    run("import", str(source), "--org", "Acme")
    kb.index()
    jsonl(source, article("a"), article("b", body_md="New."), article("c", status="draft"))
    assert "3 articles taken, 1 of them new or changed" in run("import", str(source), "--org", "Acme").output
    assert kb.rows("select external_id, revision from articles order by 1") == [("a", 1), ("b", 2), ("c", 1)]


def test_two_imports_at_once_that_name_the_same_articles_in_another_order_both_come_in(kb, owner):
    readings = [
        Reading([articles.Article(external_id=name, title="Title", body_md=text) for name in names])
        for text, names in (("None.", "amz"), ("One.", "amz"), ("Two.", "zma"))
    ]
    importing.put(kb.organization, readings[0])
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    editing = psycopg2.connect(owner.dsn)
    with editing.cursor() as cursor, ThreadPoolExecutor(2) as pool:
        cursor.execute("select from articles where external_id = 'm' for update")  # both get as far as here
        try:
            puts = [pool.submit(importing.put, kb.organization, reading) for reading in readings[1:]]
            until(lambda: kb.rows(waiting) == [(2,)], "both wait")
        finally:
            editing.close()
        assert [put.result().changed for put in puts] == [3, 3]
    assert len(set(kb.rows("select body_md from articles"))) == 1, "the later one stands, as a whole"


BAD_LINES = {
    "not JSON": ('{"id": "x", "title"', "line 2: is not JSON: Expecting ':' delimiter at column 20"),
    "not an object": ("[1, 2]", "line 2: is not a JSON object"),
    "a missing field": ({"id": "x", "title": "T"}, "line 2: body_md is missing"),
    "a field that is null": ({"id": "x", "title": None, "body_md": "B"}, "line 2: title is missing"),
    "a field that is no text": (article("x", body_md=["B"]), "line 2: body_md must be text, not list"),
    "an id that is a list": (article("x", id=[1]), "line 2: external_id must be text, not list"),
    "an id that is true": (article("x", id=True), "line 2: external_id must be text, not bool"),
    "a number of 5,000 digits": (
        '{"id": "x", "n": ' + "1" * 5_000 + "}",
        "line 2: is not usable JSON: Exceeds the limit",
    ),
    "an empty title": (article("x", title=" "), "line 2: title is empty"),
    "a NUL": (article("x", body_md="a\x00b"), "line 2: body_md holds a NUL character"),
    "half a surrogate pair": ('{"id": "x", "title": "T", "body_md": "\\ud800"}', "line 2: body_md holds half a surr"),
    "an id that was there": (article("good"), "line 2: id 'good' is that of line 1"),
    "a 10 MB article": (article("x", body_md="x" * 10_000_000), r"line 2: body_md: the line has 10,000,0\d\d bytes"),
    "a 3 MB article": (article("x", body_md="x" * 3_000_000), "line 2: body_md has 3,000,000 bytes, 2,000,000 are"),
    "a visibility of another kind": (article("x", visibility="all"), "line 2: visibility is 'all', but must be one of"),
    "an endless nest": ("[" * 100_000, "line 2: is not usable JSON: it nests too deeply"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_named_and_nothing_is_taken_unless_bad_ones_are_skipped(kb, tmp_path, name):
    line, says = BAD_LINES[name]
    source = jsonl(tmp_path / "kb.jsonl", article("good"), line, article("last"))
    with pytest.raises(InvalidInput, match=rf"nothing taken, 1 of 3 articles cannot be used: {says}"):
        run("import", str(source), "--org", "Acme")
    assert kb.rows("select count(*) from articles") == [(0,)]
    outcome = run("import", str(source), "--org", "Acme", "--skip-bad")
    assert "2 articles taken" in outcome.output
    assert "refused line 2: " in outcome.output
    assert kb.rows("select external_id from articles order by 1") == [("good",), ("last",)]


def test_every_bad_file_of_a_folder_is_named(kb, tmp_path):
    (tmp_path / "empty.md").write_text(" \n")
    (tmp_path / "latin.md").write_bytes("# Größe".encode("latin-1"))
    (tmp_path / "nameless.md").write_text("No heading.")
    (tmp_path / "huge.md").write_text("# Huge\n" + "x" * 10_000_000)
    with pytest.raises(InvalidInput) as refused:
        run("import", str(tmp_path), "--org", "Acme")
    for part in (
        "nothing taken, 4 of 4 articles", "empty.md: is empty", "huge.md: has 10,000,007 bytes, 2,000,000 are allowed",
        "latin.md: is not UTF-8 at byte 4", "nameless.md: title is missing",
    ):  # fmt: skip
        assert part in str(refused.value)


def test_a_link_that_leads_out_of_the_folder_is_refused(kb, tmp_path):
    secret = tmp_path / "settings.env"
    secret.write_text("ATUM_API_TOKEN=hush")
    folder = tmp_path / "help-centre"
    (folder / "..data").mkdir(parents=True)
    (folder / "..data" / "real.md").write_text("# Inside\n\nText.")
    (folder / "inside.md").symlink_to("..data/real.md")  # as Kubernetes mounts a folder
    (folder / "outside.txt").symlink_to(secret)
    with pytest.raises(InvalidInput, match=r"outside\.txt: is a link that leads out of the folder"):
        run("import", str(folder), "--org", "Acme")
    assert "1 articles taken" in run("import", str(folder), "--org", "Acme", "--skip-bad").output
    link = tmp_path / "linked"
    link.symlink_to(folder)
    assert "1 articles taken" in run("import", str(link), "--org", "Acme", "--skip-bad").output
    assert kb.rows("select external_id, title from articles") == [("inside", "Inside")]


def test_a_source_that_is_none_is_named(kb, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n \n")
    (tmp_path / "kb.docx").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, says in {
        "nowhere": "does not exist", "empty.jsonl": "is empty", "kb.docx": "neither a folder of Markdown nor",
        "folder": "holds no Markdown file", "n" * 300: "cannot be read: File name too long",
    }.items():  # fmt: skip
        with pytest.raises(InvalidInput, match=says):
            run("import", str(tmp_path / name), "--org", "Acme")


def test_an_unknown_organization_is_made_by_an_import_and_by_nothing_else(kb, tmp_path):
    source = jsonl(tmp_path / "kb.jsonl", article())
    with pytest.raises(NotFound, match=r"no organization 'New'\. There are: Acme\."):
        run("import", str(source), "--org", "New", "--existing-org")
    with pytest.raises(NotFound, match="no organization 'New'"):
        run("search", "x", "--org", "New")
    assert "The organization 'New' is new." in run("import", str(source), "--org", "New").output
    assert "is new" not in run("import", str(source), "--org", "New").output
    assert kb.rows("select name from organizations order by 1") == [("Acme",), ("New",)]


def test_a_bad_source_does_not_even_make_the_organization(kb, tmp_path):
    source = jsonl(tmp_path / "kb.jsonl", "nonsense")
    with pytest.raises(InvalidInput):
        run("import", str(source), "--org", "New")
    assert kb.rows("select name from organizations") == [("Acme",)]


def test_status_and_search_show_what_is_there(kb, tmp_path):
    kb.put("returns", "Send something back", "Print the label [here](/x), put it on the box.")
    before = json.loads(run("status", "--json").stdout)[0]
    assert (before["organization"], before["published"], before["searchable"], before["pending"]) == ("Acme", 1, 0, 1)
    assert before["lag_seconds"] > 0
    kb.index()
    after = json.loads(run("status", "--org", "Acme", "--json").stdout)[0]
    assert (after["coverage"], after["chunks"], after["vectors"], after["lag_seconds"]) == (1.0, 1, 1, 0)
    assert "Acme" in run("status").stdout
    found = json.loads(run("search", "how can I return a product", "--org", "Acme", "--json").stdout)
    assert [hit["external_id"] for hit in found] == ["returns"]
    assert "Send something back" in run("search", "how can I return a product", "--org", "Acme").stdout
    assert "label" in run("search", "Which LABEL for the box?", "--org", "Acme", "--language", "en").stdout
    assert "Nothing relevant" in run("search", "Which label?", "--org", "Acme", "--language", "es").stdout
    assert "Nothing relevant" in run("search", "Which label?", "--org", "Acme", "--category", "none").stdout
    assert "Nothing relevant" in run("search", "who won the world cup", "--org", "Acme").stdout
