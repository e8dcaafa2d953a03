"""Looks at everything that the desk needs, and says for each what was found and what to do.

`ok`, `warn` (it works, but not all of it or not for long) or `fail` (it does not work). Looks only: an embedded server
that has data is started for the look, and nothing else is.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from app.glance import BEAT_LOST_SECONDS, glance
from app.install import pending
from app.web.health import QUEUE_STUCK_SECONDS, TICK_LATE_SECONDS
from desk import database, language_model
from desk.errors import DatabaseUnavailable, DeliveryFailed, ModelUnavailable, SettingsError
from desk.kb import model
from desk.language_model import LanguageModelFailed
from desk.notices import mail
from desk.settings import settings
from desk.sql import statement

SCARCE_BYTES = 5 * 1024**3
TOO_LITTLE_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do unless it is `ok`."""

    check: str
    status: Literal["ok", "warn", "fail"]
    found: str
    do: str = ""


def examine() -> list[Finding]:
    """Every check, in the order in which one would mend things. After a failed one, what depends on it is left out."""
    try:
        settings()
    except SettingsError as error:
        return [Finding("settings", "fail", str(error), "Correct it.")]
    findings = [Finding("settings", "ok", f"ATUM_HOME is {settings().home}"), *_disk()]
    database_findings = list(_database())
    findings += database_findings
    if database_findings[-1].status == "ok":
        for check in (_schema, _roles, _vector, _workers, _scheduler, _mail, _language_model, _dead_letters):
            findings += _guarded(check)
    return [*findings, *_model()]


def _guarded(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except DatabaseUnavailable as error:
        return [Finding(check.__name__.strip("_").replace("_", " "), "fail", str(error), "See the line on the schema.")]


def _database() -> Iterator[Finding]:
    server = database.embedded()
    try:
        if server is not None and not (server.data / "PG_VERSION").exists():
            yield Finding("database", "fail", "The embedded Postgres has no data yet.", "Run `atum init`.")
            return
        where = database.url()  # starts the embedded server where it is the one
        connection = database.connect(where)
    except (DatabaseUnavailable, OSError) as error:
        yield Finding("database", "fail", str(error), "Start it, or correct ATUM_HOME or ATUM_DATABASE_URL.")
        return
    version = connection.get_parameter_status("server_version")
    connection.close()
    place = "the embedded one" if server is not None else f"at {database.describe(where)}"
    yield Finding("database", "ok", f"Postgres {version}, {place}")


def _schema() -> Iterator[Finding]:
    with glance() as cursor:
        left = pending(cursor)
    waiting = {name: extension for name, extension in left.items() if extension}
    if len(waiting) < len(left):
        names = ", ".join(name for name in left if name not in waiting)
        yield Finding("schema", "fail", f"Not applied yet: {names}.", "Run `atum init`.")
    elif waiting:
        found = ", ".join(f"{name} waits for {extension}" for name, extension in waiting.items())
        yield Finding("schema", "warn", found, "Install the extension, then run `atum init`.")
    else:
        yield Finding("schema", "ok", "Every step is applied.")


def _roles() -> Iterator[Finding]:
    login = _one("login")
    if login["worker_bypasses"]:
        do = "alter role atum_worker nosuperuser nobypassrls;"
        yield Finding("row-level security", "fail", "atum_worker bypasses it: organizations see each other's rows.", do)
    elif login["everybody_creates"]:
        found = "Every login of the server may make functions in the schema public, and have ours run them."
        yield Finding("row-level security", "warn", found, "revoke create on schema public from public;")
    elif login["login_bypasses"]:
        found = f"The login {login['login']} bypasses it; the desk acts as atum_worker, so only mistakes would show."
        do = "Let ATUM_DATABASE_URL name a login that is a member of atum_worker only; keep this one in ATUM_OWNER_URL."
        yield Finding("row-level security", "warn", found, do)
    else:
        yield Finding("row-level security", "ok", f"It binds the login {login['login']} and the role atum_worker.")


def _vector() -> Iterator[Finding]:
    if _one("login")["has_vector"]:
        yield Finding("pgvector", "ok", "It is there.")
    else:
        do = "Install it (postgresql-17-pgvector, say), then run `atum init`."
        yield Finding("pgvector", "warn", "The database has none: search is by words alone.", do)


def _workers() -> Iterator[Finding]:
    pulse = _pulse()
    processes, head_waits_seconds = pulse["processes"], pulse["head_waits_seconds"] or {}
    with glance(broker=True) as cursor:
        cursor.execute(statement("app", "unserved_queues"), {"beat_lost_seconds": BEAT_LOST_SECONDS})
        unserved = [row["queue_name"] for row in cursor.fetchall()]
    stuck = [name for name in unserved if head_waits_seconds.get(name, 0) > QUEUE_STUCK_SECONDS]
    names = ", ".join(stuck or unserved)
    start = "Start `atum up`, or the worker units (deploy/README.md)."
    if stuck:
        found = f"Nobody serves {names}, where messages have waited more than {QUEUE_STUCK_SECONDS} seconds."
        yield Finding("workers", "fail", found, start)
    elif processes == 0:
        yield Finding("workers", "warn", "No worker process runs.", start)
    elif unserved:
        yield Finding("workers", "warn", f"{processes} run, but none serves {names}.", start)
    else:
        yield Finding("workers", "ok", f"{processes} run and serve every queue.")
    if pulse["paused"]:
        found = f"{', '.join(pulse['paused'])}: what is sent there waits."
        yield Finding("paused queues", "warn", found, "`atum queues resume NAME`, when the reason is gone.")


def _scheduler() -> Iterator[Finding]:
    pulse = _pulse()
    age_seconds = pulse["last_tick_age_seconds"]
    if age_seconds is not None and age_seconds <= TICK_LATE_SECONDS:
        yield Finding("scheduler", "ok", f"The last tick was {age_seconds:.0f} seconds ago.")
        return
    found = "It has never ticked." if age_seconds is None else f"The last tick was {age_seconds:.0f} seconds ago."
    # While nothing runs at all it is no fault of the scheduler's; while workers run, SLA clocks go unwatched.
    late = pulse["processes"] > 0 and age_seconds is not None
    yield Finding("scheduler", "fail" if late else "warn", found, "Start `periodiq brokers schedules`, or `atum up`.")


def _mail() -> Iterator[Finding]:
    with glance() as cursor:
        cursor.execute("select notices_want_mail() as organizations")
        row: Any = cursor.fetchone()
    if not row["organizations"]:
        return
    wanted = f"Organizations that want mail: {row['organizations']}"
    try:
        where = mail.server()
        mail.probe(where)
    except DeliveryFailed as error:
        do = "Correct ATUM_SMTP_URL or start the server; then `atum dead list` and `atum dead retry`."
        yield Finding("mail", "fail", f"{wanted}. {error}", do)
        return
    yield Finding("mail", "ok", f"{wanted}; {where} answers.")


def _language_model() -> Iterator[Finding]:
    with glance() as cursor:
        cursor.execute("select organizations_want_llm() as organizations")
        row: Any = cursor.fetchone()
    wanted = f"Organizations that want it: {row['organizations']}"
    if not (settings().llm_url or row["organizations"]):
        return
    try:
        yield Finding("language model", "ok", f"{language_model.probe()} answers. {wanted}.")
    except LanguageModelFailed as error:
        do = "Correct ATUM_LLM_URL, ATUM_LLM_MODEL or ATUM_LLM_API_KEY, or start it. Jobs go on without it."
        yield Finding("language model", "warn", f"{error} {wanted}.", do)


def _dead_letters() -> Iterator[Finding]:
    with glance(broker=True) as cursor:
        cursor.execute("select count(*) as letters, min(died_at) as oldest from pgbroker.dead_letters")
        row: Any = cursor.fetchone()
    if row["letters"]:
        found = f"{row['letters']}, the oldest of {row['oldest']:%Y-%m-%d %H:%M}."
        yield Finding("dead letters", "warn", found, "`atum dead list` shows why; then retry or discard them.")
    else:
        yield Finding("dead letters", "ok", "None.")


def _model() -> Iterator[Finding]:
    try:
        yield Finding("model", "ok", f"{settings().embed_model} in {model.locate()}")
    except ModelUnavailable as error:
        yield Finding("model", "fail", str(error), "Run `atum model fetch`.")


def _disk() -> Iterator[Finding]:
    folder = next(path for path in (settings().home, *settings().home.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    status: Literal["ok", "warn", "fail"] = (
        "fail" if free < TOO_LITTLE_BYTES else "warn" if free < SCARCE_BYTES else "ok"
    )
    yield Finding("disk", status, f"{free / 1024**3:.1f} GB free in {folder}", "" if status == "ok" else "Make room.")


def _one(name: str) -> Any:
    with glance() as cursor:
        cursor.execute(statement("app", name))
        return cursor.fetchone()


def _pulse() -> Any:
    with glance(broker=True) as cursor:
        cursor.execute(statement("app.web", "pulse"), {"beat_lost_seconds": BEAT_LOST_SECONDS})
        return cursor.fetchone()
