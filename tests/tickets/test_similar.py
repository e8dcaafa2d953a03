"""Tickets with the same problem, resolved ones first, with what helped."""

import json
from uuid import UUID

import pytest
from builders import new_organization
from psycopg2.extensions import connection as Connection
from typer.testing import CliRunner

import actors.kb
from app.cli import app
from desk import database
from desk.errors import InvalidInput, NotFound
from desk.kb import embedding
from desk.tickets import similar


@pytest.fixture
def resolve(organization: UUID, owner: Connection):
    """Answer and resolve a ticket, as an agent does."""

    def resolve(ticket_id: UUID, *answers: str, of: UUID = organization, public: bool = True) -> None:
        with database.transaction(of) as connection, connection.cursor() as cursor:
            for answer in answers:
                cursor.execute(
                    "insert into ticket_messages (organization_id, ticket_id, author_kind, body, is_public)"
                    " values (%s, %s, 'agent', %s, %s)",
                    (of, ticket_id, answer, public),
                )
            cursor.execute("update tickets set status = 'resolved' where id = %s", (ticket_id,))

    return resolve


@pytest.fixture(autouse=True)
def _quiet(owner: Connection, organization: UUID, model_dir):
    with owner.cursor() as cursor:
        cursor.execute(
            "update organization_settings set triage = false, suggest = false, draft = false, sentiment = false"
        )


def test_a_resolved_ticket_is_found_by_its_problem_with_what_helped(ticket, resolve, run_jobs, organization, ask):
    printer = ticket("The printer prints nothing", "It hums, but the paper stays white.")
    resolve(ticket("Invoice twice", "I was charged two times this month."), "We sent the money back.")
    resolve(printer, "Have a look at the cartridge.", "Pull the tape off the cartridge.\n\n-- \nAnna")
    assert ask("select count(*) from dramatiq.queue where actor_name = 'index_tickets'") == [1]
    run_jobs("tickets")
    open_ = ticket("White pages", "My printer only gives out empty paper.")
    (found,) = similar.to_ticket(organization, open_)
    assert (found.ticket_id, found.status) == (printer, "resolved")
    assert found.resolution == "Pull the tape off the cartridge."
    assert found.similarity > similar.LEAST
    shown = CliRunner().invoke(app, ["tickets", "similar", str(open_), "--org", "Acme", "--json"])
    assert [row["ticket_id"] for row in json.loads(shown.stdout)] == [str(printer)]
    assert (
        "Pull the tape"
        in CliRunner().invoke(app, ["tickets", "similar", "printer: white pages", "--org", "Acme"]).stdout
    )


def test_resolved_ones_come_first_and_the_ticket_itself_never(ticket, resolve, run_jobs, organization):
    asked = ticket("The printer prints nothing", "The paper stays white.")
    twin = ticket("The printer prints nothing", "The paper stays white.")
    similar.to_ticket(organization, twin)  # its vector is stored
    old = ticket("Printer", "Sheets come out white from the printer.")
    resolve(old, "Pull the tape off.")
    run_jobs("tickets")
    found = similar.to_ticket(organization, asked)
    assert [one.ticket_id for one in found] == [old, twin]
    assert found[0].similarity < found[1].similarity


def test_an_internal_note_is_no_resolution_and_a_later_answer_takes_the_place_of_an_earlier(
    ticket, resolve, run_jobs, organization
):
    printer = ticket("The printer prints nothing", "The paper stays white.")
    resolve(printer, "The customer is an idiot.", public=False)
    run_jobs("tickets")
    assert [one.resolution for one in similar.to_text(organization, "printer gives white paper")] == [None]
    for answer in ("Try another cable.", "Pull the tape off the cartridge."):
        with database.transaction(organization) as connection, connection.cursor() as cursor:
            cursor.execute("update tickets set status = 'in_progress' where id = %s", (printer,))
        resolve(printer, answer)
        run_jobs("tickets")
        assert [one.resolution for one in similar.to_text(organization, "printer gives white paper")] == [answer]


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ("update ticket_messages set is_public = false where body like 'Call Ida%%'", "Try another cable."),
        ("delete from ticket_messages where body like 'Call Ida%%'", "Try another cable."),
        ("update ticket_messages set body = 'Call the shop.' where body like 'Call Ida%%'", "Call the shop."),
        ("delete from ticket_messages", None),
    ],
)
def test_an_answer_that_is_withdrawn_deleted_or_edited_later_is_not_shown_any_more(
    change, left, ticket, resolve, run_jobs, organization, ask
):
    printer = ticket("The printer prints nothing", "The paper stays white.")
    resolve(printer, "Try another cable.", "Call Ida Holm on 020 7946 0958.")
    run_jobs("tickets")
    asked = "printer gives white paper"
    assert [one.resolution for one in similar.to_text(organization, asked)] == ["Call Ida Holm on 020 7946 0958."]
    ask(change)
    assert [one.resolution for one in similar.to_text(organization, asked)] == [None]
    run_jobs("tickets")
    assert [one.resolution for one in similar.to_text(organization, asked)] == [left]


def test_an_answer_that_is_withdrawn_while_it_is_indexed_is_not_kept(ticket, resolve, organization, ask, monkeypatch):
    printer = ticket("The printer prints nothing", "The paper stays white.")
    resolve(printer, "Call Ida Holm on 020 7946 0958.")
    embed = embedding.embed

    def withdrawn_meanwhile(texts: list[str]):
        ask("update ticket_messages set is_public = false")
        return embed(texts)

    monkeypatch.setattr(embedding, "embed", withdrawn_meanwhile)
    assert similar.index(organization) == (1, False)
    assert ask("select count(*) from ticket_resolutions") == [0]


def test_a_deleted_ticket_or_organization_sends_no_message_for_its_answers(
    ticket, resolve, run_jobs, organization, ask
):
    for number in range(2):
        resolve(ticket(f"The printer prints nothing {number}"), "Try another cable.")
    run_jobs("tickets")
    (one, _) = ask("select id from tickets")
    ask("delete from tickets where id = %s", one)
    assert ask("select count(*) from ticket_resolutions") == [1]
    ask("delete from organizations where id = %s", organization)
    assert ask("select count(*) from dramatiq.queue where state = 'queued'") == [0]


def test_who_looks_for_answers_finds_answered_tickets_alone_and_new_ones_at_once(
    ticket, resolve, run_jobs, organization
):
    def answered() -> set[UUID]:
        found = similar.to_text(organization, "the printer prints nothing", answered_only=True)
        assert all(one.resolution for one in found)
        return {one.ticket_id for one in found}

    similar.to_ticket(organization, ticket("The printer prints nothing", "White paper."))  # open, its vector stored
    resolve(ticket("The printer prints nothing", "White paper."), "Not for customers.", public=False)
    first, second = (ticket("Printer", "The printer prints nothing but white paper.") for _ in range(2))
    run_jobs("tickets")
    assert answered() == set()
    for known, one in (({first}, first), ({first, second}, second)):
        resolve(one, "Pull the tape off.")
        run_jobs("tickets")
        assert answered() == known
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute("update tickets set status = 'in_progress' where id = %s", (first,))
    assert answered() == {second}


def test_another_organizations_tickets_are_never_found(ticket, resolve, run_jobs, organization, owner):
    other = new_organization(owner, "Other")
    resolve(ticket("The printer prints nothing", "White paper.", of=other), "Pull the tape off.", of=other)
    run_jobs("tickets")
    assert similar.to_text(organization, "the printer prints nothing") == []
    assert len(similar.to_text(other, "the printer prints nothing")) == 1


def test_history_that_came_in_resolved_is_found_after_the_hourly_look(ticket, run_jobs, organization, ask):
    old = ticket("The printer prints nothing", "White paper.", status="closed")
    assert ask("select count(*) from dramatiq.queue where actor_name = 'index_tickets'") == [0]
    actors.kb.reconcile_kb.send()
    run_jobs("kb", "tickets")
    assert [one.ticket_id for one in similar.to_text(organization, "printer: white paper")] == [old]
    assert similar.index(organization) == (0, False)


def test_an_edited_problem_is_embedded_anew_and_nothing_else(ticket, resolve, run_jobs, organization, monkeypatch):
    first = ticket("The printer prints nothing", "White paper.")
    resolve(first, "Pull the tape off.")
    run_jobs("tickets")
    with database.transaction(organization) as connection, connection.cursor() as cursor:
        cursor.execute(
            "update tickets set subject = 'Invoice twice', body = 'Charged two times' where id = %s", (first,)
        )
    texts: list[str] = []
    real = embedding.embed
    monkeypatch.setattr(embedding, "embed", lambda given: texts.extend(given) or real(given))
    assert similar.index(organization) == (1, False)
    assert texts == ["Invoice twice\n\nCharged two times"]
    assert similar.to_text(organization, "printer: white paper") == []


def test_bad_input_is_named(organization, ticket):
    with pytest.raises(InvalidInput, match="The problem is empty"):
        similar.to_text(organization, " \x00 ")
    with pytest.raises(InvalidInput, match="top must be from 1 to 50, not 51"):
        similar.to_text(organization, "printer", top=51)
    with pytest.raises(NotFound):
        similar.to_ticket(organization, organization)
    with pytest.raises(NotFound):
        similar.index("00000000-0000-0000-0000-000000000000")
    assert similar.to_text(organization, "\u202eשלום 😀" + "x" * 20_000) == []
