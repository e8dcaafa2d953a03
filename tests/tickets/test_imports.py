"""A file of tickets is taken whole or refused with a line for each bad row."""

import json
from uuid import UUID

import pytest
from typer.testing import CliRunner

from app.commands.tickets import app
from desk.errors import DeskError, InvalidInput
from desk.tickets import imports

HEADER = "subject,body,priority,status,created_at,resolved_at\n"


@pytest.fixture
def file(tmp_path):
    """Write a file and give its path."""

    def write(text: str | bytes, name: str = "tickets.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def run(*arguments: object):
    """The command; a DeskError is what `atum` prints as its one line."""
    return CliRunner().invoke(app, ["import", *map(str, arguments), "--no-embed"])


def test_columns_become_fields(file):
    reading = imports.read(
        file(
            f"{','.join(imports.FIELDS)},x\n"
            'Dark,"It is,\ndark",power,HIGH,resolved,2026-03-01T10:00:00+01:00,2026-03-01 09:30,2026-03-02,'
            'ida,bo,en,"a, b,a",chase,y\n'
        )
    )
    assert reading.refusals == []
    assert reading.ignored == ["x"]
    (found,) = reading.tickets
    assert found["body"] == "It is,\ndark"
    assert (found["category"], found["category_by"], found["priority"]) == ("power", "person", "high")
    assert (found["tags"], found["tags_by"]) == (["a", "b"], "person")
    assert (found["intent"], found["intent_by"]) == ("chase", "person")
    assert [found[name].isoformat() for name in imports.INSTANTS] == [
        "2026-03-01T09:00:00+00:00",
        "2026-03-01T09:30:00+00:00",
        "2026-03-02T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a\x00b,,,,,", "subject holds a NUL character"),
        (",,,,,", "subject is empty and so is body"),
        ("a,,whenever,,,", "priority 'whenever' is none of low, medium, high, urgent"),
        ("a,,,asleep,,", "status 'asleep' is none of"),
        ("a,,,,2026-13-01,", "created_at '2026-13-01' is no ISO 8601 instant"),
        ("a,,,,2199-01-01,", "created_at 2199-01-01T00:00:00+00:00 is in the future"),
        ("a,,,closed,2026-01-01,2199-01-01", "resolved_at 2199-01-01T00:00:00+00:00 is in the future"),
        ("a,,,closed,2026-03-02,2026-03-01", "resolved_at is before created_at"),
        ("a,,,new,2026-03-02,2026-03-03", "resolved_at is given, but status is new"),
        (f"{'a' * 1001},,,,,", "subject has 1,001 characters; at most 1,000 are taken"),
        (f"a,{'b' * 1_000_001},,,,", "body has 1,000,001 characters; at most 1,000,000 are taken"),
        ("a,b", "2 fields where the header has 6"),
        ('a,"b"c,,,,', "not CSV"),
    ],
)
def test_a_bad_row_is_named_with_its_field(file, row, reason):
    reading = imports.read(file(HEADER + 'good,"two\nlines",,,,\n' + row + "\n"))
    assert len(reading.tickets) == 1
    (refusal,) = reading.refusals
    assert refusal.row == 4
    assert reason in refusal.reason


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("empty.csv", "", "the file is empty"),
        ("header.csv", HEADER, "a header and no rows"),
        ("columns.csv", "title,answer\na,b\n", "the column subject is missing. The file has: title, answer"),
        ("twice.csv", "subject,subject\na,b\n", "names a column twice"),
        ("latin.csv", "subject\ncaf\xe9\n".encode("latin-1"), "not UTF-8 at byte 11"),
        ("notes.txt", "subject\na\n", "must end in .csv, .tsv or .jsonl"),
        ("absent.csv", None, "No such file"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path, file, name, text, reason):
    path = tmp_path / name if text is None else file(text, name)
    with pytest.raises(InvalidInput, match=reason.replace(".", r"\.")):
        imports.read(path)


def test_a_malformed_line_of_jsonl_is_named(file):
    lines = [json.dumps({"text": "a", "tags": ["x", "y"]}), '{"text": ', "[1]", json.dumps({"text": "\ud800"})]
    reading = imports.read(file("\n".join(lines), "tickets.jsonl"))
    assert [found["tags"] for found in reading.tickets] == [["x", "y"]]
    assert [refusal.row for refusal in reading.refusals] == [2, 3, 4]
    assert [refusal.reason.split(":")[0] for refusal in reading.refusals] == [
        "not JSON",
        "not a JSON object",
        "subject holds half a character (a lone surrogate)",
    ]


def test_all_or_none_unless_bad_rows_are_skipped(file, organization: UUID, ask):
    path = file("subject,status\ngood,new\nbad,asleep\nfine,closed\n")
    refused = run(path, "--org", "Acme")
    assert refused.exit_code == 1
    assert isinstance(refused.exception, DeskError)
    assert "nothing was imported, 1 of 3 rows are bad" in str(refused.exception)
    assert "row 3: status 'asleep'" in refused.output
    assert ask("select count(*) from tickets") == [0]

    taken = run(path, "--org", "Acme", "--skip-bad", "--json")
    assert taken.exit_code == 0
    said = json.loads(taken.stdout)
    assert (said["taken"], [item["row"] for item in said["refused"]]) == (2, [3])
    assert ask("select subject from tickets order by 1") == ["fine", "good"]


def test_an_unknown_organization_is_made_unless_it_has_to_exist(file, organization: UUID, ask):
    path = file("subject\nDark\n")
    refused = run(path, "--org", "Acne", "--existing-org")
    assert "There is no organization 'Acne'. There are: Acme." in str(refused.exception)
    assert run(path, "--org", "Acne").exit_code == 0
    assert ask("select o.name from tickets t join organizations o on o.id = t.organization_id") == ["Acne"]


def test_history_starts_no_jobs_and_no_clocks(file, organization: UUID, ask):
    path = file(HEADER + "Dark,,,closed,2026-03-01,2026-03-02\nOld,,,resolved,,\n")
    assert run(path, "--org", "Acme").exit_code == 0
    assert ask("select count(*) from dramatiq.queue") == [0]
    assert ask("select count(*) from sla_clocks") == [0]
    assert ask("select extract(epoch from resolved_at - created_at)::int from tickets order by subject") == [86400, 0]


def test_other_names_of_columns(file):
    reading = imports.read(file("title,what\nDark,It is\n"), columns={"subject": "title", "body": "what"})
    assert [(found["subject"], found["body"]) for found in reading.tickets] == [("Dark", "It is")]
    with pytest.raises(InvalidInput, match="no column 'nope'"):
        imports.read(file("title\nDark\n"), columns={"subject": "nope"})
    with pytest.raises(InvalidInput, match="no field 'topic'"):
        imports.read(file("title\nDark\n"), columns={"topic": "title"})


def test_a_body_without_a_subject_gives_one(file):
    reading = imports.read(file(f"subject,body\n,{'dark ' * 40}\n"))
    assert reading.tickets[0]["subject"] == ("dark " * 16).strip()


@pytest.mark.data
def test_two_thousand_real_rows_take_seconds(data, organization: UUID, ask):
    done = run(data / "banking77" / "train.csv", "--org", "Acme", "--limit", 2000, "--json")
    assert json.loads(done.stdout) == {"taken": 2000, "refused": [], "embedded": None, "ignored_columns": []}
    assert ask("select count(*), count(*) filter (where category_by = 'person') from tickets") == [(2000, 2000)]
    assert dict(ask("select actor_name, count(*) from dramatiq.queue group by 1")) == {
        "suggest_articles": 2000,
        "draft_reply": 2000,
        "read_sentiment": 2000,
        "retrain_triage": 1,
    }
