"""What the SLA tests stand on: a desk with a policy, and the messages that wait."""

from collections.abc import Callable
from uuid import UUID

import pytest
from psycopg2.extensions import connection as Connection
from sla_desk import POLICY, Desk

pytest.register_assert_rewrite("sla_comparing")


@pytest.fixture
def desk(owner: Connection, organization: UUID) -> Desk:
    """Acme's help desk with the standard policy: Berlin office hours, resolution of a medium ticket in four hours."""
    found = Desk(owner, organization)
    found.publish(POLICY)
    return found


@pytest.fixture
def messages(owner: Connection) -> Callable[[str], list[list]]:
    """The arguments of the waiting messages of an actor."""

    def waiting(actor: str) -> list[list]:
        with owner.cursor() as cursor:
            cursor.execute(
                "select message -> 'args' from dramatiq.queue where actor_name = %s order by created_at, seq", (actor,)
            )
            return [row[0] for row in cursor.fetchall()]

    return waiting
