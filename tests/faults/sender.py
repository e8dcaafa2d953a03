"""A process that sends in every way there is, and says after each what it was promised: `python sender.py`."""

import sys
from typing import Any

import jobs
from dramatiq.message import Message


def promised(*messages: Message[Any]) -> None:
    for message in messages:
        print("promised", message.message_id, message.actor_name, flush=True)


promised(jobs.once.send())
promised(jobs.once.send_with_options(priority=23))
for _ in range(2):
    promised(jobs.plain.send_with_options(unique_key="one of these waits at most"))
promised(*jobs.broker.send_many([jobs.once.message(), jobs.plain.message()]))
if "send_copy" in sys.argv[1:]:
    promised(*jobs.broker.send_many([jobs.plain.message() for _ in range(50)]))
with jobs.transaction() as connection, jobs.broker.enlist(connection):
    joined = jobs.once.send()
promised(joined)
