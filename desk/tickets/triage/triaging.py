"""Category, priority, intent and tags of a ticket, each with its evidence, or the reason why not.

Pure rules over a text, its vector and the organization's examples. Three acts for the category: applied where the
organization allows it from a calibrated confidence on, suggested, or abstained.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from desk.tickets.english import is_english
from desk.tickets.own_words import own_words
from desk.tickets.triage import intent, priority_rules
from desk.tickets.triage.categories import LOW, Described
from desk.tickets.triage.classifier import ENOUGH, Answer, Classifier, Heard
from desk.tickets.triage.examples import Examples, Learnt
from desk.tickets.triage.priority_rules import SHIPPED, PriorityRules
from desk.tickets.triage.tag_model import TagModel
from desk.tickets.vectors import Vectors

METHOD = "kernel ridge over labelled tickets, by meaning and words"
SUGGEST_FROM = 0.4  # confidence below which two categories are undecided
STRANGE = "nothing similar was labelled before"
NOT_ENGLISH = "the rules read English only"
NEIGHBOURS = 5  # tickets shown as evidence
PRIORITY_NEIGHBOURS = 50  # among which those of the same priority are shown
TAG_NEIGHBOURS = 10
TAG_NEAR = 0.5  # cosine from which a neighbour's tags count
TAG_SHARE = 0.5  # of the neighbours' similarity that must carry a tag
CARRIERS = 50  # tickets that carry a tag which are looked at: do any of them carry it still?


@dataclass
class Triage:
    """What was found out. Confidences are None where nothing could measure them, as with rules over words.

    Each of `tags` has the tag, the tickets that carry it, the nearest first, and either `confidence` and `words`, of a
    stored model, or the `share` of the near tickets that carry it.
    """

    outcome: str
    reason: str
    method: str
    calibrated: bool = False
    model_version: int | None = None
    category: str | None = None
    category_confidence: float | None = None
    priority: str | None = None
    priority_confidence: float | None = None
    intent: str | None = None
    intent_confidence: float | None = None
    tags: list[dict[str, Any]] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


def triage(
    text: str,
    vector: Vectors,
    examples: Examples,
    applies_above: float | None = None,
    suggest_from: float = SUGGEST_FROM,
    described: Described | None = None,
    requester: str | None = None,
    rules: PriorityRules = SHIPPED,
) -> Triage:
    """Triage `text` (as `vectors.text_of` has it). `applies_above` and `suggest_from` are the organization's thresholds
    for applying (None: never) and for suggesting; `described` are its categories in its own words, `rules` its rules of
    priority, which know `requester`."""
    heard = examples.classifier.hear(text, vector) if examples.classifier else None
    found = _category(heard, examples, applies_above, suggest_from)
    if described and may_be_described(found):
        found = _by_description(found, vector, examples, suggest_from, described)
    found.model_version = examples.model_version
    words = own_words(text)
    english = is_english(words) is not False
    found.priority, found.evidence["priority_rules"] = priority_rules.decide(rules, words, requester, english)
    if not english and not found.evidence["priority_rules"]:
        found.evidence["priority_rules"] = NOT_ENGLISH
    if found.priority is None:
        _learnt_priority(found, vector, heard, examples)
    if examples.learnt.by_intent:
        _learnt_intent(found, text, vector, examples.learnt, examples.learnt.by_intent)
    elif english:
        meant = intent.read(words)
        found.intent = meant.name
        found.evidence["intent"] = meant.evidence or meant.reason
    else:
        found.evidence["intent"] = NOT_ENGLISH
    if examples.learnt.by_tag:
        _learnt_tags(found, text, vector, examples.learnt, examples.learnt.by_tag)
    else:
        _voted_tags(found, heard, examples)
    return found


def may_be_described(found: Triage) -> bool:
    """Whether labelled tickets have nothing to say, so that the categories' descriptions are asked."""
    return found.category is None and (found.method == "none" or found.reason.startswith(STRANGE))


def _by_description(
    found: Triage, vector: Vectors, examples: Examples, suggest_from: float, described: Described
) -> Triage:
    """The nearest description of a category that no model knows, where it is near enough to be suggested."""
    known = set(examples.classifier.labels.tolist()) if examples.classifier else set()
    nearest = described.nearest(vector, without=known)
    if nearest is None or min(nearest[1], LOW) < suggest_from:
        return found
    name, similarity = nearest
    return Triage(
        "suggested",
        f"by its description alone (similarity {similarity:.2f}): {found.reason}",
        "nearest description",
        category=name,
        category_confidence=min(similarity, LOW),
        evidence=found.evidence | {"description": {"category": name, "similarity": round(similarity, 4)}},
    )


def withdraw(found: Triage, reason: str) -> Triage:
    """The same without its category: it is not to be answered, for the reason given."""
    return replace(found, outcome="abstained", reason=reason, category=None, category_confidence=None)


def withdraw_intent(found: Triage) -> Triage:
    """The same without its intent, which nobody uses any more."""
    reason = f"the likeliest intent, {found.intent}, is not in use any more"
    evidence = {name: value for name, value in found.evidence.items() if name != "intent_words"}
    return replace(found, intent=None, intent_confidence=None, evidence=evidence | {"intent": reason})


def _category(heard: Heard | None, examples: Examples, applies_above: float | None, suggest_from: float) -> Triage:
    if not examples.ids:
        return Triage("abstained", "no labelled tickets yet", "none")
    if heard is None:
        return Triage("abstained", f"only one category was used so far: {examples.categories[0]}", "none")
    classifier, answer = heard.classifier, heard.answer
    found = Triage(
        "suggested",
        _about(classifier),
        METHOD,
        classifier.calibrated,
    )
    found.evidence["category"] = _neighbours(heard, examples, answer.label)
    found.evidence["candidates"] = [answer.label, answer.runner_up]
    found.evidence["words"] = heard.telling_words(answer.label, answer.runner_up)
    if answer.known < classifier.floor:
        found.outcome, found.reason = (
            "abstained",
            f"{STRANGE} (nearest {answer.similarity:.2f})",
        )
        found.evidence["category"] = _neighbours(heard, examples, None)
        return found
    if answer.confidence < suggest_from:
        found.outcome, found.reason = "abstained", f"undecided between {answer.label} and {answer.runner_up}"
        return found
    found.category, found.category_confidence = answer.label, answer.confidence
    if _may_apply(answer, classifier, applies_above):
        found.outcome = "applied"
    return found


def _may_apply(answer: Answer, classifier: Classifier, applies_above: float | None) -> bool:
    return applies_above is not None and classifier.calibrated and answer.confidence >= applies_above


def _about(classifier: Classifier) -> str:
    count = classifier.examples
    if classifier.calibrated:
        return f"{classifier.left_out_accuracy:.0%} right on its own {count:,} labelled tickets, left out in turn"
    if count < ENOUGH:
        return f"uncalibrated: {count} labelled tickets, {ENOUGH} are needed"
    return "uncalibrated: the labelled tickets are all told apart, or none is"


def _neighbours(heard: Heard, examples: Examples, label: str | None) -> list[dict[str, Any]]:
    return [
        {"ticket_id": examples.ids[i], "category": examples.categories[i], "similarity": round(similarity, 4)}
        for i, similarity in heard.nearest(label, NEIGHBOURS)
    ]


def _learnt_priority(found: Triage, vector: Vectors, heard: Heard | None, examples: Examples) -> None:
    """No rule spoke: what did people give to tickets like this one?"""
    if examples.by_priority is None:
        found.evidence["priority"] = "no rule speaks, and too few tickets with different priorities to learn from"
        return
    answer = examples.by_priority.answers(vector[None, :])[0]
    if answer.confidence < SUGGEST_FROM:
        found.evidence["priority"] = "no rule speaks, and what was learnt is not sure enough"
        return
    found.priority, found.priority_confidence = answer.priority, answer.confidence
    near = heard.nearest(None, PRIORITY_NEIGHBOURS) if heard else []
    found.evidence["priority"] = [
        {"ticket_id": examples.ids[i], "priority": answer.priority, "similarity": round(similarity, 4)}
        for i, similarity in near
        if examples.priorities[i] == answer.priority
    ][:NEIGHBOURS]


def _learnt_intent(found: Triage, text: str, vector: Vectors, learnt: Learnt, model: Classifier) -> None:
    """People name intents here, so theirs are answered, not those of the rules."""
    heard = model.hear(text, vector)
    answer = heard.answer
    if answer.known < model.floor:
        found.evidence["intent"] = f"{STRANGE} (nearest {answer.similarity:.2f})"
    elif answer.confidence < SUGGEST_FROM:
        found.evidence["intent"] = f"undecided between {answer.label} and {answer.runner_up}"
    else:
        found.intent, found.intent_confidence = answer.label, answer.confidence
        found.evidence["intent"] = [
            {"ticket_id": learnt.intent_ids[i], "intent": answer.label, "similarity": round(similarity, 4)}
            for i, similarity in heard.nearest(answer.label, NEIGHBOURS)
        ]
        found.evidence["intent_words"] = heard.telling_words(answer.label, answer.runner_up)


def _learnt_tags(found: Triage, text: str, vector: Vectors, learnt: Learnt, model: TagModel) -> None:
    found.tags = [
        {
            "tag": answer.tag,
            "confidence": round(answer.confidence, 4),
            "ticket_ids": [learnt.tag_ids[i] for i, _ in model.nearest(vector, answer.tag, CARRIERS)],
            "words": model.telling_words(text, answer.tag),
        }
        for answer in model.answers([text], vector[None, :])[0]
    ]


def _voted_tags(found: Triage, heard: Heard | None, examples: Examples) -> None:
    if heard is None:
        return
    near = [pair for pair in heard.nearest(None, TAG_NEIGHBOURS) if pair[1] >= TAG_NEAR]
    votes: Counter[str] = Counter()
    for i, similarity in near:
        for tag in examples.tags[i]:
            votes[tag] += similarity  # type: ignore[assignment]  # a Counter may count by any number
    total = sum(similarity for _, similarity in near)
    for tag, points in votes.most_common():
        if points / total >= TAG_SHARE and len(near) > 1:
            carriers = [examples.ids[i] for i, _ in near if tag in examples.tags[i]]
            found.tags.append({"tag": tag, "share": round(points / total, 4), "ticket_ids": carriers})
