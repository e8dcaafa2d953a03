"""The versions of an organization's rules of priority, in the caller's transaction of it. The newest counts."""

from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor

from desk.errors import NotFound
from desk.tickets.triage import priority_rules
from desk.tickets.triage.priority_rules import SHIPPED, PriorityRules

_kept: dict[UUID, PriorityRules] = {}  # the newest of each organization that this process has met


def put(connection: Connection, organization_id: UUID, document: dict[str, Any]) -> int:
    """Make `document` (as `priority_rules.load` gave it) the newest version; its number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended('triage rules ' || %s, 0))", (str(organization_id),)
        )
        cursor.execute(
            "insert into triage_rules (organization_id, version, document)"
            " select %(organization_id)s, coalesce(max(version), 0) + 1, %(document)s from triage_rules"
            " where organization_id = %(organization_id)s returning version",
            {"organization_id": organization_id, "document": Json(document)},
        )
        return cursor.fetchone()[0]  # type: ignore[index]  # "returning" returns


def newest(connection: Connection, organization_id: UUID) -> PriorityRules:
    """The rules that count; where nothing was set, those that are shipped."""
    with connection.cursor() as cursor:
        cursor.execute("select max(version) from triage_rules where organization_id = %s", (organization_id,))
        (version,) = cursor.fetchone() or (None,)
    if version is None:
        return SHIPPED
    known = _kept.get(organization_id)
    if known is None or known.version != version:
        known = _kept[organization_id] = priority_rules.read(shown(connection, organization_id, version), version)
    return known


def shown(connection: Connection, organization_id: UUID, version: int | None = None) -> dict[str, Any]:
    """The document of a version (None: of the newest); {} where nothing was set.

    Raises:
        NotFound: there is no such version.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select document from triage_rules where organization_id = %(organization_id)s"
            " and (%(version)s::integer is null or version = %(version)s) order by version desc limit 1",
            {"organization_id": organization_id, "version": version},
        )
        row = cursor.fetchone()
    if row is None and version is not None:
        raise NotFound(f"There is no version {version} of the rules; `atum tickets rules list` tells which there are.")
    return row[0] if row else {}


def listed(connection: Connection, organization_id: UUID) -> list[dict[str, Any]]:
    """All versions, the newest first: number, when it was set, how many rules of each kind."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            "select version, set_at, document from triage_rules where organization_id = %s order by version desc",
            (organization_id,),
        )
        rows = cursor.fetchall()
    return [
        {
            "version": row["version"],
            "set_at": row["set_at"],
            "keywords": len(row["document"].get("keywords", [])),
            "vip": len(row["document"].get("vip", {}).get("requesters", [])),
            "outage": len(row["document"].get("outage", [])),
            "security": len(row["document"].get("security", [])),
            "shipped": row["document"].get("shipped", True),
        }
        for row in rows
    ]
