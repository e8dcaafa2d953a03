"""The probability of an outcome from the columns that are known when a ticket opens, of any table.

What is known only later never reaches a feature: columns named like an outcome or a state of the end (`final_*`,
`resolved_at`, `reopen_count` …), and every instant that lies after the opening, whatever its name. Nor is a column read
that names each row anew (an id).

Two models, averaged in log-odds. Boosted trees find what goes together; a running day lets them follow a drift to its
newest level. A logistic model holds the effect of each value, newer rows weighing more, over a level that moves in
small steps along time: a value that was seen in other times only still counts for what it meant in its own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from desk.errors import InvalidInput

MOST_CATEGORIES = 250  # the boosting takes 255
FEW_NUMBERS = 20  # distinct numbers up to which a column is a code, not a quantity
MOST_OF = 0.95  # share of values that decides what a column holds
LATER = 0.05  # share of rows in which an instant lies after the opening: from there on it tells what came later
MOST_STEPS = 60  # of the level along time
ROWS_OF_A_STEP = 150
STEP_SCALE = 2.0  # how much more freely the level moves than the effect of a value
HALF_LIFE_SHARE = 0.2  # of the time that the rows span: so much older, half the weight
LEAST_HALF_LIFE_DAYS = 7.0

_OUTCOME = re.compile(
    r"^(final_.*|(resolved|closed|completed|ended|finished|updated|sys_updated|sys_mod)(_.*)?|(resolution|close|closure)_.*"
    r"|.*(reassignment|reopen|mod|update|touch|hop|reply|comment)s?_counts?"
    r"|(incident_|ticket_)?(state|status)|active|(has_)?breached|made_sla|sla_(met|breached|missed|outcome)"
    r"|(time|hours|minutes|days)_to_.*|.*duration.*)$",
    re.I,
)
_DUE = re.compile(r"(^|_)due(_|$)|deadline", re.I)  # in the future, and known all the same
_ID = re.compile(r"^(id|number|uuid|key|.*_uuid)$", re.I)


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are read, by what they hold. The first of the instants is the opening."""

    codes: list[str]
    instants: list[str]
    numbers: list[str]


class TabularModel:
    """Fitted to `rows` whose `outcomes` are 0 or 1; `label` names the column that holds the outcome.

    Raises:
        InvalidInput: all outcomes are the same, or no column is left to learn from.
    """

    def __init__(self, rows: Sequence[dict[str, str]], outcomes: np.ndarray, label: str) -> None:
        if len(set(outcomes.tolist())) < 2:
            raise InvalidInput("All rows of the training file have the same label.")
        self._columns = _sorted(rows, label)
        # One thread: on a busy machine several wait for each other longer than they work.
        with threadpool_limits(limits=1):
            self._trees = _Trees(self._columns, rows, outcomes)
            self._effects = _Effects(self._columns, rows, outcomes)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return [*self._columns.codes, *self._columns.instants, *self._columns.numbers]

    def probabilities(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        """The probability of outcome 1 for each of `rows`."""
        with threadpool_limits(limits=1):
            log_odds = (self._trees.log_odds(rows) + self._effects.log_odds(rows)) / 2
        return 1 / (1 + np.exp(-log_odds))


class _Trees:
    """Gradient boosting: values as categories, instants as hour, weekday and running day."""

    def __init__(self, columns: Columns, rows: Sequence[dict[str, str]], truth: np.ndarray) -> None:
        self._columns = columns
        self._encoder = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan,
            max_categories=MOST_CATEGORIES,
        )  # fmt: skip
        if columns.codes:
            self._encoder.fit(_text(rows, columns.codes))
        features = self._features(rows)
        categorical = [i < len(columns.codes) for i in range(features.shape[1])]
        self._model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_iter=200, max_leaf_nodes=15, min_samples_leaf=min(30, max(2, len(rows) // 20)),
            l2_regularization=20.0, categorical_features=categorical, early_stopping=False, random_state=0,
        ).fit(features, truth)  # fmt: skip

    def log_odds(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        return self._model.decision_function(self._features(rows))

    def _features(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        parts = [self._encoder.transform(_text(rows, self._columns.codes)).astype(float)] if self._columns.codes else []
        parts += [_parts_of(_moments(rows, name)) for name in self._columns.instants]
        parts += [_quantities(rows, name)[:, None] for name in self._columns.numbers]
        return np.hstack(parts)


class _Effects:
    """Logistic regression: an effect for each value, hour and weekday, over a level that moves along the opening."""

    def __init__(self, columns: Columns, rows: Sequence[dict[str, str]], truth: np.ndarray) -> None:
        self._columns = columns
        weights, self._steps = np.ones(len(rows)), np.empty(0)
        if columns.instants:
            days = _moments(rows, columns.instants[0])
            newest = np.nanmax(days)
            half_life = max(LEAST_HALF_LIFE_DAYS, HALF_LIFE_SHARE * (newest - np.nanmin(days)))
            weights = np.exp2(-np.nan_to_num(newest - days, nan=half_life) / half_life)
            steps = min(MOST_STEPS, len(rows) // ROWS_OF_A_STEP)
            self._steps = np.nanquantile(days, np.linspace(0, 1, steps + 2)[1:-1])
        self._encoder = OneHotEncoder(handle_unknown="ignore").fit(self._values(rows))
        self._scaler = StandardScaler().fit(self._known(rows)) if columns.numbers else None
        self._model = LogisticRegression(C=0.3, max_iter=1000).fit(self._features(rows), truth, sample_weight=weights)

    def log_odds(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        return self._model.decision_function(self._features(rows))

    def _values(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        columns = [_text(rows, self._columns.codes)]
        for name in self._columns.instants:
            parts = _parts_of(_moments(rows, name))
            # Three hours are one value. What is missing is a value of its own.
            columns.append(np.nan_to_num(np.column_stack([parts[:, 0] // 3, parts[:, 1]]), nan=-1).astype(str))
        columns += [np.isnan(_quantities(rows, name)).astype(str)[:, None] for name in self._columns.numbers]
        return np.hstack([column.astype(object) for column in columns])

    def _known(self, rows: Sequence[dict[str, str]]) -> np.ndarray:
        return np.column_stack([_quantities(rows, name) for name in self._columns.numbers])

    def _features(self, rows: Sequence[dict[str, str]]) -> sparse.csr_matrix:
        parts = [self._encoder.transform(self._values(rows))]
        if self._scaler is not None:
            parts.append(np.nan_to_num(self._scaler.transform(self._known(rows))))
        if len(self._steps):
            days = np.nan_to_num(_moments(rows, self._columns.instants[0]), nan=np.inf)  # unknown: as of the newest
            parts.append(STEP_SCALE * (days[:, None] > self._steps))
        return sparse.hstack(parts).tocsr()


def _sorted(rows: Sequence[dict[str, str]], label: str) -> Columns:
    """What each column holds, as far as it is known at the opening."""
    columns = Columns([], [], [])
    for name in rows[0]:
        values = [row[name] for row in rows if row[name]]
        if name == label or _OUTCOME.match(name) or _ID.match(name) or not values:
            continue
        if _share(values, _instant) >= MOST_OF:
            columns.instants.append(name)
        elif _share(values, _number) >= MOST_OF and len(set(values)) > FEW_NUMBERS:
            columns.numbers.append(name)
        elif len(values) < 100 or len(set(values)) < MOST_OF * len(values):
            columns.codes.append(name)
    columns.instants[:] = _known_at_opening(rows, columns.instants)
    if not (columns.instants or columns.numbers or columns.codes):
        raise InvalidInput("No column is left to learn from: all are outcomes, ids or the label.")
    return columns


def _known_at_opening(rows: Sequence[dict[str, str]], names: list[str]) -> list[str]:
    """Those of the instants that are not later than the opening, which is the earliest of them; the opening first."""
    if not names:
        return []
    moments = {name: _moments(rows, name) for name in names}
    opening = min(names, key=lambda name: np.nanmedian(moments[name]))
    known = [name for name in names if _DUE.search(name) or np.mean(moments[name] > moments[opening]) < LATER]
    return sorted(known, key=lambda name: name != opening)


def _text(rows: Sequence[dict[str, str]], names: list[str]) -> np.ndarray:
    cells = [[row.get(name, "") or "(none)" for name in names] for row in rows]
    return np.array(cells, dtype=object).reshape(len(rows), len(names))


def _moments(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    """Days since 1970 in UTC; nan where there is no instant."""
    found = [_instant(row.get(name, "")) for row in rows]
    return np.array([np.nan if instant is None else instant.timestamp() / 86_400 for instant in found])


def _parts_of(days: np.ndarray) -> np.ndarray:
    """Hour of the day, weekday (0: Monday) and the running day of each moment."""
    return np.column_stack([days % 1 * 24, (np.floor(days) + 3) % 7, days])


def _quantities(rows: Sequence[dict[str, str]], name: str) -> np.ndarray:
    found = [_number(row.get(name, "")) for row in rows]
    return np.array([np.nan if number is None else number for number in found])


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
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
