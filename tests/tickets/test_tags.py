"""Tags and intents are learnt from those that people set, and answered with evidence."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from labelling import MATTERS, subjects
from typer.testing import CliRunner

from app.commands.tickets import app
from app.web.application import build
from desk import database
from desk.tickets import changing, imports, results, store
from desk.tickets.triage.tag_model import TagModel
from desk.tickets.triage.triaging import Triage

VERSIONS = "select version, state from triage_models where what = %s order by version"
TAGS = {"delivery": ["post", "outside"], "refund": ["money"], "login": ["access", "outside"], "battery": []}
FOUND = "select tags from triage_results where ticket_id = %s"


@pytest.fixture
def taught(organization: UUID, known_ids) -> Callable[..., None]:
    """Closed tickets of each matter with the tags or the intent that people gave; nobody gave them a category."""

    def store(
        tags: dict[str, list[str]] | None = None,
        intents: dict[str, str] | None = None,
        each: int = 30,
        after: int = 0,
        of: UUID = organization,
    ) -> None:
        common = dict.fromkeys(imports._COLUMNS) | {
            "body": "", "status": "closed", "priority": "medium", "category": None,
            "tags_by": "person" if tags else None,
            "created_at": "2026-01-05T09:00:00Z", "resolved_at": "2026-01-06T09:00:00Z",
        }  # fmt: skip
        rows = [
            common
            | {
                "subject": subject,
                "tags": tags[matter] if tags else [],
                "intent": intents[matter] if intents else None,
                "intent_by": "person" if intents else None,
            }
            for matter in MATTERS
            for subject in subjects(matter, each, after)
        ]
        with database.transaction(of) as connection:
            imports.store_all(connection, of, rows)

    return store


@pytest.fixture
def change(organization: UUID):
    def change(ticket_id: UUID, **changes: Any):
        with database.transaction(organization) as connection:
            return changing.change(connection, organization, ticket_id, changes, by="ida")

    return change


def test_tags_that_people_set_are_learnt_stored_and_answered_with_evidence(model_dir, taught, ticket, run_jobs, ask):
    taught(tags=TAGS)
    run_jobs("tickets")
    assert ask(VERSIONS, "tags") == [(1, "active")]
    ((figures, labels),) = ask("select figures, labels from triage_models where what = 'tags'")
    assert labels == 90
    assert figures["held_back"] >= 10
    assert figures["micro_f1"] > 0.8
    made = ticket("Hello, the courier lost the package of my mother")
    run_jobs("tickets")
    (tags,) = ask(FOUND, made)
    assert {tag["tag"] for tag in tags} == {"post", "outside"}
    carried = dict(ask("select id::text, tags from tickets where tags_by = 'person'"))
    for tag in tags:
        assert 0.5 < tag["confidence"] <= 1
        assert 0 < len(tag["ticket_ids"]) <= 5
        assert all(tag["tag"] in carried[ticket_id] for ticket_id in tag["ticket_ids"])
        assert {"courier", "package"} & set(tag["words"])
    untagged = ticket("Hello, the battery light blinks with no reason")
    run_jobs("tickets")
    assert ask(FOUND, untagged) == [[]]


def test_a_tag_that_nobody_uses_any_more_is_not_answered(model_dir, taught, ticket, run_jobs, ask):
    taught(tags=TAGS)
    run_jobs("tickets")
    ask("update tickets set tags = array_remove(tags, 'post')")
    ask("delete from dramatiq.queue")  # it has not learnt that yet
    made = ticket("Hello, the courier lost the package of my mother")
    run_jobs("tickets")
    assert ask(VERSIONS, "tags") == [(1, "active")]
    (tags,) = ask(FOUND, made)
    assert {tag["tag"] for tag in tags} == {"outside"}


def test_renamed_tags_are_learnt_and_the_new_model_takes_the_place_of_the_old_one(
    model_dir, taught, ticket, run_jobs, ask
):
    taught(tags=TAGS)
    run_jobs("tickets")
    ask("update tickets set tags = array_replace(tags, 'money', 'billing')")
    run_jobs("tickets")
    assert ask(VERSIONS, "tags")[-1] == (2, "active")
    made = ticket("Hello, I want my money back for my mother")
    run_jobs("tickets")
    (tags,) = ask(FOUND, made)
    assert {tag["tag"] for tag in tags} == {"billing"}


def test_few_tagged_tickets_are_no_model_and_no_message(taught, ask):
    taught(tags=TAGS, each=12)  # 48 in all
    assert ask("select count(*) from dramatiq.queue where actor_name = 'retrain_triage'") == [0]


def test_a_worse_model_of_tags_is_rejected(model_dir, taught, run_jobs, ask):
    """The older tickets are tagged at random; the newest, on which it is judged, are as they were."""
    taught(tags=TAGS, each=50)
    run_jobs("tickets")
    ask("""update tickets set tags = array[(array['post', 'money', 'access'])[1 + mod(abs(hashtext(id::text)), 3)]]
            where id in (select id from tickets order by created_at, id limit 160)""")
    run_jobs("tickets")
    assert ask(VERSIONS, "tags") == [(1, "active"), (2, "rejected")]
    (reason,) = ask("select reason from triage_models where what = 'tags' and version = 2")
    assert "worse than version 1: micro-F1" in reason or "told from the others" in reason


def test_tags_that_triage_added_teach_nothing_until_a_person_sets_them(ticket, change, ask):
    made = ticket("My parcel", tags=["vip"])
    assert ask("select tags_by, labelled_at from tickets") == [(None, None)]
    ask("update tickets set category = 'x', category_by = 'triage', tags = '{vip,late}', tags_by = 'triage'")
    change(made, category="delivery")
    assert ask("select tags_by, labelled_at is not null from tickets") == [("triage", True)]
    change(made, tags=["vip", "late"])
    assert ask("select tags_by from tickets") == ["person"]


def test_who_labels_a_ticket_has_seen_the_tags_it_came_with(ticket, change, ask):
    made = ticket("My parcel", tags=["vip"])
    change(made, category="delivery")
    assert ask("select tags_by from tickets") == ["person"]


def test_tags_that_a_person_chose_are_not_added_to(organization, ticket, change, ask):
    carries = str(ticket("Where is it?", category="delivery", tags=["post"], status="closed"))
    lost = str(ticket("Is it lost?", category="delivery", tags=["other"], status="closed"))
    chosen, free = ticket("My parcel"), ticket("My package", tags=["vip"])
    ask("update organization_settings set triage_applies_above = 0.8")
    change(chosen, tags=["own"])
    proposed = [
        {"tag": "post", "confidence": 0.9, "ticket_ids": [lost, carries], "words": []},
        {"tag": "late", "confidence": 0.9, "ticket_ids": [lost, carries], "words": []},
    ]
    found = Triage("applied", "r", "m", category="delivery", category_confidence=0.9, tags=proposed)
    with database.transaction(organization) as connection:
        for made in (chosen, free):
            assert results.keep_triage(connection, store.get(connection, organization, made), found, "model")
    rows = "select tags, tags_by, category_by from tickets where id = %s"
    assert ask(rows, chosen) == [(["own"], "person", "triage")]
    assert ask(rows, free) == [(["vip", "post"], "triage", "triage")]
    (kept,) = ask(FOUND, free)
    assert [(tag["tag"], tag["ticket_ids"]) for tag in kept] == [("post", [carries])]


def test_tags_and_intents_of_one_organization_never_show_in_another(model_dir, owner, taught, ticket, run_jobs, ask):
    other = new_organization(owner, "Other")
    names = dict.fromkeys(MATTERS, "theirs") | {"login": "also theirs"}
    taught(tags=TAGS, intents=names, each=50, of=other)
    run_jobs("tickets")
    assert ask(VERSIONS, "tags") == [(1, "active")]
    made = ticket("Hello, the courier lost the package of my mother")
    run_jobs("tickets")
    ((tags, intent, evidence),) = ask("select tags, intent, evidence from triage_results where ticket_id = %s", made)
    assert tags == []
    assert intent not in ("theirs", "also theirs")
    theirs = ask("select id::text from tickets where organization_id = %s", other)
    assert not [ticket_id for ticket_id in theirs if ticket_id in json.dumps(evidence)]


def test_intents_that_people_set_take_the_place_of_the_rules(model_dir, taught, ticket, run_jobs, ask):
    made = ticket("Please refund my order again")
    run_jobs("tickets")
    assert ask("select intent_confidence from triage_results where ticket_id = %s", made) == [None]
    taught(intents={"delivery": "chase", "refund": "money back", "login": "let me in", "battery": "repair it"}, each=40)
    # Some are labelled otherwise: where all are told apart, no confidence could be measured.
    ask("update tickets set intent = 'chase' where intent is not null and mod(abs(hashtext(subject)), 12) = 0")
    run_jobs("tickets")
    assert ask(VERSIONS, "intent") == [(1, "active")]
    made = ticket("Quick question: please refund my order of last year")
    run_jobs("tickets")
    ((intent, confidence, evidence),) = ask(
        "select intent, intent_confidence, evidence from triage_results where ticket_id = %s", made
    )
    assert intent == "money back"
    assert 0.4 <= confidence <= 1
    known = dict(ask("select id::text, intent from tickets where intent_by = 'person'"))
    assert {known[item["ticket_id"]] for item in evidence["intent"]} == {"money back"}
    # This worker has the model by now; people rename the intent.
    ask("update tickets set intent = 'reimburse' where intent = 'money back'")
    ask("delete from dramatiq.queue")  # it has not learnt that yet
    found = "select intent, intent_confidence, evidence ->> 'intent' from triage_results where ticket_id = %s"
    made = ticket("Quick question: please refund my order of last year")
    run_jobs("tickets")
    assert ask(found, made) == [(None, None, "the likeliest intent, money back, is not in use any more")]
    ask("update tickets set intent = 'money back' where intent = 'reimburse'")
    ask("delete from dramatiq.queue")
    made = ticket("Quick question: please refund my order of last year")
    run_jobs("tickets")
    assert [intent for intent, *_ in ask(found, made)] == ["money back"]


def test_an_intent_is_set_by_request_and_taken_away_again(organization, ticket, ask):
    made = ticket("My parcel has not arrived")
    client = TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 5000))
    answer = client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "ida", "intent": "chase"})
    assert (answer.status_code, answer.json()["intent"]) == (200, "chase")
    assert ask("select intent, intent_by, labelled_at is not null from tickets") == [("chase", "person", True)]
    assert client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "ida", "intent": ""}).status_code == 422
    client.patch(f"/api/v1/tickets/{made}?org=Acme", json={"by": "ida", "intent": None})
    assert ask("select intent, intent_by, labelled_at from tickets") == [(None, None, None)]


def test_a_file_may_name_intents(organization, tmp_path, ask):
    path = tmp_path / "tickets.csv"
    path.write_text("subject,intent,tags\nWhere is it?,chase,\nIt is late,,post\nHello,,\n")
    with database.transaction(organization) as connection:
        imports.store_all(connection, organization, imports.read(path, status="closed").tickets)
    rows = "select intent, intent_by, tags, tags_by, labelled_at is not null from tickets order by subject"
    assert ask(rows) == [
        (None, None, [], None, False),
        (None, None, ["post"], "person", True),
        ("chase", "person", [], None, True),
    ]


def test_the_choice_of_an_intent_is_kept_beside_what_was_proposed(organization, ticket, change, ask):
    made = ticket("My parcel has not arrived")
    ask("""insert into triage_results (organization_id, ticket_id, revision, outcome, intent, intent_confidence, reason,
                                       method, calibrated)
           values (%s, %s, 1, 'abstained', 'chase', 0.8, 'r', 'm', false)""", organization, made)  # fmt: skip
    change(made, intent="complain")
    assert ask("select what, proposed, chosen, confidence, verdict from triage_feedback") == [
        ("intent", "chase", "complain", 0.8, "corrected")
    ]


def test_the_command_lists_one_question(model_dir, taught, run_jobs):
    taught(tags=TAGS)
    run_jobs("tickets")

    def atum(*arguments: str) -> str:
        return CliRunner().invoke(app, ["triage-models", "--org", "Acme", *arguments], catch_exceptions=False).stdout

    assert [row["what"] for row in json.loads(atum("--what", "tags", "--json"))] == ["tags"]
    assert "the first of this embedding model" in atum("--what", "tags")
    assert json.loads(atum("--what", "intent", "--json")) == []


# The model alone, over vectors that a seed makes.


def points(seed: int, tags: int, each: int) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """Texts, vectors and tags: each tag is a direction and a word; a ticket has two, or none in a fifth of them."""
    print("seed", seed)
    dice = np.random.default_rng(seed)
    directions = dice.standard_normal((tags, 64))
    texts, vectors, given = [], [], []
    for number in range(tags * each):
        mine = [] if number % 5 == 0 else sorted({number % tags, int(dice.integers(tags))})
        vector = directions[mine].sum(axis=0) + 2 * dice.standard_normal(64)
        vectors.append(vector / np.linalg.norm(vector))
        texts.append(" ".join([*(f"word{i}" for i in mine), f"noise{dice.integers(30)}"]))
        given.append([f"tag {i}" for i in mine])
    return texts, np.asarray(vectors, dtype=np.float32), given


def test_the_bytes_of_a_model_answer_as_it_did_and_others_are_refused():
    texts, vectors, tags = points(int(np.random.SeedSequence().entropy % 10**9), 20, 30)
    model = TagModel.fit(texts, vectors, tags)
    assert model
    again = TagModel.loads(model.dumps())
    for ours, theirs in zip(model.answers(texts, vectors), again.answers(texts, vectors), strict=True):
        assert [(a.tag, pytest.approx(a.confidence, abs=1e-3)) for a in ours] == [(b.tag, b.confidence) for b in theirs]
    assert again.nearest(vectors[1], again.tags[0]) == model.nearest(vectors[1], model.tags[0])
    damaged = bytearray(model.dumps())
    damaged[100] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        TagModel.loads(bytes(damaged))


def test_answers_for_tickets_it_has_not_seen_reach_the_precision_and_confidence_means_what_it_says():
    texts, vectors, tags = points(7, 20, 60)
    model = TagModel.fit(texts[:800], vectors[:800], tags[:800])
    assert model
    said = model.answers(texts[800:], vectors[800:])
    right = [answer.tag in true for each, true in zip(said, tags[800:], strict=True) for answer in each]
    sure = [answer.confidence for each in said for answer in each]
    assert len(right) > 200
    assert np.mean(right) >= 0.7
    assert abs(np.mean(right) - np.mean(sure)) < 0.06


def test_thousands_of_tags_that_few_tickets_carry_are_survived():
    texts, vectors, tags = points(3, 20, 30)
    tags = [[*each, f"once {number}"] for number, each in enumerate(tags)]
    model = TagModel.fit(texts, vectors, tags)
    assert model
    assert not [tag for tag in model.tags if tag.startswith("once")]
    assert not TagModel.can_learn([[f"once {number}"] for number in range(1000)])
