"""The largest request body. What is longer is refused as soon as that is known, never held in memory."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 4 * 1024 * 1024
DETAIL = f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MB."


class BodyLimit:
    """Answers 413 from the Content-Length where there is one, else as soon as too much has come."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
            await JSONResponse({"detail": DETAIL}, 413)(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, DETAIL)  # FastAPI lets this one through while it reads
            return message

        await self.app(scope, receive_counted, send)
