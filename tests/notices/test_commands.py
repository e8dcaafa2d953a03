"""`atum notices`: a document replaces all that is wanted, or nothing; secrets stay inside; a test travels as all do."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import new_organization
from notice_parts import KIM, SECRET
from typer.testing import CliRunner
from workers import work_off

from app.commands.notices import app
from brokers import broker
from desk.errors import InvalidInput
from desk.notices.document import load, read
from desk.notices.reach import Reach
from desk.sla.hours import WEEKDAYS

EVERYTHING = {
    "timezone": "Europe/Berlin",
    "mail": {
        "from": "Acme <help@acme.example>",
        "queue": ["duty@acme.example"],
        "kinds": ["sla_breach", "sla_warning"],
        "gather_seconds": 5,
        "on": True,
    },
    "quiet_hours": {"hours": {"mon": [["20:00", "07:00"]]}, "holds": ["sla_warning"]},
    "agents": {
        "ana": {"address": "ana@acme.example", "on": False, "kinds": ["sla_breach"], "timezone": "Europe/Lisbon"},
        "kim": {"address": "kim@acme.example", "on": True, "quiet_hours": {"hours": {"sat": [["00:00", "24:00"]]},
                                                                         "holds": ["sla_breach", "sla_warning"]}},
    },
    "webhooks": [{"name": "pager", "url": "https://hooks.acme.example/desk", "secret": SECRET, "kinds": ["sla_breach"],
                  "on": True}],
}  # fmt: skip


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--org", "Acme", "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path):
    def write(document: Any) -> str:
        path = tmp_path / "notices.json"
        path.write_text(json.dumps(document))
        return str(path)

    return write


def test_what_was_set_is_shown_without_secrets_and_can_be_set_again(organization, file, ask, post_office):
    set_now = run("set", file(EVERYTHING))
    assert set_now.pop("warnings") == []
    shown = run("show")
    webhooks = [{key: value for key, value in EVERYTHING["webhooks"][0].items() if key != "secret"}]
    assert shown == set_now == EVERYTHING | {"webhooks": webhooks}
    run("set", file(shown))
    assert ask("select secret from notice_webhooks") == [SECRET]
    assert run("show") == shown
    human = CliRunner().invoke(app, ["show", "--org", "Acme"], catch_exceptions=False).stdout
    assert "duty@acme.example" in human
    assert "whsec_" not in human


def test_a_document_replaces_all_of_the_one_before(organization, file, owner, ask):
    other = new_organization(owner, "Other")
    run("set", file(EVERYTHING))
    CliRunner().invoke(app, ["set", file(EVERYTHING), "--org", "Other"], catch_exceptions=False)
    assert run("set", file({}))["agents"] == {}
    assert run("show")["webhooks"] == []
    assert run("show")["mail"]["on"] is False
    assert ask("select organization_id from notice_agents") == [other, other]


def test_without_anything_set_it_says_so(organization):
    assert run("show") == {}
    assert "inbox alone" in CliRunner().invoke(app, ["show", "--org", "Acme"], catch_exceptions=False).stdout


def test_what_is_most_likely_not_meant_is_a_warning(organization, file, monkeypatch):
    monkeypatch.delenv("ATUM_MAIL_FROM")
    from desk.settings import settings

    settings.cache_clear()
    warnings = run("set", file({"mail": {}, "agents": KIM}))["warnings"]
    assert [warning.split(".")[0] for warning in warnings] == [
        "No mail server is configured (ATUM_SMTP_URL)",
        "No sender is configured (ATUM_MAIL_FROM, or mail",
        "mail",
    ]


def test_a_test_goes_to_the_agent_and_every_webhook_and_is_listed(organization, want, ask, post_office, receiver):
    hook = receiver()
    want(mail={"queue": ["duty@acme.example"]}, agents=KIM,
         webhooks=[{"name": "pager", "url": hook.url, "secret": SECRET, "kinds": ["sla_breach"]}])  # fmt: skip
    made = run("test", "--agent", "kim")
    assert made["ways"] == ["mail kim@acme.example", "webhook pager"]
    run("test")
    work_off(broker, "sla", "notices")
    assert sorted(mail["To"] for mail in post_office.mails) == ["duty@acme.example", "kim@acme.example"]
    assert {mail["Subject"] for mail in post_office.mails} == {"A test notice from Acme"}
    assert json.loads(hook.posts[0][1])["type"] == "test"
    rows = run("list")
    assert {(row["channel"], row["state"], row["attempts"]) for row in rows} == {
        ("mail", "sent", 1),
        ("webhook", "sent", 1),
    }
    assert made["notification_id"] in {row["notification_id"] for row in rows}
    assert "kim@acme.example" in CliRunner().invoke(app, ["list", "--org", "Acme"], catch_exceptions=False).stdout


REFUSALS = [
    ([], "the document: it must be an object with timezone, mail"),
    ({"mails": {}}, "'mails' is unknown; known are timezone"),
    ({"timezone": "Berlin"}, "timezone: 'Berlin' is no IANA time zone"),
    ({"mail": {"from": "x"}}, "mail: from: 'x' is no mail address"),
    ({"mail": {"from": "A <a@b.c>\r\nBcc: x@y.z"}}, "mail: from: "),
    ({"mail": {"queue": "duty@x.y"}}, "mail: queue: it must be a list"),
    ({"mail": {"queue": ["duty"]}}, "mail: queue: 'duty' is no mail address"),
    ({"mail": {"kinds": ["sla_warning", "sms"]}}, "mail: kinds: 'sms' is none of sla_breach, sla_esc"),
    ({"mail": {"gather_seconds": -1}}, "mail: gather_seconds: -1 is no whole number"),
    ({"mail": {"gather_seconds": True}}, "mail: gather_seconds: True is no whole number"),
    ({"mail": {"on": "yes"}}, "mail: on must be true or false"),
    ({"mail": {"from": "=?utf-8?q?Acme=0D=0ABcc=3A?= <help@acme.example>"}}, "mail: from: '=?utf-8?q?Acme"),
    ({"quiet_hours": {}}, "quiet_hours: hours is missing" ),
    ({"quiet_hours": {"hours": {"monday": []}}}, "quiet_hours: hours: 'monday' is unknown"),
    ({"quiet_hours": {"hours": {"mon": [["20:00", "25:00"]]}}}, "'25:00' is no time of day"),
    ({"quiet_hours": {"hours": {"mon": [["20:00", "22:00"], ["21:00", "23:00"]]}}}, "overlaps"),
    ({"quiet_hours": {"hours": {day: [["00:00", "24:00"]] for day in WEEKDAYS}}},
     "quiet_hours: they never end"),
    ({"agents": []}, "agents: it must be an object"),
    ({"agents": {"kim": {}}}, "agents: kim: address"),
    ({"agents": {"kim": {"address": "kim@x.y\nBcc: a@b.c"}}}, "agents: kim: address: "),
    ({"agents": {"kim": {"address": "kim@x.y", "timezone": 7}}}, "agents: kim: timezone"),
    ({"agents": {"": {"address": "kim@x.y"}}}, "agents: '' is no name"),
    ({"webhooks": {}}, "webhooks: it must be a list"),
    ({"webhooks": [{"url": "https://a.b/"}]}, "webhooks: webhook 1: name is missing"),
    ({"webhooks": [{"name": "a", "url": "ftp://a.b/"}]}, "webhook 1: url: it must begin with https://"),
    ({"webhooks": [{"name": "a", "url": "https://u:p@a.b/"}]}, "webhook 1: url: it must hold no user"),
    ({"webhooks": [{"name": "a", "url": "https://127.0.0.1/"}]}, "not on the public internet"),
    ({"webhooks": [{"name": "a", "url": "https://[::ffff:10.0.0.1]/"}]}, "not on the public internet"),
    ({"webhooks": [{"name": "a", "url": "http://8.8.8.8/"}]}, "only https:// leaves"),
    ({"webhooks": [{"name": "a", "url": "https://a.b/", "secret": "hunter22"}]}, "1: secret: it must be whsec_"),
    ({"webhooks": [{"name": "a", "url": "https://a.b/", "secret": "whsec_aGk="}]}, "1: secret: it must be whsec_"),
    ({"webhooks": [{"name": "a", "url": "https://a.b/"}] * 2}, "webhook 2: the name 'a' is there twice"),
    ({"webhooks": [{"name": "a", "url": "https://a.b/", "allow_private": True}]}, "'allow_private' is unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "told"), REFUSALS, ids=[told[:50] for _, told in REFUSALS])
def test_a_document_that_cannot_be_meant_is_refused_in_one_line_that_names_the_place(document, told):
    with pytest.raises(InvalidInput) as refused:
        read(document, Reach())
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "hunter22" not in str(refused.value)


def test_a_refused_document_changes_nothing(organization, file, ask, tmp_path):
    run("set", file(EVERYTHING))
    before = run("show")
    atum = str(Path(sys.executable).with_name("atum"))
    for document in ({"mail": {"queue": ["duty"]}}, {"webhooks": [{"name": "new", "url": "https://a.b/"}]}):
        outcome = subprocess.run(
            [atum, "notices", "set", file(document), "--org", "Acme"], capture_output=True, text=True, timeout=60
        )
        assert outcome.returncode == 1
        assert outcome.stderr.startswith("atum: ")
        assert outcome.stderr.count("\n") == 1
        assert run("show") == before
    assert "secret is missing, and none is stored for 'new'" in outcome.stderr


def test_the_document_in_the_docs_is_taken_as_it_stands():
    text = (Path(__file__).parents[2] / "docs" / "sla.md").read_text("utf-8")
    (example,) = [block for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"webhooks"' in block]
    wanted = read(load(example.replace("whsec_…", SECRET)), Reach())
    assert (wanted.mail_on, sorted(wanted.agents), list(wanted.webhooks)) == (True, ["ana", "kim"], ["pager"])
    tuesday = datetime(2026, 6, 2, 5, tzinfo=UTC)
    monday_evening = tuesday - timedelta(hours=10, minutes=45)
    assert wanted.quiet.until(monday_evening, "Europe/Berlin", "sla_warning") == tuesday
    friday_night = datetime(2026, 6, 5, 21, tzinfo=UTC)
    assert wanted.quiet.until(friday_night, "Europe/Berlin", "sla_warning") == datetime(2026, 6, 8, 5, tzinfo=UTC)


def test_null_means_the_usual():
    agent = {"address": "kim@acme.example", "kinds": None, "timezone": None}
    given = {"timezone": None, "mail": {"from": None, "queue": None, "kinds": None}, "agents": {"kim": agent},
             "webhooks": [{"name": "a", "url": "https://a.b/", "secret": SECRET, "kinds": None}]}  # fmt: skip
    wanted = read(given, Reach())
    assert wanted.mail_kinds == wanted.webhooks["a"].kinds == ("sla_breach", "sla_escalation", "sla_warning")
    assert wanted.agents["kim"].kinds is None
    assert read({"mail": {"kinds": []}}, Reach()).mail_kinds == ()


def test_what_is_no_json_names_the_line():
    with pytest.raises(InvalidInput, match=r"no JSON: .*line 2"):
        load("{\n x")
    with pytest.raises(InvalidInput, match="no JSON"):
        load("[" * 200_000)


@pytest.mark.parametrize(("agent", "told"), [(["--agent", "nobody"], "No mail would reach 'nobody'"),
                                             ([], "Neither a mail to the queue nor a webhook")])  # fmt: skip
def test_a_test_that_could_go_nowhere_is_refused_and_sends_nothing(organization, want, ask, agent, told):
    want(mail={}, agents=KIM)
    with pytest.raises(InvalidInput, match=told):
        CliRunner().invoke(app, ["test", "--org", "Acme", *agent], catch_exceptions=False)
    assert ask("select count(*) from notifications") == [0]
    assert ask("select count(*) from dramatiq.queue") == [0]
