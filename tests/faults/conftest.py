"""Real `dramatiq` and `periodiq` processes, to be killed, stopped and cut off."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from builders import fresh_database
from faults.nursery import Nursery
from faults.trial import SHORT_LEASE_SECONDS, Trial
from waiting import until

from app.install import install
from desk.embedded import EmbeddedServer

AT_ONCE = 6  # attempts that are made at the same time


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """What starts the processes of these tests."""
    nursery = Nursery()
    yield nursery
    nursery.end()


@pytest.fixture
def make_trial(nursery: Nursery, tmp_path: Path) -> Iterator[Callable[..., Trial]]:
    """A trial on the database at an owner's URL; processes use `url`. All ends with the test, which shows what the
    processes said when it fails."""
    made: list[Trial] = []

    def make(owner_url: str, url: str | None = None, **more: Any) -> Trial:
        made.append(Trial(nursery, owner_url, url or owner_url, tmp_path / str(len(made)), **more))
        return made[-1]

    yield make
    for trial in made:
        trial.end()
        print(trial.said())


@pytest.fixture
def trial(make_trial: Callable[..., Trial], server: EmbeddedServer, database_name: str) -> Trial:
    """A trial on the test's own database."""
    return make_trial(server.url(database=database_name), server.url(user="atum_worker", database=database_name))


@pytest.fixture
def short_trial(make_trial: Callable[..., Trial], server: EmbeddedServer, database_name: str) -> Trial:
    """The same with a short lease, on a server that is up for longer than that: only then does anybody rescue."""
    trial = make_trial(
        server.url(database=database_name),
        server.url(user="atum_worker", database=database_name),
        lease_seconds=SHORT_LEASE_SECONDS,
    )
    settle(trial)
    return trial


def settle(trial: Trial) -> None:
    up = f"select from pg_postmaster_start_time() s where s < now() - {SHORT_LEASE_SECONDS} * interval '1 s'"
    until(lambda: trial.ask(up), "the server is up for longer than a lease")


@pytest.fixture
def processes(trial: Trial) -> Trial:
    """What starts processes on the test's own database."""
    return trial


@pytest.fixture
def ask(trial: Trial) -> Callable[..., list[tuple[Any, ...]]]:
    """Run a statement as superuser."""
    return lambda statement, *parameters: trial.ask(statement, parameters or None)


@pytest.fixture(scope="module")
def ahead(
    server: EmbeddedServer,
    nursery: Nursery,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Callable[[Trial, Any], None], Any], str]]:
    """`ahead(play, one)` does `play(trial, one)`, for a test's parameter `one`, on a database of its own; what went
    wrong comes back as text. Those whose turn it would be next are done at the same time: they mostly wait."""
    folder = tmp_path_factory.mktemp("ahead")
    done: dict[Any, Future[str]] = {}

    def do(play: Callable[[Trial, Any], None], one: Any) -> str:
        with fresh_database(server) as name:
            urls = server.url(database=name), server.url(user="atum_worker", database=name)
            trial = Trial(nursery, *urls, folder / name, lease_seconds=SHORT_LEASE_SECONDS)
            try:
                settle(trial)
                play(trial, one)
            except AssertionError as error:
                return f"{error}\n{trial.said()}"
            finally:
                trial.end()
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:

        def outcome(play: Callable[[Trial, Any], None], one: Any) -> str:
            items = [item for item in request.session.items if item.module is request.module]
            wanted = [item.callspec.params["one"] for item in items if "ahead" in item.fixturenames]
            place = wanted.index(one)
            for each in wanted[place : place + AT_ONCE]:
                if each not in done:
                    done[each] = pool.submit(do, play, each)
            return done[one].result()

        yield outcome


@pytest.fixture
def own_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """A server of this test's own, durable as in production, without any schema; its options may be a parameter."""
    with tempfile.TemporaryDirectory(prefix="atum-faults-", ignore_cleanup_errors=True) as home:
        Path(home).chmod(0o755)
        server = EmbeddedServer(Path(home), getattr(request, "param", ()))
        server.attach()
        yield server
        server.stop()
        server.detach()


@pytest.fixture
def own_trial(own_server: EmbeddedServer, make_trial: Callable[..., Trial]) -> Trial:
    """A trial on that server."""
    install(own_server.url())
    return make_trial(own_server.url(), lease_seconds=SHORT_LEASE_SECONDS)
