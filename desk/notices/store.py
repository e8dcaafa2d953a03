"""What is wanted, in the tables: written as a whole, read as it stands, and what became of each delivery."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, RealDictCursor, execute_values

from desk.errors import InvalidInput
from desk.notices.plan import ways_out
from desk.notices.wanted import KINDS, Wanted
from desk.sql import statement


def put(connection: Connection, organization_id: UUID, wanted: Wanted) -> None:
    """Replace all that an organization wants, in the caller's transaction of it. What already waits or went stays.

    Raises:
        InvalidInput: a webhook is new and has no secret.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select pg_advisory_xact_lock(hashtextextended('notices set ' || %s, 0))", (str(organization_id),)
        )
        cursor.execute("select name, secret from notice_webhooks where organization_id = %s", (organization_id,))
        known = dict(cursor.fetchall())
        webhooks = {
            name: webhook if webhook.secret else replace(webhook, secret=known.get(name))
            for name, webhook in wanted.webhooks.items()
        }
        for place, (name, webhook) in enumerate(webhooks.items(), 1):
            if webhook.secret is None:
                raise InvalidInput(f"webhooks: webhook {place}: secret is missing, and none is stored for {name!r}.")
        cursor.execute(
            statement("desk.notices", "put_settings"),
            {
                "organization_id": organization_id,
                "timezone": wanted.timezone,
                "mail_on": wanted.mail_on,
                "mail_from": wanted.mail_from,
                "mail_kinds": list(wanted.mail_kinds),
                "queue_addresses": list(wanted.queue_addresses),
                "gather_seconds": wanted.gather_seconds,
                "quiet_hours": Json(dict(wanted.quiet.hours)),
                "quiet_holds": list(wanted.quiet.holds),
            },
        )
        for table in ("notice_agents", "notice_webhooks"):
            cursor.execute(f"delete from {table} where organization_id = %s", (organization_id,))  # noqa: S608
        execute_values(
            cursor,
            """insert into notice_agents (organization_id, agent, address, mail_on, mail_kinds, timezone, quiet_hours,
                                          quiet_holds) values %s""",
            [
                (organization_id, name, agent.address, agent.mail_on, _list(agent.kinds), agent.timezone,
                 None if agent.quiet_hours is None else Json(dict(agent.quiet_hours)), _list(agent.quiet_holds))
                for name, agent in wanted.agents.items()
            ],
            template="(%s, %s, %s, %s, %s::text[], %s, %s, %s::text[])",
        )  # fmt: skip
        execute_values(
            cursor,
            "insert into notice_webhooks (organization_id, name, url, secret, kinds, is_on) values %s",
            [
                (organization_id, name, webhook.url, webhook.secret, list(webhook.kinds), webhook.is_on)
                for name, webhook in webhooks.items()
            ],
            template="(%s, %s, %s, %s, %s::text[], %s)",
        )


def shown(connection: Connection, organization_id: UUID) -> dict[str, Any]:
    """The document that would make an organization's settings, without the secrets; {} where nothing was set."""
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute("select * from notice_settings where organization_id = %s", (organization_id,))
        row = cursor.fetchone()
        if row is None:
            return {}
        cursor.execute("select * from notice_agents where organization_id = %s order by agent", (organization_id,))
        agents = cursor.fetchall()
        cursor.execute(
            "select name, url, kinds, is_on from notice_webhooks where organization_id = %s order by name",
            (organization_id,),
        )
        webhooks = cursor.fetchall()
    mail = {
        "from": row["mail_from"],
        "queue": row["queue_addresses"],
        "kinds": row["mail_kinds"],
        "gather_seconds": row["gather_seconds"],
        "on": row["mail_on"],
    }
    return {
        "timezone": row["timezone"],
        "mail": {key: value for key, value in mail.items() if value is not None},
        "quiet_hours": {"hours": row["quiet_hours"], "holds": row["quiet_holds"]},
        "agents": {agent["agent"]: _agent(agent) for agent in agents},
        "webhooks": [{"name": w["name"], "url": w["url"], "kinds": w["kinds"], "on": w["is_on"]} for w in webhooks],
    }


def listed(connection: Connection, organization_id: UUID, limit: int = 50) -> list[dict[str, Any]]:
    """The newest deliveries: what, which way, its state, how often it was tried and what went wrong last.

    States: waiting, sent, dead (a dead letter has its message), dropped (with the reason).
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(statement("desk.notices", "deliveries"), {"organization_id": organization_id, "limit": limit})
        return [dict(row) for row in cursor.fetchall()]


def send_test(connection: Connection, organization_id: UUID, agent: str | None) -> tuple[UUID, list[str]]:
    """Write a notification that says it is a test, for an agent or the queue; it travels as every other does.

    Its id, and where it will go.

    Raises:
        InvalidInput: there is no way out that is switched on; nothing is sent.
    """
    with connection.cursor(cursor_factory=RealDictCursor) as cursor:
        cursor.execute(
            """insert into notifications (organization_id, idempotency_key, kind, recipient)
               values (%s, 'test:' || gen_random_uuid(), 'test', %s) returning id""",
            (organization_id, agent),
        )
        (row,) = cursor.fetchall()
        cursor.execute(statement("desk.notices", "deliverable"), row)
        (notice,) = cursor.fetchall()
    ways = ways_out(notice, notice["at"])
    who = "the queue" if agent is None else repr(agent)
    if not any(way.channel == "mail" for way in ways) and agent is not None:
        raise InvalidInput(
            f"No mail would reach {who}; `atum notices show` tells who wants mail, and whether it is on."
        )
    if not ways:
        raise InvalidInput(f"Neither a mail to {who} nor a webhook is switched on; `atum notices show` tells what is.")
    return row["id"], [f"{way.channel} {way.address}" for way in ways]


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    found = {"address": row["address"], "on": row["mail_on"]}
    if row["mail_kinds"] is not None:
        found["kinds"] = row["mail_kinds"]
    if row["timezone"] is not None:
        found["timezone"] = row["timezone"]
    if row["quiet_hours"] is not None:
        holds = {} if row["quiet_holds"] is None else {"holds": row["quiet_holds"]}
        found["quiet_hours"] = {"hours": row["quiet_hours"], **holds}
    return found


def _list(kinds: tuple[str, ...] | None) -> list[str] | None:
    return None if kinds is None else [kind for kind in KINDS if kind in kinds]
