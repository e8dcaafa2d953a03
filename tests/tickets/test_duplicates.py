"""Open tickets that say the same are flagged, and nothing more happens to them."""

import json
from uuid import UUID

import pytest
from builders import new_organization
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from app.cli import app
from desk import database
from desk.errors import NotFound
from desk.tickets import duplicates, jobs, results, similar

WHITE = ("The printer prints nothing", "It hums since Monday, but all the paper stays white in the end.")
AGAIN = ("Printer prints nothing", "It hums, but the paper stays white. Since Monday all of it!")
CHARGED = ("I was charged twice", "My card was charged two times for the same month.")
FLAGS = "select ticket_id, of_ticket_id, same_requester from possible_duplicates order by found_at, similarity desc"


@pytest.fixture(autouse=True)
def _suggestions_alone(ask, organization: UUID, model_dir) -> None:
    ask("update organization_settings set triage = false, draft = false, sentiment = false")


def test_a_ticket_that_says_the_same_is_flagged_and_left_as_it_is(organization: UUID, ticket, run_jobs, ask):
    first = ticket(*WHITE, requester="Ida Holm <ida@example.com>")
    ticket(*CHARGED, requester="Ida Holm <ida@example.com>")
    run_jobs("tickets")
    before = ask("select id, subject, status, priority, revision from tickets where id = %s", first)
    twin = ticket(*AGAIN, requester="Max <max@example.com>")
    third = ticket(*AGAIN, requester="i. holm <IDA@example.com>")
    run_jobs("tickets")
    assert set(ask(FLAGS)) == {(twin, first, False), (third, first, True), (third, twin, False)}
    assert ask("select id, subject, status, priority, revision from tickets where id = %s", first) == before
    with database.transaction(organization) as connection:
        assert {row["ticket_id"] for row in similar.flagged(connection, organization, first)} == {twin, third}
    shown = CliRunner().invoke(app, ["tickets", "similar", str(twin), "--org", "Acme"])
    assert "may say the same" in shown.stdout
    assert str(third) in shown.stdout
    rows = json.loads(CliRunner().invoke(app, ["tickets", "similar", str(twin), "--org", "Acme", "--json"]).stdout)
    assert {row["ticket_id"] for row in rows} == {str(first), str(third)}


def test_only_open_tickets_of_these_days_and_of_the_organization_count(
    organization: UUID, ticket, run_jobs, ask, owner
):
    closed, old = ticket(*WHITE), ticket(*WHITE)
    other = ticket(*WHITE, of=new_organization(owner, "Other"))
    run_jobs("tickets")
    ask("update tickets set status = 'resolved' where id = %s", closed)
    ask("update tickets set created_at = now() - interval '8 days' where id = %s", old)
    ask("delete from possible_duplicates")
    made = ticket(*AGAIN)
    run_jobs("tickets")
    assert ask(FLAGS) == []
    assert other != made


def test_an_edit_takes_the_flag_away_and_the_switch_keeps_it_away(organization: UUID, ticket, run_jobs, ask):
    first = ticket(*WHITE)
    twin = ticket(*AGAIN)
    run_jobs("tickets")
    assert ask(FLAGS) == [(twin, first, False)]
    ask("update tickets set subject = %s, body = %s where id = %s", *CHARGED, first)
    run_jobs("tickets")
    assert ask(FLAGS) == []
    ask("update organization_settings set duplicates = false")
    ticket(*AGAIN)
    run_jobs("tickets")
    assert ask(FLAGS) == []


def test_two_that_come_at_once_do_not_take_each_others_flags_away(organization: UUID, ticket, ask):
    first, second = ticket(*WHITE), ticket(*AGAIN)

    def look(ticket_id: UUID) -> tuple:
        read, _, looked_at = jobs.suggestions(organization, ticket_id)
        return read, jobs.same(read), looked_at

    early = look(first)
    assert early[1] == []
    for found in (look(second), early):
        with database.transaction(organization) as connection:
            results.keep_duplicates(connection, *found)
    assert ask(FLAGS) == [(second, first, False)]


def test_another_organization_sees_no_flags(organization: UUID, ticket, run_jobs, owner):
    ticket(*WHITE)
    twin = ticket(*AGAIN)
    run_jobs("tickets")
    other = new_organization(owner, "Other")
    with database.transaction(other) as connection:
        with pytest.raises(NotFound):
            similar.flagged(connection, other, twin)
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from possible_duplicates")
            assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("order 48-771 is late", "order 48-771 is late", 1.0),
        ("order 48-771 is late", "order 48-772 is late", 0.0),
        ("order 48-771 is late", "my order is late", 2 / 3),
        ("", "", 0.0),
        ("a b", "a b", 0.0),
    ],
)
def test_words_are_shared_and_numbers_tell_apart(one, other, share):
    assert duplicates.shared_words(one, other) == pytest.approx(share)


@given(one=st.text(), other=st.text())
def test_sharing_words_goes_both_ways(one, other):
    assert duplicates.shared_words(one, other) == duplicates.shared_words(other, one)
    assert 0 <= duplicates.shared_words(one, other) <= 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ida <ida@x.org>", "IDA@x.org", True),
        ("Ida <ida@x.org>", "Ida <ida@y.org>", False),
        ("Ida Holm", "ida  holm", True),
        ("Ida Holm", "Ida Holm <ida@x.org>", True),
        (None, None, False),
        ("", "", False),
    ],
)
def test_who_is_the_same_person(one, other, same):
    assert duplicates.is_same_person(one, other) is same
