"""The stored models of triage: which versions there are, which is active, and their bytes.

Promises: at most one version is active for each organization and question; it changes in one transaction, so that a
worker that is killed while it fits leaves the old one active. Each call works inside the caller's transaction of that
organization.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk import log
from desk.errors import InvalidInput, NotFound
from desk.kb import embedding
from desk.sql import statement
from desk.tickets.triage import classifier, priority_model, tag_model

FORMATS = {
    "category": classifier.FORMAT,
    "priority": priority_model.FORMAT,
    "tags": tag_model.FORMAT,
    "intent": classifier.FORMAT,
}
QUESTIONS = tuple(FORMATS)
KEPT = 5  # versions of each question beside the active one
STOPPED = "its worker stopped before it was done"
UNREADABLE = 0  # format of a row whose bytes turned out to be of no format that this release knows

Model = TypeVar("Model")
Rows = dict[str, tuple[str | None, str | None, list[str], str | None]]

logger = log.get(__name__)


@dataclass(frozen=True)
class Stored:
    """One version: what it learnt from, in the order that the model counts in, and its bytes."""

    version: int
    ticket_ids: list[UUID]
    model: bytes
    figures: dict[str, Any] | None


@dataclass(frozen=True)
class Judged:
    """What became of a fit: `state` is active or rejected, with the reason; `model` None where nothing could be fitted.

    `figures` and `compared_figures` hold held_back (tickets), calibration_error, and accuracy and macro_f1, or of tags
    micro_f1, precision and recall, on the same tickets; None where there was nothing to judge by.
    """

    what: str
    version: int
    state: str
    reason: str
    labels: int
    newest_label: datetime | None
    ticket_ids: list[str]
    model: bytes | None = None
    figures: dict[str, Any] | None = None
    compared_version: int | None = None
    compared_figures: dict[str, Any] | None = None


def active_versions(connection: Connection, organization_id: UUID) -> dict[str, int]:
    """The active version of each question that has one which this process can use: made with the configured embedding
    model, in this release's format."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select what, version, format from triage_models"
            " where organization_id = %s and state = 'active' and embed_model = %s",
            (organization_id, embedding.model_name()),
        )
        return {what: version for what, version, form in cursor.fetchall() if form == FORMATS.get(what)}


def load(connection: Connection, organization_id: UUID, what: str, version: int) -> Stored:
    """One version with its bytes.

    Raises:
        NotFound: it is not there, or holds no model.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select version, ticket_ids::text[], model, figures from triage_models"
            " where organization_id = %s and what = %s and version = %s and model is not null",
            (organization_id, what, version),
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(f"There is no stored {what} model with the version {version} in this organization.")
    return Stored(row[0], [UUID(ticket_id) for ticket_id in row[1]], bytes(row[2]), row[3])


def read(
    connection: Connection, organization_id: UUID, what: str, version: int, loads: Callable[[bytes], Model]
) -> tuple[Stored, Model] | None:
    """One version and its model, which `loads` makes of the bytes; None where it cannot, as after a step back to an
    older release. Then no process asks for that version again, and it is due to be learnt anew.

    Raises:
        NotFound: it is not there, or holds no model.
    """
    stored = load(connection, organization_id, what, version)
    try:
        return stored, loads(stored.model)
    except ValueError as error:
        logger.warning("triage_model_unreadable", what=what, version=version, reason=str(error))
    with connection.cursor() as cursor:
        cursor.execute(
            "update triage_models set format = %s where organization_id = %s and what = %s and version = %s",
            (UNREADABLE, organization_id, what, version),
        )
    return None


def send_retraining(connection: Connection, organization_id: UUID) -> None:
    """Have triage learnt anew, behind all other jobs: what is due by then, once however often it is asked for."""
    with connection.cursor() as cursor:
        cursor.execute("select send_retraining(%s)", (organization_id,))


def as_labelled_now(connection: Connection, organization_id: UUID, ticket_ids: list[str]) -> Rows:
    """Category, priority, tags and intent, as they are now, of those of these tickets that a person labelled."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("desk.tickets.triage", "labelled_now"), {"organization_id": organization_id, "ids": ticket_ids}
        )
        return {ticket_id: (*labels,) for ticket_id, *labels in cursor.fetchall()}


def due(connection: Connection, organization_id: UUID, what: str) -> bool:
    """Whether enough labels came since the last version, or the active one is of another embedding model or format."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select triage_learning_due(%(organization_id)s, %(what)s) or exists (select from triage_models"
            " where organization_id = %(organization_id)s and what = %(what)s and state = 'active'"
            " and (embed_model, format) <> (%(model)s, %(format)s))",
            {
                "organization_id": organization_id,
                "what": what,
                "model": embedding.model_name(),
                "format": FORMATS[what],
            },
        )
        return bool(cursor.fetchone()[0])  # type: ignore[index]  # one row


def begin(connection: Connection, organization_id: UUID, what: str) -> int:
    """Note that a new version is being fitted; its number. What was being fitted before and never ended is given up."""
    _alone(connection, organization_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "update triage_models set state = 'rejected', reason = %s, fitted_at = now()"
            " where organization_id = %s and what = %s and state = 'building'",
            (STOPPED, organization_id, what),
        )
        cursor.execute(
            "insert into triage_models (organization_id, what, version, state, embed_model, format)"
            " select %(organization_id)s, %(what)s, coalesce(max(version), 0) + 1, 'building', %(model)s, %(format)s"
            " from triage_models where organization_id = %(organization_id)s and what = %(what)s returning version",
            {
                "organization_id": organization_id,
                "what": what,
                "model": embedding.model_name(),
                "format": FORMATS[what],
            },
        )
        return cursor.fetchone()[0]  # type: ignore[index]  # "returning" returns


def end(connection: Connection, organization_id: UUID, judged: Judged) -> bool:
    """Keep what became of a fit, and make it active where that was decided; False where a later fit took its place."""
    key = {"organization_id": organization_id, "what": judged.what}
    _alone(connection, organization_id)
    with connection.cursor() as cursor:
        if judged.state == "active":
            cursor.execute(
                "update triage_models set state = 'retired' where organization_id = %(organization_id)s"
                " and what = %(what)s and state = 'active' and exists (select from triage_models b"
                " where b.organization_id = %(organization_id)s and b.what = %(what)s and b.version = %(version)s"
                " and b.state = 'building')",
                key | {"version": judged.version},
            )
        cursor.execute(
            statement("desk.tickets.triage", "end_triage_model"),
            vars(judged) | key | {"figures": _json(judged.figures), "compared_figures": _json(judged.compared_figures)},
        )
        if cursor.rowcount == 0:
            return False
        cursor.execute(statement("desk.tickets.triage", "forget_triage_models"), key | {"kept": KEPT})
    return True


def listed(connection: Connection, organization_id: UUID, what: str | None = None) -> list[dict[str, Any]]:
    """All versions that are kept, of each question or of one, the newest first, without their bytes.

    Raises:
        InvalidInput: there is no such question.
    """
    if what is not None:
        _check(what)
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            statement("desk.tickets.triage", "triage_models"), {"organization_id": organization_id, "what": what}
        )
        return [dict(row) for row in cursor.fetchall()]


def use(connection: Connection, organization_id: UUID, what: str, version: int) -> None:
    """Make a version that is kept the active one; the one that was is retired.

    Raises:
        InvalidInput: there is no such version, it holds no model, or it is another embedding model's or release's.
    """
    _check(what)
    _alone(connection, organization_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "select state, model is not null, embed_model, format from triage_models"
            " where organization_id = %s and what = %s and version = %s",
            (organization_id, what, version),
        )
        row = cursor.fetchone()
        if row is None:
            raise InvalidInput(
                f"There is no version {version} of the {what} model; `atum tickets triage-models` lists them."
            )
        state, has_model, embed_model, form = row
        if state == "building" or not has_model:
            raise InvalidInput(
                f"Version {version} of the {what} model holds nothing that could be used: it is {state}."
            )
        if embed_model != embedding.model_name():
            raise InvalidInput(
                f"Version {version} was learnt from vectors of {embed_model}; set ATUM_EMBED_MODEL={embed_model}."
            )
        if form != FORMATS[what]:
            raise InvalidInput(
                f"Version {version} of the {what} model is of another release, which wrote it otherwise."
            )
        cursor.execute(
            "update triage_models set state = 'retired' where organization_id = %s and what = %s and state = 'active'",
            (organization_id, what),
        )
        cursor.execute(
            "update triage_models set state = 'active' where organization_id = %s and what = %s and version = %s",
            (organization_id, what, version),
        )
        cursor.execute(
            "insert into audit_log (organization_id, who, action, subject_kind, subject_id, detail)"
            " values (%s, 'person', 'triage_model_used', 'triage_model', %s, %s)",
            (organization_id, f"{what} {version}", Json({"was": state})),
        )


def _check(what: str) -> None:
    if what not in QUESTIONS:
        raise InvalidInput(f"{what[:40]!r} is none of {', '.join(QUESTIONS)}.")


def _alone(connection: Connection, organization_id: UUID) -> None:
    """Nobody else changes which version is what before this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended('triage models ' || %s, 0))", (str(organization_id),)
        )


def _json(figures: dict[str, Any] | None) -> Json | None:
    return None if figures is None else Json(figures)
