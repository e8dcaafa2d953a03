"""Triage learns in the background: stored versions, judged on tickets held back, swapped only when not worse."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from builders import new_organization
from labelling import MATTERS, subjects
from typer.testing import CliRunner

from app.commands.tickets import app
from desk import database
from desk.tickets import imports
from desk.tickets.triage import archive, classifier, examples, retraining, triage_models
from desk.tickets.triage.priority_model import PriorityModel

SENT = "select count(*) from dramatiq.queue where actor_name = 'retrain_triage' and state = 'queued'"
VERSIONS = "select version, state from triage_models where what = 'category' order by version"
EACH = 56  # of four categories: 224 labels, 200 are needed


@pytest.fixture
def label(organization: UUID, known_ids) -> Callable[..., None]:
    """Labelled, closed tickets of a category, in one transaction."""

    def store(category: str, count: int, after: int = 0, like: str | None = None, of: UUID = organization) -> None:
        common = dict.fromkeys(imports._COLUMNS) | {
            "body": "",
            "status": "closed",
            "priority": "medium",
            "category": category,
            "category_by": "person",
            "tags": [],
            "created_at": "2026-01-05T09:00:00Z",
            "resolved_at": "2026-01-06T09:00:00Z",
        }
        rows = [common | {"subject": subject} for subject in subjects(like or category, count, after)]
        with database.transaction(of) as connection:
            imports.store_all(connection, of, rows)

    return store


@pytest.fixture
def learnt(model_dir, label, run_jobs, ask) -> None:
    """A first version, learnt from `EACH` tickets of each category."""
    for category in MATTERS:
        label(category, EACH)
    run_jobs("tickets")
    assert ask(VERSIONS) == [(1, "active")]


def atum(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--org", "Acme", "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def test_enough_labels_send_one_message_behind_all_others(label, ask):
    label("delivery", 150)
    assert ask(SENT) == [0]
    label("refund", 50)
    label("login", 50)
    assert ask(SENT) == [1]
    assert ask("select priority, tenant is not null from dramatiq.queue where actor_name = 'retrain_triage'") == [
        (100, True)
    ]


def test_an_organization_without_triage_learns_nothing(label, ask):
    ask("update organization_settings set triage = false")
    label("delivery", 200)
    assert ask(SENT) == [0]


def test_the_stored_model_answers_with_its_version_and_evidence(learnt, ticket, run_jobs, ask):
    ((figures, labels, ids),) = ask(
        "select figures, labels, cardinality(ticket_ids) from triage_models where state = 'active'"
    )
    assert labels == 4 * EACH
    assert 10 <= figures["held_back"] == labels - ids
    assert figures["accuracy"] > 0.9
    made = ticket("Nothing arrived, where is my package?")
    run_jobs("tickets")
    ((category, version, evidence),) = ask("select category, model_version, evidence from triage_results")
    assert (category, version) == ("delivery", 1)
    known = dict(ask("select id::text, category from tickets where category is not null and id <> %s", made))
    assert {known[item["ticket_id"]] for item in evidence["category"]} == {"delivery"}


def test_evidence_names_tickets_that_are_there_with_their_labels_as_they_are(learnt, ticket, run_jobs, ask):
    evidence = "select evidence -> 'category' from triage_results where ticket_id = %s"
    first = ticket("Nothing arrived, where is my package?")
    run_jobs("tickets")  # this worker has the model by now
    (before,) = ask(evidence, first)
    deleted, corrected, unlabelled, *_ = [item["ticket_id"] for item in before]
    ask("delete from tickets where id = %s", deleted)
    ask("update tickets set category = 'refund' where id = %s", corrected)
    ask("update tickets set category = null, category_by = null where id = %s", unlabelled)
    ask("delete from dramatiq.queue")  # it has not learnt that yet
    again = ticket("Nothing arrived, where is my package?")
    run_jobs("tickets")
    (after,) = ask(evidence, again)
    labels = {item["ticket_id"]: item["category"] for item in after}
    assert labels.keys() == {item["ticket_id"] for item in before} - {deleted, unlabelled}
    assert labels.pop(corrected) == "refund"
    assert set(labels.values()) == {"delivery"}


def test_it_learns_again_when_a_twentieth_is_new_and_not_before(learnt, label, run_jobs, ask):
    label("delivery", 19, after=EACH)
    assert ask(SENT) == [0]
    label("refund", 1, after=EACH)
    assert ask(SENT) == [1]
    run_jobs("tickets")
    assert ask(VERSIONS) == [(1, "retired"), (2, "active")]
    ((figures, compared),) = ask(
        "select figures, compared_figures from triage_models where version = 2 and what = 'category'"
    )
    assert figures["held_back"] == compared["held_back"] >= retraining.LEAST_HELD


def test_what_an_earlier_version_learnt_is_not_what_it_is_compared_on(learnt, label, run_jobs, ask):
    label("delivery", 20, after=EACH)
    run_jobs("tickets")
    first, second = ask("select ticket_ids::text[] from triage_models where what = 'category' order by version")
    everything = set(ask("select id::text from tickets where category_by = 'person'"))
    held = everything - set(second)
    assert held
    assert not held & set(first)


def test_one_that_is_worse_is_rejected_and_the_old_one_goes_on(learnt, ask, organization, run_jobs):
    """The older tickets are labelled at random; the newest, on which it is judged, are as they were."""
    ask("""update tickets
              set category = (array['delivery', 'refund', 'login', 'battery'])[1 + mod(abs(hashtext(id::text)), 4)]
            where id in (select id from tickets order by created_at, id limit 180)""")
    run_jobs("tickets")
    assert ask(VERSIONS) == [(1, "active"), (2, "rejected")]
    ((reason, has_model),) = ask(
        "select reason, model is not null from triage_models where what = 'category' and version = 2"
    )
    assert reason.startswith("worse than version 1")
    assert has_model  # --use may take it all the same
    assert ask(SENT) == [0]


def test_a_label_that_came_is_learnt_and_one_that_went_is_never_answered(learnt, label, ticket, run_jobs, ask):
    ask("update tickets set category = 'shipping' where category = 'delivery'")
    ask("delete from dramatiq.queue")  # it has not learnt it yet
    ticket("My parcel has not arrived at home")
    run_jobs("tickets")
    assert ask("select outcome, category, reason from triage_results") == [
        ("abstained", None, "the likeliest category, delivery, is not in use any more")
    ]
    label("login", 40, after=EACH)
    run_jobs("tickets")
    assert ask(VERSIONS) == [(1, "retired"), (2, "active")]
    made = ticket("My parcel has not arrived in the office")
    run_jobs("tickets")
    assert ask("select category, model_version from triage_results where ticket_id = %s", made) == [("shipping", 2)]


def test_labels_that_are_all_the_same_teach_nothing_and_are_not_tried_again_at_once(model_dir, label, run_jobs, ask):
    for matter in MATTERS:
        label("everything", 50, like=matter)
    run_jobs("tickets")
    assert ask("select what, state, reason from triage_models order by what") == [
        ("category", "rejected", "only one category was used so far"),
        ("priority", "rejected", "too few labels of different priorities: 200 medium"),
    ]
    label("everything", 1, after=60, like="login")
    assert ask(SENT) == [0]


def test_thousands_of_labels_that_occur_once_are_survived(model_dir, label, ticket, run_jobs, ask):
    for matter in MATTERS:
        for number, subject in enumerate(subjects(matter, 55)):
            ticket(subject, category=f"{matter} {number}", status="closed")
    run_jobs("tickets")
    made = ticket("I cannot sign in today it")
    run_jobs("tickets")
    assert ask("select count(*) from triage_results where ticket_id = %s", made) == [1]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]


def test_another_organization_learns_and_answers_by_itself(learnt, owner, label, ticket, run_jobs, ask):
    other = new_organization(owner, "Other")
    ticket("My parcel has not arrived", of=other)
    run_jobs("tickets")
    assert ask("select outcome, reason from triage_results where organization_id = %s", other) == [
        ("abstained", "no labelled tickets yet")
    ]
    with database.transaction(other) as connection:
        assert triage_models.active_versions(connection, other) == {}


def test_priorities_are_learnt_with_the_rare_ones_weighted(model_dir, label, ticket, run_jobs, ask):
    for category in MATTERS:
        label(category, 60)
    # One in twelve stays as it was: where all are told apart, no confidence could be measured.
    ask("update tickets set priority = 'high' where category = 'battery' and mod(abs(hashtext(subject)), 12) <> 0")
    run_jobs("tickets")
    ((state, figures),) = ask("select state, figures from triage_models where what = 'priority'")
    assert state == "active"
    assert figures["macro_f1"] > 0.8
    ticket("It stays at ten percent with the new pack")
    run_jobs("tickets")
    ((priority, confidence, evidence),) = ask("select priority, priority_confidence, evidence from triage_results")
    assert priority == "high"
    assert 0.5 < confidence <= 1
    assert {item["priority"] for item in evidence["priority"]} == {"high"}


def test_what_a_job_set_is_no_label(label, ask):
    label("delivery", 1)
    ask("update tickets set labelled_at = null, category_by = 'triage', priority = 'high', priority_by = 'triage'")
    assert ask("select labelled_at from tickets") == [None]


def test_the_command_lists_versions_and_goes_back(learnt, label, run_jobs, ask):
    label("delivery", 20, after=EACH)
    run_jobs("tickets")
    found = [(row["version"], row["state"]) for row in atum("triage-models") if row["what"] == "category"]
    assert found == [(2, "active"), (1, "retired")]
    human = CliRunner().invoke(app, ["triage-models", "--org", "Acme"], catch_exceptions=False).stdout
    assert "not worse than version 1" in human
    atum("triage-models", "--use", "1")
    assert ask(VERSIONS) == [(1, "active"), (2, "retired")]
    assert ask("select subject_id, detail from audit_log where action = 'triage_model_used'") == [
        ("category 1", {"was": "retired"})
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--use", "7"), "There is no version 7 of the category model"),
        (("--use", "1", "--what", "priority"), "holds nothing that could be used: it is rejected"),
        (("--use", "1", "--what", "mood"), "'mood' is none of category, priority"),
    ],
)
def test_a_version_that_cannot_be_used_is_refused_in_one_line(learnt, arguments, said):
    result = CliRunner().invoke(app, ["triage-models", "--org", "Acme", *arguments])
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)


def of_another_format(model: bytes) -> bytes:
    """The bytes of a classifier as a later release would write them: whole, but of a format that nobody knows yet."""
    parts = archive.unpack(model, "a classifier", classifier.FORMAT)
    return archive.pack(classifier.FORMAT + 1, **parts)


def test_bytes_that_cannot_be_read_are_as_none_and_learnt_anew(learnt, ticket, run_jobs, ask, organization):
    (model,) = ask("select model from triage_models where state = 'active' and what = 'category'")
    ask("update triage_models set model = %s where what = 'category'", of_another_format(bytes(model)))
    examples.forget()
    made = ticket("Nothing arrived, where is my package?")
    run_jobs("tickets")
    assert ask("select category, model_version from triage_results where ticket_id = %s", made) in (
        [("delivery", None)],  # by the labelled tickets themselves
        [("delivery", 2)],  # the new version came first
    )
    assert ask(VERSIONS) == [(1, "retired"), (2, "active")]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]
    with database.transaction(organization) as connection:
        assert not triage_models.due(connection, organization, "category")


def test_retraining_that_cannot_read_the_present_model_replaces_it(learnt, label, run_jobs, ask):
    ask("update triage_models set model = 'no model at all' where what = 'category'")
    label("delivery", 20, after=EACH)
    run_jobs("tickets")
    assert ask(VERSIONS) == [(1, "retired"), (2, "active")]
    assert ask("select reason, compared_version from triage_models where what = 'category' and version = 2") == [
        ("the first of this embedding model", None)
    ]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]


@pytest.mark.parametrize("damaged", [b"", b"no model at all", b"PK\x03\x04 but no archive"])
def test_bytes_of_priorities_that_cannot_be_read_are_refused_as_such(damaged):
    with pytest.raises(ValueError, match=r"^not a model of priorities, or a damaged one$"):
        PriorityModel.loads(damaged)


def test_priorities_of_another_format_are_refused():
    with pytest.raises(ValueError, match="a model of priorities of another format"):
        PriorityModel.loads(archive.pack(99, priorities=np.array(["low"])))


def test_only_the_last_versions_are_kept(learnt, label, run_jobs, ask):
    ask("insert into triage_models (organization_id, what, version, state, embed_model, format, fitted_at)"
        " select organization_id, 'category', number, 'rejected', 'other', 1, now()"
        " from organization_settings, generate_series(2, 9) number")  # fmt: skip
    ask("update triage_models set labels = 224, newest_label = now() where version = 9")
    label("delivery", 20, after=EACH)
    run_jobs("tickets")
    versions = ask(VERSIONS)
    assert versions[-1] == (10, "active")
    assert len(versions) == triage_models.KEPT + 1
