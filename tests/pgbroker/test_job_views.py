"""job_queue and job_events: the queue as the help desk's people know it."""

from uuid import uuid4

import dramatiq
import pytest
from builders import new_organization
from workers import until, work_off, working

from desk import database


@pytest.fixture
def jobs(broker):
    @dramatiq.actor(broker=broker, actor_name="suggest_articles", max_retries=1, min_backoff=1)
    def suggest_articles(organization_id, ticket_id=None):
        if ticket_id == "bad":
            raise ValueError("no such thing")

    return suggest_articles


def test_each_status_and_its_columns(broker, jobs, look, organization):
    jobs.send(str(organization))
    jobs.send(str(organization), "bad")
    work_off(broker)
    jobs.send(str(organization), ticket_id=7)
    _, failed, running = (jobs.send(str(organization)) for _ in range(3))
    look.rows("update dramatiq.queue set retries = 1, last_error = 'E' where message_id = %s", failed.message_id)
    look.rows(
        """with p as (insert into pgbroker.processes (process_id, host, pid) values (gen_random_uuid(), 'here', 7)
                      returning process_id)
           update dramatiq.queue q set state = 'consumed', started_at = now(), process_id = p.process_id from p
            where message_id = %s""",
        running.message_id,
    )
    found = look.rows("select job_type, status, count(*) as n from job_queue group by 1, 2 order by 1, 2")
    assert [(row["job_type"], row["status"], row["n"]) for row in found] == [
        ("KB_SUGGEST", "DEAD", 1),
        ("KB_SUGGEST", "DONE", 1),
        ("KB_SUGGEST", "FAILED", 1),
        ("KB_SUGGEST", "PENDING", 2),
        ("KB_SUGGEST", "RUNNING", 1),
    ]
    (row,) = look.rows("select * from job_queue where status = 'RUNNING'")
    assert (row["locked_by"], row["organization_id"], row["max_retries"]) == ("here:7", organization, 1)
    (row,) = look.rows("select * from job_queue where status = 'DEAD'")
    assert row["payload"] == {"args": [str(organization), "bad"], "kwargs": {}}
    assert row["last_error"] == "ValueError: no such thing"


def test_what_happened_to_a_job_is_told_in_its_order(broker, jobs, look, organization):
    jobs.send(str(organization), "bad")
    jobs.send(str(organization))
    work_off(broker)
    events = look.rows("select * from job_events order by at, array_position(array['created', 'claimed'], event)")
    told = {}
    for row in events:
        told.setdefault(row["job_id"], []).append(row["event"])
    assert sorted(told.values()) == [
        ["created", "claimed", "done"],
        ["created", "claimed", "retried", "claimed", "failed", "dead"],
    ]


def test_an_organization_sees_its_own_jobs_alone(broker, jobs, owner, organization):
    other = new_organization(owner, "Umbrella")
    jobs.send(str(organization))
    jobs.send(str(other))
    jobs.send("no uuid at all")
    for visible_to, count in ((organization, 1), (other, 1), (uuid4(), 0), (None, 3)):
        with database.transaction(visible_to) as connection, connection.cursor() as cursor:
            cursor.execute("select count(*), (select count(*) from job_events) from job_queue")
            assert cursor.fetchone() == (count, count)


def test_messages_of_other_programs_do_no_harm(look):
    look.rows(
        """insert into dramatiq.queue (message_id, tenant, message) values (gen_random_uuid(), 'x', '7'),
           (gen_random_uuid(), null, null), (gen_random_uuid(), '', '{"options": {"max_retries": "many"}}')"""
    )
    assert [row["organization_id"] for row in look.rows("select * from job_queue")] == [None] * 3
    assert len(look.rows("select * from job_events")) == 3


@pytest.mark.parametrize(
    ("actor", "name"),
    [
        ("triage_ticket", "TRIAGE_TICKET"),
        ("suggest_articles", "KB_SUGGEST"),
        ("draft_reply", "SMART_REPLY"),
        ("read_sentiment", "SENTIMENT_ANALYSIS"),
        ("predict_sla", "SLA_PREDICT"),
        ("snapshot_metrics", "METRICS_SNAPSHOT"),
        ("clean_up", "CLEANUP_LOGS"),
        ("sweep_slas", "SWEEP_SLAS"),
    ],
)
def test_jobs_have_the_names_that_people_know(look, actor, name):
    assert look.rows("select job_type(%s) as name", actor)[0]["name"] == name


def test_a_running_job_names_its_worker(broker, look, organization):
    @dramatiq.actor(broker=broker)
    def slow(organization_id):
        until(lambda: look.rows("select from job_queue where locked_by is not null"))

    slow.send(str(organization))
    with working(broker):
        broker.join("default", timeout=20_000)
