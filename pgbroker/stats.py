"""What is in the queues at the moment, for people and dashboards. Takes a broker's `connections`."""

from typing import Any

from pgbroker.connections import Connections
from pgbroker.statements import sql


def queues(connections: Connections) -> list[dict[str, Any]]:
    """Each queue that anybody knows: waiting (due now), scheduled (due later), running, oldest_seconds (the longest
    wait of a due message; None where none waits), paused_since (None where it is not), processes (living ones that
    serve it)."""
    return connections.records(sql("queues"))


def by_actor(connections: Connections) -> list[dict[str, Any]]:
    """Per queue and actor: waiting, scheduled, running and oldest_seconds as in `queues`, and of what is still kept:
    finished, retried, dead. Reads all that is kept: for people, not for every few seconds."""
    return connections.records(sql("stats"))


def processes(connections: Connections) -> list[dict[str, Any]]:
    """The worker processes: host, pid, queues, started_at, beat_seconds_ago, running."""
    return connections.records(sql("processes"))
