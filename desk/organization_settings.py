"""An organization's switches and thresholds: what each is called, what it means, which values it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.errors import InvalidInput
from desk.sla.zones import zone

MODEL_JOBS = ("draft", "triage")  # what a language model may word
MOST_DAYS = 36_500


@dataclass(frozen=True)
class Setting:
    """One setting: `read` makes its value of a text, or raises ValueError with what it must be."""

    name: str
    meaning: str
    read: Callable[[str], Any]


def _switch(text: str) -> bool:
    found = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}.get(text.lower())
    if found is None:
        raise ValueError("on or off")
    return found


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("a number from 0 to 1")
    return found


def _share_or_never(text: str) -> float | None:
    if text.lower() == "never":
        return None
    try:
        return _share(text)
    except ValueError:
        raise ValueError("a number from 0 to 1, or never") from None


def _days(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= MOST_DAYS:
        raise ValueError(f"a whole number of days from 1 to {MOST_DAYS:,}")
    return int(text)


def _model_jobs(text: str) -> list[str]:
    found = [] if text.lower() == "none" else [part.strip() for part in text.split(",")]
    if not set(found) <= set(MODEL_JOBS):
        raise ValueError(f"none, or some of {','.join(MODEL_JOBS)}")
    return list(dict.fromkeys(found))


def _zone(text: str) -> str:
    try:
        return zone(text).key
    except InvalidInput:
        raise ValueError("a time zone such as Europe/Berlin") from None


SETTINGS = {
    one.name: one
    for one in (
        Setting("timezone", "the organization's time zone", _zone),
        Setting("triage", "new tickets get category, priority, intent and tags", _switch),
        Setting("suggest", "new tickets get suggested articles", _switch),
        Setting("draft", "new tickets get a draft of a reply", _switch),
        Setting("sentiment", "new tickets are read for mood and urgency", _switch),
        Setting("duplicates", "open tickets that may say the same are flagged", _switch),
        Setting("answers_from_tickets", "drafts and offers may quote answers that ended the same problem", _switch),
        Setting("llm", "what the installation's language model may word", _model_jobs),
        Setting("predict", "accepted tickets get the probability of a breach", _switch),
        Setting("triage_applies_above", "confidence from which triage sets category and priority", _share_or_never),
        Setting("suggest_from", "confidence from which triage suggests a category", _share),
        Setting("escalate_angry_above", "strength of anger from which a ticket becomes urgent", _share_or_never),
        Setting("keep_finished_days", "how long finished messages are kept", _days),
        Setting("keep_events_days", "how long events of tickets are kept", _days),
        Setting("keep_audit_days", "how long the audit log is kept", _days),
    )
}


def read(pairs: list[str]) -> dict[str, Any]:
    """The values of texts such as "triage=off".

    Raises:
        InvalidInput: one of them cannot be used; the message names it.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        name = name.strip()
        if not separator:
            raise InvalidInput(f"{pair[:80]!r} is no setting: write NAME=VALUE.")
        if name not in SETTINGS:
            raise InvalidInput(f"There is no setting {name[:40]!r}. There are: {', '.join(SETTINGS)}.")
        if name in found:
            raise InvalidInput(f"{name} is given twice.")
        try:
            found[name] = SETTINGS[name].read(text.strip())
        except ValueError as error:
            raise InvalidInput(f"{name} must be {error}, not {text[:40]!r}.") from None
    return found


def of(connection: Connection, organization_id: UUID) -> dict[str, Any]:
    """What is set, in the caller's transaction of the organization. None: never."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute("select * from organization_settings where organization_id = %s", (organization_id,))
        row: dict[str, Any] = cursor.fetchone() or {}
    return {name: row[name] for name in SETTINGS}


def change(connection: Connection, organization_id: UUID, values: Mapping[str, Any]) -> None:
    """Set some, all or none, in the caller's transaction; the audit log has what they were.

    Raises:
        InvalidInput: applying would begin below suggesting, so that nothing between were ever suggested.
    """
    before = of(connection, organization_id)
    after = before | dict(values)
    applies = after["triage_applies_above"]
    given = values.keys() & {"triage_applies_above", "suggest_from"}
    if given and applies is not None and applies < after["suggest_from"]:
        raise InvalidInput(
            f"triage_applies_above ({applies:g}) must not be below suggest_from ({after['suggest_from']:g}): what "
            "is not suggested is not applied either."
        )
    changed = {name: value for name, value in values.items() if value != before[name]}
    if not changed:
        return
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changed
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("update organization_settings set {}, updated_at = now() where organization_id = %(id)s").format(
                assignments
            ),
            {**changed, "id": organization_id},
        )
        detail = {name: {"from": before[name], "to": value} for name, value in changed.items()}
        cursor.execute(
            """insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)
               values (%s, 'person', 'settings_changed', 'organization', %s, %s)""",
            (organization_id, str(organization_id), Json(detail)),
        )
