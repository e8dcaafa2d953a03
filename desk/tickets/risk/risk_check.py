"""How good an organization's own predictions would have been: learnt from what was known then, asked what came since.

Each clock that was started since then and whose deadline has passed is asked at its start, with what its ticket was
and how many were open at that moment. Brier: mean squared distance from what came; a guesser who knew the share of
breaches beforehand would reach `brier_of_the_share`, so who is not below it knows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from psycopg2.extensions import connection as Connection

from desk.sql import statement
from desk.tickets.measures import separation
from desk.tickets.risk.prediction import Asked, Spell
from desk.tickets.risk.risk_history import NEWEST, NEWEST_OPEN, fit

DAYS = 28


@dataclass(frozen=True)
class Check:
    """Of `clocks` decided ones `asked` got a probability. Figures over nothing are None."""

    days: int
    clocks: int
    asked: int
    breached: float | None
    predicted: float | None
    auc: float | None
    brier: float | None
    brier_of_the_share: float | None


def check(connection: Connection, organization_id: UUID, days: int = DAYS) -> Check:
    """Judge predictions of the last `days` days, calendar by calendar. In the organization's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("select extract(epoch from happening_at())::double precision")
        since = cursor.fetchone()[0] - days * 86_400  # type: ignore[index]  # one row
        cursor.execute(
            "select distinct calendar_version_id from sla_clocks"
            " where organization_id = %s and metric = 'resolution' and started_at >= to_timestamp(%s)",
            (organization_id, since),
        )
        calendars = [calendar for (calendar,) in cursor.fetchall()]
        said: list[float | None] = []
        late: list[bool] = []
        for calendar in calendars:
            key = {"organization_id": organization_id, "calendar_version_id": calendar, "since": since}
            cursor.execute(
                statement("desk.tickets.risk", "spells"), {**key, "newest": NEWEST, "newest_open": NEWEST_OPEN}
            )
            spells = [Spell(*row) for row in cursor.fetchall()]
            cursor.execute(statement("desk.tickets.risk", "decided_clocks"), key)
            rows = cursor.fetchall()
            said += _say(spells, [Asked(*row[:-1]) for row in rows], since)
            late += [row[-1] for row in rows]
    return of(said, late, days)


def of(said: Sequence[float | None], late: Sequence[bool], days: int) -> Check:
    """The figures that follow from what was said and what came."""
    known = [(probability, came) for probability, came in zip(said, late, strict=True) if probability is not None]
    if not known:
        return Check(days, len(said), 0, None, None, None, None, None)
    sure, truth = np.array([each[0] for each in known]), np.array([each[1] for each in known])
    share = float(truth.mean())
    return Check(
        days, len(said), len(known), round(share, 4), round(float(sure.mean()), 4),
        separation(sure[truth], sure[~truth]), float(np.mean((sure - truth) ** 2)), share * (1 - share),
    )  # fmt: skip


def as_of(spells: Sequence[Spell], at: float) -> list[Spell]:
    """What was known at `at`, in seconds since 1970: what went on then had not ended."""
    known = []
    for spell in spells:
        if spell.ended_at <= at:
            known.append(spell)
        elif spell.began_at < at:
            share = (at - spell.began_at) / (spell.ended_at - spell.began_at)
            seconds = spell.since_seconds + share * (spell.seconds - spell.since_seconds)
            known.append(replace(spell, seconds=seconds, closed=False, ended_at=at))
    return known


def _say(spells: list[Spell], asked: Sequence[Asked], since: float) -> list[float | None]:
    history = fit(as_of(spells, since), since)
    began = np.sort([spell.began_at for spell in spells])
    ended = np.sort([spell.ended_at for spell in spells])
    open_then = [
        int(np.searchsorted(began, each.started_at) - np.searchsorted(ended, each.started_at)) for each in asked
    ]
    return [history.predict([each], load)[0].probability for each, load in zip(asked, open_then, strict=True)]
