"""How people reach the desk: the HTTP API and the `atum` command.

`uvicorn app:api` serves. The API is made when it is asked for, so that the command does not pay for importing it.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

    api: FastAPI


def __getattr__(name: str) -> Any:
    if name != "api":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from app.web.application import build
    from desk.errors import DeskError

    try:
        globals()["api"] = build()
    except DeskError as error:
        sys.exit(f"atum: {error}")  # one line where uvicorn would show a traceback
    return globals()["api"]
