"""The worker of the knowledge base, which dies at one of the desk's own statements: `dramatiq kb_worker -Q kb`.

A point is `statement:place` as in `points`; the statement is named by its first words.
"""

import os
import re

from faults import points

WORD = re.compile(r"\w+")
WORDS = 8


class Statements:
    """Names what a connection of the desk's executes; of the broker's, which have points of their own, nothing."""

    def __init__(self, connection) -> None:
        self._is_desks = (connection.info.parameter_status("application_name") or "").startswith("atum:")

    def name_of(self, text: str | bytes) -> str | None:
        if not self._is_desks:
            return None
        text = text.decode() if isinstance(text, bytes) else text  # many rows at once come as bytes
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
        words = WORD.findall(" ".join(lines).partition(" values ")[0])[:WORDS]
        # Each transaction begins with the same words: the statement that follows is its point.
        return None if words[:2] == ["select", "set_config"] else "-".join(words)


if "POINTS_SEEN" in os.environ:
    points.install(Statements)

from desk.settings import settings  # noqa: E402

settings.cache_clear()  # those of the process that forked this one

import actors.kb  # noqa: E402, F401  connections are watched from here on
from brokers import broker  # noqa: E402

broker._lease_seconds = float(os.environ["TEST_LEASE_SECONDS"])
