"""The FastAPI application: which routes, and what every request passes through on its way to them.

From the outside in: the request log (sees everything, answers for what nobody caught), access, the limit of the body,
the routes. Nothing here needs Dramatiq: what the API sends, triggers send; only the bell (`app.bell`) is the broker's.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from app import bell
from app.web import articles, errors, health, metrics, notifications, offers, search, sla, tickets
from app.web.access import Access, refuse_open_door
from app.web.body_limit import BodyLimit
from app.web.request_log import RequestLog
from desk import database, log
from desk.errors import DeskError


def build() -> FastAPI:
    """The application, ready to be served.

    Raises:
        SettingsError: a setting cannot be used, or the API would be open to everybody.
    """
    refuse_open_door()
    _configure_logging()
    # No /docs: its page takes scripts from elsewhere, which could do all that a caller from this machine may do.
    api = FastAPI(
        title="ATUM Desk", version=version("atum-desk-workers"), lifespan=_lifespan, docs_url=None, redoc_url=None
    )
    for module in (health, tickets, offers, articles, search, sla, notifications, metrics):
        api.include_router(module.router)
    errors.register(api)
    api.add_middleware(BodyLimit)
    api.add_middleware(Access)
    api.add_middleware(RequestLog)
    return api


@asynccontextmanager
async def _lifespan(api: FastAPI) -> AsyncIterator[None]:
    api.state.startup = health.Startup()
    try:
        await run_in_threadpool(database.url)  # starts the embedded server where it is the one, and holds it
    except DeskError as error:
        log.get(__name__).warning("database_unavailable", reason=str(error))  # it may come; health is red until then
    api.state.startup.warm_up()
    yield
    await run_in_threadpool(bell.close)
    await run_in_threadpool(database.close)


def _configure_logging() -> None:
    """One format for all lines; uvicorn's own line per request gives way to `request_completed`."""
    log.configure()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True
