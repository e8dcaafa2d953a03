"""Threads share commits; the trouble of one is not the others'."""

from threading import Event, Thread

import dramatiq
import psycopg2
import pytest
from workers import until

from pgbroker.errors import DatabaseAway, MessageRefused
from pgbroker.grouping import Group, Item


class Numbered(Item):
    def __init__(self, number):
        self.number = number


def in_threads(*works):
    outcomes = [None] * len(works)

    def run(place, work):
        try:
            work()
        except BaseException as error:
            outcomes[place] = error

    threads = [Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    return threads, outcomes


def test_who_comes_while_a_lot_is_written_is_in_the_next_one():
    lots, entered, go_on = [], Event(), Event()

    def write(items):
        lots.append(sorted(item.number for item in items))
        if len(lots) == 1:
            entered.set()
            go_on.wait(10)
        for item in items:
            item.written = True

    group = Group(write)
    first, _ = in_threads(lambda: group.submit([Numbered(0)]))
    assert entered.wait(10)
    others, outcomes = in_threads(*(lambda n=n: group.submit([Numbered(n)]) for n in range(1, 6)))
    until(lambda: len(group._turns) == 5)
    go_on.set()
    for thread in first + others:
        thread.join(10)
    assert lots == [[0], [1, 2, 3, 4, 5]]
    assert outcomes == [None] * 5
    assert not group.busy


def test_an_error_reaches_only_those_it_belongs_to():
    def write(items):
        for item in items:
            item.error = MessageRefused("odd") if item.number % 2 else None
            item.written = not item.number % 2

    group = Group(write)
    group.submit([Numbered(2)])
    with pytest.raises(MessageRefused):
        group.submit([Numbered(3)])


def test_an_interrupt_that_hits_the_writer_leaves_the_others_something_to_ask_again():
    entered, go_on, lots = Event(), Event(), []

    class Interrupted(BaseException):
        pass

    def write(items):
        lots.append(len(items))
        if len(lots) == 1:
            entered.set()
            go_on.wait(10)
            for item in items:
                item.written = True
        elif len(lots) == 2:
            raise Interrupted
        else:
            for item in items:
                item.written = True

    group = Group(write)
    first, _ = in_threads(lambda: group.submit([Numbered(0)]))
    assert entered.wait(10)
    others, outcomes = in_threads(*(lambda n=n: group.submit([Numbered(n)]) for n in range(1, 4)))
    until(lambda: len(group._turns) == 3)
    go_on.set()
    for thread in first + others:
        thread.join(10)
    assert sorted(type(outcome) for outcome in outcomes if not isinstance(outcome, DatabaseAway)) == [Interrupted]
    assert sum(isinstance(outcome, DatabaseAway) for outcome in outcomes) == 2
    group.submit([Numbered(9)])  # and the pen is free


def test_eight_senders_share_commits_and_lose_nothing(broker, look):
    @dramatiq.actor(broker=broker)
    def note(number):
        pass

    def send():
        for number in range(50):
            note.send(number)

    (before,) = look.rows("select xact_commit from pg_stat_database where datname = current_database()")
    threads, outcomes = in_threads(*[send] * 8)
    for thread in threads:
        thread.join(30)
    assert outcomes == [None] * 8
    assert len(look.waiting) == 400
    broker.close()  # a backend reports what it did when it ends

    def commits():
        look.rows("select pg_stat_clear_snapshot()")
        (after,) = look.rows("select xact_commit from pg_stat_database where datname = current_database()")
        return after["xact_commit"] - before["xact_commit"]

    assert 0 < until(commits) < 400


def test_a_send_that_waits_for_a_transaction_holds_up_nobody(broker, url, look):
    @dramatiq.actor(broker=broker)
    def note(number):
        pass

    other = psycopg2.connect(url)
    with broker.enlist(other):
        note.send_with_options(args=(0,), unique_key="same")
    threads, outcomes = in_threads(lambda: note.send_with_options(args=(1,), unique_key="same"))
    until(lambda: look.rows("select from pg_locks where not granted"), "the wait")
    note.send(2)
    assert len(look.waiting) == 1
    other.commit()
    threads[0].join(10)
    other.close()
    assert outcomes == [None]
    assert sorted(row["message"]["args"][0] for row in look.waiting) == [0, 2]
