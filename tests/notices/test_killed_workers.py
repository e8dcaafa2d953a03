"""Worker processes that are killed while mails and posts leave: nothing is lost, and what comes twice has one id."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter

from notice_parts import SECRET
from workers import until

LEFT = "select count(*) from dramatiq.queue where state <> 'done'"


def worker() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dramatiq", "brokers", "actors", "-p", "1", "-t", "4", "-Q", "sla", "notices"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **quiet, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_between_the_servers_taking_it_and_our_knowing_it_a_mail_comes_twice_with_one_id(
    want, notify, ask, post_office
):
    want(mail={}, agents={"kim": {"address": "kim@acme.example"}})
    until(lambda: ask("select pg_postmaster_start_time() < now() - interval '16 s'") == [True], "rescues begin")
    notify("kim", subject="The first")
    post_office.held.set()
    first = worker()
    until(post_office.holding.is_set, "the mail server has it", timeout_seconds=60)
    kill(first)
    notify("kim", subject="The second")
    post_office.held.clear()
    second = worker()
    until(lambda: ask(LEFT) == [0], "all is done", timeout_seconds=60)
    kill(second)
    subjects = Counter((mail["Message-ID"], mail["Subject"].split(": ")[-1]) for mail in post_office.mails)
    assert sorted((subject, count) for (_, subject), count in subjects.items()) == [("The first", 2), ("The second", 1)]
    assert ask("select state, attempts from dispatches order by created_at") == [("sent", 2), ("sent", 1)]
    assert ask("select count(*) from pgbroker.dead_letters") == [0]


def test_under_a_hail_of_kills_every_notice_is_told_by_every_way(want, notify, ask, post_office, receiver):
    seed = random.randrange(10**9)
    print("seed", seed)
    dice = random.Random(seed)
    hook = receiver()
    agents = {f"agent {number}": {"address": f"a{number}@acme.example"} for number in range(20)}
    want(mail={}, agents=agents, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    until(lambda: ask("select pg_postmaster_start_time() < now() - interval '16 s'") == [True], "rescues begin")
    notices = {str(notify(agent, subject=f"No. {number} of {agent}.")) for agent in agents for number in range(10)}
    deaths = 0
    while ask(LEFT) != [0]:
        goal = len(hook.posts) + len(post_office.mails) + dice.randrange(10, 60)
        process = worker()
        until(
            lambda goal=goal: len(hook.posts) + len(post_office.mails) >= goal or ask(LEFT) == [0],
            "some leave",
            timeout_seconds=60,
        )
        kill(process)
        deaths += 1
    print(deaths, "were killed")
    assert deaths >= 3
    assert ask("select reason, error from pgbroker.dead_letters") == []
    # The database: each notice once in the inbox, one delivery each way, every mail and post sent.
    assert ask("select count(*) from notifications where delivered_at is not null") == [200]
    assert ask("select channel, count(*) from notification_deliveries group by 1 order by 1") == [
        ("mail", 200), ("webhook", 200),
    ]  # fmt: skip
    assert ask("select distinct state from dispatches") == ["sent"]
    # The world: each notice told, and what came twice known by its id.
    posts = {(headers["webhook-id"], body) for headers, body in hook.posts}
    assert len(posts) == 200
    assert all(sum(notice in body.decode() for _, body in posts) == 1 for notice in list(notices)[:20])
    mails = {mail["Message-ID"]: mail.get_content() for mail in post_office.mails}
    assert len(mails) == ask("select count(*) from dispatches where channel = 'mail'")[0]
    told = "\n".join([*mails.values()])
    assert {told.count(f"No. {number} of {agent}.") for agent in agents for number in range(10)} == {1}
    print(len(hook.posts) - 200, "posts and", len(post_office.mails) - len(mails), "mails came twice")
