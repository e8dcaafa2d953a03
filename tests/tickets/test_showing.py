"""What the jobs found out is read in one place, by people and by programs."""

import json
from uuid import UUID, uuid4

from builders import new_organization
from typer.testing import CliRunner

from app.cli import app
from desk import database
from desk.errors import NotFound
from desk.kb import articles, indexing
from desk.tickets.offers import offering

RESET = "To reset your password:\n\n1. Open the sign-in page.\n2. Choose *Forgotten password*.\n"


def run(*words: str) -> str:
    outcome = CliRunner().invoke(app, ["tickets", *words, "--org", "Acme"])
    assert outcome.exit_code == 0, outcome
    return outcome.stdout


def test_everything_about_a_ticket_is_shown(model_dir, organization: UUID, ticket, run_jobs, ask):
    ask("update organization_settings set escalate_angry_above = 0.5")
    with database.transaction(organization) as connection:
        article = articles.put(connection, organization, external_id="pw", title="Reset [a] password", body_md=RESET)
    indexing.index(organization)
    for subject, category in (("I forgot my password", "access"), ("I was charged twice", "billing")):
        ticket(subject, category=category)
    body = "How do I sign in? I am furious, this is ridiculous and unacceptable!"
    made = ticket("I forgot my password [again]", body, requester="Ida <ida@x.org>")
    twin = ticket("I forgot my password [again]", body, requester="Ida <ida@x.org>")
    assert "nothing yet" in run("show", str(made))
    run_jobs("tickets")
    with database.transaction(organization) as connection:
        offering.vote(connection, organization, made, article, voter="ben", helpful=False)
        offering.decide(connection, organization, made, outcome="discarded", agent="ben")
    shown = run("show", str(made))
    for words in (
        "I forgot my password [again]", "Triage", "access suggested", "Reset [a] password", "helpful 0, not 1",
        "2. Choose Forgotten password. [1]", f"revision 1 {article}", "discarded by ben", "negative", "escalated",
        "furious", "Breach of the deadline", "Similar tickets", "may say the same", str(twin), "the same requester",
    ):  # fmt: skip
        assert words in " ".join(shown.replace("│", " ").split()), words
    found = json.loads(run("show", str(made), "--json"))
    assert (found["ticket"]["id"], found["triage"]["category"]) == (str(made), "access")
    assert found["draft"]["citations"][0]["article_id"] == str(article)
    assert found["draft"]["outcome"] == "discarded"
    assert [one["ticket_id"] for one in found["duplicates"]] == [str(twin)]
    assert found["sentiment"]["escalated"] is True
    assert {one["ticket_id"] for one in found["similar"]} >= {str(twin)}
    ask("update tickets set body = 'Never mind.' where id = %s", made)
    assert "of an earlier text" in run("show", str(made))
    figures = json.loads(run("quality", "--json"))
    assert (figures["votes_not_helpful"], figures["drafts_discarded"]) == (1, 1)
    assert [row["external_id"] for row in figures["articles"]] == ["pw"]
    assert "votes not helpful" in run("quality")


def test_a_ticket_of_another_organization_is_not_shown(organization: UUID, ticket, owner):
    theirs = ticket("Theirs", of=new_organization(owner, "Other"))
    for wrong in (theirs, uuid4(), "nonsense"):
        outcome = CliRunner().invoke(app, ["tickets", "show", str(wrong), "--org", "Acme"])
        assert isinstance(outcome.exception, NotFound)
