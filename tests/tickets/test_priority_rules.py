"""An organization's own rules of priority: pure, then through its versions, a worker and the commands."""

import json
from pathlib import Path
from typing import Any

import pytest
from builders import new_organization
from typer.testing import CliRunner

from app.commands.tickets import app
from desk.errors import InvalidInput
from desk.tickets.triage import priority_rules
from desk.tickets.triage.priority_rules import SHIPPED, decide, read

OURS = {
    "keywords": [
        {"words": ["charge back", "kündigen"], "priority": "high"},
        {"words": ["newsletter"], "priority": "low"},
    ],
    "vip": {"requesters": ["ceo@acme.example", "@big.example"], "priority": "urgent"},
    "outage": ["tills are down"],
    "security": ["skimmed"],
}


@pytest.mark.parametrize(
    ("words", "requester", "priority", "spoke"),
    [
        ("I want a Charge  Back now", None, "high", ["keyword"]),
        ("Ich will kündigen", None, "high", ["keyword"]),
        ("a discharge backwards", None, None, []),
        ("unsubscribe me from the newsletter", None, "low", ["keyword"]),
        ("the newsletter, and a charge back", None, "high", ["keyword", "keyword"]),
        ("hello", "Jane <Jane@BIG.example>", "urgent", ["vip"]),
        ("hello", "ceo@acme.example", "urgent", ["vip"]),
        ("hello", "jane@notbig.example", None, []),
        ("our tills are down", None, "high", ["outage"]),
        ("cards were skimmed", None, "high", ["security"]),
        ("there is smoke", None, "urgent", ["danger"]),
    ],
)
def test_what_speaks_decides_and_the_highest_counts(words, requester, priority, spoke):
    found, evidence = decide(read(OURS, 1), words, requester, english=True)
    assert found == priority
    assert [rule["rule"] for rule in evidence] == spoke


def test_the_shipped_rules_can_be_switched_off_and_read_english_only():
    assert decide(SHIPPED, "there is smoke", None, english=True)[0] == "urgent"
    assert decide(SHIPPED, "there is smoke", None, english=False) == (None, [])
    assert decide(read({"shipped": False}, 1), "there is smoke", None, english=True) == (None, [])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "the document: it must be an object"),
        ({"words": []}, "'words' is unknown"),
        ({"keywords": [{"words": ["a"], "priority": "huge"}]}, "keywords: entry 1: priority 'huge' is none of"),
        ({"keywords": [{"words": [], "priority": "low"}]}, "keywords: entry 1: words is empty"),
        ({"outage": "down"}, "outage: it must be a list"),
        ({"security": [""]}, "security: number 1 must be a text"),
        ({"vip": {"requesters": [7]}}, "vip: requesters: number 1 must be a text"),
        ({"shipped": "no"}, "shipped must be true or false"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(document, said):
    with pytest.raises(InvalidInput, match=said):
        priority_rules.load(json.dumps(document))


def test_words_are_no_patterns():
    hostile = read({"keywords": [{"words": ["(a+)+$", "b.c"], "priority": "high"}]}, 1)
    assert decide(hostile, "a" * 20_000 + "!", None, english=True)[0] is None
    assert decide(hostile, "bxc", None, english=True)[0] is None
    assert decide(hostile, "so b.c it is", None, english=True)[0] == "high"


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["rules", *arguments], catch_exceptions=False)
    return json.loads(result.stdout)


def test_each_set_is_a_version_and_the_newest_counts_for_its_organization_alone(
    model_dir, owner, organization, ticket, run_jobs, ask, tmp_path: Path
):
    other = new_organization(owner, "Other")
    file = tmp_path / "rules.json"
    for number, priority in enumerate(("low", "high"), 1):
        file.write_text(json.dumps({"keywords": [{"words": ["penguin"], "priority": priority}]}))
        assert command("set", str(file), "--org", "Acme", "--json") == {"version": number}
    made, theirs = ticket("About my penguin"), ticket("About my penguin", of=other)
    run_jobs("tickets")
    results = (
        "select priority, priority_confidence, evidence -> 'priority_rules' from triage_results where ticket_id = %s"
    )
    assert ask(results, made) == [("high", None, [{"rule": "keyword", "words": "penguin", "priority": "high"}])]
    assert ask(results, theirs)[0][0] is None
    assert [row["version"] for row in command("list", "--org", "Acme", "--json")] == [2, 1]
    assert command("show", "--org", "Acme", "--version", "1")["keywords"][0]["priority"] == "low"
    assert command("show", "--org", "Other") == {}
