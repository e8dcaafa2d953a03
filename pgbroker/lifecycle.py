"""Starts and ends a process's engine with Dramatiq's worker."""

from typing import Any

from dramatiq.middleware import Middleware


class Lifecycle(Middleware):
    """Added by the broker itself. The engine begins before the worker's threads and ends after them.

    Adds the actor option `run_at_most`: of its messages with the same `run_key` (an option of the message; the actor's
    name where there is none) so many run at once, in all processes together.
    """

    actor_options = frozenset({"run_at_most"})

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """A worker starts: after a fork, if there was one."""
        broker.start_engine(worker.worker_threads)

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """A worker begins to stop: Dramatiq's consumers run on for a while, but are given nothing more."""
        broker.drain_engine()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """All threads of a worker have ended, or their time is up."""
        broker.stop_engine()
