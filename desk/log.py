"""Log lines: an event name and its fields, for people (`console`) or for machines (`json`).

`configure` may be called by any process at any time: handlers that Dramatiq or periodiq have installed keep their
stream and get our format, so that every line of every process reads alike. What callers and customers wrote is shown
and does nothing: an escape sequence in a path would reach the terminal of whoever reads the log.
"""

import io
import logging
import sys
from typing import Any, TextIO

import structlog

from desk.settings import settings

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0))}
_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure() -> None:
    """Give every logger of this process the format that `ATUM_LOG_FORMAT` asks for."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings().log_format == "json"
        # Plain tracebacks: the pretty ones print local variables, customers' words among them, and take seconds.
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback)
    )
    # JSON escapes what it must by itself.
    before = structlog.processors.format_exc_info if settings().log_format == "json" else _visible
    tail: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta, before, renderer
    ]  # fmt: skip
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_SHARED, processors=tail)
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
    for handler in root.handlers:
        handler.setFormatter(formatter)
    root.setLevel(settings().log_level)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for `name`: `get(__name__).info("connected_to_database", database="atum")`."""
    return structlog.stdlib.get_logger(name)


def _visible(logger: Any, method: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Texts of a line with their control characters written out; other values are, by their representation."""
    return {name: value.translate(_CONTROLS) if isinstance(value, str) else value for name, value in line.items()}


def _traceback(out: TextIO, error: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    out.write(text.getvalue().translate(_CONTROLS))
