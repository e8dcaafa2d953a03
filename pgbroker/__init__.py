"""Dramatiq's messages in Postgres.

    broker = PostgresBroker("postgresql://…")
    dramatiq.set_broker(broker)

    with broker.enlist(connection):        # sends commit with the caller's transaction
        actor.send(…)

Stands alone: it imports nothing of the help desk. The schema is in `migrations`, `migrate.migrate(connection)` applies
it, also on the table of dramatiq-pg, which it takes over with its messages.
"""

from pgbroker.broker import PostgresBroker
from pgbroker.errors import (
    AlreadyFinished,
    DatabaseAway,
    LeaseLost,
    MessageRefused,
    MigrationError,
    NotAMessage,
    PgBrokerError,
    ScheduleRefused,
    SchemaMissing,
    UnknownDeadLetter,
    UnknownMessage,
)
from pgbroker.results import PostgresBackend

__all__ = [
    "AlreadyFinished",
    "DatabaseAway",
    "LeaseLost",
    "MessageRefused",
    "MigrationError",
    "NotAMessage",
    "PgBrokerError",
    "PostgresBackend",
    "PostgresBroker",
    "ScheduleRefused",
    "SchemaMissing",
    "UnknownDeadLetter",
    "UnknownMessage",
]
