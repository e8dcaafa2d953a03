"""Databases of before: citations were not checked, duplicates not flagged, names of any length."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from builders import fresh_database, new_organization
from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json

from app import install as installing
from desk import database
from desk.settings import settings
from desk.tickets.offers import offering

LATER = ("0038", "0039", "0044", "0051", "0052")


@pytest.fixture
def as_before(server, monkeypatch, tmp_path: Path):
    """A database that those migrations alone have made of which `had` says so: its name and its owner's connection."""

    @contextmanager
    def made(had: Callable[[str], bool]) -> Iterator[tuple[str, Connection]]:
        before = tmp_path / "before"
        before.mkdir()
        for path in installing.MIGRATIONS.glob("*.sql"):
            if had(path.name):
                shutil.copy(path, before)
        with fresh_database(server, "template1") as name:
            with monkeypatch.context() as older:
                older.setattr(installing, "MIGRATIONS", before)
                installing.install(server.url(database=name))
            with closing(psycopg2.connect(server.url(database=name))) as owner:
                owner.autocommit = True
                yield name, owner

    return made


def test_what_was_offered_before_is_still_offered(server, as_before, monkeypatch):
    with as_before(lambda step: not step.startswith(LATER)) as (name, owner):
        organization = new_organization(owner, "Acme")
        with owner.cursor() as cursor:
            cursor.execute(
                "with article as (insert into articles (organization_id, external_id, title, body_md)"
                "                 values (%(id)s, 'hub', 'The hub', 'It blinks.') returning id),"
                " ticket as (insert into tickets (organization_id, subject) values (%(id)s, 'It blinks') returning id)"
                " insert into suggestions (organization_id, ticket_id, position, ticket_revision, article_id,"
                "                          article_revision, title, excerpt, score)"
                " select %(id)s, ticket.id, 1, 1, article.id, 1, 'The hub', 'It blinks.', 0.5 from article, ticket"
                " returning ticket_id, article_id",
                {"id": organization},
            )
            ticket, article = cursor.fetchone()
            cited = [{"mark": 1, "article_id": str(article), "article_revision": 1, "text": "It blinks."}]
            cursor.execute(
                "insert into drafts (organization_id, ticket_id, revision, body, citations, method)"
                " values (%s, %s, 1, 'It blinks. [1]', %s, 'cited passages')",
                (organization, ticket, Json(cited)),
            )
        applied = installing.install(server.url(database=name)).applied
        assert [step[:4] for step in applied if step.startswith(LATER)] == list(LATER)
        monkeypatch.setenv("ATUM_DATABASE_URL", server.url(user="atum_worker", database=name))
        settings.cache_clear()
        database.close()
        with database.transaction(organization) as connection:
            offered = offering.suggestions(connection, organization, ticket)
            assert offered["made_at"] is not None
            assert [row["article_id"] for row in offered["articles"]] == [article]
            assert offering.draft(connection, organization, ticket)["current"]
            with connection.cursor() as cursor:
                cursor.execute("update articles set body_md = 'It shines.'")
            assert not offering.draft(connection, organization, ticket)["current"]
        database.close()


def test_whose_tags_they_are_is_told_of_what_was_there_before(server, as_before):
    with as_before(lambda step: step < "0048") as (name, owner):
        organization = new_organization(owner, "Acme")
        with owner.cursor() as cursor:
            for subject, category_by, tags in (
                ("a person's", "person", ["vip"]),
                ("corrected", "person", ["vip", "late"]),
                ("applied", "triage", ["late"]),
                ("came with it", None, ["form"]),
                ("none", "person", []),
            ):
                cursor.execute(
                    "insert into tickets (organization_id, subject, category, category_by, tags)"
                    " values (%s, %s, %s, %s, %s)",
                    (organization, subject, category_by and "post", category_by, tags),
                )
            cursor.execute(
                "insert into triage_results (organization_id, ticket_id, revision, outcome, category,"
                "                            category_confidence, tags, reason, method, calibrated)"
                " select organization_id, id, 1, 'applied', 'post', 0.9, '[{\"tag\": \"late\"}]', 'r', 'm', true"
                "   from tickets where subject in ('corrected', 'applied')"
            )
            cursor.execute("select subject, labelled_at from tickets order by subject")
            labelled = cursor.fetchall()
            installing.install(server.url(database=name))
            cursor.execute("select subject, tags_by from tickets")
            assert dict(cursor.fetchall()) == {
                "a person's": "person",
                "corrected": "triage",
                "applied": "triage",
                "came with it": None,
                "none": None,
            }
            cursor.execute("select subject, labelled_at from tickets order by subject")
            assert cursor.fetchall() == labelled


def test_answers_that_were_withdrawn_or_edited_before_are_forgotten(server, as_before):
    with as_before(lambda step: step < "0052") as (name, owner):
        organization = new_organization(owner, "Acme")
        with owner.cursor() as cursor:
            for subject, body, is_public, kept in (
                (
                    "as it was",
                    "Hello Ida,\n\n  pull the tape off.  \n\n-- \nAnna",
                    True,
                    "Hello Ida,\n\npull the tape off.",
                ),
                ("edited", "Try another cable.", True, "Call Ida Holm."),
                ("withdrawn", "Call Ida Holm.", False, "Call Ida Holm."),
            ):
                cursor.execute(
                    "with t as (insert into tickets (organization_id, subject, status)"
                    "           values (%s, %s, 'resolved') returning *),"
                    " m as (insert into ticket_messages (organization_id, ticket_id, author_kind, body, is_public)"
                    "       select organization_id, id, 'agent', %s, %s from t returning *)"
                    " insert into ticket_resolutions (organization_id, ticket_id, model, message_seq, text, vector)"
                    " select organization_id, ticket_id, 'a model', seq, %s, '\\x0000' from m",
                    (organization, subject, body, is_public, kept),
                )
        installing.install(server.url(database=name))
        with owner.cursor() as cursor:
            cursor.execute("select subject from tickets where id in (select ticket_id from ticket_resolutions)")
            assert cursor.fetchall() == [("as it was",)]


def test_a_name_too_long_for_an_index_is_cut_and_its_ticket_can_be_changed_again(server, as_before):
    signs = "".join(chr(0x4E00 + number * 7919 % 0x5000) for number in range(1000))
    with as_before(lambda step: step < "0056") as (name, owner), owner.cursor() as cursor:
        cursor.execute(
            "insert into tickets (organization_id, subject, status, assignee, updated_at)"
            " values (%s, 'It blinks', 'in_progress', %s, '2026-01-01') returning id, updated_at",
            (new_organization(owner, "Acme"), signs),
        )
        ticket, updated_at = cursor.fetchone()
        installing.install(server.url(database=name))
        cursor.execute("select assignee, updated_at from tickets where id = %s", (ticket,))
        assert cursor.fetchall() == [(signs[:500], updated_at)]
        cursor.execute("update tickets set status = 'resolved' where id = %s", (ticket,))
