"""Triage answers with evidence from the organization's own labels, or says why it does not."""

import csv
from uuid import UUID

import numpy as np
import pytest
from builders import new_organization

from desk import database
from desk.tickets import imports, jobs, results, store
from desk.tickets.triage.classifier import Classifier
from desk.tickets.triage.examples import Examples
from desk.tickets.triage.triaging import Triage, triage

RESULT = "select outcome, category, category_confidence, reason, evidence, calibrated from triage_results"
CARDS = ["My card has not arrived", "Where is my new card?", "The card was never delivered", "Card still not here"]
REFUNDS = ["I want my money back", "Please refund my order", "When do I get the refund?", "Return the payment to me"]


@pytest.fixture
def labelled(organization: UUID, ticket):
    def label(of: UUID = organization) -> None:
        for category, subjects in (("delivery", CARDS), ("refund", REFUNDS)):
            for subject in subjects:
                ticket(subject, of=of, category=category, status="closed")

    return label


def test_without_labelled_tickets_it_abstains(model_dir, ticket, run_jobs, ask):
    ticket("My card is lost")
    run_jobs("tickets")
    assert ask("select outcome, category, category_confidence, reason from triage_results") == [
        ("abstained", None, None, "no labelled tickets yet")
    ]


def test_with_one_category_only_it_abstains(model_dir, ticket, run_jobs, ask):
    for subject in CARDS:
        ticket(subject, category="delivery", status="closed")
    ticket("My card is lost")
    run_jobs("tickets")
    assert ask("select reason from triage_results") == ["only one category was used so far: delivery"]


def test_few_labels_suggest_and_say_that_they_are_uncalibrated(model_dir, labelled, ticket, run_jobs, ask):
    ask("update organization_settings set triage_applies_above = 0")
    labelled()
    made = ticket("The new card did not come in the mail")
    run_jobs("tickets")
    ((outcome, category, confidence, reason, evidence, calibrated),) = ask(RESULT)
    assert (outcome, category, calibrated) == ("suggested", "delivery", False)
    assert reason == "uncalibrated: 8 labelled tickets, 50 are needed"
    assert 0 < confidence <= 1
    known = dict(ask("select id::text, category from tickets where category is not null"))
    assert evidence["category"]
    assert {known[item["ticket_id"]] for item in evidence["category"]} == {"delivery"}
    assert ask("select category from tickets where id = %s", made) == [None]


def test_what_is_like_nothing_before_is_not_answered(model_dir, labelled, ticket, run_jobs, ask):
    labelled()
    ticket("Quantum chromodynamics lattice simulation of penguins")
    run_jobs("tickets")
    ((outcome, category, _, reason, _, _),) = ask(RESULT)
    assert (outcome, category) == ("abstained", None)
    assert "nothing similar was labelled before" in reason


def test_a_label_of_one_organization_never_shows_in_another(
    model_dir, owner, organization: UUID, labelled, ticket, run_jobs, ask
):
    other = new_organization(owner, "Other")
    labelled(of=other)
    for subject in REFUNDS:
        ticket(subject, category="money", status="closed")
        ticket(f"{subject} as a voucher", category="voucher", status="closed")
    ticket("My card has not arrived")
    run_jobs("tickets")
    theirs = set(ask("select id::text from tickets where organization_id = %s", other))
    ((_, category, _, _, evidence, _),) = ask(RESULT + " where organization_id = %s", organization)
    assert category != "delivery"
    shown = {item["ticket_id"] for item in evidence["category"]}
    assert shown
    assert not shown & theirs
    assert "delivery" not in str(evidence)


def test_its_own_guesses_are_not_learnt_from(model_dir, labelled, ticket, run_jobs, ask):
    labelled()
    ticket("Is my card on its way?")
    run_jobs("tickets")  # from now on the delivery tickets have vectors
    ask("update tickets set category_by = 'triage' where category = 'delivery'")
    made = ticket("My card has not arrived")
    run_jobs("tickets")
    reasons = ask("select reason from triage_results where ticket_id = %s", made)
    assert reasons == ["only one category was used so far: refund"]


def test_an_edit_during_the_job_leaves_the_result_to_the_next_one(
    model_dir, labelled, ticket, run_jobs, ask, monkeypatch
):
    labelled()
    made = ticket("My card has not arrived")
    read, edited = jobs.triage, []

    def edit_meanwhile(*ids):
        found = read(*ids)
        if not edited:
            edited.append(ask("update tickets set subject = 'I want my money back' where id = %s", made))
        return found

    monkeypatch.setattr(jobs, "triage", edit_meanwhile)
    run_jobs("tickets")
    assert ask("select revision, category from triage_results") == [(2, "refund")]


@pytest.mark.parametrize(
    ("meanwhile", "outcome", "category"),
    [
        ("triage_applies_above = 0.9", "applied", "delivery"),
        ("triage_applies_above = 0.95", "suggested", None),
        ("triage_applies_above = null", "suggested", None),
        ("triage = false", "suggested", None),
    ],
)
def test_who_switches_applying_off_while_a_ticket_is_read_gets_a_suggestion(
    organization: UUID, ticket, ask, meanwhile, outcome, category
):
    ask("update organization_settings set triage_applies_above = 0.8")
    made = ticket("My card has not arrived")
    found = Triage("applied", "", "", True, category="delivery", category_confidence=0.9)
    with database.transaction(organization) as connection:
        read = store.get(connection, organization, made)
    ask(f"update organization_settings set {meanwhile}")
    with database.transaction(organization) as connection:
        assert results.keep_triage(connection, read, found, "model")
    assert ask("select outcome, category from triage_results") == [(outcome, "delivery")]
    assert ask("select category from tickets") == [category]
    assert ask("select count(*) from audit_log") == [int(outcome == "applied")]


def test_an_empty_ticket_and_one_of_log_lines_are_survived(model_dir, labelled, ticket, run_jobs, ask):
    labelled()
    ticket(".")
    ticket("ERROR", "2026-01-01 10:00:00 ERROR x=1 y=0xdeadbeef\n" * 2_500)
    run_jobs("tickets")
    assert ask("select count(*) from triage_results") == [2]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]
    assert ask("select distinct label from sentiments") == ["unknown"]


def vectors_around(centres: np.ndarray, each: int, spread: float, seed: int) -> tuple[np.ndarray, list[str]]:
    random = np.random.default_rng(seed)
    print("seed", seed)
    found = np.repeat(centres, each, axis=0) + random.normal(0, spread, (len(centres) * each, centres.shape[1]))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), [
        str(label) for label in range(len(centres)) for _ in range(each)
    ]


def test_confidence_is_the_share_that_is_right():
    """A classifier whose confidence were its raw score, or always near one, fails this."""
    centres = np.eye(8, 32)
    known, labels = vectors_around(centres, 60, 0.38, seed=1)
    asked, truth = vectors_around(centres, 100, 0.38, seed=2)
    answers = Classifier.fit([""] * len(known), known, labels).answers([""] * len(asked), asked)
    right = np.array([answer.label == label for answer, label in zip(answers, truth, strict=True)])
    sure = np.array([answer.confidence for answer in answers])
    assert 0.5 < right.mean() < 0.97
    assert abs(sure.mean() - right.mean()) < 0.04
    assert right[sure > 0.9].mean() > 0.88
    assert right[sure < 0.6].mean() < 0.75


def test_leaving_one_out_in_closed_form_equals_fitting_without_it():
    known, labels = vectors_around(np.eye(3, 8), 20, 0.5, seed=3)
    whole = Classifier.fit([""] * len(known), known, labels)
    right = 0
    for i in range(len(labels)):
        rest = np.delete(known, i, axis=0)
        without = Classifier.fit([""] * len(rest), rest, labels[:i] + labels[i + 1 :])
        right += without.answers([""], known[i : i + 1])[0].label == labels[i]
    assert whole.left_out_accuracy == pytest.approx(right / len(labels))


def test_applying_needs_the_organizations_word_and_a_calibration():
    known, labels = vectors_around(np.eye(4, 16), 40, 0.4, seed=4)
    ids = [str(number) for number in range(len(labels))]
    classifier = Classifier.fit([""] * len(labels), known, labels)
    examples = Examples((1,), ids, labels, [None] * len(labels), [[] for _ in labels], classifier)
    asked = np.eye(4, 16, dtype=np.float32)[0]
    assert triage("Hello there", asked, examples).outcome == "suggested"
    assert triage("Hello there", asked, examples, applies_above=0.5).outcome == "applied"
    assert triage("Hello there", asked, examples, applies_above=1.0).outcome == "suggested"


@pytest.mark.data
def test_real_tickets_are_triaged_far_above_the_majority(
    data, model_dir, organization: UUID, ticket, run_jobs, ask, tmp_path
):
    """2,000 labelled rows of banking77, spread over its 77 categories; 60 others arrive without a label."""
    with (data / "banking77" / "train.csv").open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    ask(
        "update organization_settings set triage_applies_above = 0.9, suggest = false, draft = false, sentiment = false"
    )
    with (tmp_path / "labelled.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, ["text", "category"])
        writer.writeheader()
        writer.writerows(rows[::5][:2000])
    reading = imports.read(tmp_path / "labelled.csv", status="closed")
    with database.transaction(organization) as connection:
        imports.store_all(connection, organization, reading.tickets)
    asked = rows[2::167][:60]
    truth = {str(ticket(row["text"])): row["category"] for row in asked}
    run_jobs("tickets")
    results = ask("select ticket_id::text, outcome, category from triage_results where calibrated")
    assert len(results) == len(truth) == 60
    answered = [(truth[ticket_id], category) for ticket_id, outcome, category in results if outcome != "abstained"]
    assert len(answered) >= 45
    assert np.mean([said == right for right, said in answered]) >= 0.8  # the largest category has 2 % of the rows
    applied = [(truth[ticket_id], category) for ticket_id, outcome, category in results if outcome == "applied"]
    assert len(applied) >= 15
    assert np.mean([said == right for right, said in applied]) >= 0.9
    assert len(ask("select id from tickets where category_by = 'triage'")) == len(applied)
    assert len(ask("select id from audit_log where action = 'triage_applied'")) == len(applied)
