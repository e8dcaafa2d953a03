"""What shows how notices fare: the doctor, the figures, and the end of what was kept long enough."""

import re
from uuid import UUID

import pytest
from builders import new_organization
from fastapi.testclient import TestClient
from notice_parts import KIM, SECRET
from workers import until, work_off, working

from actors import sla
from app import doctor
from app.web.application import build
from brokers import broker
from desk import database
from desk.errors import SettingsError
from desk.settings import settings
from desk.sla.notifications import deliver
from desk.upkeep import retention


def mail_finding() -> list[tuple[str, str]]:
    return [(finding.status, finding.found) for finding in doctor.examine() if finding.check == "mail"]


def test_the_doctor_looks_at_the_mail_server_where_mails_are_wanted(
    want, owner, organization, post_office, monkeypatch
):
    assert mail_finding() == []
    want(webhooks=[{"name": "pager", "url": "https://hooks.example/", "secret": SECRET}], agents=KIM)
    assert mail_finding() == []
    want(mail={}, agents=KIM)
    want(of=new_organization(owner, "Other"), mail={"queue": ["duty@other.example"]})
    ((status, found),) = mail_finding()
    assert (status, found) == ("ok", f"Organizations that want mail: 2; 127.0.0.1:{post_office.port} answers.")
    post_office.close()
    ((status, found),) = mail_finding()
    assert status == "fail"
    assert "does not answer" in found
    monkeypatch.delenv("ATUM_SMTP_URL")
    settings.cache_clear()
    told = "Organizations that want mail: 2. No mail server is configured (ATUM_SMTP_URL)."
    assert mail_finding() == [("fail", told)]


def test_the_figures_tell_what_waits_and_what_ended(want, notify, ask, post_office, receiver):
    hook = receiver(200, 410)
    want(mail={}, agents=KIM, webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET}])
    notify()
    work_off(broker, "sla", "notices")
    notify()
    with working(broker, queues={"sla"}):
        until(lambda: ask("select count(*) from notification_deliveries") == [4], "the second is planned")
    ask("update dispatches set created_at = now() - interval '90 s' where state = 'waiting'")
    with TestClient(build(), base_url="http://localhost", client=("127.0.0.1", 50000)) as client:
        lines = re.findall(r"^(atum_notices\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
        got = {name: float(value) for name, value in lines}
        assert got['atum_notices_waiting{channel="mail"}'] == 1
        assert got['atum_notices_waiting{channel="webhook"}'] == 1
        assert 90 <= got['atum_notices_oldest_waiting_age_seconds{channel="webhook"}'] < 120
        assert got['atum_notices_oldest_waiting_age_seconds{channel="mail"}'] < 60
        assert got['atum_notices_last_5_minutes{channel="mail",outcome="sent"}'] == 1
        work_off(broker, "sla", "notices")
        lines = re.findall(r"^(atum_notices\S+) (\S+)$", client.get("/metrics").text, re.MULTILINE)
    got = {name: float(value) for name, value in lines}
    assert got['atum_notices_last_5_minutes{channel="webhook",outcome="dead"}'] == 1
    assert got['atum_notices_waiting{channel="mail"}'] == 0
    assert got['atum_notices_oldest_waiting_age_seconds{channel="mail"}'] == 0


def test_what_ended_long_ago_goes_and_is_not_told_again(want, notify, ask, owner, organization: UUID, post_office):
    other = new_organization(owner, "Other")
    want(mail={}, agents=KIM)
    want(of=other, mail={}, agents=KIM)
    old, new, theirs = notify(), notify(), notify(of=other)
    work_off(broker, "sla", "notices")
    assert len(post_office.mails) in (2, 3)
    ask("delete from notification_deliveries where notification_id = %s", new)
    ask("update dispatches set ended_at = now() - interval '31 days'")
    ours = ask("select count(*) from dispatches where organization_id = %s", organization)[0]
    assert retention.clean_up(organization).deliveries == ours
    assert ask("select notification_id from notification_deliveries") == [theirs]
    mails = len(post_office.mails)
    sla.deliver_notification.send(str(organization), str(old))
    work_off(broker, "sla", "notices")
    assert len(post_office.mails) == mails
    ask("update notifications set created_at = now() - interval '366 days' where id in %s", (old, theirs))
    assert retention.clean_up(organization).notifications == 1
    assert set(ask("select id from notifications")) == {new, theirs}


def test_what_waits_is_never_cleaned_away(want, notify, ask, organization: UUID, post_office):
    want(mail={}, agents=KIM)
    post_office.close()
    notify()
    with working(broker):
        until(lambda: ask("select count(*) from dispatches where error is not null") == [1], "it was tried")
    ask("update dispatches set created_at = now() - interval '400 days'")
    ask("update notification_deliveries set created_at = now() - interval '400 days'")
    assert retention.clean_up(organization).deliveries == 0
    assert ask("select state from dispatches") == ["waiting"]


def test_a_notice_that_is_still_to_leave_outlives_the_end_of_the_inbox(
    want, notify, ask, organization: UUID, post_office
):
    want(mail={}, agents=KIM)
    ask("update organization_settings set keep_events_days = 1")
    held, carried, told = notify(subject="held"), notify(subject="carried"), notify(subject="told")
    with database.transaction(organization) as connection:
        for notice in (held, carried, told):
            deliver(connection, notice)
    two_days = "now() - interval '2 days'"
    ask(f"update notifications set created_at = {two_days}")
    ask(
        f"update notification_deliveries set created_at = {two_days}, held_until = now() + interval '1 day'"
        " where notification_id = %s",
        held,
    )
    ask("update notification_deliveries set dropped = 'resolved meanwhile' where notification_id = %s", told)
    ask(
        """with mail as (insert into dispatches (organization_id, channel, address, agent)
                         select %s, 'mail', 'kim@acme.example', 'kim' returning id)
           update notification_deliveries set dispatch_id = (select id from mail) where notification_id = %s""",
        organization,
        carried,
    )
    retention.clean_up(organization)
    assert set(ask("select id from notifications")) == {held, carried}
    ask("update dispatches set state = 'sent', ended_at = now()")
    ask("update notification_deliveries set held_until = now() where notification_id = %s", held)
    work_off(broker, "sla", "notices")
    assert ["held" in mail["Subject"] for mail in post_office.mails] == [True]
    retention.clean_up(organization)
    assert ask("select id from notifications") == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ATUM_SMTP_URL", "http://u:hunter22@x"),
        ("ATUM_SMTP_URL", "smtp://u:hunter22@x?starttls=no"),
        ("ATUM_MAIL_FROM", "hunter22"),
        ("ATUM_WEBHOOKS_MAY_REACH", "10.0.0.0/99"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    settings.cache_clear()
    with pytest.raises(SettingsError, match=f"^{variable} cannot be used: ") as refused:
        settings()
    assert "\n" not in str(refused.value)
    assert "hunter22@" not in str(refused.value)
