"""`atum tickets triage-models`: what triage has learnt, how good each version was, and the way back.
`atum tickets triage-quality`: what people made of its answers."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from app.commands.organization import named
from app.output import AsJson, console, show_json, show_table
from desk import database
from desk.tickets.triage import quality, triage_models

Organization = Annotated[str, typer.Option("--org", help="The organization's name.", metavar="NAME")]
BEGINS = {"tags": "50 tickets whose tags people chose", "intent": "100 tickets whose intent people set"}


def register(app: typer.Typer) -> None:
    """Add the verbs about triage to `atum tickets`."""
    app.command("triage-models")(models)
    app.command("triage-quality")(quality_)


def models(
    org: Organization,
    use: Annotated[
        int | None, typer.Option("--use", help="Make this version the active one.", metavar="VERSION", min=1)
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(
            "--what",
            help="Of which question: category, priority, tags or intent; --use means category where none is named.",
            metavar="WHAT",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The versions of an organization's triage models, of each question the newest first.

    With --use: go back to one. It stays active until a newer one, learnt from new labels, is not worse.
    """
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        if use is not None:
            triage_models.use(connection, organization_id, what or "category", use)
        rows = triage_models.listed(connection, organization_id, what)
    if as_json:
        return show_json(rows)
    if not rows:
        begins = BEGINS.get(what or "", "200 labelled tickets. Till then each is compared with")
        console.print(
            f"No model is stored for {org}: that begins with {begins}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    names = ("what", "version", "state", "labels", "held back", "right", "macro-F1", "off by", "compared", "KiB")
    show_table(f"Triage models of {org}", [_row(row) for row in rows], names)
    for row in rows:
        if row["reason"]:
            line = f"{row['what']} {row['version']}: {row['reason']}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def quality_(
    org: Organization,
    days: Annotated[
        int, typer.Option("--days", help="Of choices in the last so many days.", min=1, max=3650)
    ] = quality.USUAL_DAYS,
    as_json: AsJson = False,
) -> None:
    """How often people accepted what triage proposed, by its confidence, and how often it proposed anything."""
    organization_id = named(org)
    with database.transaction(organization_id) as connection:
        found = quality.measure(connection, organization_id, days=days)
    if as_json:
        return show_json(
            [
                asdict(one)
                | {"coverage": one.coverage, "accuracy": one.accuracy}
                | {"bands": [asdict(band) | {"accuracy": band.accuracy} for band in one.bands]}
                for one in found
            ]
        )
    if not found:
        console.print(f"Nobody at {org} has chosen anything that triage had proposed something for.", markup=False)
        return
    rows = []
    for one in found:
        rows.append({"what": one.what, "confidence": "all", "tickets": one.tickets, "answered": _share(one.coverage),
                     "accepted": _share(one.accuracy), "mean confidence": ""})  # fmt: skip
        rows += [
            {"what": "", "confidence": _band(band), "tickets": band.answers, "answered": "",
             "accepted": _share(band.accuracy), "mean confidence": _share(band.confidence)}
            for band in one.bands
        ]  # fmt: skip
    show_table(f"Triage at {org}, {days} days", rows)


def _band(band: quality.Band) -> str:
    if band.least is None:
        return "none given"
    return f"{band.least:.1f}–{min(band.below or 1.0, 1.0):.1f}"


def _row(row: dict[str, Any]) -> dict[str, Any]:
    figures, compared = row["figures"] or {}, row["compared_figures"] or {}
    other = f"{row['compared_version']}: {_share(_main(compared))}" if compared else ""
    return {
        "what": row["what"],
        "version": row["version"],
        "state": row["state"],
        "labels": row["labels"],
        "held back": figures.get("held_back", ""),
        "right": _share(_main(figures)),
        "macro-F1": _share(figures.get("macro_f1")),
        "off by": _share(figures.get("calibration_error")),
        "compared": other,
        "KiB": row["bytes"] // 1024,
    }


def _main(figures: dict[str, Any]) -> float | None:
    """The figure to look at first: accuracy, or of tags, of which a ticket has several, micro-F1."""
    return figures.get("accuracy", figures.get("micro_f1"))


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
