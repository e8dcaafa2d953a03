"""What a ticket wants of us: an answer, a repair, something done, to be heard, or nothing any more.

Rules with evidence (`words/intent.tsv`). Two intents that are equally strong, or none, give none rather than a guess.
"""

from collections import Counter
from dataclasses import dataclass

from desk.tickets.rulebook import rules


@dataclass(frozen=True)
class Intent:
    """`name` is None where the words do not tell; `evidence`: the words that spoke for each candidate."""

    name: str | None
    evidence: list[dict[str, str]]
    reason: str


def read(text: str) -> Intent:
    """The intent of `text` (English, the customer's own words)."""
    points: Counter[str] = Counter()
    evidence: list[dict[str, str]] = []
    counted: set[tuple[str, str]] = set()
    for rule in rules("intent"):
        match = None if (rule.name, rule.group) in counted else rule.pattern.search(text)
        if match:
            counted.add((rule.name, rule.group))
            points[rule.name] += rule.weight
            evidence.append({"intent": rule.name, "words": " ".join(match[0].split())[:80]})
    if not points:
        return Intent(None, [], "no words that tell the intent")
    ranked = points.most_common(2)
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return Intent(None, evidence, f"undecided between {ranked[0][0]} and {ranked[1][0]}")
    name = ranked[0][0]
    return Intent(name, [item for item in evidence if item["intent"] == name], "rules")
