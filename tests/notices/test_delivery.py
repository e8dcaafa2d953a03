"""From a notification to mails and posts, on real workers, a real mail server and real receivers."""

from uuid import UUID

import pytest
from builders import new_organization
from notice_parts import KIM, SECRET
from post_office import PostOffice
from workers import until, work_off, working

from actors import notices as jobs
from actors import sla
from brokers import broker
from desk import database
from desk.notices import store, webhook
from desk.settings import settings
from pgbroker import dead_letters

STATES = """select d.channel, d.address,
                   case when d.dropped is not null then 'dropped' else coalesce(o.state, 'waiting') end,
                   o.attempts, coalesce(d.dropped, o.error)
              from notification_deliveries d left join dispatches o on o.id = d.dispatch_id
             order by d.created_at, d.channel, d.address"""
LEFT = "select count(*) from dramatiq.queue where state <> 'done'"


def work() -> None:
    work_off(broker, "sla", "notices")


def test_a_notice_reaches_the_inbox_the_mailbox_and_the_webhook_once_each(want, notify, ask, post_office, receiver):
    hook = receiver()
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    notice = notify(metric="resolution")
    work()
    assert ask("select delivered_at is not null from notifications") == [True]
    (mail,) = post_office.mails
    assert (mail["To"], mail["From"]) == ("kim@acme.example", "ATUM Desk <desk@desk.example>")
    assert "The box blinks red" in mail["Subject"]
    ((headers, body),) = hook.posts
    assert str(notice) in body.decode()
    assert ask(STATES) == [("mail", "kim@acme.example", "sent", 1, None), ("webhook", "pager", "sent", 1, None)]
    ids = ask("select id::text from dispatches order by channel")
    assert [mail["Message-ID"], headers["webhook-id"]] == [f"<{ids[0]}@desk.example>", ids[1]]


def test_a_message_that_comes_a_hundred_times_tells_nothing_twice(
    want, notify, ask, organization, post_office, receiver
):
    hook = receiver()
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    notice = notify()
    for _ in range(100):
        sla.deliver_notification.send(str(organization), str(notice))
    work()
    for channel, actor in (("mail", jobs.send_mail), ("webhook", jobs.post_webhook)):
        (dispatch,) = ask("select id::text from dispatches where channel = %s", channel)
        for _ in range(100):
            actor.send(str(organization), dispatch)
    for _ in range(100):
        jobs.gather_mail.send(str(organization), "kim@acme.example", "kim")
    work()
    assert (len(post_office.mails), len(hook.posts)) == (1, 1)
    assert ask("select attempts from notifications") == [101]
    assert ask("select reason from pgbroker.dead_letters") == []


def test_messages_that_come_together_send_one_mail(want, notify, ask, organization, post_office):
    want(mail={}, agents=KIM)
    notify()
    post_office.held.set()
    with working(broker, threads=8):
        until(post_office.holding.is_set, "the mail server has the mail")
        (dispatch,) = ask("select id::text from dispatches")
        for _ in range(20):
            jobs.send_mail.send(str(organization), dispatch)
        until(lambda: ask(LEFT) == [1], "the others have given way")
        assert len(post_office.mails) == 1
        post_office.held.clear()
        until(lambda: ask(LEFT) == [0], "the first is done")
    assert len(post_office.mails) == 1
    assert ask(STATES) == [("mail", "kim@acme.example", "sent", 1, None)]


def test_a_mail_server_that_is_away_loses_nothing_and_holds_up_neither_inbox_nor_webhook(
    want, notify, ask, impatient, post_office, receiver
):
    hook = receiver()
    agents = {name: {"address": f"{name}@acme.example"} for name in ("kim", "ana")}
    want(mail={}, agents=agents, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    post_office.close()
    with working(broker):
        notify("kim", subject="The first")
        until(lambda: ask("select count(*) from dispatches where channel = 'mail' and attempts > 2") == [1], "it tries")
        assert "does not answer" in ask("select error from dispatches where channel = 'mail'")[0]
        for number in range(20):
            notify("kim", subject=f"Number {number}")
            notify("ana", "sla_breach", subject=f"Number {number}")
        until(lambda: ask("select count(*) from notifications where delivered_at is not null") == [41], "all inboxes")
        until(lambda: len(hook.posts) == 41, "all posts")
        post_office.open()
        until(lambda: ask(LEFT) == [0], "all mails have left")
    states = ask("select state from dispatches where channel = 'mail'")
    assert set(states) == {"sent"}
    assert len(post_office.mails) == len(states)
    assert len({mail["Message-ID"] for mail in post_office.mails}) == len(states)
    told = [line for mail in post_office.to("kim@acme.example") for line in mail.get_content().splitlines()]
    assert [sum(line.endswith(f"· Number {n}") for line in told) for n in range(20)] == [1] * 20
    # The first, whose mail was made when the server was away, and all others in one behind it.
    assert len(post_office.to("kim@acme.example")) == 2
    assert "The first" in post_office.to("kim@acme.example")[0]["Subject"]
    assert post_office.to("kim@acme.example")[1]["Subject"] == "20 notices: 20 running out"
    assert ask("select count(*) from pgbroker.dead_letters") == [0]


def test_after_the_last_attempt_it_is_a_dead_letter_that_can_be_sent_again(
    want, notify, ask, impatient, post_office, monkeypatch
):
    monkeypatch.setitem(jobs.send_mail.options, "max_retries", 2)
    want(mail={}, agents=KIM)
    post_office.close()
    notify()
    work()
    ((_, _, state, attempts, error),) = ask(STATES)
    assert (state, attempts) == ("dead", 3)
    assert "does not answer" in error
    ((letter, reason),) = ask("select message_id::text, reason from pgbroker.dead_letters")
    assert reason == "retries exhausted"
    post_office.open()
    dead_letters.retry(broker.connections, [letter])
    work()
    assert ask(STATES) == [("mail", "kim@acme.example", "sent", 4, None)]
    assert len(post_office.mails) == 1


def test_an_address_that_is_refused_is_dead_at_once_and_one_that_is_put_off_is_tried_again(
    want, notify, ask, impatient, post_office
):
    want(mail={}, agents={**KIM, "ana": {"address": "ana@acme.example"}})
    post_office.refusals = {"kim@acme.example": "550 no such user", "ana@acme.example": "451 come back later"}
    notify("kim")
    notify("ana")
    with working(broker):
        until(lambda: ask("select state from dispatches where address like 'kim@%'") == ["dead"], "one is dead")
        until(lambda: ask("select attempts > 2 from dispatches where address like 'ana@%'") == [True], "one goes on")
        del post_office.refusals["ana@acme.example"]
        until(lambda: ask(LEFT) == [0], "all is done")
    ana, kim = sorted(ask(STATES))  # whose delivery was planned first is open
    where = f"127.0.0.1:{post_office.port}"
    told = f"The mail server {where} refuses the address kim@acme.example: 550 no such user"
    assert kim[2:] == ("dead", 1, told)
    assert ana[2] == "sent"
    assert ask("select actor_name, reason, error like '%%550 no such user' from pgbroker.dead_letters") == [
        ("send_mail", "thrown", True)
    ]


def test_without_a_mail_server_the_row_and_the_dead_letter_say_so(want, notify, ask):
    want(mail={}, agents=KIM)
    notify()
    work()
    told = "No mail server is configured (ATUM_SMTP_URL)."
    assert ask(STATES) == [("mail", "kim@acme.example", "dead", 1, told)]
    assert ask("select actor_name, reason, error from pgbroker.dead_letters") == [
        ("send_mail", "thrown", f"desk.errors.DeliveryRefused: {told}")
    ]


def test_a_burst_is_one_mail_to_each_with_the_worst_first(want, notify, ask, impatient, post_office):
    want(mail={"queue": ["duty@acme.example"], "gather_seconds": 1}, agents=KIM)
    for number in range(300):
        notify("kim", "sla_breach" if number % 10 == 0 else "sla_warning", subject=f"Number {number}")
        notify(None, subject=f"Number {number}")
    work()
    (kim,), (queue,) = post_office.to("kim@acme.example"), post_office.to("duty@acme.example")
    assert kim["Subject"] == "300 notices: 30 missed, 270 running out"
    assert queue["Subject"] == "300 notices: 300 running out"
    text = kim.get_content()
    assert text.index("Missed (30)") < text.index("more. The inbox has them all.")
    assert "… and 275 more." in text
    assert {row[2] for row in ask(STATES)} == {"sent"}
    assert len(ask(STATES)) == 600


def test_who_is_switched_off_or_unknown_or_wants_another_kind_gets_no_mail(want, notify, ask, post_office):
    want(
        mail={"kinds": ["sla_warning"]},
        agents={
            "off": {"address": "off@acme.example", "on": False},
            "picky": {"address": "picky@acme.example", "kinds": ["sla_breach"]},
            **KIM,
        },
    )
    for who in ("off", "picky", "kim", "nobody-knows", None):
        notify(who)
    notify("picky", "sla_breach")
    notify("kim", "sla_breach")
    work()
    assert sorted((mail["To"], mail["Subject"].split(":")[0]) for mail in post_office.mails) == [
        ("kim@acme.example", "The deadline is running out"), ("picky@acme.example", "Missed the deadline"),
    ]  # fmt: skip
    assert ask("select count(*) from notifications where delivered_at is not null") == [7]


def test_what_was_switched_off_while_it_waited_is_dropped_with_the_reason(want, notify, ask, post_office, receiver):
    hook = receiver()
    webhooks = [{"name": "pager", "url": hook.url, "secret": SECRET}]
    want(mail={}, agents=KIM, webhooks=webhooks)
    notify()
    with working(broker, queues={"sla"}):
        until(lambda: ask("select count(*) from notification_deliveries") == [2], "it is planned")
    want(mail={}, agents={"kim": {"address": "kim@elsewhere.example"}})
    work()
    assert [row[2:] for row in ask(STATES)] == [
        ("dropped", None, "the settings changed meanwhile"), ("dropped", 1, "the settings changed meanwhile"),
    ]  # fmt: skip
    assert (post_office.mails, hook.posts) == ([], [])


def test_what_was_deleted_while_it_waited_is_dropped(want, notify, ask, impatient, post_office, receiver):
    hook = receiver()
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    post_office.close()
    notice = notify()
    with working(broker, queues={"sla"}):
        until(lambda: ask("select count(*) from notification_deliveries") == [2], "it is planned")
    jobs.gather_mail.send(*ask("select array[organization_id::text, address, agent] from notification_deliveries"
                               " where channel = 'mail'")[0])  # fmt: skip
    with working(broker, queues={"notices"}):
        until(
            lambda: ask("select count(*) from dispatches where error is not null and channel = 'mail'") == [1], "tried"
        )
        ask("delete from notifications where id = %s", notice)
        post_office.open()
        until(lambda: ask(LEFT) == [0], "all is done")
    assert ask("select state, error from dispatches where channel = 'mail'") == [
        ("dropped", "the tickets were deleted meanwhile")
    ]
    assert post_office.mails == []


def test_an_organization_goes_with_all_of_its_notices(want, notify, ask, organization, post_office):
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": "https://hooks.example/", "secret": SECRET}])
    notify()
    with working(broker, queues={"sla"}):
        until(lambda: ask("select count(*) from notification_deliveries") == [2], "it is planned")
    ask("delete from organizations where id = %s", organization)
    for table in ("notice_settings", "notice_agents", "notice_webhooks", "dispatches", "notification_deliveries"):
        assert ask(f"select count(*) from {table}") == [0], table


def test_organizations_tell_only_their_own(want, notify, ask, owner, post_office):
    other = new_organization(owner, "Other")
    want(mail={"from": "acme@acme.example"}, agents=KIM)
    want(of=other, mail={"from": "other@other.example"}, agents={"kim": {"address": "kim@other.example"}})
    notify("kim", subject="Ours")
    notify("kim", of=other, subject="Theirs")
    work()
    assert sorted((mail["From"], mail["To"], "Ours" in mail["Subject"]) for mail in post_office.mails) == [
        ("acme@acme.example", "kim@acme.example", True), ("other@other.example", "kim@other.example", False),
    ]  # fmt: skip


def test_another_organizations_mail_cannot_be_sent(want, notify, ask, owner, post_office):
    want(mail={}, agents=KIM)
    notify()
    work()
    other = new_organization(owner, "Other")
    (dispatch,) = ask("select id::text from dispatches")
    ask("update dispatches set state = 'waiting', ended_at = null, claimed_by = null")
    jobs.send_mail.send(str(other), dispatch)
    jobs.gather_mail.send(str(other), "kim@acme.example", "kim")
    work()
    assert len(post_office.mails) == 1
    assert ask("select error from pgbroker.dead_letters") == [f"desk.errors.NotFound: There is no mail {dispatch}."]


def test_customers_words_make_no_header(want, notify, post_office: PostOffice):
    want(mail={}, agents=KIM)
    notify(subject="Hello\r\nBcc: all@acme.example\r\n\r\nEvil\x07 \u2028body")
    work()
    (mail,) = post_office.mails
    assert mail["Bcc"] is None
    assert "Hello Bcc: all@acme.example Evil body" in mail["Subject"]


@pytest.mark.parametrize(
    "word",
    [
        "=?utf-8?q?Hi=0D=0ABcc:_all@acme.example?=",
        "=?utf-8?b?SGkNCkJjYzogYWxsQGFjbWUuZXhhbXBsZQ==?=",
        "=?us-ascii?q?Hi=0D=0A=0D=0AEvil?=",
        "==?utf-8?q?=0D=0ABcc:_all@acme.example?= =?utf-8?q?=0AX:_y?=",
    ],
)
def test_customers_words_are_not_decoded_into_a_header(word, want, notify, post_office: PostOffice):
    want(mail={}, agents=KIM)
    notify(subject=f"Our box {word} blinks")
    work()
    (mail,) = post_office.mails
    assert set(mail.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
        "Content-Transfer-Encoding",
    }  # fmt: skip
    shown = word.replace("=?", "= ?")
    assert f"Our box {shown} blinks" in mail["Subject"]
    assert f"Our box {word} blinks" in mail.get_content()


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 422])
def test_an_answer_that_will_not_change_is_dead_at_once(status, want, notify, ask, receiver):
    inward = receiver()
    hook = receiver((status, {"location": inward.url}))
    want(webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    notify()
    work()
    ((_, _, state, attempts, error),) = ask(STATES)
    assert (state, attempts, len(hook.posts), inward.posts) == ("dead", 1, 1, [])
    assert f"127.0.0.1 answered {status}" in error
    assert "hush" not in error
    assert ask("select count(*) from pgbroker.dead_letters") == [1]


def test_a_receiver_that_fails_is_tried_again_under_the_same_id(want, notify, ask, impatient, receiver):
    hook = receiver(500, (429, {"retry-after": "1"}), 503, 200)
    want(webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    notify()
    work()
    assert ask(STATES) == [("webhook", "pager", "sent", 4, None)]
    assert len({headers["webhook-id"] for headers, _ in hook.posts}) == 1
    assert len({body for _, body in hook.posts}) == 1


def test_a_receiver_that_hangs_takes_one_thread_and_no_mail_waits_for_it(
    want, notify, ask, impatient, post_office, receiver, monkeypatch
):
    monkeypatch.setattr(webhook, "DEADLINE_SECONDS", 60.0)
    monkeypatch.setattr(webhook, "STEP_TIMEOUT_SECONDS", 60.0)
    slow = receiver()
    slow.answers = [slow.hang]
    want(mail={}, agents=KIM, webhooks=[{"name": "slow", "url": slow.url, "secret": SECRET}])
    with working(broker, threads=2):
        for number in range(10):
            notify(subject=f"Number {number}")
        until(lambda: slow.posts, "the first post hangs")
        until(lambda: [row[2] for row in ask(STATES) if row[0] == "mail"] == ["sent"] * 10, "every mail has left")
        assert len(slow.posts) == 1
        assert ask("select actor_name from dramatiq.queue where state = 'consumed'") == ["post_webhook"]
        slow.answers = [200]
        slow.closing.set()
        until(lambda: ask(LEFT) == [0], "all posts have left")
    assert {row[2] for row in ask(STATES)} == {"sent"}


def test_an_address_inside_is_refused_whatever_an_organization_wants(want, notify, ask, receiver, monkeypatch):
    hook = receiver()
    want(webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    monkeypatch.setenv("ATUM_WEBHOOKS_MAY_REACH", "")
    settings.cache_clear()
    notify()
    work()
    ((_, _, state, _, error),) = ask(STATES)
    assert (state, hook.posts) == ("dead", [])
    assert error.startswith("127.0.0.1 is at 127.0.0.1, which is not on the public internet")


def test_settings_and_deliveries_are_isolated(want, notify, ask, owner, organization: UUID):
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": "https://hooks.example/", "secret": SECRET}])
    notify()
    with working(broker, queues={"sla"}):
        until(lambda: ask("select count(*) from notification_deliveries") == [2], "it is planned")
    other = new_organization(owner, "Other")
    with database.transaction(other) as connection, connection.cursor() as cursor:
        assert store.shown(connection, organization) == {}
        assert store.listed(connection, organization) == []
        for table in ("notice_settings", "notice_agents", "notice_webhooks", "dispatches", "notification_deliveries"):
            cursor.execute(f"select count(*) from {table}")
            assert cursor.fetchone() == (0,), table
