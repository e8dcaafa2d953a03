"""Real `periodiq` processes: two of them make one tick a minute, and SIGTERM ends them with status 0."""

import signal

from workers import until


def test_two_schedulers_make_one_tick_a_minute_and_end_cleanly(processes, ask):
    schedulers = [processes.start("periodiq", "jobs") for _ in range(2)]
    until(lambda: ask("select from pgbroker.slots"), "the first tick")
    ((first,),) = ask("select max(slot_at) from pgbroker.slots")
    until(lambda: ask("select from pgbroker.slots where slot_at > %s", first), "the next minute", timeout_seconds=75)
    for scheduler in schedulers:
        scheduler.send_signal(signal.SIGTERM)
    assert [scheduler.wait(10) for scheduler in schedulers] == [0, 0]
    ticks = ask("select slot_at, message_id from pgbroker.slots")
    messages = ask("select message_id from dramatiq.queue where actor_name = 'tick'")
    assert {row[1] for row in ticks} == {row[0] for row in messages}
    assert len(messages) == len(ticks) == len({row[0] for row in ticks})
    (late,) = ask("select extract(epoch from max(sent_at) - max(slot_at))::float from pgbroker.slots")[0]
    assert late < 3


def test_a_killed_scheduler_that_comes_back_in_the_same_minute_sends_nothing_twice(processes, ask):
    for _ in range(3):
        scheduler = processes.start("periodiq", "jobs")
        until(lambda scheduler=scheduler: "Registered periodic" in scheduler.log.read_text(), "the start")
        until(lambda: ask("select from pgbroker.slots"), "a tick")
        processes.kill(scheduler)
    assert ask("select count(*) from pgbroker.slots") == ask("select count(*) from dramatiq.queue")
    assert ask("select count(*) - count(distinct slot_at) from pgbroker.slots") == [(0,)]
