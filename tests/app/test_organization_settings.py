"""`atum organization settings`: shown, set together or not at all, refused in one line."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from desk.organization_settings import SETTINGS


def settings(*pairs: str) -> Any:
    return CliRunner().invoke(app, ["organization", "settings", "--org", "Acme", "--json", *pairs])


def test_every_column_that_a_person_may_set_is_a_setting(organization, owner):
    with owner.cursor() as cursor:
        cursor.execute("select * from organization_settings")
        columns = {column.name for column in cursor.description}
    shown = json.loads(settings().stdout)
    assert set(shown) == set(SETTINGS) <= columns
    assert (shown["triage"], shown["triage_applies_above"], shown["suggest_from"]) == (True, None, 0.4)


def test_what_is_set_is_shown_counts_and_is_in_the_audit_log(organization, owner):
    shown = json.loads(
        settings("draft=off", "triage_applies_above=0.9", "keep_audit_days=90", "triage=on", "llm=none").stdout
    )
    assert (shown["draft"], shown["triage_applies_above"], shown["keep_audit_days"]) == (False, 0.9, 90)
    with owner.cursor() as cursor:
        cursor.execute("insert into tickets (organization_id, subject) values (%s, 'x')", (organization,))
        cursor.execute("select count(*) from dramatiq.queue where actor_name = 'draft_reply'")
        assert cursor.fetchone() == (0,)
        cursor.execute("select detail from audit_log where action = 'settings_changed'")
        assert cursor.fetchall() == [
            ({"draft": {"from": True, "to": False}, "triage_applies_above": {"from": None, "to": 0.9},
              "keep_audit_days": {"from": 730, "to": 90}},)
        ]  # fmt: skip
    assert json.loads(settings("triage_applies_above=never").stdout)["triage_applies_above"] is None
    human = CliRunner().invoke(app, ["organization", "settings", "--org", "Acme"]).stdout
    assert "never" in human


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("triage", "'triage' is no setting: write NAME=VALUE"),
        ("colour=red", "There is no setting 'colour'. There are: timezone, triage"),
        ("triage=maybe", "triage must be on or off, not 'maybe'"),
        ("suggest_from=nan", "suggest_from must be a number from 0 to 1, not 'nan'"),
        ("escalate_angry_above=2", "escalate_angry_above must be a number from 0 to 1, or never, not '2'"),
        ("keep_events_days=0", "keep_events_days must be a whole number of days"),
        ("llm=everything", "llm must be none, or some of draft,triage"),
        ("timezone=Mars", "timezone must be a time zone"),
        ("triage_applies_above=0.2", "must not be below suggest_from"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_set(organization, owner, pair, said):
    result = settings("draft=off", pair)
    assert result.exit_code != 0
    assert said in str(result.exception)
    assert "\n" not in str(result.exception)
    assert json.loads(settings().stdout)["draft"] is True
