"""What customers and organizations are called and write is shown as it is, also where it looks like rich's markup."""

from uuid import UUID

import pytest
from builders import new_organization
from typer.testing import CliRunner

from app.cli import app
from app.commands import ticket_show
from app.output import console, errors, progress
from pgbroker.output import show_table

NAME = "Acme [/b] [red]"  # one tag that closes nothing, one that would vanish
SUBJECT = "[urgent] the [/quote] box"


def atum(*arguments: str) -> str:
    """What the command printed, in one line; raises what it raised."""
    outcome = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return " ".join(outcome.stdout.split())


@pytest.fixture
def named(owner) -> UUID:
    return new_organization(owner, NAME)


@pytest.mark.parametrize(
    "command", ["kb status", "kb models", "kb questions", "sla moves", "sla urgent", "sla policies", "notices list",
                "tickets metrics", "tickets quality", "organization settings"],
)  # fmt: skip
def test_an_organizations_name(named, command: str):
    everybody = command in ("kb status", "kb models")
    shown = atum(*command.split(), "--org", NAME)
    assert NAME in shown or command == "kb questions"
    if everybody:
        assert NAME in atum(*command.split())


def test_a_customers_subject(named, owner):
    with owner.cursor() as cursor:
        cursor.execute(
            "insert into tickets (organization_id, subject, status, intent, intent_by)"
            " values (%s, %s, 'new', %s, 'person') returning id",
            (named, SUBJECT, SUBJECT),
        )
        (ticket,) = cursor.fetchone()
        cursor.execute(
            "insert into triage_results (organization_id, ticket_id, revision, outcome, reason, method, calibrated,"
            " intent) values (%s, %s, 1, 'abstained', 'r', 'm', false, %s)",
            (named, ticket, SUBJECT),
        )
    assert atum("tickets", "show", str(ticket), "--org", NAME).count(SUBJECT) >= 2


def test_a_tables_title_cells_and_heads():
    with console.capture() as capture:
        show_table(NAME, [{"[x]": SUBJECT, "n": 1}])
        show_table(NAME, [])
    shown = capture.get()
    assert shown.count(NAME) == 2
    assert SUBJECT in shown
    assert "[x]" in shown


def test_what_a_progress_bar_is_about():
    bar = progress()
    bar.add_task(NAME, total=1)
    with console.capture() as capture:
        console.print(bar.get_renderable())
    assert NAME in capture.get()


@pytest.mark.parametrize("shown", [console, errors])
def test_an_escape_sequence_does_not_reach_the_terminal(shown, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pgbroker.output.console", shown)
    told = "a\x1b]0;pwned\x07b\x1b[2J\x9b2Jc\x7fd\re"
    with shown.capture() as capture:
        show_table(told, [{"subject": told, "other": 1}])
        shown.print(told, markup=False)
        shown.print(f"[bold]{told}[/]\nnext")
    assert not [sign for sign in capture.get() if sign != "\n" and not sign.isprintable()]
    assert "a]0;pwnedb[2J2Jcde" in capture.get()
    lines = {len(line) for line in capture.get().splitlines() if line and line[0] in "┏┃┡│└"}
    assert len(lines) == 1


def test_colours_are_still_the_consoles_own():
    shown = type(console)(force_terminal=True, color_system="standard", width=40)
    with shown.capture() as capture:
        shown.print("[red]late[/]")
    assert capture.get() == "\x1b[31mlate\x1b[0m\n"


@pytest.mark.parametrize(("width", "is_table"), [(100, True), (60, False)])
def test_no_number_is_broken_where_the_terminal_is_narrow(monkeypatch: pytest.MonkeyPatch, width: int, is_table: bool):
    narrow = type(console)(width=width)
    monkeypatch.setattr("pgbroker.output.console", narrow)
    rows = [{"name": "an organization's name of some length", **{f"figure {n}": 10**6 + n for n in range(7)}}]
    with narrow.capture() as capture:
        show_table("Figures", rows)
    shown = capture.get()
    assert all(str(10**6 + n) in shown for n in range(7))
    assert max(map(len, shown.splitlines())) <= width
    assert ("┃" in shown) == is_table


def test_evidence_within_evidence_is_read_as_words():
    evidence = {"method": "curves", "all": {"late": 6.1, "tickets": 67.9}}
    assert ticket_show._evidence(evidence) == "method curves, all (late 6.1, tickets 67.9)"
