"""Dramatiq's encoder may be replaced, by one that makes JSON."""

import base64
import json
from datetime import date

import dramatiq
import pytest
from dramatiq.encoder import Encoder, PickleEncoder
from workers import work_off

from pgbroker import MessageRefused


class DatesEncoder(Encoder):
    """JSON with dates."""

    def encode(self, data):
        return json.dumps(data, default=lambda value: {"date": value.isoformat()}).encode()

    def decode(self, data):
        return json.loads(
            data, object_hook=lambda value: date.fromisoformat(value["date"]) if set(value) == {"date"} else value
        )


class WrappingEncoder(Encoder):
    """JSON that shows nothing of what it holds, as one that encrypts does."""

    def encode(self, data):
        return json.dumps({"wrapped": base64.b64encode(json.dumps(data).encode()).decode()}).encode()

    def decode(self, data):
        return json.loads(base64.b64decode(json.loads(data)["wrapped"]))


@pytest.fixture
def use():
    before = dramatiq.get_encoder()
    yield dramatiq.set_encoder
    dramatiq.set_encoder(before)


@pytest.mark.parametrize(("encoder", "day"), [(DatesEncoder(), date(2024, 2, 29)), (WrappingEncoder(), "a day")])
def test_an_encoder_that_makes_json_is_used_for_messages_retries_pipelines_and_results(
    use, make_broker, board, encoder, day
):
    use(encoder)
    broker = make_broker(
        dramatiq.middleware.Pipelines(), dramatiq.middleware.CurrentMessage(),
        dramatiq.middleware.Retries(max_retries=1, min_backoff=1), results=True,
    )  # fmt: skip
    seen = []

    @dramatiq.actor(store_results=True)
    def second_time(x, *, y):
        options = dramatiq.middleware.CurrentMessage.get_current_message().options
        seen.append((x, y, options["colour"], options.get("retries")))
        if len(seen) == 1:
            raise ValueError
        return y

    @dramatiq.actor(store_results=True)
    def ends(x, y):
        return [x, y]

    first = second_time.message_with_options(args=(1,), kwargs={"y": day}, colour=[day])
    pipe = first | ends.message(day)
    pipe.run()
    work_off(broker)
    assert seen == [(1, day, [day], None), (1, day, [day], 1)]
    assert pipe.get_result() == [day, day]
    assert (board.finished, board.reasons) == (2, [])


@pytest.mark.parametrize("encoder", [DatesEncoder(), WrappingEncoder()])
def test_a_dead_letter_of_such_an_encoder_can_be_revived(use, make_broker, board, ask, encoder):
    from pgbroker import dead_letters

    use(encoder)
    broker = make_broker(dramatiq.middleware.Retries(max_retries=1, min_backoff=1))
    seen = []

    @dramatiq.actor
    def third_time(x):
        seen.append(x)
        if len(seen) < 3:
            raise ValueError

    third_time.send("argument")
    work_off(broker)
    assert board.reasons == ["rejected"]
    ((message_id,),) = ask("select message_id::text from pgbroker.dead_letters")
    dead_letters.retry(broker.connections, [message_id])
    work_off(broker)
    assert (seen, board.finished) == (["argument"] * 3, 1)


def test_pickle_is_refused_in_one_clear_line(use, broker, board):
    use(PickleEncoder())

    @dramatiq.actor
    def note():
        pass

    for send in (note.send, lambda: broker.send_many([note.message()])):
        with pytest.raises(MessageRefused, match="JSON") as refused:
            send()
        assert "\n" not in str(refused.value)
    assert board.waiting == 0
