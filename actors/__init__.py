"""The jobs. An actor takes ids, calls the desk, returns; rules live in `desk`, delivery lives in `pgbroker`."""

from actors import kb, notices, sla, tickets, upkeep

__all__ = ["kb", "notices", "sla", "tickets", "upkeep"]
