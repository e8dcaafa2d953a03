"""Who may call: with ATUM_API_TOKEN set, whoever names it; without one, this machine alone, and by a name of its own.

A browser on this machine runs pages of anybody's. One whose name leads here by now (DNS rebinding) may read what we
answer it, and is called by that name.

Health and metrics answer everybody: they are for the orchestrator and the scraper, and hold no row of anybody's.
"""

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from desk.errors import SettingsError
from desk.settings import settings

OPEN_PATHS = ("/api/v1/health", "/metrics")


def refuse_open_door() -> None:
    """Do not even start where anybody on the network could write.

    Raises:
        SettingsError: ATUM_WEB_HOST is no loopback address and ATUM_API_TOKEN is not set.
    """
    if settings().api_token is None and not _is_loopback(settings().web_host):
        raise SettingsError(
            f"ATUM_WEB_HOST={settings().web_host} would open the API to the network without a token. "
            "Set ATUM_API_TOKEN, or listen on 127.0.0.1."
        )


class Access:
    """Refuses before the body is read. Without a token it looks at the caller's address as well: `uvicorn --host`
    does not ask `refuse_open_door`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            token = settings().api_token
            if token is None:
                if scope.get("client") and not _is_loopback(scope["client"][0]):
                    detail = "Without ATUM_API_TOKEN only this machine may call. Set it, and name it in the request."
                    await JSONResponse({"detail": detail}, 403)(scope, receive, send)
                    return
                host = Headers(scope=scope).get("host", "")
                if not _is_of_this_machine(host):
                    detail = f"Without ATUM_API_TOKEN call by localhost or an address, not by {host[:80]!r}; or set it."
                    await JSONResponse({"detail": detail}, 403)(scope, receive, send)
                    return
            elif not _names(Headers(scope=scope).get("authorization", ""), token.get_secret_value()):
                detail = "This needs the header `Authorization: Bearer …` with the value of ATUM_API_TOKEN."
                await JSONResponse({"detail": detail}, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _names(authorization: str, token: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    # Compared in a time that does not tell how much of it was right; as bytes, of which headers are read as latin-1:
    # there the last byte of à is a space, too.
    return hmac.compare_digest(given.strip(" \t").encode("latin-1"), token.encode()) and scheme.lower() == "bearer"


def _is_of_this_machine(host: str) -> bool:
    """Whether a Host header is no name that others give out: an address, localhost, a name without a dot, or none."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
