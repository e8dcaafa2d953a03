"""The probability of an outcome from the columns that are known when a ticket opens: gradient boosting, any table.

Columns that tell the outcome are never read: `final_*`, `resolved_at`, `closed_at` and the like; nor is one that names
each row anew (an id). An instant becomes hour, weekday, day of month and a running day: the last lets the trees follow
a drift to its newest level, which on real incidents matters more than all else.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import OrdinalEncoder

from desk.errors import InvalidInput

MOST_CATEGORIES = 250  # the boosting takes 255
FEW_NUMBERS = 20  # distinct numbers up to which a column is a code, not a quantity
MOST_OF = 0.95  # share of values that decides what a column holds

_OUTCOME = re.compile(
    r"^(final_.*|resolved_at|closed_at|completed_at|ended_at|resolution_.*|close_.*|closed_.*)$", re.I
)
_ID = re.compile(r"^(id|number|uuid|key|.*_uuid)$", re.I)


class TabularModel:
    """Fitted to `rows` whose `outcomes` are 0 or 1; `label` names the column that holds the outcome."""

    def __init__(self, rows: Sequence[dict[str, str]], outcomes: np.ndarray, label: str) -> None:
        if len(set(outcomes.tolist())) < 2:
            raise InvalidInput("All rows of the training file have the same label.")
        self._instants, self._numbers, self._codes = [], [], []
        for name in rows[0]:
            values = [row[name] for row in rows if row[name]]
            if name == label or _OUTCOME.match(name) or _ID.match(name) or not values:
                continue
            if _share(values, _instant) >= MOST_OF:
                self._instants.append(name)
            elif _share(values, _number) >= MOST_OF and len(set(values)) > FEW_NUMBERS:
                self._numbers.append(name)
            elif len(values) < 100 or len(set(values)) < MOST_OF * len(values):
                self._codes.append(name)
        if not (self._instants or self._numbers or self._codes):
            raise InvalidInput("No column is left to learn from: all are outcomes, ids or the label.")
        self._encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan,
            max_categories=MOST_CATEGORIES,
        )  # fmt: skip
        if self._codes:
            self._encoder.fit(self._text(rows))
        features = self._features(rows)
        categorical = [True] * len(self._codes) + [False] * (features.shape[1] - len(self._codes))
        self._trees = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=200, max_leaf_nodes=15, min_samples_leaf=min(30, max(2, len(rows) // 20)),
            l2_regularization=1.0, categorical_features=categorical, early_stopping=False, random_state=0,
        ).fit(features, outcomes)  # fmt: skip

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [*self._codes, *self._instants, *self._numbers]

    def probabilities(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        """The probability of outcome 1 for each of `rows`."""
        return self._trees.predict_proba(self._features(rows))[:, 1]

    def _text(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        cells = [[row.get(name, "") or "(none)" for name in self._codes] for row in rows]
        return np.array(cells, dtype=object).reshape(len(rows), len(self._codes))

    def _features(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        parts = [self._encoder.transform(self._text(rows)).astype(float)] if self._codes else []
        for name in self._instants:
            parts.append(np.array([_parts_of(_instant(row.get(name, ""))) for row in rows]))
        for name in self._numbers:
            parts.append(np.array([[_number(row.get(name, ""))] for row in rows], dtype=float))
        return np.hstack(parts)


def _share(values: Sequence[str], read: Callable[[str], object]) -> float:
    return sum(read(value) is not None for value in values) / len(values)


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text.strip()) if len(text) >= 10 else None
        return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parts_of(instant: datetime | None) -> list[float]:
    if instant is None:
        return [np.nan] * 4
    return [instant.hour + instant.minute / 60, instant.weekday(), instant.day, instant.timestamp() / 86_400]
