"""The two peers that are no Dramatiq: pgqueuer and procrastinate, both asynchronous."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from bench.place import Place


class PgQueuerQueue:
    """pgqueuer on one asyncpg connection."""

    def __init__(self, place: Place, job: Callable[[int], None] | None) -> None:
        import uvloop

        self._place = place
        self._job = job
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._queries: Any = None

    def install(self) -> None:
        """Make its schema."""
        self._loop.run_until_complete(self._opened().install())

    def send(self, number: int) -> None:
        self._loop.run_until_complete(self._opened().enqueue("job", str(number).encode()))

    def send_later(self, number: int, delay_ms: int) -> None:
        delay = timedelta(milliseconds=delay_ms)
        self._loop.run_until_complete(self._opened().enqueue("job", str(number).encode(), execute_after=delay))

    def send_all(self, numbers: Sequence[int]) -> None:
        names, payloads = ["job"] * len(numbers), [str(number).encode() for number in numbers]
        self._loop.run_until_complete(self._opened().enqueue(names, payloads, [0] * len(numbers)))

    def work(self, threads: int) -> None:
        self._loop.run_until_complete(self._work())

    async def _work(self) -> None:
        import asyncpg
        from pgqueuer import PgQueuer
        from pgqueuer.db import AsyncpgDriver
        from pgqueuer.models import Job

        queuer, run = PgQueuer(AsyncpgDriver(await asyncpg.connect(self._place.url))), self._job

        @queuer.entrypoint("job")
        async def job(message: Job) -> None:
            run(int(message.payload))

        await queuer.run()

    def _opened(self) -> Any:
        if self._queries is None:
            import asyncpg
            from pgqueuer.db import AsyncpgDriver
            from pgqueuer.queries import Queries

            self._queries = Queries(AsyncpgDriver(self._loop.run_until_complete(asyncpg.connect(self._place.url))))
        return self._queries


class ProcrastinateQueue:
    """procrastinate: senders on its synchronous connector, workers on its asynchronous one."""

    def __init__(self, place: Place, job: Callable[[int], None] | None) -> None:
        self._place = place
        self._job = job
        self._task: Any = None

    def install(self) -> None:
        """Make its schema."""
        self._opened().app.schema_manager.apply_schema()

    def send(self, number: int) -> None:
        self._opened().defer(number=number)

    def send_later(self, number: int, delay_ms: int) -> None:
        self._opened().configure(schedule_in={"milliseconds": delay_ms}).defer(number=number)

    def send_all(self, numbers: Sequence[int]) -> None:
        self._opened().batch_defer(*({"number": number} for number in numbers))

    def work(self, threads: int) -> None:
        from procrastinate import PsycopgConnector

        async def run() -> None:
            task = self._declared(PsycopgConnector(conninfo=self._place.url))
            async with task.app.open_async():
                await task.app.run_worker_async(concurrency=threads, install_signal_handlers=False)

        asyncio.run(run())

    def _opened(self) -> Any:
        if self._task is None:
            from procrastinate import SyncPsycopgConnector

            self._task = self._declared(SyncPsycopgConnector(conninfo=self._place.url))
            self._task.app.open()
        return self._task

    def _declared(self, connector: Any) -> Any:
        from procrastinate import App

        app = App(connector=connector)
        run = self._job

        @app.task(name="job")
        async def job(number: int) -> None:
            run(number)

        job.app = app
        return job
