"""Organizations whose true hazards are known, to judge predictions by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from desk.tickets.risk.prediction import Asked, Spell

DAY = 86_400.0
HOURS = {"urgent": 1, "high": 3, "medium": 8, "low": 24}  # typical lives
TARGETS = {"urgent": 2, "high": 6, "medium": 16, "low": 48}
SHAPE = 0.8  # Weibull: who has waited long waits longer
AFTERNOON = 16 * 3600


@dataclass(frozen=True)
class Judged:
    """How predictions compare with what came and with the truth. `slope`: 1 where they are as sure as they may be,
    below where they are surer than that."""

    rate: float
    auc: float
    auc_of_truth: float
    brier: float
    brier_of_truth: float
    error: float  # root mean square distance from the true probability
    bias: float
    slope: float


class World:
    """Tickets of `days` days, `rate` a day; lives hang on priority, category, assignee, hour, and the day's `pace`."""

    def __init__(self, seed: int, rate: int, days: int = 90, pace: Callable[[float], float] = lambda day: 1.0) -> None:
        print("seed", seed)
        self.chance, self.days, self.pace = np.random.default_rng(seed), days, pace
        self.categories = {f"category {i}": np.exp(self.chance.normal(0, 0.6)) for i in range(10)}
        self.assignees = {f"agent {i}": np.exp(self.chance.normal(0, 0.3)) for i in range(6)}
        self.now = days * DAY
        self.made = self._tickets(rate * days, 0, self.now)
        self.coming = self._tickets(2_000, self.now, self.now + 7 * DAY)

    def spells(self) -> list[Spell]:
        """What is known at the end of the days: closed tickets, and open ones for as long as they have been open."""
        return [
            Spell(ticket.priority, ticket.category, min(life, self.now - ticket.started_at), ticket.assignee,
                  closed=bool(ticket.started_at + life <= self.now), started_at=ticket.started_at,
                  began_at=ticket.started_at, ended_at=min(ticket.started_at + life, self.now))
            for ticket, _, life in self.made
        ]  # fmt: skip

    @property
    def open_tickets(self) -> int:
        """How many are open at the end of the days."""
        return sum(ticket.started_at + life > self.now for ticket, _, life in self.made)

    def judge(self, say: Callable[[list[Asked]], np.ndarray]) -> Judged:
        """The probabilities that `say` gives the tickets of the coming week, at their start and some time later."""
        asked, truth, late = [], [], []
        for ticket, scale, life in self.coming:
            for elapsed in (0.0, self.chance.uniform() * ticket.target_seconds):
                if life > elapsed:
                    asked.append(Asked(ticket.priority, ticket.category, elapsed, ticket.target_seconds,
                                       ticket.assignee, ticket.started_at))  # fmt: skip
                    truth.append(np.exp((elapsed / scale) ** SHAPE - (ticket.target_seconds / scale) ** SHAPE))
                    late.append(life > ticket.target_seconds)
        said, true, came = say(asked), np.array(truth), np.array(late)
        log_odds = np.log(np.clip(said, 1e-4, 0.9999) / (1 - np.clip(said, 1e-4, 0.9999)))
        fit = LogisticRegression(C=1e6).fit(log_odds[:, None], came)
        judged = Judged(
            came.mean(), roc_auc_score(came, said), roc_auc_score(came, true), np.mean((said - came) ** 2),
            np.mean((true - came) ** 2), float(np.sqrt(np.mean((said - true) ** 2))), said.mean() - came.mean(),
            fit.coef_[0, 0],
        )  # fmt: skip
        print(judged)
        return judged

    def _tickets(self, count: int, since: float, until: float) -> list[tuple[Asked, float, float]]:
        chance = self.chance
        found = []
        for start in np.sort(chance.uniform(since, until, count)):
            priority = str(chance.choice(list(HOURS), p=[0.1, 0.2, 0.5, 0.2]))
            category, assignee = str(chance.choice(list(self.categories))), str(chance.choice(list(self.assignees)))
            scale = HOURS[priority] * 3600 * self.categories[category] * self.assignees[assignee]
            scale *= self.pace(start / DAY) * (1.6 if start % DAY >= AFTERNOON else 1.0)
            life = scale * (-np.log(chance.uniform())) ** (1 / SHAPE)
            found.append(
                (Asked(priority, category, 0.0, TARGETS[priority] * 3600, assignee, float(start)), scale, life)
            )
        return found


def crowded(seed: int, days: int = 60, most: int = 40) -> tuple[list[Spell], float]:
    """Tickets of a desk that gets half as fast while more than `most` are open, as on days of floods; and the share
    that is closed in a quarter of an hour while they are fewer."""
    print("seed", seed)
    chance, step, share = np.random.default_rng(seed), 900.0, 0.12
    waiting: list[float] = []
    found = []
    for number in range(int(days * DAY / step)):
        at = number * step
        flood = int(at // DAY) % 5 == 0
        leaves = chance.uniform(size=len(waiting)) < (share if len(waiting) <= most else share / 2)
        for start, gone in zip(waiting, leaves, strict=True):
            if gone:
                found.append(Spell("medium", None, at - start, started_at=start, began_at=start, ended_at=at))
        waiting = [start for start, gone in zip(waiting, leaves, strict=True) if not gone]
        waiting += [at] * int(chance.poisson(4.5 if flood else 1.5))
    end = days * DAY
    found += [Spell("medium", None, end - start, closed=False, started_at=start, began_at=start, ended_at=end)
              for start in waiting]  # fmt: skip
    return found, share
