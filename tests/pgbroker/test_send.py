"""Sending: what arrives, with which transaction, and what is refused."""

import dramatiq
from workers import work_off


def test_a_sent_message_runs_and_leaves_the_queue_as_finished(broker, look):
    ran = []

    @dramatiq.actor(broker=broker)
    def note(text, *, loud=False):
        ran.append((text, loud))

    message = note.send("hello", loud=True)
    assert look.waiting[0]["message"]["args"] == ["hello"]
    work_off(broker)
    assert ran == [("hello", True)]
    assert look.waiting == []
    assert [str(row["message_id"]) for row in look.finished] == [message.message_id]
