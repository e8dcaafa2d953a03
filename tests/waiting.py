"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str = "the condition holds", timeout_seconds: float = 30) -> T:
    """The first truthy value of `condition`; fails the test, saying `what` was waited for, when it does not come."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {timeout_seconds:g} seconds in vain until {what}"
        time.sleep(0.05)
