"""Whether a sentence of a language model says only what its sources say. Pure; strict rather than clever.

Numbers, addresses and most words must be in the sources. A sentence that fails is not mended: all of the answer is
dropped, and what there was before stands.
"""

import re
from collections.abc import Iterable

from desk.errors import DeskError
from desk.tickets.offers.masking import MASKS

LEAST_SHARE = 0.6  # of a sentence's longer words that must be in the sources; of all, where none is longer
LONGEST = 400  # characters of a sentence

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_ADDRESS = re.compile(
    r"[\w.+-]+@[\w.-]+\w|(?:\b[a-z][a-z0-9+.-]*://|\bwww\.)\S+|\b[\w-]+(?:\.[\w-]+)+/\S*"
    r"|\b[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}\b",  # a host by itself: mail programs make a link of it
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_SHORT_WORD = re.compile(r"[^\W\d_]+")
# Beside markup what no text is made of: control characters, half characters, and what turns the direction of reading.
_MARKUP = re.compile(r"\[\d+\]|\]\(|<\w|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BRACKETS = re.compile(r"\[[^\]]*\]")
_STEM = 5  # letters that two forms of a word share


class NotUsable(DeskError):
    """What a language model said must not be shown; the message says why."""


def check(sentence: object, sources: Iterable[str], *, least_share: float = LEAST_SHARE) -> str:
    """`sentence`, if it can be shown beside these sources.

    Raises:
        NotUsable: it is empty, long, holds marks or markup, or says what the sources do not.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise NotUsable("an empty sentence")
    text = sentence.strip()
    if len(text) > LONGEST:
        raise NotUsable(f"a sentence of {len(text)} characters")
    if _MARKUP.search(text) or any(bracket not in MASKS for bracket in _BRACKETS.findall(text)):
        raise NotUsable("markup or a mark inside a sentence")
    source = "\n".join(sources)
    numbers = set(_NUMBER.findall(source))
    if any(number not in numbers for number in _NUMBER.findall(text)):
        raise NotUsable("a number that is in no source")
    if any(address.rstrip(".,;:!?)") not in source for address in _ADDRESS.findall(text)):
        raise NotUsable("an address that is in no source")
    longer = _WORD if _WORD.search(text) else _SHORT_WORD  # where there are none, the others must be in the sources
    stems = {word.lower()[:_STEM] for word in longer.findall(source)}
    words = [word.lower()[:_STEM] for word in longer.findall(text)]
    if words and sum(word in stems for word in words) / len(words) < least_share:
        raise NotUsable("a sentence that its sources do not say")
    return text
