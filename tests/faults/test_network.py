"""The network between a worker and its server breaks while it claims, beats or finishes; it goes on by itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from faults.proxy import Proxy
from faults.trial import SHORT_LEASE_SECONDS, Trial

from desk.embedded import EmbeddedServer

SHORT = 1.0  # seconds: no lease is lost
LONG = SHORT_LEASE_SECONDS + 1.5  # long enough for another to take over


@dataclass(frozen=True)
class Break:
    """`fault` for some seconds, when `statement` comes by."""

    statement: str
    fault: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.fault} for {self.seconds:g} s at {self.statement}"


BREAKS = [
    Break(statement, fault, seconds)
    for fault, seconds in [
        ("hole", SHORT),
        ("hole", LONG),
        ("one way", LONG),
        ("slow", SHORT),
        ("reset", SHORT),
        ("half open", LONG),
        ("silent", LONG),
    ]
    for statement in ("claim", "beat", "finish_done")
]


@pytest.fixture
def play(server: EmbeddedServer) -> Callable[[Trial, Break], None]:
    def play(trial: Trial, one: Break) -> None:
        (database,) = trial.ask("select current_database()")[0]
        with Proxy(server.socket) as proxy:
            cut_off = trial.worker(3, TEST_BROKER_URL=proxy.url(database, "atum_worker"))
            trial.workers_up(1)
            proxy.strike(one.statement, one.fault)
            # An actor's own connection is its own affair: where it is silent for ever, so is the actor.
            actors = ("plain",) if one.fault in ("half open", "silent") else ("once", "plain")
            for number in range(20):
                trial.send(actors[number % len(actors)], 0.05)
            assert proxy.struck.wait(20), f"no {one.statement} came by"
            other = trial.worker(2)
            time.sleep(one.seconds)  # this is the fault, not a wait for something
            proxy.heal()
            trial.finish()
            trial.verdict()
            if one.seconds == SHORT:
                assert trial.total("rescued") == 0, "nobody was away for longer than a lease"
            trial.kill(other)
            for _ in range(6):
                trial.send(actors[0], 0.05)
            trial.finish()
            trial.verdict()
            for line in ("The worker waits for the database", "The claim waits for the database"):
                assert cut_off.lines(line) <= 1, f"it said more than once: {line}"

    return play


@pytest.mark.parametrize("one", BREAKS, ids=str)
def test_a_worker_goes_on_when_the_network_heals(ahead: Callable[..., str], play, one: Break):
    problem = ahead(play, one)
    assert not problem, problem
