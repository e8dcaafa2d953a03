"""Events from elsewhere: ServiceNow's log and plain files, judged under a policy."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sla_desk import POLICY
from typer.testing import CliRunner

from app.commands.sla import app
from desk.errors import InvalidInput
from desk.sla.history import read_events
from desk.sla.policy import read
from desk.sla.verdict import judge, summary

SAMPLE = Path(__file__).resolve().parents[2] / "app" / "sample" / "policy.json"
INCIDENTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "itsm_incidents" / "events.csv"
END = datetime(2024, 6, 10, tzinfo=UTC)

INCIDENT = """number,incident_state,priority,opened_at,sys_updated_at
INC1,New,3 - Moderate,2024-06-03T07:00:00,2024-06-03T07:10:00
INC1,Awaiting User Info,3 - Moderate,2024-06-03T07:00:00,2024-06-03T09:00:00
INC1,Active,3 - Moderate,2024-06-03T07:00:00,2024-06-04T09:00:00
INC1,Resolved,3 - Moderate,2024-06-03T07:00:00,2024-06-04T10:{minute}:00
"""
PLAIN = """ticket,at,status,priority,reply
7,2024-06-03T07:00:00Z,accepted,urgent,
7,2024-06-03T07:09:00Z,,,agent
7,2024-06-03T07:20:00Z,in_progress,,customer
7,2024-06-03T07:50:00Z,resolved,,
8,2024-06-03T07:00:00Z,new,,
"""


def verdicts(text: str) -> dict:
    judged = judge(read_events(text).histories, read(POLICY), END)
    return {verdict.metric: verdict for verdict in judged.verdicts}


def test_an_incident_waits_for_its_user_at_no_cost():
    found = verdicts(INCIDENT.format(minute=30))["resolution"]
    assert (found.elapsed_seconds, found.wall_seconds) == (3.5 * 3600, 27.5 * 3600)
    assert (found.outcome, found.warned, found.priority) == ("met", True, "medium")


def test_a_crossing_in_the_second_stretch_is_dated_there():
    policy = {**POLICY, "calendar": None}
    judged = judge(read_events(INCIDENT.format(minute=59)).histories, read(policy), END)
    (found,) = judged.verdicts
    assert found.crossed == ((75, datetime(2024, 6, 4, 10, tzinfo=UTC)), (90, datetime(2024, 6, 4, 10, 36, tzinfo=UTC)))


def test_replies_are_judged_where_they_are_known():
    found = verdicts(PLAIN)
    assert {metric: verdict.outcome for metric, verdict in found.items()} == {
        "first_response": "met", "next_response": "breached", "resolution": "met"}  # fmt: skip
    assert found["next_response"].elapsed_seconds == 1800
    judged = judge(read_events(PLAIN).histories, read(POLICY), END)
    assert judged.without_clock == ["8"]
    assert [row["clocks"] for row in summary(judged.verdicts) if row["priority"] == "all"] == [1, 1, 1]


def test_a_higher_priority_on_the_way_shortens_the_target():
    jsonl = "\n".join(
        json.dumps(row)
        for row in (
            {"ticket": "a", "at": "2024-06-03T07:00:00+00:00", "status": "accepted", "priority": "low"},
            {"ticket": "a", "at": "2024-06-03T09:00:00Z", "priority": "urgent"},
            {"ticket": "a", "at": "2024-06-03T09:00:01", "status": "resolved"},
        )
    )
    found = verdicts(jsonl)["resolution"]
    assert (found.outcome, found.target_seconds, found.priority) == ("breached", 3600, "urgent")
    assert {at for _, at in found.crossed} == {datetime(2024, 6, 3, 9, tzinfo=UTC)}


def test_an_event_before_its_opening_counts_as_of_the_opening_with_a_warning():
    early = INCIDENT.format(minute=30).replace("2024-06-03T07:10:00", "2024-06-03T05:00:00")
    events = read_events(early)
    assert events.warnings == ("1 event lies before the opening of the incident (row 2); taken as of the opening.",)
    assert min(event["at"] for event in events.histories[0].events) == datetime(2024, 6, 3, 7, tzinfo=UTC)


def test_the_order_of_the_rows_does_not_matter():
    head, *rows = PLAIN.strip().splitlines()
    assert verdicts("\n".join([head, *reversed(rows)])) == verdicts(PLAIN)


@pytest.mark.parametrize(("text", "message"), [
    ("", "holds no events"),
    ("ticket,at,status\n", "holds no events"),
    ("ticket,at\n1,2024-06-03\n", "no column 'status'"),
    ("number,incident_state,opened_at\n1,New,2024-06-03\n", "no column 'sys_updated_at'"),
    (PLAIN.replace("2024-06-03T07:09:00Z", "yesterday"), "row 3: at: 'yesterday' is no ISO date"),
    (PLAIN.replace("resolved", "done"), "row 5: status: 'done' is none of"),
    (PLAIN.replace("urgent", "huge"), "row 2: priority: 'huge'"),
    (PLAIN.replace(",agent", ",robot"), "row 3: reply: 'robot'"),
    (PLAIN.replace("7,2024-06-03T07:09", ",2024-06-03T07:09"), "row 3: ticket is empty"),
    (PLAIN.replace(",,agent", ",,"), "row 3: nothing happens in it"),
    (PLAIN.replace(",,agent", ""), "row 3: it has not as many fields"),
    (PLAIN.replace("agent", "ag\x00ent"), "row 3: it holds a NUL character"),
    (INCIDENT.replace("Active", "Lost"), "row 4: incident_state: 'Lost' is unknown"),
    (INCIDENT.replace("3 - Moderate", "x", 1), "row 2: priority: 'x'"),
    ('{"ticket": 1}\n{"ticket"\n', "row 2 is no JSON"),
    ("{}\n[]\n", "row 2 is no JSON object"),
])  # fmt: skip
def test_an_event_file_that_cannot_be_used_is_refused_by_row_and_field(text: str, message: str):
    with pytest.raises(InvalidInput) as refusal:
        read_events(text)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.data
def test_the_log_of_a_real_help_desk_is_judged_under_the_sample_policy():
    if not INCIDENTS.exists():
        pytest.skip("shared/data is not here")
    command = ["replay", str(INCIDENTS), "--policy", str(SAMPLE), "--json", "--detail"]
    found = json.loads(CliRunner().invoke(app, command).stdout)
    assert (found["tickets"], found["events"], found["without_policy"]) == (600, 4137, 0)
    total = found["summary"][-1]
    assert total["priority"] == "all"
    assert total["met"] + total["breached"] + total["open"] == total["clocks"] == len(found["clocks"]) == 600
    assert 0 < total["breached"] < total["warned"] < 600
    assert len(found["warnings"]) == 1
    for clock in found["clocks"]:
        thresholds = [threshold for threshold, _ in clock["crossed"]]
        assert (clock["outcome"] == "breached") == (100 in thresholds)
        assert clock["elapsed_seconds"] <= clock["wall_seconds"]
