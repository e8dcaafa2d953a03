"""Learning triage anew: fitted on labelled tickets but some of the newest, judged on those, swapped in when not worse.

Held back is half of the newest fifth of the labelled tickets, chosen by a fixed hash of their ids: a ticket stays held
back while it is among the newest, so that the model that is active has learnt none of them either, and the other half
lets a label that people have just begun to use be learnt at once. What is stored is what was judged.

A category model is worse when it loses more of the held-back tickets to the present one than chance would have it
(more than the root of the number on which the two differ), and so is one of intents; a priority model when its
macro-F1 is more than 0.02 lower, and a model of tags when its micro-F1 is.
A label that a model does not know it answers wrongly, and one that nobody uses any more it answers in vain: both count
against it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Any
from uuid import UUID

import numpy as np

from desk import database, organizations
from desk.tickets import measures
from desk.tickets.triage import label_names, labelled, triage_models
from desk.tickets.triage.classifier import Classifier
from desk.tickets.triage.labelled import Labelled
from desk.tickets.triage.priority_model import PriorityModel
from desk.tickets.triage.tag_model import TagModel
from desk.tickets.triage.triage_models import Judged, Stored

NEWEST_SHARE = 5  # one in so many labelled tickets is among the newest
LEAST_NEWEST = 40
MOST_NEWEST = 1_000
LEAST_HELD = 10  # tickets below which a comparison says nothing
WORSE_BY = 0.02  # macro-F1 of priorities, micro-F1 of tags
UNMEASURED = "its confidence cannot be measured: all of its own labels are told apart, or none is"


@dataclass(frozen=True)
class Answers:
    """What a model says about tickets: labels, and how sure it is of each."""

    said: list[str]
    sure: list[float]


@dataclass(frozen=True)
class Tagged:
    """What a model says about tickets: the tags of each, and how sure it is of each of them."""

    said: list[list[str]]
    sure: list[list[float]]


Present = tuple[Stored, Any]  # what is active, and its model


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
            what: triage_models.read(connection, organization, what, active[what], _LOADS[what])
            for what in due
            if what in active
        }
    return [_JUDGES[what](everything, version, present.get(what)) for what, version in begun.items()]


def _category(everything: Labelled, version: int, present: Present | None) -> Judged:
    return _classes("category", everything, everything.with_category, everything.categories, version, present)


def _intent(everything: Labelled, version: int, present: Present | None) -> Judged:
    return _classes("intent", everything, everything.with_intent, everything.intents, version, present)


def _classes(
    what: str,
    everything: Labelled,
    positions: list[int],
    given: list[str | None],
    version: int,
    present: Present | None,
) -> Judged:
    usable = everything.where(positions)
    labels = [str(given[i]) for i in positions]
    learnt, held = _split(usable, present)
    if len({labels[i] for i in learnt}) < 2:
        return _rejected(what, everything, version, len(usable), f"only one {what} was used so far")
    taught = usable.where(learnt)
    taught_labels = [labels[i] for i in learnt]
    candidate = Classifier.fit(taught.texts, taught.vectors, taught_labels, label_names.of(taught_labels))
    if what == "intent" and not candidate.calibrated:  # the rules, which it would replace, need no labels
        return _rejected(what, everything, version, len(usable), UNMEASURED)
    asked, truth = usable.where(held), [labels[i] for i in held]
    own = _answers(candidate, asked)
    other = _answers(present[1], asked) if present else None
    state, reason = _compare(own.said, other.said if other else None, truth, present, _loses)
    return _judged(what, everything, usable, learnt, len(usable), version, state, reason, candidate.dumps(),
                   _figures(own, truth), _figures(other, truth) if other else None, present)  # fmt: skip


def _priority(everything: Labelled, version: int, present: Present | None) -> Judged:
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
    other = asked(present[1]) if present else None
    state, reason = _compare(own.said, other.said if other else None, truth, present, _macro_loses)
    return _judged("priority", everything, usable, learnt, len(usable), version, state, reason, candidate.dumps(),
                   _figures(own, truth), _figures(other, truth) if other else None, present)  # fmt: skip


def _tags(everything: Labelled, version: int, present: Present | None) -> Judged:
    usable = everything.where(everything.with_tags)
    tags = [each or [] for each in usable.tags]
    labels = sum(map(bool, tags))
    learnt, held = _split(usable, present)
    if not TagModel.can_learn([tags[i] for i in learnt]):
        return _rejected("tags", everything, version, labels, f"no tag that ten tickets carry, of {labels} with tags")
    taught = usable.where(learnt)
    candidate = TagModel.fit(taught.texts, taught.vectors, [tags[i] for i in learnt])
    if candidate is None:
        return _rejected("tags", everything, version, labels, "no tag can be told from the others well enough")
    asked, truth = usable.where(held), [tags[i] for i in held]
    own = _tagged(candidate, asked)
    other = _tagged(present[1], asked) if present else None
    state, reason = _compare(own.said, other.said if other else None, truth, present, _micro_loses)
    return _judged("tags", everything, usable, learnt, labels, version, state, reason, candidate.dumps(),
                   _tag_figures(own, truth), _tag_figures(other, truth) if other else None, present)  # fmt: skip


def _split(usable: Labelled, present: Present | None) -> tuple[list[int], list[int]]:
    """The positions that are learnt and those that are held back. The oldest come first in `usable`."""
    newest = min(max(len(usable) // NEWEST_SHARE, LEAST_NEWEST), MOST_NEWEST, len(usable) // 2)
    seen = {str(ticket_id) for ticket_id in present[0].ticket_ids} if present else set()
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


def _tagged(model: TagModel, asked: Labelled) -> Tagged:
    found = model.answers(asked.texts, asked.vectors)
    return Tagged(
        [[answer.tag for answer in each] for each in found], [[answer.confidence for answer in each] for each in found]
    )


def _compare(own: Any, other: Any, truth: Any, present: Present | None, loses: Any) -> tuple[str, str]:
    """`own`, `other` and `truth` are what is said and true of each ticket."""
    if present is None or other is None:
        return "active", "the first of this embedding model"
    active = present[0].version
    if len(truth) < LEAST_HELD:
        return (
            "rejected",
            f"only {len(truth)} tickets that neither learnt from: too few to compare with version {active}",
        )
    verdict = loses(own, other, truth)
    if verdict:
        return "rejected", f"worse than version {active}: {verdict}"
    return "active", f"not worse than version {active}"


def _loses(own: list[str], other: list[str], truth: list[str]) -> str | None:
    lost = sum(theirs == right != ours for ours, theirs, right in zip(own, other, truth, strict=True))
    won = sum(ours == right != theirs for ours, theirs, right in zip(own, other, truth, strict=True))
    if lost - won <= sqrt(lost + won):
        return None
    return f"of {len(truth)} held-back tickets it alone is right on {won}, the other alone on {lost}"


def _macro_loses(own: list[str], other: list[str], truth: list[str]) -> str | None:
    ours, theirs = measures.macro_f1(own, truth) or 0.0, measures.macro_f1(other, truth) or 0.0
    return f"macro-F1 {ours:.3f} against {theirs:.3f}" if ours < theirs - WORSE_BY else None


def _micro_loses(own: list[list[str]], other: list[list[str]], truth: list[list[str]]) -> str | None:
    ours, theirs = (measures.of_sets(said, truth)["micro_f1"] or 0.0 for said in (own, other))
    return f"micro-F1 {ours:.3f} against {theirs:.3f}" if ours < theirs - WORSE_BY else None


def _judged(
    what: str,
    everything: Labelled,
    usable: Labelled,
    learnt: list[int],
    labels: int,
    version: int,
    state: str,
    reason: str,
    model: bytes,
    own: dict[str, Any],
    other: dict[str, Any] | None,
    present: Present | None,
) -> Judged:
    return Judged(
        what,
        version,
        state,
        reason,
        labels,
        everything.newest_label,
        [usable.ids[i] for i in learnt],
        model,
        own,
        present[0].version if present else None,
        other,
    )


def _figures(answers: Answers, truth: list[str]) -> dict[str, Any]:
    return {
        "held_back": len(truth),
        "accuracy": measures.accuracy(answers.said, truth),
        "macro_f1": measures.macro_f1(answers.said, truth),
        "calibration_error": measures.calibration_error(np.asarray(answers.sure), answers.said, truth),
    }


def _tag_figures(answers: Tagged, truth: list[list[str]]) -> dict[str, Any]:
    right = [tag if tag in true else "" for said, true in zip(answers.said, truth, strict=True) for tag in said]
    said = [tag for each in answers.said for tag in each]
    sure = [sure for each in answers.sure for sure in each]
    return {
        "held_back": len(truth),
        **measures.of_sets(answers.said, truth),
        "calibration_error": measures.calibration_error(np.asarray(sure), said, right),
    }


def _rejected(what: str, everything: Labelled, version: int, labels: int, reason: str) -> Judged:
    return Judged(what, version, "rejected", reason, labels, everything.newest_label, [])


def _counted(labels: list[str]) -> str:
    return ", ".join(f"{count} {label}" for label, count in Counter(labels).most_common()) or "none"


_JUDGES = {"category": _category, "priority": _priority, "tags": _tags, "intent": _intent}
_LOADS: dict[str, Callable[[bytes], Any]] = {
    "category": Classifier.loads,
    "priority": PriorityModel.loads,
    "tags": TagModel.loads,
    "intent": Classifier.loads,
}
