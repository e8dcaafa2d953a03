"""What is in the queues at the moment, for people and dashboards. Takes a broker's `connections`."""

from typing import Any

from pgbroker.connections import Connections
from pgbroker.statements import sql


def by_actor(connections: Connections) -> list[dict[str, Any]]:
    """Per queue and actor: waiting (due now), scheduled (due later), running, oldest_seconds (the longest wait of a due
    message; None where none waits), and of what is still kept: finished, retried, dead."""
    return connections.records(sql("stats"))


def processes(connections: Connections) -> list[dict[str, Any]]:
    """The worker processes: host, pid, queues, started_at, beat_seconds_ago, running."""
    return connections.records(sql("processes"))
