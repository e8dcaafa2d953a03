"""An organization's own rules of priority, before anything that is learnt: words, customers, outages, security. Pure.

    {"keywords": [{"words": ["chargeback", "data loss"], "priority": "high"}],
     "vip": {"requesters": ["ceo@acme.example", "@acme.example"], "priority": "high"},
     "outage": ["the tills are down"],     as the shipped rules of these names
     "security": ["skimmed"],
     "shipped": true}                      whether the shipped rules (words/urgency.tsv) count as well

Words are looked for as they are, whole, whatever their case, in any language; there are no patterns in them. Of several
priorities that are asked for the highest counts; a "low" only where nothing else speaks.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from email.utils import parseaddr
from typing import Any

from desk.errors import InvalidInput
from desk.tickets import store, urgency
from desk.tickets.urgency import Reason

NAMES = ("keywords", "vip", "outage", "security", "shipped")
MOST = 2_000  # words of one kind
LONGEST = 200  # characters of a word or an address
DECIDES = 3  # the weight that decides alone, as in words/urgency.tsv


@dataclass(frozen=True)
class PriorityRules:
    """What an organization set; `version` None: nothing."""

    version: int | None = None
    keywords: tuple[tuple[re.Pattern[str], str], ...] = ()
    requesters: frozenset[str] = frozenset()
    vip_priority: str = "high"
    outage: re.Pattern[str] | None = None
    security: re.Pattern[str] | None = None
    shipped: bool = True


SHIPPED = PriorityRules()


def decide(
    rules: PriorityRules, words: str, requester: str | None, english: bool
) -> tuple[str | None, list[dict[str, Any]]]:
    """The priority that the rules ask for (None: they do not speak clearly) and each rule that spoke, with its words.

    `words` are the customer's own; the shipped rules read them only where they are `english`.
    """
    reasons = urgency.reasons(words) if rules.shipped and english else []
    for name, pattern in (("outage", rules.outage), ("security", rules.security)):
        match = pattern.search(words) if pattern else None
        if match and not any(reason.rule == name for reason in reasons):
            reasons.append(Reason(name, _shown(match[0]), DECIDES))
    wanted = [urgency.priority(reasons)]
    evidence: list[dict[str, Any]] = [asdict(reason) for reason in reasons]
    for pattern, priority in rules.keywords:
        match = pattern.search(words)
        if match:
            wanted.append(priority)
            evidence.append({"rule": "keyword", "words": _shown(match[0]), "priority": priority})
    customer = _vip(rules, requester)
    if customer:
        wanted.append(rules.vip_priority)
        evidence.append({"rule": "vip", "words": customer, "priority": rules.vip_priority})
    asked = [priority for priority in wanted if priority]
    return (max(asked, key=store.PRIORITIES.index) if asked else None), evidence


def load(text: str) -> dict[str, Any]:
    """A document from JSON text, checked.

    Raises:
        InvalidInput: it cannot be used; the message names the place.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The document is no JSON: {error}.") from None
    read(document, None)
    return document


def read(document: Any, version: int | None) -> PriorityRules:
    """What a document says.

    Raises:
        InvalidInput: it cannot be used; the message names the place.
    """
    _object("the document", document, NAMES)
    keywords = document.get("keywords", [])
    if not isinstance(keywords, list) or len(keywords) > MOST:
        raise InvalidInput(f"keywords: it must be a list of at most {MOST:,}.")
    found = []
    for place, entry in enumerate(keywords, 1):
        where = f"keywords: entry {place}"
        _object(where, entry, ("words", "priority"))
        pattern = _pattern(f"{where}: words", entry.get("words"))
        if pattern is None:
            raise InvalidInput(f"{where}: words is empty.")
        found.append((pattern, _priority(where, entry.get("priority"))))
    vip = document.get("vip", {"requesters": []})
    _object("vip", vip, ("requesters", "priority"))
    shipped = document.get("shipped", True)
    if not isinstance(shipped, bool):
        raise InvalidInput("shipped must be true or false.")
    return PriorityRules(
        version,
        tuple(found),
        frozenset(text.casefold() for text in _texts("vip: requesters", vip.get("requesters", []))),
        _priority("vip", vip.get("priority", "high")),
        _pattern("outage", document.get("outage", [])),
        _pattern("security", document.get("security", [])),
        shipped,
    )


def _vip(rules: PriorityRules, requester: str | None) -> str | None:
    if not requester or not rules.requesters:
        return None
    address = parseaddr(requester)[1].casefold()
    names = (requester.strip().casefold(), address, "@" + address.rpartition("@")[2])
    return next((name for name in names if name in rules.requesters), None)


def _pattern(where: str, given: Any) -> re.Pattern[str] | None:
    texts = [r"\s+".join(re.escape(part) for part in text.split()) for text in _texts(where, given)]
    if not texts:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(sorted(texts, key=len, reverse=True))})(?!\w)", re.IGNORECASE)


def _texts(where: str, given: Any) -> list[str]:
    if not isinstance(given, list) or len(given) > MOST:
        raise InvalidInput(f"{where}: it must be a list of at most {MOST:,} texts.")
    for place, text in enumerate(given, 1):
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
            raise InvalidInput(f"{where}: number {place} must be a text of 1 to {LONGEST} characters.")
        try:
            store.check_text(f"number {place}", text, LONGEST)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}.") from None
    return [text.strip() for text in given]


def _priority(where: str, given: Any) -> str:
    if given not in store.PRIORITIES:
        raise InvalidInput(f"{where}: priority {str(given)[:40]!r} is none of {', '.join(store.PRIORITIES)}.")
    return str(given)


def _object(where: str, given: Any, names: Iterable[str]) -> None:
    if not isinstance(given, dict):
        raise InvalidInput(f"{where}: it must be an object with {', '.join(names)}.")
    unknown = [str(name)[:40] for name in given if name not in names]
    if unknown:
        raise InvalidInput(f"{where}: {unknown[0]!r} is unknown; known are {', '.join(names)}.")


def _shown(text: str) -> str:
    return " ".join(text.split()).lower()
