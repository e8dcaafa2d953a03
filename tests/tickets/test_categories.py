"""Categories described in the organization's own words answer where no ticket has a label; retired ones never do."""

import json
from pathlib import Path
from typing import Any

import pytest
from builders import new_organization
from typer.testing import CliRunner

from app.commands.tickets import app
from desk.errors import InvalidInput
from desk.tickets.triage import categories

RESULT = "select outcome, category, category_confidence, calibrated, reason from triage_results where ticket_id = %s"
SHOP = [
    {"name": "delivery", "description": "Parcels that are late, lost or damaged", "examples": ["where is my parcel"]},
    {"name": "refund", "description": "Customers who want their money back", "examples": ["please refund my order"]},
]


@pytest.fixture
def describe(organization, tmp_path: Path):
    def describe(given: Any, org: str = "Acme") -> Any:
        file = tmp_path / "categories.json"
        file.write_text(json.dumps(given))
        return CliRunner().invoke(app, ["categories", "set", str(file), "--org", org, "--json"])

    return describe


def command(*arguments: str) -> Any:
    return json.loads(
        CliRunner().invoke(app, ["categories", *arguments, "--org", "Acme", "--json"], catch_exceptions=False).stdout
    )


def test_without_labels_the_nearest_description_is_suggested_with_little_confidence(
    model_dir, describe, ticket, run_jobs, ask
):
    ask("update organization_settings set triage_applies_above = 0")
    describe(SHOP)
    made = ticket("The parcel that I ordered is lost")
    run_jobs("tickets")
    ((outcome, category, confidence, calibrated, reason),) = ask(RESULT, made)
    assert (outcome, category, calibrated) == ("suggested", "delivery", False)
    assert 0 < confidence <= categories.LOW
    assert reason.startswith("by its description alone")
    assert ask("select category from tickets") == [None]
    assert ask("select count(*) from triage_categories where vectors is not null") == [2]


def test_what_no_description_is_near_to_is_not_answered(model_dir, describe, ticket, run_jobs, ask):
    describe(SHOP)
    made = ticket("Quantum chromodynamics lattice simulation of penguins")
    run_jobs("tickets")
    assert ask(RESULT, made) == [("abstained", None, None, False, "no labelled tickets yet")]


def test_an_organization_that_wants_surer_suggestions_gets_none_by_description(
    model_dir, describe, ticket, run_jobs, ask
):
    ask("update organization_settings set suggest_from = 0.6")
    describe(SHOP)
    made = ticket("where is my parcel")
    run_jobs("tickets")
    assert ask(RESULT, made)[0][0] == "abstained"


def test_a_described_category_without_a_label_is_found_beside_labelled_ones(model_dir, describe, ticket, run_jobs, ask):
    describe([*SHOP, {"name": "repair", "description": "The washing machine is broken and needs a technician"}])
    for subject in ("where is my parcel", "the courier lost it", "my delivery is late"):
        ticket(subject, category="delivery", status="closed")
    for subject in ("I want my money back", "refund me please", "return the payment"):
        ticket(subject, category="refund", status="closed")
    made = ticket("Our washing machine is broken, send a technician")
    run_jobs("tickets")
    ((outcome, category, *_),) = ask(RESULT, made)
    assert (outcome, category) == ("suggested", "repair")


def test_new_words_count_at_once(model_dir, describe, ticket, run_jobs, ask):
    describe(SHOP)
    first = ticket("My bicycle has a flat tyre")
    run_jobs("tickets")
    describe([{"name": "bicycles", "description": "Bicycles with flat tyres"}])
    second = ticket("My bike has a flat tyre")
    run_jobs("tickets")
    assert [ask(RESULT, made)[0][1] for made in (first, second)] == [None, "bicycles"]


def test_a_retired_category_is_neither_answered_nor_learnt_from(model_dir, describe, ticket, run_jobs, ask):
    for subject in ("where is my parcel", "the courier lost it", "my delivery is late"):
        ticket(subject, category="delivery", status="closed")
    for subject in ("I want my money back", "refund me please", "return the payment"):
        ticket(subject, category="refund", status="closed")
    found = command("retire", "delivery")
    assert [(row["name"], row["retired"], row["tickets"]) for row in found] == [
        ("delivery", True, 3),
        ("refund", False, 3),
    ]
    made = ticket("The courier lost my parcel")
    run_jobs("tickets")
    assert ask(RESULT, made) == [("abstained", None, None, False, "only one category was used so far: refund")]


def test_another_organization_has_none_of_them(model_dir, owner, describe, ticket, run_jobs, ask):
    other = new_organization(owner, "Other")
    describe(SHOP)
    made = ticket("where is my parcel", of=other)
    run_jobs("tickets")
    assert ask(RESULT, made)[0][:2] == ("abstained", None)


def test_set_replaces_and_keeps_what_was_retired(describe, ask):
    describe(SHOP)
    command("retire", "refund")
    describe([{"name": "login"}])
    assert [(row["name"], row["retired"]) for row in command("list")] == [("login", False), ("refund", True)]
    describe([{"name": "refund"}])
    assert [(row["name"], row["retired"]) for row in command("list")] == [("refund", False)]


def test_thousands_of_descriptions_are_answered(model_dir, describe, ticket, run_jobs, ask):
    describe(
        [{"name": f"part {number}", "description": f"Spare part number {number * 7919}"} for number in range(2_000)]
    )
    made = ticket("I need the spare part number 15838")
    run_jobs("tickets")
    ((outcome, category, *_),) = ask(RESULT, made)
    assert outcome == "suggested"
    assert category.startswith("part ")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "must be a list"),
        ([{}], "category 1: name is missing or empty"),
        ([{"name": "a"}, {"name": "a "}], "category 2: the name 'a' is there twice"),
        ([{"name": "a", "colour": 1}], "category 1: it must be an object with name, description, examples"),
        ([{"name": "a", "examples": "x"}], "category 1: examples must be a list"),
        ([{"name": "a\x00"}], "category 1: name holds a NUL"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(given, said):
    with pytest.raises(InvalidInput, match=said):
        categories.read(json.dumps(given))
    with pytest.raises(InvalidInput, match="no JSON"):
        categories.read("{")


def test_a_category_that_is_not_there_cannot_be_retired(organization):
    result = CliRunner().invoke(app, ["categories", "retire", "nothing", "--org", "Acme"])
    assert "There is no category 'nothing'" in str(result.exception)
