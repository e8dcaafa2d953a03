"""`atum eval triage`, `risk` and `sentiment` print the figures that were promised, or one clear line."""

import csv
import json
import random
from datetime import datetime, timedelta
from hashlib import sha256

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from app.commands import evaluate_tickets
from desk.tickets import measures
from desk.tickets.risk.tabular import TabularModel

TRIAGE = {
    "accuracy",
    "macro_f1",
    "ece",
    "accuracy_at_80_coverage",
    "oos_auroc",
    "in_scope_accuracy_at_90_kept",
    "oos_recall_at_80_kept",
    "seconds",
}


def run(*arguments: object):
    app = typer.Typer()
    evaluate_tickets.register(app)
    return CliRunner().invoke(app, [*map(str, arguments), "--json"])


@pytest.fixture
def table(tmp_path):
    """Write rows as CSV and give the path."""

    def write(name: str, rows: list[dict[str, str]]):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as target:
            writer = csv.DictWriter(target, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return write


def halves(rows: list[dict[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    return [row for i, row in enumerate(rows) if i % 5], rows[::5]


def read(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as source:
        return list(csv.DictReader(source))


@pytest.mark.data
def test_triage_of_real_rows_reaches_what_the_readme_says(data, model_dir, table):
    known, asked = halves(read(data / "banking77" / "train.csv"))
    odd = [
        {"text": text, "category": "oos"}
        for text in ("who won the cup", "sing me a song", "what is the capital of peru")
    ]
    paths = table("train.csv", known), table("test.csv", asked[::4] + odd)
    done = run(
        "triage", "--train", paths[0], "--test", paths[1], "--text", "text", "--label", "category",
        "--out-of-scope", "oos", "--per-class", 10,
    )  # fmt: skip
    figures = json.loads(done.stdout)
    assert figures.keys() == TRIAGE
    assert figures["accuracy"] > 0.83
    assert figures["macro_f1"] > 0.81
    assert figures["ece"] < 0.065
    assert figures["accuracy_at_80_coverage"] > 0.92
    assert figures["oos_auroc"] > 0.9


@pytest.mark.data
def test_strangers_are_told_from_what_is_known(data, model_dir, table):
    """40 of CLINC150's intents, 15 rows each; what belongs to none of its 150 is strange."""
    with (data / "clinc150" / "train_val.jsonl").open(encoding="utf-8") as source:
        rows = [json.loads(line) for line in source]
    some = sorted({row["intent"] for row in rows} - {"oos"})[::4][:40]
    pairs = [{"text": row["text"], "intent": row["intent"]} for row in rows if row["intent"] in {*some, "oos"}]
    pairs.sort(key=lambda row: sha256(row["text"].encode()).digest())
    known, asked = [row for row in pairs[::2] if row["intent"] != "oos"], pairs[1::10]
    done = run(
        "triage", "--train", table("train.csv", known), "--test", table("test.csv", asked), "--text", "text",
        "--label", "intent", "--out-of-scope", "oos", "--per-class", 15,
    )  # fmt: skip
    figures = json.loads(done.stdout)
    assert figures["oos_auroc"] > 0.97
    assert figures["oos_recall_at_80_kept"] > 0.9
    assert figures["in_scope_accuracy_at_90_kept"] > 0.95


@pytest.mark.data
def test_rare_urgencies_of_real_mails_are_found(data, model_dir, table):
    """700 of the help-desk mails: nine of ten have the same urgency, so accuracy says nothing."""
    rows = read(data / "support_tickets_endava" / "train.csv")
    rows.sort(key=lambda row: sha256((row["title"] + row["body"]).encode()).digest())
    known, asked = table("train.csv", rows[:500]), table("test.csv", rows[500:700])
    done = run("triage", "--train", known, "--test", asked, "--text", "title,body", "--label", "urgency")
    figures = json.loads(done.stdout)
    assert figures["macro_f1"] > 0.45
    assert figures["accuracy"] > 0.88


@pytest.mark.data
def test_risk_of_real_incidents_beats_the_base_rate(data, table):
    rows = sorted(read(data / "incident_sla" / "train.csv"), key=lambda row: row["opened_at"])
    cut = len(rows) * 4 // 5
    train, test = table("train.csv", rows[:cut]), table("test.csv", rows[cut:])
    done = run("risk", "--train", train, "--test", test, "--label", "made_sla")
    figures = json.loads(done.stdout)
    assert figures.keys() == {"auc", "brier", "base_rate"}
    assert figures["auc"] > 0.75
    assert figures["brier"] < 0.9 * figures["base_rate"] * (1 - figures["base_rate"])


@pytest.mark.data
def test_risk_stands_a_drift_that_the_training_rows_have_just_begun_to_show(data, table):
    """Rows until the given day are learnt, all later ones asked: the rate has halved within the weeks before."""
    rows = sorted(read(data / "incident_sla" / "train.csv"), key=lambda row: row["opened_at"])
    met = np.array([int(row["made_sla"]) for row in rows])
    found = []
    for day in ("2016-04-02", "2016-04-08", "2016-04-13"):
        cut = sum(row["opened_at"] < day for row in rows)
        said = TabularModel(rows[:cut], met[:cut], "made_sla").probabilities(rows[cut:])
        late = met[cut:] == 0
        found.append((measures.separation(said[~late], said[late]), np.mean((said - met[cut:]) ** 2)))
    auc, brier = np.mean(found, axis=0)
    print(found)
    assert auc > 0.785
    assert brier < 0.147


def test_auc_and_brier_are_the_same_for_met_and_missed(table):
    rows = incidents(400, seed=11)
    for row in rows:
        row["missed"] = str(1 - int(row["met"]))
    figures = {}
    for label, other in (("met", "missed"), ("missed", "met")):
        kept = [{name: value for name, value in row.items() if name != other} for row in rows]
        paths = table("train.csv", kept[:300]), table("test.csv", kept[300:])
        done = run("risk", "--train", paths[0], "--test", paths[1], "--label", label)
        figures[label] = json.loads(done.stdout)
    assert figures["met"]["auc"] == pytest.approx(figures["missed"]["auc"], abs=0.01)
    assert figures["met"]["brier"] == pytest.approx(figures["missed"]["brier"], abs=0.003)
    assert figures["met"]["base_rate"] == pytest.approx(1 - figures["missed"]["base_rate"])


@pytest.mark.data
def test_sentiment_with_and_without_labels(data, model_dir, table):
    known, asked = halves(read(data / "sentiment_reviews" / "dev.csv"))
    test = table("test.csv", asked)
    alone = json.loads(run("sentiment", "--test", test, "--text", "text", "--label", "positive").stdout)
    taught = json.loads(
        run(
            "sentiment", "--train", table("train.csv", known), "--test", test, "--text", "text", "--label", "positive"
        ).stdout
    )  # fmt: skip
    assert alone.keys() == taught.keys() == {"accuracy", "accuracy_at_80_coverage"}
    assert alone["accuracy"] > 0.87
    assert alone["accuracy_at_80_coverage"] > 0.92
    assert taught["accuracy"] > 0.87
    assert taught["accuracy_at_80_coverage"] > taught["accuracy"]


@pytest.mark.parametrize(
    ("train", "arguments", "reason"),
    [
        ("text,label\na,x\nb,y\n", ["--text", "words", "--label", "label"], "there is no column 'words'"),
        ("text,label\na,x\nb,y\n", ["--text", "text,words", "--label", "label"], "there is no column 'words'"),
        ("text,label\na,x\nb,x\n", ["--text", "text", "--label", "label"], "fewer than two labels"),
        ("text,label\na\n", ["--text", "text", "--label", "label"], "row 2: 1 fields where the header has 2"),
        ("", ["--text", "text", "--label", "label"], "the file is empty"),
        ("text,label\n,x\na,\n", ["--text", "text", "--label", "label"], "no row has both text and label"),
    ],
)
def test_bad_input_is_one_line(tmp_path, train, arguments, reason):
    path = tmp_path / "train.csv"
    path.write_text(train)
    done = run("triage", "--train", path, "--test", path, *arguments)
    assert done.exit_code == 1
    assert reason in str(done.exception)


@pytest.mark.parametrize("verb", ["triage", "sentiment"])
@pytest.mark.parametrize(
    ("text", "label", "said"),
    [
        ("half a \ud800 character", "1", "row 2: text holds half a character"),
        ("all is well", "1\ud800", "row 2: label holds half a character"),
        ("all is well", "x" * 1_001, "row 2: label has 1,001 characters"),
    ],
)
def test_half_characters_and_labels_as_long_as_texts_are_named(tmp_path, verb, text, label, said):
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "nothing works", "label": "0"}, {"text": text, "label": label}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(verb, "--train", path, "--test", path, "--text", "text", "--label", "label")
    assert done.exit_code == 1
    assert said in str(done.exception)


def test_a_label_of_risk_that_is_no_number_is_named(table):
    path = table("train.csv", [{"priority": "1", "met": "yes"}])
    done = run("risk", "--train", path, "--test", path, "--label", "met")
    assert "met must be 0 or 1, not 'yes'" in str(done.exception)


def incidents(count: int, seed: int) -> list[dict[str, str]]:
    """Rows whose outcome hangs on the priority, and whose outcome columns give it away."""
    print("seed", seed)
    chance = random.Random(seed)
    rows = []
    for i in range(count):
        met = int(chance.random() < {"1": 0.2, "2": 0.8}[priority := chance.choice("12")])
        opened = datetime(2026, 1, 1) + timedelta(hours=i)  # noqa: DTZ001  as such files have it
        rows.append(
            {
                "number": f"INC{i}",
                "ticket": f"T-{i}",
                "opened_at": str(opened),
                "priority": priority,
                "final_state": str(met),
                "resolved_at": str(opened + timedelta(hours=1 if met else 9)),
                "closed_at": str(opened + timedelta(hours=2 if met else 10)),
                "met": str(met),
            }
        )
    return rows


def test_columns_that_tell_the_outcome_never_reach_a_feature():
    rows = incidents(200, seed=7)
    model = TabularModel(rows, np.array([int(row["met"]) for row in rows]), "met")
    assert model.columns == ["priority", "opened_at"]
    before = model.probabilities(rows)
    for row in rows:
        row.update(final_state="x", resolved_at="", closed_at="", number="", met="")
    assert (model.probabilities(rows) == before).all()


@pytest.mark.parametrize(
    "name", ["reassignment_count", "sys_mod_count", "reopen_count", "sys_updated_at", "closed_code", "incident_state",
             "active", "made_sla", "resolution_note", "time_to_resolve", "fixed_on"]
)  # fmt: skip
def test_an_outcome_under_another_name_is_left_out(name):
    rows = incidents(200, seed=7)
    met = np.array([int(row["met"]) for row in rows])
    for row in rows:
        row[name] = row["resolved_at"] if name == "fixed_on" else row["met"]
    assert TabularModel(rows, met, "met").columns == ["priority", "opened_at"]


def test_a_deadline_is_known_although_it_lies_ahead():
    rows = incidents(200, seed=7)
    for row in rows:
        row["sla_due"] = str(datetime.fromisoformat(row["opened_at"]) + timedelta(hours=4))
    model = TabularModel(rows, np.array([int(row["met"]) for row in rows]), "met")
    assert model.columns == ["priority", "opened_at", "sla_due"]


def test_what_is_missing_never_seen_or_one_of_thousands_still_gets_a_probability():
    rows = incidents(3_000, seed=3)
    for i, row in enumerate(rows):
        row |= {"place": f"Place {i % 1_500}", "size": str(i % 97) if i % 5 else "", "note": "inf" if i % 7 else "x"}
    model = TabularModel(rows[:2_500], np.array([int(row["met"]) for row in rows[:2_500]]), "met")
    odd = [{**rows[-1], "place": "nowhere", "priority": "9", "opened_at": "", "size": "nan", "note": ""}, {"place": ""}]
    said = model.probabilities(rows[2_500:] + odd)
    assert ((said > 0) & (said < 1)).all()


def test_the_measures_on_a_case_worked_out_by_hand():
    said, truth, sure = ["a", "a", "b", "b"], ["a", "b", "b", "b"], [0.9, 0.2, 0.8, 0.7]
    assert measures.accuracy(said, truth) == 0.75
    assert measures.macro_f1(said, truth) == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert measures.accuracy_at(0.8, sure, said, truth) == 1.0
    # Each answer is alone in its bin.
    assert measures.calibration_error(sure, said, truth) == pytest.approx((0.1 + 0.2 + 0.2 + 0.3) / 4)
    assert measures.separation([3, 2], [1, 2.5]) == 0.75
    assert measures.recall_outside(0.5, [1, 2, 3, 4], [0, 2.4, 2.6, 9]) == 0.5
    assert measures.separation([1], []) is None
    assert measures.accuracy([], []) is None
