"""One log line per request, its id, and an answer for what nobody caught.

The line: event `request_completed` with `duration` (milliseconds), `method`, `path` (without the query,
which may hold what a customer wrote) and `status_code`. The id comes from the caller's X-Request-ID or is made here; it
is on the response, and on every line that is logged while the request is served.
"""

import re
from time import perf_counter
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.metrics import count_request
from desk import log

HEADER = "x-request-id"
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = log.get(__name__)


class RequestLog:
    """The outermost layer: what it does not see did not happen."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _USABLE.fullmatch(given) else uuid4().hex
        status_code = 0

        async def send_noted(message: Message) -> None:
            nonlocal status_code
            if message["type"] == "http.response.start":
                status_code = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_noted)
            except Exception:
                _log.exception("request_failed", method=scope["method"], path=scope["path"])
                if status_code:
                    raise  # the answer has begun; uvicorn cuts the connection, so that nobody takes it for whole
                detail = f"This failed inside the server. Its log tells why under request_id {request_id}."
                await JSONResponse({"detail": detail}, 500)(scope, receive, send_noted)
            finally:
                seconds = perf_counter() - started
                count_request(scope, status_code, seconds)
                _log.info(
                    "request_completed",
                    duration=round(seconds * 1000, 1),
                    method=scope["method"],
                    path=scope["path"],
                    status_code=status_code,
                )
