"""Results: values, nothing, failures, and how long they last."""

import dramatiq
import pytest
from dramatiq.errors import ActorNotFound
from dramatiq.middleware import SkipMessage
from dramatiq.results import ResultFailure, ResultMissing, Results, ResultTimeout
from workers import until, work_off, working

from pgbroker import DatabaseAway, PostgresBackend, operate


@pytest.fixture
def echo(broker):
    @dramatiq.actor(store_results=True)
    def echo(x):
        return x

    return echo


@pytest.mark.parametrize(
    "value",
    [None, 0, False, "", [], {}, "ü\0😀", 1.5, [1, [2, None]], {"a": {"b": []}}, "x" * 1_000_000],
    ids=lambda value: repr(value)[:12],
)
def test_whatever_json_holds_comes_back(value, broker):
    """No worker for each: the middleware stores it as it does in one."""
    dramatiq.actor(lambda: None, actor_name="some", store_results=True)
    message = dramatiq.Message("default", "some", (), {}, {})
    broker.emit_after("process_message", message, result=value)
    assert message.get_result() == value


def test_a_result_can_be_waited_for(broker, echo):
    message = echo.send({"answer": 42})
    with pytest.raises(ResultMissing):
        message.get_result()
    with pytest.raises(ResultTimeout):
        message.get_result(block=True, timeout=100)
    with working(broker):
        assert message.get_result(block=True, timeout=10_000) == {"answer": 42}
    assert message.get_result(backend=broker.get_results_backend()) == {"answer": 42}


def test_a_failure_is_raised_again_with_the_original_error(broker):
    @dramatiq.actor(store_results=True, max_retries=1)
    def fails():
        raise KeyError("no such ticket")

    message = fails.send()
    work_off(broker)
    with pytest.raises(ResultFailure, match="no such ticket") as failure:
        message.get_result()
    assert failure.value.orig_exc_type == "KeyError"
    assert "no such ticket" in failure.value.orig_exc_msg


def test_no_result_is_there_before_the_retries_end(broker, board):
    runs = []

    @dramatiq.actor(store_results=True, max_retries=3)
    def third_time():
        runs.append(message.get_result() if stored(message) else "none yet")
        if len(runs) < 3:
            raise ValueError
        return "done"

    def stored(message):
        try:
            message.get_result()
        except ResultMissing:
            return False
        return True

    message = third_time.message()
    broker.enqueue(message)
    work_off(broker)
    assert runs == ["none yet"] * 3
    assert message.get_result() == "done"


def test_a_skipped_message_has_no_result_but_one(broker):
    """None where it was only skipped, the failure where it was rejected as well."""

    class Skip(dramatiq.Middleware):
        def before_process_message(self, broker, message):
            if message.kwargs["failed"]:
                message.fail()
            raise SkipMessage("too late")

    @dramatiq.actor(store_results=True)
    def note(failed):
        return "ran"

    broker.add_middleware(Skip())
    skipped, rejected = note.send(failed=False), note.send(failed=True)
    work_off(broker)
    assert skipped.get_result() is None
    with pytest.raises(ResultFailure, match="too late"):
        rejected.get_result()


def test_only_results_that_are_asked_for_are_stored(broker, ask):
    @dramatiq.actor
    def plain():
        return 1

    plain.send()
    by_message = plain.send_with_options(store_results=True)
    work_off(broker)
    assert ask("select message_id::text from pgbroker.results") == [(by_message.message_id,)]


def test_a_result_lasts_for_its_time(broker, echo):
    short = echo.send_with_options(args=(1,), result_ttl=1)
    long = echo.send(2)
    with working(broker):
        assert long.get_result(block=True, timeout=10_000) == 2
        broker.join("default", timeout=5000)
    with pytest.raises(ResultMissing):
        short.get_result()


def test_a_result_that_cannot_be_stored_is_a_failure_that_says_so(broker, board):
    @dramatiq.actor(store_results=True)
    def makes(what):
        return {"set": {1, 2}, "large": "x" * 2_000_000}[what]

    messages = {what: makes.send(what) for what in ("set", "large")}
    work_off(broker)
    assert board.finished == 2
    for what, reason in (("set", "JSON"), ("large", "bytes")):
        with pytest.raises(ResultFailure, match=reason):
            messages[what].get_result()


def test_a_failure_is_told_although_the_database_was_away_when_it_was_stored(broker, monkeypatch):
    """It is stored after the finish, in a hook, and what a hook raises is dropped."""
    execute, refused = broker.connections.execute, []

    def away_once(statement, parameters=None):
        if "insert into pgbroker.results" in statement and not refused:
            refused.append(statement)
            raise DatabaseAway("for a moment")
        return execute(statement, parameters)

    @dramatiq.actor(store_results=True, max_retries=0)
    def fails():
        raise KeyError("no such ticket")

    monkeypatch.setattr(broker.connections, "execute", away_once)
    message = fails.send()
    work_off(broker)
    with pytest.raises(ResultFailure, match="no such ticket"):
        message.get_result(block=True, timeout=5000)
    assert refused


def test_a_run_that_does_not_count_leaves_no_result(broker, board, ask):
    @dramatiq.actor(store_results=True)
    def slow():
        ask("update dramatiq.queue set lease_token = gen_random_uuid()")  # others have it by now
        return "late"

    message = slow.send()
    with working(broker):
        until(lambda: broker.engine.counters["finish_late"] == 1)
    with pytest.raises(ResultMissing):
        message.get_result()


def test_who_waits_for_a_message_that_no_actor_takes_is_told(broker, ask):
    """The worker does not know whether its result is wanted: it has no such actor, or cannot read the message."""
    broker.declare_queue("default")
    unknown = broker.enqueue(dramatiq.Message("default", "nobody", (), {}, {}))
    unread = broker.enqueue(dramatiq.Message("default", "nobody", (), {}, {}))
    ask("update dramatiq.queue set message = '7' where message_id = %s", unread.message_id)
    work_off(broker)
    with pytest.raises(ActorNotFound):
        broker.get_actor("nobody")
    for message, kind, reason in (
        (unknown, "LookupError", "no actor named 'nobody'"),
        (unread, "NotAMessage", "TypeError"),
    ):
        with pytest.raises(ResultFailure, match=reason) as failure:
            message.get_result(block=True, timeout=5000)
        assert failure.value.orig_exc_type == kind


def test_who_waits_for_a_cancelled_message_is_told(broker, echo, ask):
    """Also of one that failed before: that is not why it has no result."""
    cancelled, failed = echo.send(1), echo.send(2)
    ask("update dramatiq.queue set last_error = 'KeyError: x' where message_id = %s", failed.message_id)
    operate.cancel(broker.connections, [cancelled.message_id, failed.message_id])
    for message in (cancelled, failed):
        with pytest.raises(ResultFailure) as failure:
            message.get_result(block=True, timeout=5000)
        assert failure.value.orig_exc_type == "Cancelled"


def test_a_dead_letter_that_is_sent_again_has_no_result_yet(broker, echo, ask):
    message = echo.send("second")
    operate.cancel(broker.connections, [message.message_id])
    broker.enqueue(message)  # under its old id, beside its dead letter
    with pytest.raises(ResultMissing):
        message.get_result()
    with working(broker):
        assert message.get_result(block=True, timeout=10_000) == "second"


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (KeyError("no such ticket"), "KeyError", "'no such ticket'"),
        (DatabaseAway("for a: moment"), "DatabaseAway", "for a: moment"),
        (ValueError(), "ValueError", ""),
        (type("Inner", (Exception,), {"__qualname__": "f.<locals>.Inner"})("two\nlines"), "Inner", "two\nlines"),
    ],
    ids=lambda value: repr(value),
)
def test_a_failure_is_the_same_before_it_is_stored(broker, ask, error, kind, text):
    """It is stored after the finish; who looks in between, or whose worker died there, reads the dead letter."""

    @dramatiq.actor(store_results=True, max_retries=0)
    def fails():
        raise error

    message = fails.send()
    work_off(broker)
    for _ in range(2):
        with pytest.raises(ResultFailure) as failure:
            message.get_result()
        assert (failure.value.orig_exc_type, failure.value.orig_exc_msg) == (kind, text)
        ask("truncate pgbroker.results")


def test_without_a_backend_results_are_refused_clearly(make_broker):
    broker = make_broker(results=False)
    with pytest.raises(RuntimeError, match="backend"):
        broker.get_results_backend()


def test_results_may_be_kept_by_hand(make_broker):
    """The backend is an ordinary one: it goes into Results like any other."""
    broker = make_broker(results=False)
    broker.add_middleware(Results(backend=PostgresBackend(broker.connections), store_results=True))

    @dramatiq.actor
    def echo(x):
        return x

    message = echo.send("by default")
    with working(broker):
        until(lambda: message.get_result(block=True) == "by default")
