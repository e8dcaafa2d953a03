"""Idle workers are woken; everything works without."""

import os
from time import monotonic

import dramatiq
import psycopg2
import pytest
from workers import until, working

from pgbroker import PostgresBroker
from pgbroker.doorbell import SHORTEST_SECONDS_BETWEEN_RINGS, Doorbell, channel
from pgbroker.engine import Engine
from pgbroker.middleware import Retries


@pytest.fixture
def started(broker):
    """When each message's actor began."""
    began = {}

    @dramatiq.actor(broker=broker)
    def note(number):
        began[number] = monotonic()

    return note, began


def idle(look):
    return look.rows("select from pgbroker.processes where hears_until > now()")


def test_an_idle_worker_begins_within_milliseconds(broker, url, look, started):
    note, began = started
    sender = PostgresBroker(url, middleware=[], results=False)
    took = []
    with working(broker):
        for number in range(5):
            until(lambda: idle(look), "an idle worker that listens")
            sent_at = monotonic()
            sender.enqueue(note.message(number))
            until(lambda number=number: number in began)
            took.append(began[number] - sent_at)
    sender.close()
    # Without the bell the median would be half a pause; one may meet a look of its own or a busy machine.
    assert sorted(took)[2] < 0.15, took


def test_senders_ring_for_a_worker_from_its_first_beat_on(broker, look, started, monkeypatch):
    heard, registered = [], Engine.registered

    def noted(self, line):
        heard.append(bool(idle(look)))
        registered(self, line)

    monkeypatch.setattr(Engine, "registered", noted)
    with working(broker):
        until(lambda: heard)
    assert heard == [True]


def test_a_send_in_a_transaction_rings_for_nobody_until_it_is_told_to(broker, url, look, started):
    note, began = started
    with working(broker):
        until(lambda: idle(look))
        listener = psycopg2.connect(url)
        listener.autocommit = True
        with listener.cursor() as cursor:
            cursor.execute(f"listen {channel('default')}")
        sender = PostgresBroker(url, middleware=[], results=False)
        connection = psycopg2.connect(url)
        with connection, sender.enlist(connection):
            sender.enqueue(note.message(1))
        listener.poll()
        assert not listener.notifies
        sender.ring("default")
        until(lambda: listener.poll() or listener.notifies, "the bell")
        until(lambda: 1 in began)
        connection.close()
        listener.close()
        sender.close()


def test_nobody_rings_where_nobody_listens(broker, look, started):
    note, _ = started
    listener = broker.connections.connect()
    with listener.cursor() as cursor:
        cursor.execute(f"listen {channel('default')}")
    note.send(1)
    broker.ring()
    listener.poll()
    assert not listener.notifies
    listener.close()


def test_without_the_doorbell_polling_finds_everything(url, look):
    quiet = PostgresBroker(url, middleware=[Retries()], results=False, doorbell=False)
    ran = []

    @dramatiq.actor(broker=quiet)
    def note(number):
        ran.append(number)

    with working(quiet):
        until(lambda: look.rows("select from pgbroker.processes where beat_due_at > now()"))
        assert not idle(look)
        note.send(1)
        look.rows("select pgbroker.enqueue('note', '[2]')")
        until(lambda: sorted(ran) == [1, 2])


def test_rings_are_rare(broker):
    calls = []

    class Line:
        def execute(self, statement, parameters=None):
            calls.append(parameters["queues"])
            return []

    bell = Doorbell()
    began = monotonic()
    while len(calls) < 3:
        bell.ring(Line(), ["default"])
    assert monotonic() - began > 2 * SHORTEST_SECONDS_BETWEEN_RINGS
    assert channel("a queue with a very long name " * 9) == channel("a queue with a very long name " * 9)
    assert len(channel("x" * os.getpid())) < 63
