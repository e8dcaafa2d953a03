"""Another model beside the active one: made, judged, switched to and back, while people edit and search."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg2
import pytest
from further_models import write_model

from desk import database
from desk.errors import InvalidInput, ModelUnavailable, NotFound
from desk.kb import building, builds, embedding, questions
from desk.kb.evaluation import Query
from desk.settings import settings

SMALL = "local/minilm-128"
COPY = "local/minilm-copy"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def page(sections: int, changed: int | None = None) -> str:
    texts = [f"Number {n}{' was changed' if n == changed else ''}: what to do about it." for n in range(sections)]
    return "\n\n".join(f"## Part {n}\n\n{text}" for n, text in enumerate(texts))


class Models:
    """What this test does with the models of one organization."""

    def __init__(self, kb, source: Path) -> None:
        self.kb, self.source = kb, source

    def write(self, name: str, **how) -> None:
        write_model(self.source, settings().home / "models" / name.replace("/", "--"), **how)

    def start(self, name: str, **how) -> int:
        with database.transaction(self.kb.organization) as connection:
            builds.start(connection, self.kb.organization, name, builds.check(name), **how)
        return self.kb.rows("select id from models where name = %s", name)[0][0]

    def build(self, name: str, **how):
        return building.build(self.kb.organization, self.start(name), **how)

    def use(self, name: str) -> None:
        with database.transaction(self.kb.organization) as connection:
            builds.use(connection, self.kb.organization, name)

    def states(self) -> dict[str, str]:
        return {one.name: one.state for one in self.listed()}

    def listed(self) -> list[builds.ModelState]:
        with database.transaction(self.kb.organization) as connection:
            return builds.listed(connection, self.kb.organization)

    def assert_vectors_equal_chunks_for_each(self) -> None:
        """Every model in use has exactly the vectors of the distinct chunks of what is published, in its own size."""
        self.kb.assert_vectors_equal_distinct_chunks_of_what_is_published()
        chunks = self.kb.rows("select count(distinct (organization_id, chunk_sha)) from chunks")[0][0]
        assert {one.vectors for one in self.listed()} == {chunks}
        assert self.kb.rows("select count(*) from embeddings")[0][0] == chunks * len(self.listed())
        assert self.kb.rows(
            "select count(*) from embeddings e join models m on m.id = e.model_id"
            " where vector_dims(embedding) <> m.dimensions or not l2_norm(embedding) between 0.98 and 1.02"
        ) == [(0,)]


@pytest.fixture
def models(kb, model_dir: Path):
    yield Models(kb, model_dir)
    embedding.unload()


@pytest.fixture
def parking(kb):
    """A help centre of three articles, indexed."""
    kb.put("car", "Parking", "Where to leave your car.")
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    kb.put("phone", "Change your phone number", "Open your profile and enter the new number.")
    kb.index()
    return kb


@pytest.mark.parametrize("how", [{}, {"dimensions": 128}, {"dimensions": 200, "pooled": True}], ids=str)
def test_another_model_is_built_beside_and_activated_when_it_is_complete(parking, models, how):
    name = f"local/{'-'.join(map(str, how.values())) or 'same'}"
    models.write(name, **how)
    outcome = models.build(name)
    assert (outcome.embedded, outcome.failed, outcome.missing, outcome.state) == (3, 0, 0, "active")
    assert models.states() == {name: "active", MINILM: "kept"}
    assert models.listed()[0].dimensions == how.get("dimensions", 384)
    (hit,) = parking.search("when does the bill come", top=1)
    assert hit.external_id == "pay"
    assert hit.similarity > 0.3
    models.assert_vectors_equal_chunks_for_each()


def test_edits_are_embedded_for_both_before_and_after_the_switch_and_going_back_is_one_update(parking, models):
    models.write(SMALL, dimensions=128)
    model_id = models.start(SMALL, activate=False)
    parking.put("pay", "Invoices", "We send the bill by pigeon.")
    parking.index()
    assert building.build(parking.organization, model_id).state == "kept"
    assert models.states() == {MINILM: "active", SMALL: "kept"}
    models.assert_vectors_equal_chunks_for_each()
    parking.rows("update organization_settings set embed_model_id = %s", model_id)
    assert models.states() == {SMALL: "active", MINILM: "kept"}
    parking.put("pay", "Invoices", "We send the bill by owl.")
    parking.delete("car")
    parking.index()
    models.assert_vectors_equal_chunks_for_each()
    assert parking.search("who brings the bill")[0].passage == "We send the bill by owl."
    parking.rows("update organization_settings set embed_model_id = null")
    assert models.states() == {MINILM: "active", SMALL: "kept"}
    assert parking.search("who brings the bill")[0].passage == "We send the bill by owl."
    models.use(SMALL)
    assert models.states() == {SMALL: "active", MINILM: "kept"}


def test_a_model_that_is_not_complete_is_not_switched_to_by_anybody(parking, models):
    models.write(SMALL, dimensions=128)
    model_id = models.start(SMALL)
    with pytest.raises(InvalidInput, match=r"3 chunks have no vector of the model local/minilm-128 yet: search stays"):
        models.use(SMALL)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        parking.rows("update organization_settings set embed_model_id = %s", model_id)
    with pytest.raises(NotFound, match="There are those of: sentence-transformers/all-MiniLM-L6-v2, local/minilm-128"):
        models.use("BAAI/bge-small-en-v1.5")
    assert models.states()[MINILM] == "active"


def test_a_build_that_is_cut_off_or_killed_goes_on_where_it_was(kb, models, monkeypatch):
    for number in range(6):
        kb.put(f"a{number}", f"Article {number}", f"It is about the number {number}.")
    kb.index()
    models.write(SMALL, dimensions=128)
    model_id = models.start(SMALL)
    kb.rows("delete from dramatiq.queue")
    monkeypatch.setattr(building, "BATCH", 2)
    first = building.build(kb.organization, model_id, run_seconds=0.0001)
    assert (first.embedded, first.missing, first.state) == (2, 4, "building")
    assert kb.rows("select actor_name, priority from dramatiq.queue") == [("build_model", builds.LATE_PRIORITY)]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(kb.organization), str(model_id)], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "embedded\n"
        os.kill(worker.pid, signal.SIGKILL)
    assert models.listed()[1].vectors == 2
    last = building.build(kb.organization, model_id)
    assert (last.embedded, last.state) == (4, "active")
    models.assert_vectors_equal_chunks_for_each()


KILLED = """
import sys, time
from desk.kb import building
def keep(*arguments):
    print("embedded", flush=True)
    time.sleep(60)
building._keep = keep
building.build(sys.argv[1], int(sys.argv[2]))
"""


def test_a_text_that_the_new_model_cannot_stand_keeps_it_out_and_is_told(kb, models):
    kb.put("bad", "Poisons", "A cup of arsenic.")
    for number in range(31):
        kb.put(f"good-{number:02}", f"Good {number}", f"It is about the number {number}.")
    kb.index()
    models.write("local/squeamish", unbearable="arsenic")
    model_id = models.start("local/squeamish")
    outcome = building.build(kb.organization, model_id)
    assert (outcome.embedded, outcome.failed, outcome.missing, outcome.state) == (31, 1, 1, "building")
    for _ in range(4):
        kb.rows("update embedding_failures set next_try_at = now()")
        building.build(kb.organization, model_id)
    state = models.listed()[1]
    assert (state.state, state.failed, state.vectors, state.note) == ("building", 1, 31, "1 chunks failed 5 times")
    kb.rows("delete from dramatiq.queue")
    assert builds.send_where_incomplete(kb.organization) == 0
    # Once nobody says it any more, nothing stands in the way.
    kb.put("bad", "Poisons", "A cup of tea.")
    kb.index()
    assert kb.rows("select count(*) from embedding_failures") == [(0,)]
    assert building.build(kb.organization, model_id).state == "active"
    models.assert_vectors_equal_chunks_for_each()


def test_the_active_model_fails_on_a_text_of_a_batch_of_32_alone_and_no_nan_is_stored(kb, models):
    models.write("local/squeamish-too", unbearable="arsenic")
    kb.put("first", "First", "Any text.")
    kb.index()
    models.build("local/squeamish-too")
    kb.put("bad", "Poisons", "A cup of arsenic.")
    for number in range(31):
        kb.put(f"good-{number:02}", f"Good {number}", f"It is about the number {number}.")
    outcome = kb.index()
    assert (outcome.articles, outcome.failed) == (31, 1)
    assert kb.state("bad")[:2] == ("pending", 1)
    assert "instead of 1" in kb.rows("select last_error from article_index where state = 'pending'")[0][0]
    assert kb.rows("select count(*) from embeddings where not l2_norm(embedding) between 0.98 and 1.02") == [(0,)]


def test_an_edit_that_a_model_beside_cannot_stand_is_found_all_the_same(parking, models):
    models.write("local/squeamish-beside", unbearable="arsenic")
    models.start("local/squeamish-beside", activate=False)
    parking.put("pay", "Invoices", "We poison the bill with arsenic.")
    assert parking.index().failed == 0
    assert parking.search("a bill with arsenic")[0].passage == "We poison the bill with arsenic."


ASKED = questions.Questions(
    [
        Query("q1", "when does the bill come", True), Query("q2", "I have another mobile now", True),
        Query("q3", "where do I leave my car", True),
    ],
    {"q1": {"pay": 2.0}, "q2": {"phone": 2.0}, "q3": {"car": 2.0}},
)  # fmt: skip


def test_a_model_that_answers_the_organizations_questions_worse_is_held_back(parking, models):
    with database.transaction(parking.organization) as connection:
        questions.put(connection, parking.organization, ASKED)
        assert questions.read(connection, parking.organization) == ASKED
    models.write("local/blunt", dimensions=1)
    assert models.build("local/blunt").state == "held"
    held = models.listed()[1]
    assert held.state == "held"
    assert held.note is not None
    assert held.note.startswith("search is worse with it: ")
    assert held.quality is not None
    assert held.quality["model"]["ndcg_at_10"] <= held.quality["active"]["ndcg_at_10"] == 1
    assert models.states()[MINILM] == "active"
    models.write(SMALL, dimensions=300)
    assert models.build(SMALL).state == "active"
    models.use("local/blunt")  # a person may know better
    assert models.states()["local/blunt"] == "active"


@pytest.mark.parametrize(
    ("said", "active"),
    [
        (lambda models: models.use(COPY), COPY),
        (lambda models: models.use(MINILM), MINILM),
        (lambda models: models.start(SMALL, activate=False), MINILM),
        (lambda models: models.use(SMALL), SMALL),
    ],
    ids=["use another", "use the one that is active", "--no-activate", "use it"],
)
def test_what_a_person_says_while_a_model_is_judged_holds(parking, models, monkeypatch, said, active):
    models.write(COPY)
    models.write(SMALL, dimensions=300)
    assert models.build(COPY).state == "active"
    models.use(MINILM)
    with database.transaction(parking.organization) as connection:
        questions.put(connection, parking.organization, ASKED)
    judge = questions.judge

    def interrupted(organization, asked, model_id):
        if model_id is not None:
            said(models)
        return judge(organization, asked, model_id)

    monkeypatch.setattr(questions, "judge", interrupted)
    models.build(SMALL)
    assert models.states() == {COPY: "kept", MINILM: "kept", SMALL: "kept"} | {active: "active"}


def test_a_model_swap_under_edits_and_searches_is_never_dark_and_everything_adds_up(kb, models):
    kb.put("pay", "Invoices", "We send the bill on the first of each month.")
    for number in range(8):
        kb.put(f"a{number}", f"Article {number}", page(3))
    kb.index()
    models.write(SMALL, dimensions=128)
    model_id = models.start(SMALL)
    stop = threading.Event()
    wrong: list[object] = []

    def guarded(work) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                wrong.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def search() -> None:
        while not stop.is_set():
            hits = kb.search("when does the bill come", top=1)
            if [hit.external_id for hit in hits] != ["pay"] or hits[0].similarity is None:
                wrong.append(hits)

    def edit() -> None:
        for number in range(24):
            kb.put(f"a{number % 8}", f"Article {number % 8}", page(3, changed=number % 3) + f"\n\nEdition {number}.")
            kb.index()

    def build() -> None:
        while building.build(kb.organization, model_id, run_seconds=0.2).state == "building":
            pass

    searching_thread = guarded(search)
    others = [guarded(edit), guarded(build)]
    for thread in others:
        thread.join()
    assert models.states() == {SMALL: "active", MINILM: "kept"}
    models.use(MINILM)
    models.use(SMALL)
    stop.set()
    searching_thread.join()
    assert wrong == []
    while kb.index().left:
        pass
    while builds.send_where_incomplete(kb.organization):  # an edit whose run began before the build
        building.build(kb.organization, kb.rows("select id from models where name = %s", MINILM)[0][0])
        kb.rows("delete from dramatiq.queue")
    models.assert_vectors_equal_chunks_for_each()


def test_an_organization_switches_alone(parking, other_kb, models):
    other_kb.put("pay", "Invoices", "We send no bills.")
    other_kb.index()
    models.write(SMALL, dimensions=128)
    models.build(SMALL)
    with database.transaction(other_kb.organization) as connection:
        assert [(one.name, one.state) for one in builds.listed(connection, other_kb.organization)] == [
            (MINILM, "active")
        ]
    assert other_kb.found("a bill") == ["pay"]


def test_what_was_cancelled_is_gone_and_a_late_message_does_nothing(parking, models):
    models.write(SMALL, dimensions=128)
    model_id = models.start(SMALL)
    building.build(parking.organization, model_id, run_seconds=0.0001)
    with database.transaction(parking.organization) as connection:
        builds.cancel(connection, parking.organization, SMALL)
    assert building.build(parking.organization, model_id).state == "gone"
    assert models.states() == {MINILM: "active"}
    models.assert_vectors_equal_chunks_for_each()
    with (
        pytest.raises(InvalidInput, match="is the active model"),
        database.transaction(parking.organization) as connection,
    ):
        builds.cancel(connection, parking.organization, MINILM)


def test_a_model_that_is_not_here_is_named_with_the_folder_it_belongs_in(parking, models):
    with pytest.raises(ModelUnavailable, match=r"'local/nowhere' is not on this machine.*models/local--nowhere"):
        models.start("local/nowhere")


def test_a_folder_with_another_models_files_is_refused(parking, models):
    models.write("BAAI/bge-large-en-v1.5")  # 1024 numbers a text, by its name
    with pytest.raises(ModelUnavailable, match="make 384 numbers a text instead of 1024: they are another model's"):
        models.start("BAAI/bge-large-en-v1.5")


def test_a_folder_whose_vectors_have_another_size_than_before_is_refused(parking, models):
    models.write(SMALL, dimensions=128)
    models.start(SMALL)
    with (
        pytest.raises(ModelUnavailable, match="is known with 128 numbers a text, its files here make 96"),
        database.transaction(parking.organization) as connection,
    ):
        builds.start(connection, parking.organization, SMALL, 96)
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        parking.rows(
            "insert into embeddings (organization_id, model_id, chunk_sha, embedding)"
            " select %s, id, 'x', %s::halfvec from models where name = %s",
            parking.organization, "[1,0,0]", SMALL,
        )  # fmt: skip
