"""Ratios and the README's table."""

from pathlib import Path

import pytest

from bench.report import BEGIN, END, Outcome, write_readme
from bench.row import Measure, Row, Target, quantile

TARGET = Target("ours, × theirs", ("ours", "rate"), over=("theirs", "rate"), must=2.0)


def _nothing(*_: object) -> dict[str, dict[str, float]]:
    raise AssertionError("a report measures nothing")


def test_a_ratio_compares_what_was_measured_in_the_same_round() -> None:
    rounds = [
        {"ours": {"rate": 10.0}, "theirs": {"rate": 5.0}},
        {"ours": {"rate": 90.0}},  # theirs failed in this one
        {"ours": {"rate": 30.0}, "theirs": {"rate": 10.0}},
    ]
    assert TARGET.values(rounds) == [2.0, 3.0]


def test_what_must_be_at_most_is_reached_by_less() -> None:
    late = Target("ms late", ("ours", "p99"), must=50.0, at_most=True)
    assert late.values([{"ours": {"p99": 49.0}}]) == [49.0]
    assert (late.reached(49.0), late.reached(51.0)) == (True, False)
    assert (TARGET.reached(2.1), TARGET.reached(1.9)) == (True, False)


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([float(value) for value in range(101)], 0.99) == 99.0
    assert quantile([7.0], 0.99) == 7.0


def test_the_table_replaces_what_stands_between_the_marks_and_nothing_else(tmp_path: Path) -> None:
    row = Row("drain", "drain", ("pgbroker",), (Measure("rate", "messages/s"),), _nothing)
    found = [{"pgbroker": {"rate": 1234.0}, "Redis": {"rate": 617.0}}]
    outcome = Outcome("python -m bench", "PostgreSQL 18.4", 1.0, [row], {"drain": found}, commits_per_second=[2_000.0])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold \\1 table\n{END}\nafter\n")
    for _ in range(2):  # writing it again changes nothing more
        write_readme(outcome, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| Work | pgbroker | Redis |\n")
    assert "| drain: messages/s | 1,234 | 617 |" in text
    assert "old" not in text
    assert text.endswith(f"{END}\nafter\n")


def test_a_readme_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{END} first, {BEGIN} second")
    with pytest.raises(ValueError, match="must hold the line"):
        write_readme(Outcome("", "", 1.0, []), readme)
    assert readme.read_text() == f"{END} first, {BEGIN} second"
