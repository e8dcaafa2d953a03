"""`atum eval triage`, `risk` and `sentiment`: how good the ticket jobs are on labelled files of anybody's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.output import AsJson, progress, show_json, show_table
from desk.errors import InvalidInput
from desk.tickets import rows, store

if TYPE_CHECKING:
    from desk.tickets import trials

TrainFile = Annotated[Path, typer.Option("--train", help="CSV or JSONL to learn from.")]
TestFile = Annotated[Path, typer.Option("--test", help="CSV or JSONL to be judged on.")]
TextColumn = Annotated[
    str, typer.Option("--text", help="The column that holds the text; several, joined in this order: title,body.")
]
LabelColumn = Annotated[str, typer.Option("--label", help="The column that holds the label.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("triage")(triage)
    app.command("risk")(risk)
    app.command("sentiment")(sentiment)


def triage(
    train: TrainFile,
    test: TestFile,
    text: TextColumn,
    label: LabelColumn,
    out_of_scope: Annotated[
        str | None, typer.Option("--out-of-scope", help="Label of test rows that belong to no category.")
    ] = None,
    per_class: Annotated[
        int | None, typer.Option("--per-class", min=1, help="Learn from so many rows a label.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Categories of texts, by the engine that triages tickets: kernel ridge over embeddings and words.

    accuracy, macro_f1 and ece (15 bins) are of the rows in scope; accuracy_at_80_coverage and
    in_scope_accuracy_at_90_kept of those answered with the highest confidence. oos_auroc and
    oos_recall_at_80_kept judge the other gate, which asks whether a text is like anything that was labelled. null: does
    not apply, e.g. too few rows to calibrate.
    """
    from desk.tickets import trials

    learnt, judged = _pairs(train, text, label), _pairs(test, text, label)
    with progress() as bar:
        task = bar.add_task("embedding", total=None)
        figures = trials.triage(
            learnt,
            judged,
            out_of_scope=out_of_scope,
            per_class=per_class,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _show("triage", figures, as_json)


def risk(train: TrainFile, test: TestFile, label: LabelColumn, as_json: AsJson = False) -> None:
    """The probability that LABEL is 1, from the columns known when a ticket opens.

    LABEL is 0 or 1, whatever it means: with `made_sla` 1 is a target that was met, and the figures are those of
    predicting that; auc and brier are the same for its opposite. Ids and columns that tell the outcome (`final_*`,
    `resolved_at`, `reopen_count` …, any instant after the opening) are not read. base_rate is the share of 1 in the
    test file. The product's `predict_sla` works from the organization's own tickets instead, and knows how long each
    has been open.
    """
    from desk.tickets import trials

    _show("risk", trials.risk(_table(train, label), _table(test, label), label), as_json)


def sentiment(
    test: TestFile,
    text: TextColumn,
    label: LabelColumn,
    train: Annotated[
        Path | None,
        typer.Option("--train", help="CSV or JSONL to learn from; without it moods are read as tickets' are."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Moods of texts: by a head learnt from --train, or as tickets' moods are read (labels 1/0 or positive/negative).

    Both use a lexicon and likeness to sentences of known mood. accuracy_at_80_coverage is of the surest answers.
    """
    from desk.tickets import trials

    learnt = _pairs(train, text, label) if train else None
    judged = _pairs(test, text, label)
    with progress() as bar:
        task = bar.add_task("embedding", total=None)
        figures = trials.moods(learnt, judged, lambda done, total: bar.update(task, completed=done, total=total))
    _show("sentiment", figures, as_json)


def _pairs(path: Path, text: str, label: str) -> list[tuple[str, str]]:
    """(text, label) of each row that has both a text and a label; `text` may name several columns, with commas."""
    columns = [name.strip() for name in text.split(",")]
    pairs = [
        (
            "\n\n".join(words for name in columns if (words := row[name].replace("\x00", " ").strip())),
            row[label].strip(),
        )
        for row in _table(path, label, *columns)
    ]
    kept = [(words, name) for words, name in pairs if words and name]
    if not kept:
        raise InvalidInput(f"{path}: no row has both {text} and {label}.")
    return kept


def _table(path: Path, label: str, *texts: str) -> list[dict[str, str]]:
    """All rows of the file, each with all columns.

    Raises:
        InvalidInput: the file or one of its rows cannot be read, a needed column is missing, or a text or label of it
            is none: half a character, or a label as long as a text.
    """
    columns, found = rows.read(path)
    for row in found:
        if row.refused:
            raise InvalidInput(f"{path}: row {row.number}: {row.refused}.")
    for name in (label, *texts):
        if name not in columns:
            raise InvalidInput(f"{path}: there is no column {name!r}. The file has: {', '.join(columns)}.")
    for row in found:
        try:
            for name in texts:
                store.check_half_characters(name, row.values.get(name, ""))
            store.check_half_characters(label, row.values.get(label, ""))
            store.check_length(label, row.values.get(label, "").strip(), store.LONGEST_SUBJECT)
        except InvalidInput as error:
            raise InvalidInput(f"{path}: row {row.number}: {error}.") from None
    return [{name: row.values.get(name, "") for name in columns} for row in found]


def _show(title: str, figures: "trials.Figures", as_json: bool) -> None:
    if as_json:
        show_json(figures)
    else:
        show_table(title, [{"figure": name, "value": value} for name, value in figures.items()])
