"""cron's own way through a day, minute by minute: the reference that schedules are compared with.

cron keeps a virtual clock of local time. When the real one jumps ahead, jobs at fixed times run for each minute that
the virtual one catches up with; when it falls back, they wait until it has caught up. Jobs with a star follow the real
one.
"""

import random
from datetime import datetime, timedelta, tzinfo

from pgbroker.cron import CronSpec

Field = tuple[str, set[int]]  # how it is written, and what it means
MINUTE = timedelta(minutes=1)
CORRECTION = timedelta(hours=3)


def due(fields: list[Field], local: datetime) -> bool:
    """Whether five fields of cron(5) name this local minute."""
    (_, minutes), (_, hours), (dom, days), (_, months), (dow, weekdays) = fields
    if local.minute not in minutes or local.hour not in hours or local.month not in months:
        return False
    day, weekday = local.day in days, local.isoweekday() % 7 in weekdays
    return day and weekday if dom.startswith("*") or dow.startswith("*") else day or weekday


def slots_of(schedules: list[list[Field]], zone: tzinfo, start: datetime, end: datetime) -> list[list[datetime]]:
    """For each schedule the minutes in [start, end) in which cron would run its job, once where it would run it more
    than once."""
    starred = [fields[0][0].startswith("*") or fields[1][0].startswith("*") for fields in schedules]
    found: list[list[datetime]] = [[] for _ in schedules]
    at, virtual = start, (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    while at < end:
        local = at.astimezone(zone).replace(tzinfo=None)
        ahead = local - virtual
        if ahead == MINUTE or abs(ahead - MINUTE) >= CORRECTION:
            virtual, caught_up_with = local, [local]
        else:
            caught_up_with = [virtual + minute * MINUTE for minute in range(1, ahead // MINUTE + 1)]
            virtual = max(virtual, local)
        for fields, is_starred, slots in zip(schedules, starred, found, strict=True):
            for each in (local,) if is_starred else caught_up_with:
                if due(fields, each):
                    slots.append(at)
                    break
        at += MINUTE
    return found


def fields_of(spec: CronSpec) -> list[Field]:
    """A schedule as its text and its values, which `test_cron` proves elsewhere."""
    values = (spec.minute, spec.hour, spec.dom, spec.month, [weekday % 7 for weekday in spec.dow])
    return [(text, set(found)) for text, found in zip(str(spec).split(), values, strict=True)]


def random_field(dice: random.Random, low: int, high: int, plain: float) -> Field:
    """A field that may hold low to high; a plain star with the probability `plain`. Up to 7 means a weekday, where 7
    means what 0 means."""
    kind = dice.random()
    if kind < plain:
        text, values = "*", set(range(low, high + 1))
    elif kind < plain + 0.15:
        step = dice.randint(2, 7)
        text, values = f"*/{step}", set(range(low, high + 1, step))
    else:
        parts, values = [], set()
        for _ in range(dice.choice([1, 1, 2, 3])):
            first = dice.randint(low, high)
            last = dice.randint(first, high)
            step = dice.randint(1, 5)
            part, meant = dice.choice(
                [
                    (f"{first}", {first}),
                    (f"{first}-{last}", set(range(first, last + 1))),
                    (f"{first}-{last}/{step}", set(range(first, last + 1, step))),
                ]
            )
            parts.append(part)
            values |= meant
        text = ",".join(parts)
    return text, {0 if high == 7 and value == 7 else value for value in values}
