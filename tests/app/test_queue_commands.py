"""`atum queues` and `atum messages`: the broker's commands on the desk's own broker."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer
from dramatiq.message import Message
from typer.testing import CliRunner

from app.commands import queue
from brokers import broker
from pgbroker import UnknownMessage, operate

app = typer.Typer()
queue.register(app)


@pytest.fixture
def atum(database_name: str) -> Iterator[Callable[..., Any]]:
    """Run a command on the test's database; its outcome."""

    def atum(*arguments: str, code: int = 0) -> Any:
        outcome = CliRunner().invoke(app, list(arguments))
        assert outcome.exit_code == code, outcome.output
        return outcome

    yield atum
    broker.close()


def test_the_list_needs_no_verb(atum: Callable[..., Any]):
    broker.enqueue(Message("tickets", "triage_ticket", (), {}, {}))
    for arguments in (("queues",), ("queues", "list")):
        rows = json.loads(atum(*arguments, "--json").stdout)
        assert [(row["queue"], row["waiting"], row["paused_since"]) for row in rows] == [("tickets", 1, None)]
        assert "tickets" in atum(*arguments).stdout


def test_pause_and_resume(atum: Callable[..., Any]):
    atum("queues", "pause", "tickets")
    assert list(operate.paused(broker.connections)) == ["tickets"]
    assert json.loads(atum("queues", "resume", "tickets", "--json").stdout)["paused_since"] is None
    assert operate.paused(broker.connections) == {}


def test_cancel(atum: Callable[..., Any]):
    message_id = broker.enqueue(Message("tickets", "triage_ticket", (), {}, {})).message_id
    assert f"{message_id} cancelled" in atum("messages", "cancel", message_id).stdout
    wrong = atum("messages", "cancel", message_id, code=1)
    assert isinstance(wrong.exception, UnknownMessage)
    assert "is a dead letter" in str(wrong.exception)
    atum("messages", "cancel", code=2)


def test_every_verb_explains_itself(atum: Callable[..., Any]):
    for verb in ("queues", "queues pause", "queues resume", "messages cancel", "dead retry", "stats"):
        assert "Usage" in atum(*verb.split(), "--help").stdout
