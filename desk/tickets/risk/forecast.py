"""How many of the running clocks will breach, and which most likely. Probabilities are as `predict_sla` left them.

The number of breaches is a sum of independent events of unlike probability (Poisson-binomial). Independent is what
they are not when one cause holds them all up: then the truth lies outside the interval more often than it says.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any
from uuid import UUID

import numpy as np
from psycopg2.extensions import connection as Connection
from psycopg2.extras import RealDictCursor

from desk.errors import InvalidInput
from desk.sql import statement

SURE = 0.9  # how often the number is to lie within the interval
EXACT_UP_TO = 5_000  # events: adding them up one by one costs the square of their number
USUAL = 50
MOST = 1_000


@dataclass(frozen=True)
class Forecast:
    """Of `running` clocks that are not late `predicted` have a probability; of these `expected` breach, with the
    probability `SURE` `low` to `high`. None where none is predicted. `late` clocks have breached already."""

    running: int
    predicted: int
    late: int
    expected: float | None
    low: int | None
    high: int | None


def of(probabilities: Sequence[float], running: int, late: int) -> Forecast:
    """The forecast that follows from the probabilities of the clocks that have one."""
    if not len(probabilities):
        return Forecast(running, 0, late, None, None, None)
    low, high = interval(probabilities)
    return Forecast(running, len(probabilities), late, round(float(np.sum(probabilities)), 2), low, high)


def interval(probabilities: Sequence[float], sure: float = SURE) -> tuple[int, int]:
    """The smallest and the largest number of events, the tails on both sides having (1 - `sure`) / 2 at the most."""
    if len(probabilities) > EXACT_UP_TO:
        return _about(np.asarray(probabilities), sure)
    chance = np.ones(1)  # of so many events
    for probability in probabilities:
        longer = np.zeros(len(chance) + 1)
        longer[:-1] = chance * (1 - probability)
        longer[1:] += chance * probability
        chance = longer
    up_to = np.cumsum(chance)
    tail = (1 - sure) / 2
    # A hair's breadth for what adding rounds off.
    return int(np.searchsorted(up_to, tail + 1e-12)), int(np.searchsorted(up_to, 1 - tail - 1e-12))


def _about(probabilities: np.ndarray, sure: float) -> tuple[int, int]:
    """As `interval` by the normal distribution, which the sum of so many is as good as."""
    mean, deviation = probabilities.sum(), np.sqrt((probabilities * (1 - probabilities)).sum())
    reach = NormalDist().inv_cdf(1 - (1 - sure) / 2) * deviation
    return max(0, round(mean - reach)), min(len(probabilities), round(mean + reach))


def current(connection: Connection, organization_id: UUID | str) -> Forecast:
    """The forecast as of now. In the caller's transaction of that organization."""
    with connection.cursor() as cursor:
        cursor.execute(statement("desk.tickets.risk", "risk_of_clocks"), {"organization_id": organization_id})
        running, late, probabilities = cursor.fetchone()  # type: ignore[misc]  # an aggregate has one row
    return of(probabilities, running, late)


def take(connection: Connection, organization_id: UUID) -> Forecast:
    """Work the forecast out and keep it, for whoever adds them up."""
    found = current(connection, organization_id)
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.risk", "keep_forecast"), {"organization_id": organization_id, **asdict(found)}
        )
    return found


def at_risk(connection: Connection, organization_id: UUID | str, limit: int = USUAL) -> list[dict[str, Any]]:
    """The `limit` running clocks that are most likely to breach and have not, with their tickets.

    In the caller's transaction of that organization.

    Raises:
        InvalidInput: `limit` is not 1 to 1,000.
    """
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit: {limit} is not between 1 and {MOST:,}.")
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.tickets.risk", "at_risk"), {"organization_id": organization_id, "limit": limit})
        return [dict(row) for row in cursor.fetchall()]
