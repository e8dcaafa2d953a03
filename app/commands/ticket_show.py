"""`atum tickets show`: what the jobs found out about a ticket, in panels. `atum tickets quality`: whether it helped."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from app.commands.organization import named
from app.output import AsJson, console, errors, show_json, show_table
from desk import database
from desk.errors import ModelUnavailable
from desk.tickets import findings, similar
from desk.tickets.offers import usefulness

SHOWN_WORDS = 400  # characters of somebody's text in a panel

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]


def register(app: typer.Typer) -> None:
    """Add the commands to `atum tickets`."""
    app.command("show")(show)
    app.command("quality")(quality)


def show(
    ticket: Annotated[str, typer.Argument(help="The ticket's id.", metavar="TICKET")],
    org: Organization,
    as_json: AsJson = False,
) -> None:
    """Everything that the jobs found out about a ticket: triage with evidence, suggestions, draft with citations, mood
    with reasons, prediction, similar tickets and possible duplicates."""
    organization = named(org)
    with database.transaction(organization) as connection:
        found = findings.of(connection, organization, ticket)
    try:
        found["similar"] = [asdict(one) for one in similar.to_ticket(organization, ticket, top=3)]
    except ModelUnavailable as error:
        errors.print(f"similar tickets: {error}", style="yellow", markup=False, soft_wrap=True)
        found["similar"] = []
    if as_json:
        return show_json(found)
    about = found["ticket"]
    console.print(_panel(escape(about["subject"]), _ticket(about)))
    for title, text in (
        ("Triage", _triage(found["triage"])),
        ("Suggested articles", _suggestions(found["suggestions"])),
        ("Draft", _draft(found["draft"])),
        ("Mood", _sentiment(found["sentiment"])),
        ("Breach of the deadline", _prediction(found["prediction"])),
        ("Similar tickets", _similar(found["similar"])),
        ("Possible duplicates", _duplicates(found["duplicates"])),
    ):
        console.print(_panel(title, text))


def quality(
    org: Organization,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How many days back.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Whether what was offered helped: votes on suggested articles, what became of drafts, tickets that were spared."""
    organization = named(org)
    with database.transaction(organization) as connection:
        found = usefulness.figures(connection, organization, days)
    if as_json:
        return show_json(found)
    articles = found.pop("articles")
    rows = [{"what": name.replace("_", " "), "count": count} for name, count in found.items() if name != "days"]
    show_table(f"{org}, the last {days} days", rows)
    show_table("Articles voted on, the least helpful first", articles)


def _panel(title: str, text: str | Group) -> Panel:
    return Panel(text, title=title, title_align="left", border_style="dim")


def _ticket(about: dict[str, Any]) -> str:
    said = " · ".join(
        escape(str(about[name])) for name in ("status", "priority", "category", "language", "requester") if about[name]
    )
    tags = f"\n[dim]tags {escape(', '.join(about['tags']))}[/]" if about["tags"] else ""
    return (
        f"[dim]{about['id']} · revision {about['revision']} · {about['created_at']:%Y-%m-%d %H:%M %Z}[/]\n{said}{tags}"
    )


def _triage(found: dict[str, Any] | None) -> str:
    if not found:
        return _nothing()
    sure = _percent(found["category_confidence"])
    lines = [
        f"[bold]{escape(found['category'] or 'no category')}[/] {found['outcome']}{sure}{_old(found)}",
        f"{escape(found['reason'])} [dim]({escape(found['method'])})[/]",
    ]
    if found["priority"] or found["intent"]:
        priority = f"priority {found['priority'] or '–'}{_percent(found['priority_confidence'])}"
        lines.append(f"{priority}, intent {escape(found['intent'] or '–')}")
    if found["tags"]:
        lines.append("tags " + escape(", ".join(tag["tag"] for tag in found["tags"])))
    if found["explanation"]:
        told = found["explanation"]
        opinion = (
            f"; it would say {told['second_opinion']}" if told["second_opinion"] not in (None, told["category"]) else ""
        )
        lines.append(f"{escape(told['text'])} [dim]({escape(told['method'] + opinion)})[/]")
    for name, evidence in found["evidence"].items():
        if evidence:
            lines.append(f"[dim]{escape(name.replace('_', ' '))}: {escape(_evidence(evidence))}[/]")
    return "\n".join(lines)


def _evidence(evidence: Any) -> str:
    if isinstance(evidence, str):
        return evidence
    if isinstance(evidence, list):
        return "; ".join(_evidence(one) for one in evidence)
    if isinstance(evidence, dict):
        return ", ".join(
            f"{name} ({_evidence(value)})" if isinstance(value, dict) else f"{name} {_evidence(value)}"
            for name, value in evidence.items()
        )
    return json.dumps(evidence, ensure_ascii=False)


def _suggestions(found: dict[str, Any]) -> str:
    if found["made_at"] is None:
        return _nothing()
    lines = []
    for row in found["articles"]:
        votes = f" · helpful {row['helpful']}, not {row['not_helpful']}" if row["helpful"] or row["not_helpful"] else ""
        lines.append(
            f"[bold]{row['position']}. {escape(row['title'])}[/]"
            f" [dim]{escape(row['external_id'])} revision {row['article_revision']} · {row['score']:.2f}{votes}[/]"
        )
        lines.append(f"   {escape(_short(row['excerpt']))}")
    if not found["current"]:
        lines.append("[yellow]an article or the ticket has changed since[/]")
    return "\n".join(lines) or "none is relevant"


def _draft(found: dict[str, Any]) -> str | Group:
    if found["made_at"] is None:
        return _nothing()
    if found["body"] is None:
        return f"none: {escape(found['reason'])}"
    lines = []
    for item in found["citations"]:
        of = (
            f"article {item['title']} revision {item['article_revision']} {item['article_id']}"
            if "article_id" in item
            else f"reply {item['message_id']} of ticket {item['ticket_id']}"
        )
        lines.append(f"[dim]\\[{item['mark']}] {escape(of)}[/]")
    decided = f" · {found['outcome']} by {escape(found['agent'])}" if found["outcome"] else ""
    state = "" if found["current"] else "[yellow] · a source or the ticket has changed since[/]"
    lines.append(f"[dim]{escape(found['method'])}{decided}[/]{state}")
    return Group(Text(found["body"] + "\n"), Text.from_markup("\n".join(lines)))


def _sentiment(found: dict[str, Any] | None) -> str:
    if not found:
        return _nothing()
    score = "" if found["score"] is None else f" {found['score']:+.2f}"
    escalated = " · escalated" if found["escalated"] else ""
    source = f", of message {found['message_seq']}" if found["message_seq"] is not None else ""
    lines = [f"[bold]{found['label']}[/]{score}, urgency {found['urgency']}{source}{escalated}{_old(found)}"]
    lines += [f"[dim]{escape(_evidence(reason))}[/]" for reason in found["reasons"]]
    return "\n".join(lines)


def _prediction(found: dict[str, Any] | None) -> str:
    if not found:
        return _nothing()
    said = escape(found["reason"]) if found["probability"] is None else f"[bold]{found['probability']:.0%}[/]"
    return f"{said}\n[dim]{escape(_evidence(found['basis']))}[/]"


def _similar(found: list[dict[str, Any]]) -> str:
    lines = []
    for one in found:
        lines.append(
            f"[bold]{escape(one['subject'])}[/] [dim]{one['ticket_id']} {one['status']} {one['similarity']:.2f}[/]"
        )
        if one["resolution"]:
            lines.append(f"   {escape(_short(one['resolution']))}")
    return "\n".join(lines) or "none"


def _duplicates(found: list[dict[str, Any]]) -> str:
    return "\n".join(duplicate_line(one) for one in found) or "none"


def duplicate_line(one: dict[str, Any]) -> str:
    """A possible duplicate, for people."""
    who = "the same requester" if one["same_requester"] else "another requester"
    return (
        f"[yellow]may say the same:[/] {escape(one['subject'])} [dim]{one['ticket_id']} {one['status']}"
        f" {one['similarity']:.2f}, {one['shared_words']:.0%} of the words, {who}[/]"
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= SHOWN_WORDS else words[:SHOWN_WORDS] + " …"


def _percent(share: float | None) -> str:
    return "" if share is None else f" {share:.0%}"


def _old(found: dict[str, Any]) -> str:
    return "" if found["current"] else " [yellow]· of an earlier text[/]"


def _nothing() -> str:
    return "[dim]nothing yet: a job waits, or is switched off[/]"
