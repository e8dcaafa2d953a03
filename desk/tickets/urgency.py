"""How soon a ticket wants an answer, from words: deadlines, outages, danger, a repeated call for help.

Independent of the mood: an angry text is not urgent by itself, a calm one about smoke is. Every point has its reason.
The patterns are in `words/urgency.tsv`.
"""

import re
from dataclasses import dataclass

from desk.tickets.rulebook import rules

_NEGATED = re.compile(r"\b(?:not|no|never|isn't|aren't|wasn't|without)\s+(?:\w+\s+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Reason:
    """The rule that spoke, the words it spoke about, and its weight: 3 decides alone, 1 only with others."""

    rule: str
    words: str
    weight: int


def reasons(text: str) -> list[Reason]:
    """What in `text` (English, the customer's own words) makes it more or less urgent; each rule speaks once."""
    found: dict[str, Reason] = {}
    for rule in rules("urgency"):
        if rule.name in found:
            continue
        for match in rule.pattern.finditer(text):
            negated = rule.weight > 0 and _NEGATED.search(text[max(0, match.start() - 24) : match.start()])
            if not negated:
                found[rule.name] = Reason(rule.name, " ".join(match[0].split()).lower(), rule.weight)
                break
    return list(found.values())


def level(found: list[Reason]) -> str:
    """`low`, `normal` or `high`."""
    points = sum(reason.weight for reason in found)
    if points >= 2:
        return "high"
    return "low" if points < 0 else "normal"


def priority(found: list[Reason]) -> str | None:
    """The priority that these reasons ask for; None where no rule speaks clearly."""
    points = sum(reason.weight for reason in found)
    if points >= 5 or any(reason.rule == "danger" for reason in found):
        return "urgent"
    if points >= 3 or (points >= 2 and any(reason.rule == "blocked" for reason in found)):
        return "high"
    return "low" if points < 0 else None
