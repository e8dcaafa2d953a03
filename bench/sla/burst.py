"""One of the workers that share a burst, in a process of its own."""

import time
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg2

from desk.sla.sweep import record


def record_burst(url: str, at: datetime, together: Any) -> tuple[int, float, float]:
    """Record what is due when all have come; how many crossings, and when it began and ended (monotonic seconds)."""
    with closing(psycopg2.connect(url)) as connection:
        together.wait()
        began = time.monotonic()
        return len(record(connection, at)), began, time.monotonic()
