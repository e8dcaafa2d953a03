"""The classifier: what it promises of any examples, from two to thousands of labels, and of its bytes."""

import io
import random
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from desk.tickets import measures
from desk.tickets.triage import certainty, classifier, label_names
from desk.tickets.triage.classifier import Classifier


def clusters(labels: int, each: int, spread: float, seed: int, size: int = 32) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around `labels` random centres, always the same ones, and their labels."""
    print("seed", seed)
    centres = np.random.default_rng(99).normal(0, 1, (labels, size))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    found = np.repeat(centres, each, axis=0)
    found = found + np.random.default_rng(seed).normal(0, spread, found.shape)
    names = [f"label {label}" for label in range(labels) for _ in range(each)]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32), names


def words(labels: list[str], seed: int) -> list[str]:
    chance = random.Random(seed)
    return [f"he says {label if chance.random() < 0.1 else 'nothing'} of {chance.randrange(99)}" for label in labels]


def fitted(labels: int = 8, each: int = 40, spread: float = 0.36, seed: int = 1) -> Classifier:
    vectors, names = clusters(labels, each, spread, seed)
    return Classifier.fit([""] * len(names), vectors, names)


def figures(model: Classifier, seed: int) -> tuple[float, float]:
    """The calibration error and the accuracy on examples that the model has not seen."""
    vectors, truth = clusters(8, 150, 0.36, seed)
    answers = model.answers([""] * len(truth), vectors)
    said = [answer.label for answer in answers]
    error = measures.calibration_error([answer.confidence for answer in answers], said, truth)
    accuracy = measures.accuracy(said, truth)
    return float(error or 0), float(accuracy or 0)


def test_confidence_is_calibrated_and_an_overconfident_model_would_not_pass():
    model = fitted(each=100)
    error, accuracy = figures(model, seed=2)
    assert 0.5 < accuracy < 0.97
    assert error < 0.05
    assert model.sureness is not None
    boastful = replace(model, sureness=certainty.Head(model.sureness.coefficients * 4))
    assert figures(boastful, seed=2)[0] > 0.05


def test_an_example_that_is_left_out_was_not_seen():
    """Labels at random: whoever saw the example itself is right about it, whoever did not guesses."""
    count, labels = 400, 5
    print("seed", 3)
    chance = np.random.default_rng(3)
    vectors = chance.normal(0, 1, (count, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [str(label) for label in chance.integers(0, labels, count)]
    texts = [f"word{i} and only{i}" for i in range(count)]
    model = Classifier.fit(texts, vectors, names)
    seen = np.mean([a.label == name for a, name in zip(model.answers(texts, vectors), names, strict=True)])
    assert seen > 0.95
    assert model.left_out_accuracy < 0.35
    others = chance.normal(0, 1, (200, 64)).astype(np.float32)
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert (
        np.mean(
            [
                answer.confidence
                for answer in model.answers([f"word{i} and only{i}" for i in range(1_000, 1_200)], others)
            ]
        )
        < 0.35
    )


def test_a_sample_that_is_left_out_tells_what_all_would(monkeypatch):
    whole = fitted(each=60)
    monkeypatch.setattr(classifier, "LEFT_OUT", 200)
    part = fitted(each=60)
    assert part.left_out_accuracy == pytest.approx(whole.left_out_accuracy, abs=0.06)
    np.testing.assert_allclose(
        [a.score for a in part.answers([""] * 480, clusters(8, 60, 0.36, 5)[0])],
        [a.score for a in whole.answers([""] * 480, clusters(8, 60, 0.36, 5)[0])],
        atol=0.01,
    )


def test_words_tell_where_meaning_does_not():
    labels = ["printer", "network"] * 30
    texts = [f"the {'toner' if label == 'printer' else 'router'} number {i}" for i, label in enumerate(labels)]
    same = np.zeros((60, 16), dtype=np.float32)
    same[:, 0] = 1
    model = Classifier.fit(texts, same, labels)
    heard = model.hear("a new toner please", same[0])
    assert (heard.answer.label, heard.answer.runner_up) == ("printer", "network")
    assert heard.telling_words("printer", "network")[0] == "toner"
    assert model.hear("", same[0]).telling_words("printer") == []
    assert "toner" not in str(model.dumps())


def test_one_text_is_heard_as_among_many():
    vectors, labels = clusters(6, 30, 0.36, seed=14)
    texts = words(labels, seed=14)
    model = Classifier.fit(texts, vectors, labels)
    for text, vector, answer in zip(texts, vectors, model.answers(texts, vectors), strict=True):
        heard = model.hear(text, vector)
        assert heard.answer.label == answer.label
        assert heard.answer.confidence == pytest.approx(answer.confidence, abs=1e-5)
        all_of_it = sorted(
            ((float(vectors[i] @ vector), i) for i in range(180) if labels[i] == answer.label), reverse=True
        )
        near = heard.nearest(answer.label, top=4)
        assert [position for position, _ in near] == [i for _, i in all_of_it[:4]]
        assert [cosine for _, cosine in near] == pytest.approx([cosine for cosine, _ in all_of_it[:4]], abs=1e-3)
        assert heard.nearest(answer.label, top=500)[:4] == near


def test_what_was_loaded_answers_as_what_was_dumped():
    vectors, labels = clusters(6, 30, 0.36, seed=6)
    texts = words(labels, seed=6)
    model = Classifier.fit(texts, vectors, labels)
    again = Classifier.loads(model.dumps())
    asked, names = clusters(6, 20, 0.36, seed=7)
    assert again.answers(words(names, 7), asked) == model.answers(words(names, 7), asked)
    assert again.hear("", asked[0]).nearest("label 1") == model.hear("", asked[0]).nearest("label 1")
    assert (again.floor, again.left_out_accuracy, again.calibrated) == (model.floor, model.left_out_accuracy, True)
    assert again.labels.tolist() == model.labels.tolist()
    assert again.dumps() == model.dumps()


def test_the_same_examples_make_the_same_bytes():
    assert fitted().dumps() == fitted().dumps()


def test_damaged_bytes_are_refused_in_one_line():
    data = fitted(labels=3, each=20).dumps()
    seed = random.randrange(10_000)
    print("seed", seed)
    chance = random.Random(seed)
    damaged = [b"", b"not a classifier", data[: len(data) // 2], data[100:]]
    for _ in range(100):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged.append(bytes(changed))
    for changed in damaged:
        with pytest.raises(ValueError, match=r"^not a classifier, or a damaged one$"):
            Classifier.loads(changed)


def test_bytes_that_would_run_something_are_refused():
    target = io.BytesIO()
    np.savez(target, format=np.int32(classifier.FORMAT), labels=np.array([{"a": 1}], dtype=object))
    data = target.getvalue()
    with pytest.raises(ValueError, match="allow_pickle"):
        Classifier.loads(sha256(data).digest() + data)


@pytest.mark.parametrize(
    ("labels", "vectors"),
    [
        (["a", "a", "a"], np.eye(3, 8)),
        (["a"], np.eye(1, 8)),
        ([], np.empty((0, 8))),
        (["a", "b"], np.eye(3, 8)),
        (["a", "b", "c"], np.full((3, 8), np.nan)),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(labels, vectors):
    with pytest.raises(ValueError, match=r"two or more labels|not finite"):
        Classifier.fit([""] * len(labels), vectors.astype(np.float32), labels)


def test_two_examples_suffice_for_an_answer_but_not_for_a_confidence():
    model = Classifier.fit(["one", "two"], np.eye(2, 8, dtype=np.float32), ["a", "b"])
    assert not model.calibrated
    near, strange = model.answers(["", ""], np.eye(8, dtype=np.float32)[[1, 5]])
    assert (near.label, near.runner_up) == ("b", "a")
    assert near.known > model.floor > strange.known


def test_thousands_of_labels():
    vectors, labels = clusters(1_100, 2, 0.03, seed=9, size=64)
    model = Classifier.fit([""] * len(labels), vectors, labels)
    asked, truth = clusters(1_100, 1, 0.03, seed=10, size=64)
    assert measures.accuracy([a.label for a in model.answers([""] * len(truth), asked)], truth) > 0.9
    assert Classifier.loads(model.dumps()).labels.tolist() == sorted(set(labels))


def test_more_than_the_most_are_thinned_and_keep_their_places(monkeypatch):
    monkeypatch.setattr(classifier, "MOST", 60)
    vectors, labels = clusters(4, 50, 0.1, seed=11)
    model = Classifier.fit([""] * len(labels), vectors, labels)
    assert model.examples < 60
    assert sorted(set(labels)) == model.labels.tolist()
    for position, similarity in model.hear("", vectors[7]).nearest(top=3):
        assert similarity == pytest.approx(float(vectors[position] @ vectors[7]), abs=1e-3)


def test_a_rare_label_is_not_forgotten(monkeypatch):
    vectors, labels = clusters(2, 300, 0.3, seed=12)
    few = list(range(300)) + list(range(300, 312))
    asked, truth = clusters(2, 100, 0.3, seed=13)

    def recall() -> float:
        model = Classifier.fit([""] * len(few), vectors[few], [labels[i] for i in few])
        said = np.array([answer.label for answer in model.answers([""] * 200, asked)])
        return float((said == np.array(truth))[100:].mean())

    balanced = recall()
    monkeypatch.setattr(classifier, "BALANCE", 0.0)
    assert balanced > recall() + 0.1


def test_what_labels_are_called_speaks_for_them_and_is_shown_to_nobody():
    vectors = np.eye(4, 8, dtype=np.float32)
    names = {"b": ("b is called so", np.eye(8, dtype=np.float32)[6])}
    model = Classifier.fit([""] * 4, vectors, ["a", "a", "b", "b"], names)
    assert model.answers([""], np.eye(8, dtype=np.float32)[[6]])[0].label == "b"
    assert model.examples == 4
    assert sorted(position for position, _ in model.hear("", vectors[0]).nearest(top=9)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("label", "name"),
    [("card_arrival", "card arrival"), ("VERIFY_PAN", "verify pan"), ("orderStatus", "order status"),
     ("Zürich/Büro", "zürich büro"), ("7", None), ("A12", None), ("", None)],
)  # fmt: skip
def test_names_of_labels(label, name):
    assert label_names.plain(label) == name
