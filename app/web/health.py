"""GET /api/v1/health: is everything there that the desk needs? 200, or 503 with the reason for each part.

Each part is `ok`, `starting` (not there yet, and it is too early to expect it), `off` (not to be had here; the rest
works) or `red`. It looks at the database with a connection of its own, so that a pool without a free one does not make
the API look dead, and answers within seconds when the database does not.
"""

from threading import Lock, Thread
from time import monotonic, perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from app.glance import BEAT_LOST_SECONDS, glance
from desk import log
from desk.errors import DatabaseUnavailable, ModelUnavailable
from desk.kb import embedding, model
from desk.sql import statement

TICK_LATE_SECONDS = 180
QUEUE_STUCK_SECONDS = 300
STARTING_SECONDS = 90  # after the API's start: within them a scheduler that starts with it has ticked

router = APIRouter(prefix="/api/v1")
Part = dict[str, Any]


class Startup:
    """What this process has got ready since it started: the model, which search needs in here."""

    def __init__(self) -> None:
        self.started = monotonic()
        self.model_loaded = False
        self._loading = Lock()

    @property
    def fresh(self) -> bool:
        """Whether it is too early to expect that others have shown themselves."""
        return monotonic() - self.started < STARTING_SECONDS

    def warm_up(self) -> None:
        """Load the model in the background, unless that is being done."""
        if not self._loading.locked():
            Thread(target=self._load, name="warm-up", daemon=True).start()

    def _load(self) -> None:
        with self._loading:
            try:
                embedding.warm_up()
                self.model_loaded = True
            except ModelUnavailable as error:
                log.get(__name__).warning("model_unavailable", reason=str(error))


@router.get("/health")
def health(request: Request, response: Response) -> dict[str, Any]:
    """The state of each part, and of all."""
    startup: Startup = request.app.state.startup
    parts, has_vector = _database()
    parts |= _broker(startup)
    parts["model"] = _model(startup, has_vector)
    states = {part["status"] for part in parts.values()}
    status = next((state for state in ("red", "starting") if state in states), "ok")
    response.status_code = 503 if status == "red" else 200
    response.headers["Cache-Control"] = "no-store"
    return {"status": status, **parts}


def _database() -> tuple[dict[str, Part], bool | None]:
    began = perf_counter()
    try:
        with glance() as cursor:
            cursor.execute("""
                select current_setting('server_version') as version,
                       exists (select from pg_extension where extname = 'vector') as has_vector""")
            row: Any = cursor.fetchone()
    except DatabaseUnavailable as error:
        return {"database": _part("red", str(error))}, None
    milliseconds = (perf_counter() - began) * 1000
    return {"database": _part("ok", f"Postgres {row['version']} answered in {milliseconds:.0f} ms")}, row["has_vector"]


def _broker(startup: Startup) -> dict[str, Part]:
    try:
        with glance(broker=True) as cursor:
            cursor.execute(statement("app.web", "pulse"), {"beat_lost_seconds": BEAT_LOST_SECONDS})
            pulse: Any = cursor.fetchone()
    except DatabaseUnavailable as error:
        unknown = _part("red", f"Not known, its database cannot be asked. {error}")
        return {"queue": unknown, "scheduler": unknown}
    return {
        "queue": _queue(pulse["processes"], pulse["head_waits_seconds"] or {}, pulse["paused"], startup.fresh),
        "scheduler": _scheduler(pulse["last_tick_age_seconds"], startup.fresh),
    }


def _queue(processes: int, head_waits_seconds: dict[str, float], paused: list[str], fresh: bool) -> Part:
    stuck = {name: wait for name, wait in head_waits_seconds.items() if wait > QUEUE_STUCK_SECONDS}
    if processes == 0:
        if fresh:
            return _part("starting", "No worker process has shown itself yet.")
        return _part("red", f"No worker process has beaten for {BEAT_LOST_SECONDS} seconds. Start one.")
    if stuck:
        worst = max(stuck, key=stuck.__getitem__)
        detail = (
            f"Queue {worst}: the next message in line has waited {stuck[worst]:.0f} seconds. Does a worker serve it?"
        )
        return _part("starting" if fresh else "red", detail)
    on_purpose = f" Paused: {', '.join(paused)}." if paused else ""
    return _part("ok", f"{processes} worker {'process beats' if processes == 1 else 'processes beat'}.{on_purpose}")


def _scheduler(age_seconds: float | None, fresh: bool) -> Part:
    if age_seconds is not None and age_seconds <= TICK_LATE_SECONDS:
        return _part(
            "ok", f"The last tick was {age_seconds:.0f} seconds ago.", last_tick_age_seconds=round(age_seconds)
        )
    found = "There was no tick yet" if age_seconds is None else f"The last tick was {age_seconds:.0f} seconds ago"
    if fresh:
        return _part("starting", f"{found}; the API has just started, a tick is due within the minute.")
    return _part("red", f"{found}. Start `periodiq brokers schedules`.")


def _model(startup: Startup, has_vector: bool | None) -> Part:
    if has_vector is False:
        return _part("off", "The database has no pgvector: search is by words alone. Install it, then run `atum init`.")
    if startup.model_loaded:
        return _part("ok", f"{embedding.model_name()} is loaded.")
    try:
        directory = model.locate()
    except ModelUnavailable as error:
        return _part("red", str(error))
    startup.warm_up()
    return _part("starting", f"{embedding.model_name()} is being loaded from {directory}.")


def _part(status: str, detail: str, **more: Any) -> Part:
    return {"status": status, "detail": detail, **more}
