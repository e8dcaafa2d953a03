"""Every refusal is one clear line: `{"detail": "…"}` with the status that fits."""

import psycopg2
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from desk.database import LOST, NO_SCHEMA
from desk.errors import DatabaseUnavailable, DeskError, InvalidInput, ModelUnavailable, NotFound, Outdated

_STATUS: dict[type[Exception], int] = {
    NotFound: 404,
    Outdated: 409,
    InvalidInput: 422,
    DatabaseUnavailable: 503,
    ModelUnavailable: 503,
}


def register(api: FastAPI) -> None:
    """Teach `api` to answer each kind of error."""
    api.add_exception_handler(DeskError, _desk)
    api.add_exception_handler(RequestValidationError, _validation)
    for kinds, handler in (
        (LOST, _database_away),
        (NO_SCHEMA, _no_schema),
        # The last is of the kind of LOST: what is too long for an index is no outage.
        ((psycopg2.DataError, psycopg2.IntegrityError, psycopg2.errors.ProgramLimitExceeded), _refused_by_database),
    ):
        for kind in kinds:
            api.add_exception_handler(kind, handler)


def _desk(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"detail": str(error)}, status)


def _validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    first = problems[0]
    # ("body", "subject") → body.subject; the value itself stays out: it may be long, or private.
    where = ".".join(str(part) for part in first["loc"])
    what = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        where, what = "body", f"is not JSON at character {first['loc'][-1]}: {first['ctx']['error']}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return JSONResponse({"detail": f"{where}: {what}{more}"}, 422)


def _database_away(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "The database went away while this was done; nothing was changed. Try again."}, 503)


def _no_schema(request: Request, error: Exception) -> JSONResponse:
    missing = str(error).strip().splitlines()[0]
    return JSONResponse({"detail": f"The schema is not complete ({missing}). Run `atum init`, or `atum doctor`."}, 503)


def _refused_by_database(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"The database refuses this: {str(error).strip().splitlines()[0]}."}, 422)
