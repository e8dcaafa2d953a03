"""Predictions against organizations whose true hazards are known, and against input that no model likes."""

import csv
from datetime import UTC, datetime

import numpy as np
import pytest
from risk_world import DAY, World, crowded

from desk.tickets.measures import separation
from desk.tickets.risk.curves import Curves
from desk.tickets.risk.forecast import interval, of
from desk.tickets.risk.hazard import Hazard
from desk.tickets.risk.prediction import Asked, Spell
from desk.tickets.risk.risk_history import fit


def said_by(world: World, model):
    return lambda asked: model.late(asked, world.open_tickets)[0]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_much_history_predictions_come_near_the_truth(seed):
    world = World(seed, rate=45)
    found = world.judge(said_by(world, Hazard(world.spells(), world.now)))
    assert found.error < 0.06
    assert found.auc > found.auc_of_truth - 0.015
    assert found.brier < found.brier_of_truth + 0.004
    assert 0.85 < found.slope < 1.2


def test_a_model_that_is_too_sure_would_be_found_out():
    world = World(1, rate=45)
    honest = said_by(world, Hazard(world.spells(), world.now))

    def boast(asked):
        odds = honest(asked) / (1 - honest(asked))
        return odds**2 / (1 + odds**2)

    found = world.judge(boast)
    assert found.slope < 0.7
    assert found.error > 0.1
    assert found.brier > found.brier_of_truth + 0.01


@pytest.mark.parametrize(("before", "after"), [(2.5, 0.8), (0.7, 1.6)])
def test_predictions_follow_the_newest_weeks(before, after):
    world = World(4, rate=45, pace=lambda day: before if day < 62 else after)
    found = world.judge(said_by(world, Hazard(world.spells(), world.now)))
    assert abs(found.bias) < 0.06
    assert found.error < 0.08
    everything_alike = [
        Spell(s.priority, s.category, s.seconds, s.assignee, closed=s.closed, ended_at=s.ended_at)
        for s in world.spells()
    ]
    assert abs(world.judge(said_by(world, Curves(everything_alike))).bias) > 0.08  # who does not, is off


def test_with_little_history_they_are_rough_but_beat_the_rate_alone():
    for seed in (5, 6, 7):
        world = World(seed, rate=2)
        found = world.judge(said_by(world, Curves(world.spells())))
        assert found.brier < found.rate * (1 - found.rate) - 0.005
        assert found.auc > 0.62
        assert found.slope > 0.5
        assert abs(found.bias) < 0.12


def test_overload_counts_at_the_moment():
    spells, share = crowded(seed=8)
    model = Hazard(spells, 60 * DAY)
    asked = [Asked("medium", None, 0.0, 8 * 900.0)]
    quiet, flooded, beyond = (float(model.late(asked, load)[0][0]) for load in (14, 60, 1_000_000))
    print(quiet, flooded)
    assert quiet == pytest.approx((1 - share) ** 8, abs=0.06)
    assert flooded == pytest.approx((1 - share / 2) ** 8, abs=0.12)
    assert beyond < 0.75  # of such a flood nothing is known


def test_a_flood_that_has_just_come_does_not_make_all_of_it_late():
    """Ten thousand tickets within a minute, where a hundred are usual: of such a load nothing is known yet."""
    world = World(6, rate=45)
    now = world.now
    flood = [Spell("medium", f"category {i % 10}", 60.0 * i / 10_000, closed=False, started_at=now - 60 * i / 10_000,
                   began_at=now - 60 * i / 10_000, ended_at=now) for i in range(10_000)]  # fmt: skip
    asked = [Asked("medium", f"category {i}", 30.0, 57_600.0, None, now) for i in range(10)]
    before = Hazard(world.spells(), now).late(asked, world.open_tickets)[0]
    after = Hazard(world.spells() + flood, now).late(asked, world.open_tickets + 10_000)[0]
    print(before, after)
    assert np.mean(after) < np.mean(before) + 0.2


def test_what_a_ticket_became_is_not_what_it_was():
    """All tickets are medium and alike; those that get late are raised to urgent. Urgent ones are no slower."""
    chance, hour = np.random.default_rng(9), 3_600.0
    spells, as_they_ended = [], []
    for number, life in enumerate(chance.exponential(4 * hour, 1_000)):
        at = number * hour / 2
        if life > 6 * hour:
            raised = at + 6 * hour
            spells.append(Spell("medium", None, 6 * hour, None, 0, False, at, at, raised))
            spells.append(Spell("urgent", None, life, None, 6 * hour, True, at, raised, at + life))
        else:
            spells.append(Spell("medium", None, life, None, 0, True, at, at, at + life))
        as_they_ended.append(Spell(spells[-1].priority, None, life, None, 0, True, at, at, at + life))
    asked = [Asked(priority, None, 6.5 * hour, 10 * hour) for priority in ("urgent", "medium")]
    truth = np.exp(-3.5 / 4)
    urgent = [fit(each, 520 * hour).predict(asked[:1], 8)[0].probability for each in (spells, as_they_ended)]
    assert urgent[0] == pytest.approx(truth, abs=0.1)
    # A fresh urgent ticket says nothing of being late.
    fresh = [Asked("urgent", None, 0.0, 6 * hour)]
    assert fit(as_they_ended, 520 * hour).predict(fresh, 8)[0].probability > 0.75
    assert fit(spells, 520 * hour).predict(fresh, 8)[0].probability < 0.45


def test_open_tickets_teach_what_they_have_shown():
    """Half of the tickets are never closed. Who looks at closed ones alone believes that all are."""
    now, closed, stuck = 600 * 3_600.0, [], []
    for number in range(300):
        at = 7_200.0 * number
        life = 100.0 + 37 * number % 300
        closed.append(Spell("low", None, life, started_at=at, began_at=at, ended_at=at + life))
        stuck.append(Spell("low", None, now - at, closed=False, started_at=at, began_at=at, ended_at=now))
    asked = [Asked("low", None, 0.0, 1_000.0)]
    for kind in (lambda spells: Hazard(spells, now), Curves):
        assert kind(closed).late(asked, 0)[0][0] < 0.05
        assert kind(closed + stuck).late(asked, 300)[0][0] == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    "spells",
    [
        [Spell("low", None, 0.0) for _ in range(400)],  # closed in the moment they came
        [Spell("low", None, 3_600.0) for _ in range(400)],  # all alike
        [Spell("low", f"category {i}", 60.0 + i) for i in range(3_000)],  # a category each
        [Spell("low", None, 60.0 + i) for i in range(60)],
        [Spell("low", ("a", "b", None)[i % 3], 9.0 + i, (None, "ana")[i % 2]) for i in range(400)],  # some unknown
        [Spell("low", None, 10.0 + i) for i in range(400)] + [Spell("low", None, 1e9)] * 20,
    ],
)
def test_odd_histories_give_a_probability_or_none_at_all(spells):
    model = fit(spells, 0.0)
    for asked in (
        Asked("low", None, 0.0, 60.0),
        Asked("urgent", "never seen", 5.0, 1e7, "nobody"),
        Asked("low", "category 7", 59.0, 60.0),
        Asked("low", None, 1e12, 2e12),
    ):
        for open_tickets in (0, 1_000_000):
            (found,) = model.predict([asked], open_tickets)
            assert (found.probability is None) == (found.reason is not None)
            assert found.probability is None or 0 <= found.probability <= 1


def test_all_late_and_none_late_are_said_so_without_being_certain():
    """Clocks of an hour, where every ticket took two to three, or half of one."""
    slow = [Spell("low", None, 7_200.0 + 9 * i) for i in range(400)]
    quick = [Spell("low", None, 900.0 + 2 * i) for i in range(400)]
    assert 0.9 < fit(slow, 0.0).predict([Asked("low", None, 0.0, 3_600.0)])[0].probability <= 1
    assert 0 <= fit(quick, 0.0).predict([Asked("low", None, 0.0, 3_600.0)])[0].probability < 0.1


def test_ten_thousand_clocks_are_predicted_in_a_moment():
    import time

    world = World(1, rate=30)
    model = fit(world.spells(), world.now)
    asked = [Asked("medium", f"category {i % 10}", i % 7_000, 57_600.0, "agent 1", world.now) for i in range(10_000)]
    started = time.process_time()
    found = model.predict(asked, 20)
    assert time.process_time() - started < 5
    assert len(found) == 10_000


@pytest.mark.data
def test_real_incidents_are_told_apart_better_than_by_their_priority(data):
    """Who is not resolved within three days: asked in the week after a day, at the opening and after half the time."""
    with (data / "incident_sla" / "train.csv").open(newline="", encoding="utf-8") as source:
        rows = [row for row in csv.DictReader(source) if row["resolved_at"] > row["opened_at"]]
    lives = [(row, *(datetime.fromisoformat(row[name]).replace(tzinfo=UTC).timestamp()
                     for name in ("opened_at", "resolved_at"))) for row in rows]  # fmt: skip
    figures = []
    for day in (3, 10):
        cut = datetime(2016, 4, day, tzinfo=UTC).timestamp()
        spells = [
            Spell(row["priority"], row["category"], min(end, cut) - start, row["first_assignment_group"], 0.0,
                  end <= cut, start, start, min(end, cut)) for row, start, end in lives if start < cut
        ]  # fmt: skip
        target, asked, late = 3 * DAY, [], []
        for row, start, end in lives:
            for elapsed in (0.0, target / 2):
                if cut <= start < cut + 7 * DAY and end - start > elapsed:
                    asked.append(Asked(row["priority"], row["category"], elapsed, target, row["first_assignment_group"],
                                       start))  # fmt: skip
                    late.append(end - start > target)
        truth, waiting = np.array(late), sum(not spell.closed for spell in spells)
        said = Hazard(spells, cut).late(asked, waiting)[0]
        figures.append((separation(said[truth], said[~truth]), np.mean((said - truth) ** 2), truth.mean()))
    print(figures)
    auc, brier, rate = np.mean(figures, axis=0)
    assert auc > 0.79
    assert brier < 0.8 * rate * (1 - rate)


def test_the_number_of_breaches_adds_up_unlike_chances():
    assert of([], 3, 1).expected is None
    assert of([0.5] * 10, 12, 0) == of([0.5] * 10, 12, 0)
    assert (of([0.5] * 10, 12, 0).expected, *interval([0.5] * 10)) == (5.0, 2, 8)
    assert interval([1.0, 1.0, 0.0]) == (2, 2)
    assert interval([]) == (0, 0)
    seed = 10
    print("seed", seed)
    chance = np.random.default_rng(seed)
    probabilities = chance.beta(0.5, 3, 200)
    low, high = interval(probabilities)
    came = (chance.uniform(size=(20_000, 200)) < probabilities).sum(axis=1)
    inside = ((came >= low) & (came <= high)).mean()
    assert 0.9 <= inside < 0.96
    assert ((came > low) & (came < high)).mean() < 0.9  # no wider than it has to be
    many = chance.beta(0.5, 3, 4_999)
    exact, about = (
        interval(many),
        interval([*many, 0.0, 0.0]),
    )  # beyond five thousand they are no longer added one by one
    assert about == pytest.approx(exact, abs=1)
    assert interval([0.0] * 10_000) == (0, 0)
