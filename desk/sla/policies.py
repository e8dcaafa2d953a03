"""Publishing calendars and policies: each change is a new, immutable version; what is unchanged stays as it is.

Clocks that run keep the versions they started on; tickets that are accepted from now on take the new ones.
`desk.sla.moves` moves those of open tickets as well, where that is asked for.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import Json, execute_values

from desk.errors import InvalidInput
from desk.sla.calendar import Calendar
from desk.sla.periods import AHEAD, HISTORY_YEARS, write_periods
from desk.sla.policy import Policy, read


@dataclass(frozen=True)
class Published:
    """What holds now: version by name, which of them are new, and what is odd in the document."""

    calendars: dict[str, int]
    policies: dict[str, int]
    new: tuple[str, ...]
    warnings: tuple[str, ...]


def load(text: str) -> dict[str, Any]:
    """A policy document from JSON text.

    Raises:
        InvalidInput: it is no JSON; the message names line and column.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The policy is no JSON: {error}.") from None


def publish(
    connection: Connection, organization_id: UUID | str, policy: dict[str, Any], covers_from: datetime | None = None
) -> Published:
    """Publish a policy document (see desk.sla.policy) in the caller's transaction of that organization.

    `covers_from`: since when the calendars must count, for tickets of long ago; default: ten years back.

    Raises:
        InvalidInput: one line that names the field; nothing was written.
    """
    document = read(policy)
    new: list[str] = []
    calendars: dict[str, int] = {}
    policies: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended('sla publish ' || %s, 0))", (str(organization_id),)
        )
        for name, definition in document.calendars.items():
            calendars[name], is_new = _publish_calendar(cursor, organization_id, name, definition, covers_from)
            new += [f"calendar {name}"] if is_new else []
        for item in document.policies:
            if item.retired:
                _retire(cursor, organization_id, item.name)
                continue
            policies[item.name], is_new = _publish_policy(cursor, organization_id, item)
            new += [f"policy {item.name}"] if is_new else []
        _one_default(cursor, organization_id)
    return Published(calendars, policies, tuple(new), document.warnings)


def _publish_calendar(
    cursor: Cursor, organization_id: UUID | str, name: str, definition: dict[str, Any], covers_from: datetime | None
) -> tuple[int, bool]:
    cursor.execute(
        """insert into calendars (organization_id, name) values (%(organization)s, %(name)s)
           on conflict (organization_id, name) do nothing""",
        {"organization": organization_id, "name": name},
    )
    cursor.execute(
        """select c.id, v.version, v.definition = %(definition)s, v.covered_from
             from calendars c
             left join lateral (select * from calendar_versions w where w.calendar_id = c.id
                                 order by w.version desc limit 1) v on true
            where c.organization_id = %(organization)s and c.name = %(name)s""",
        {"organization": organization_id, "name": name, "definition": Json(definition)},
    )
    calendar_id, version, same, covered_from = _row(cursor)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = (covers_from or today.replace(year=today.year - HISTORY_YEARS, month=1, day=1)).replace(microsecond=0)
    if same and start >= covered_from:
        return version, False
    version = (version or 0) + 1
    cursor.execute(
        """insert into calendar_versions (organization_id, calendar_id, version, definition, covered_from, covered_to)
           values (%s, %s, %s, %s, %s, %s) returning id""",
        (organization_id, calendar_id, version, Json(definition), start, today + AHEAD),
    )
    (version_id,) = _row(cursor)
    write_periods(cursor, organization_id, version_id, Calendar.from_dict(definition), start, today + AHEAD)
    return version, True


def _publish_policy(cursor: Cursor, organization_id: UUID | str, policy: Policy) -> tuple[int, bool]:
    calendar_id = None
    if policy.calendar is not None:
        cursor.execute(
            "select id from calendars where organization_id = %s and name = %s", (organization_id, policy.calendar)
        )
        found = cursor.fetchone()
        if found is None:
            raise InvalidInput(f"policy {policy.name!r}: calendar {policy.calendar!r} does not exist.")
        (calendar_id,) = found
    cursor.execute(
        """insert into sla_policies (organization_id, name) values (%s, %s)
           on conflict (organization_id, name) do update set retired_at = null returning id""",
        (organization_id, policy.name),
    )
    (policy_id,) = _row(cursor)
    cursor.execute(
        """select coalesce(max(version) filter (where w.policy_id = %(policy)s), 0),
                  (select v.position from sla_policy_versions v where v.policy_id = %(policy)s
                    order by v.version desc limit 1),
                  coalesce(max(w.position), 0) + 1,
                  (select v.definition from sla_policy_versions v where v.policy_id = %(policy)s
                    order by v.version desc limit 1)
             from sla_policy_versions w where w.organization_id = %(organization)s""",
        {"policy": policy_id, "organization": organization_id},
    )
    version, own_position, next_position, known = _row(cursor)
    if policy.position is not None:
        position = policy.position
    else:
        position = next_position if own_position is None else own_position
    definition = {**policy.definition(), "position": position}
    if definition == known:
        return version, False
    cursor.execute(
        """insert into sla_policy_versions (organization_id, policy_id, version, position, is_default, conditions,
                                            calendar_id, definition)
           values (%s, %s, %s, %s, %s, %s, %s, %s) returning id""",
        (organization_id, policy_id, version + 1, position, policy.is_default, Json(dict(policy.conditions)),
         calendar_id, Json(definition)),
    )  # fmt: skip
    (version_id,) = _row(cursor)
    execute_values(
        cursor,
        """insert into sla_targets (organization_id, policy_version_id, metric, priority, target_seconds, thresholds)
           values %s""",
        [
            (organization_id, version_id, metric, priority, seconds, list(policy.thresholds[metric]))
            for (metric, priority), seconds in policy.targets.items()
        ],
        template="(%s, %s, %s, %s, %s, %s::integer[])",
    )
    if policy.escalation:
        execute_values(
            cursor,
            """insert into sla_steps (organization_id, policy_version_id, metric, threshold, place, act, value)
               values %s""",
            [
                (organization_id, version_id, step.metric, step.threshold, step.place, step.act, Json(step.value))
                for step in policy.escalation
            ],
        )
    return version + 1, True


def _retire(cursor: Cursor, organization_id: UUID | str, name: str) -> None:
    cursor.execute(
        "update sla_policies set retired_at = coalesce(retired_at, now()) where organization_id = %s and name = %s",
        (organization_id, name),
    )
    if cursor.rowcount == 0:
        raise InvalidInput(f"policy {name!r} does not exist; it cannot be retired.")


def _one_default(cursor: Cursor, organization_id: UUID | str) -> None:
    cursor.execute(
        """select p.name from sla_policies p
             join lateral (select w.is_default from sla_policy_versions w where w.policy_id = p.id
                            order by w.version desc limit 1) v on v.is_default
            where p.organization_id = %s and p.retired_at is null order by p.name""",
        (organization_id,),
    )
    names = [name for (name,) in cursor.fetchall()]
    if len(names) > 1:
        raise InvalidInput(f"Only one policy can be the default, but {' and '.join(names)} would be. Retire one.")


def _row(cursor: Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None
    return row
