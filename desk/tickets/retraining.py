"""Learning triage anew: fitted on labelled tickets but some of the newest, judged on those, swapped in when not worse.

Held back is half of the newest fifth of the labelled tickets, chosen by a fixed hash of their ids: a ticket stays held
back while it is among the newest, so that the model that is active has learnt none of them either, and the other half
lets a label that people have just begun to use be learnt at once. What is stored is what was judged.

A category model is worse when it loses more of the held-back tickets to the present one than chance would have it
(more than the root of the number on which the two differ); a priority model when its macro-F1 is more than 0.02 lower.
A label that a model does not know it answers wrongly, and one that nobody uses any more it answers in vain: both count
against it.
"""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Any
from uuid import UUID

import numpy as np

from desk import database, organizations
from desk.tickets import label_names, labelled, measures, triage_models
from desk.tickets.classifier import Classifier
from desk.tickets.labelled import Labelled
from desk.tickets.priority_model import PriorityModel
from desk.tickets.triage_models import Judged, Stored

NEWEST_SHARE = 5  # one in so many labelled tickets is among the newest
LEAST_NEWEST = 40
MOST_NEWEST = 1_000
LEAST_HELD = 10  # tickets below which a comparison says nothing
WORSE_BY = 0.02  # macro-F1 of priorities
UNMEASURED = "its confidence cannot be measured: all of its own labels are told apart, or none is"


@dataclass(frozen=True)
class Answers:
    """What a model says about tickets: labels, and how sure it is of each."""

    said: list[str]
    sure: list[float]


def retrain(organization_id: UUID | str) -> list[Judged]:
    """Fit and judge what is due; nothing but the note that it was begun is written. `triage_models.end` keeps the rest.

    Raises:
        NotFound: there is no such organization.
        ModelUnavailable: vectors are missing and there is no model.
    """
    organization = organizations.identifier(organization_id, "organization")
    with database.transaction(organization) as connection:
        organizations.name_of(connection, organization)
        due = [what for what in triage_models.QUESTIONS if triage_models.due(connection, organization, what)]
    if not due:
        return []
    everything = labelled.read(organization)
    with database.transaction(organization) as connection:
        begun = {what: triage_models.begin(connection, organization, what) for what in due}
        active = triage_models.active_versions(connection, organization)
        present = {
            what: triage_models.load(connection, organization, what, active[what]) for what in due if what in active
        }
    return [_JUDGES[what](everything, version, present.get(what)) for what, version in begun.items()]


def _category(everything: Labelled, version: int, present: Stored | None) -> Judged:
    usable = everything.where(everything.with_category)
    labels = [str(category) for category in usable.categories]
    learnt, held = _split(usable, present)
    if len({labels[i] for i in learnt}) < 2:
        return _rejected("category", everything, version, len(usable), "only one category was used so far")
    taught = usable.where(learnt)
    taught_labels = [labels[i] for i in learnt]
    candidate = Classifier.fit(taught.texts, taught.vectors, taught_labels, label_names.of(taught_labels))
    asked, truth = usable.where(held), [labels[i] for i in held]
    own = _answers(candidate, asked)
    other = _answers(Classifier.loads(present.model), asked) if present else None
    state, reason = _compare(own, other, truth, present, _loses)
    return _judged("category", everything, usable, learnt, version, state, reason, candidate.dumps(),
                   own, other, truth, present)  # fmt: skip


def _priority(everything: Labelled, version: int, present: Stored | None) -> Judged:
    usable = everything.where(everything.with_priority)
    labels = [str(priority) for priority in usable.priorities]
    learnt, held = _split(usable, present)
    if not PriorityModel.can_learn([labels[i] for i in learnt]):
        return _rejected(
            "priority", everything, version, len(usable), f"too few labels of different priorities: {_counted(labels)}"
        )
    candidate = PriorityModel.fit(usable.vectors[learnt], [labels[i] for i in learnt])
    if candidate is None:
        return _rejected("priority", everything, version, len(usable), UNMEASURED)
    truth = [labels[i] for i in held]

    def asked(model: PriorityModel) -> Answers:
        found = model.answers(usable.vectors[held]) if held else []
        return Answers([answer.priority for answer in found], [answer.confidence for answer in found])

    own = asked(candidate)
    other = asked(PriorityModel.loads(present.model)) if present else None
    state, reason = _compare(own, other, truth, present, _macro_loses)
    return _judged("priority", everything, usable, learnt, version, state, reason, candidate.dumps(),
                   own, other, truth, present)  # fmt: skip


def _split(usable: Labelled, present: Stored | None) -> tuple[list[int], list[int]]:
    """The positions that are learnt and those that are held back. The oldest come first in `usable`."""
    newest = min(max(len(usable) // NEWEST_SHARE, LEAST_NEWEST), MOST_NEWEST, len(usable) // 2)
    seen = {str(ticket_id) for ticket_id in present.ticket_ids} if present else set()
    held = [
        i
        for i in range(len(usable) - newest, len(usable))
        if sha256(usable.ids[i].encode()).digest()[0] % 2 == 0 and usable.ids[i] not in seen
    ]
    kept = set(held)
    return [i for i in range(len(usable)) if i not in kept], held


def _answers(model: Classifier, asked: Labelled) -> Answers:
    found = model.answers(asked.texts, asked.vectors) if len(asked) else []
    return Answers([answer.label for answer in found], [answer.confidence for answer in found])


def _compare(
    own: Answers, other: Answers | None, truth: list[str], present: Stored | None, loses: Any
) -> tuple[str, str]:
    if present is None or other is None:
        return "active", "the first of this embedding model"
    if len(truth) < LEAST_HELD:
        return (
            "rejected",
            f"only {len(truth)} tickets that neither learnt from: too few to compare with version {present.version}",
        )
    verdict = loses(own.said, other.said, truth)
    if verdict:
        return "rejected", f"worse than version {present.version}: {verdict}"
    return "active", f"not worse than version {present.version}"


def _loses(own: list[str], other: list[str], truth: list[str]) -> str | None:
    lost = sum(theirs == right != ours for ours, theirs, right in zip(own, other, truth, strict=True))
    won = sum(ours == right != theirs for ours, theirs, right in zip(own, other, truth, strict=True))
    if lost - won <= sqrt(lost + won):
        return None
    return f"of {len(truth)} held-back tickets it alone is right on {won}, the other alone on {lost}"


def _macro_loses(own: list[str], other: list[str], truth: list[str]) -> str | None:
    ours, theirs = measures.macro_f1(own, truth) or 0.0, measures.macro_f1(other, truth) or 0.0
    return f"macro-F1 {ours:.3f} against {theirs:.3f}" if ours < theirs - WORSE_BY else None


def _judged(
    what: str,
    everything: Labelled,
    usable: Labelled,
    learnt: list[int],
    version: int,
    state: str,
    reason: str,
    model: bytes,
    own: Answers,
    other: Answers | None,
    truth: list[str],
    present: Stored | None,
) -> Judged:
    return Judged(
        what,
        version,
        state,
        reason,
        len(usable),
        everything.newest_label,
        [usable.ids[i] for i in learnt],
        model,
        _figures(own, truth),
        present.version if present else None,
        _figures(other, truth) if other else None,
    )


def _figures(answers: Answers, truth: list[str]) -> dict[str, Any]:
    return {
        "held_back": len(truth),
        "accuracy": measures.accuracy(answers.said, truth),
        "macro_f1": measures.macro_f1(answers.said, truth),
        "calibration_error": measures.calibration_error(np.asarray(answers.sure), answers.said, truth),
    }


def _rejected(what: str, everything: Labelled, version: int, labels: int, reason: str) -> Judged:
    return Judged(what, version, "rejected", reason, labels, everything.newest_label, [])


def _counted(labels: list[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in Counter(labels).most_common()) or "none"


_JUDGES = {"category": _category, "priority": _priority}
