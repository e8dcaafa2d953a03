"""A draft of a reply from passages of articles: verbatim, each with its citation, steps kept whole.

Pure: texts and vectors in, a draft out. What is not near enough to the question is not said; without anything near
there is no draft.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from desk.tickets.own_words import sentences
from desk.tickets.vectors import Vectors

MOST_PASSAGES = 4
NEAR = 0.35  # cosine from which a passage speaks to the question
SAME = 0.92  # cosine from which two passages say the same
ALMOST_AS_NEAR = 0.8  # of the nearest passage's cosine; what is further off answers another question
LONGEST_PARAGRAPH = 420  # characters; a longer one is taken apart into groups of sentences

_STEP = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")
_SKIPPED = re.compile(r"^\s*(?:#{1,6}\s|\||!\[|<|---|===|:::|import |export )")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_NAME = re.compile(r"^[^\W\d_][^\W\d_'’-]{1,20}$")


@dataclass(frozen=True)
class Source:
    """Where a passage is from: the article, its revision, the heading above it."""

    article_id: str
    article_revision: int
    title: str
    heading: str


@dataclass(frozen=True)
class Passage:
    """A paragraph, a few sentences or a whole list of steps, as the article has it."""

    text: str
    source: Source


def passages(text: str, source: Source) -> list[Passage]:
    """What of an article's chunk can stand by itself in a letter: no headings, tables or bare links."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        lines = [line.rstrip() for line in block.splitlines() if line.strip() and not _SKIPPED.match(line)]
        if not lines:
            continue
        is_list = any(_STEP.match(line) for line in lines)
        block = "\n".join(lines) if is_list else " ".join(line.strip() for line in lines)
        block = _LINK.sub(r"\1", block).replace("**", "").replace("__", "")
        if is_list and found and (found[-1].endswith(":") or _continues(found[-1], block)):
            found[-1] += "\n" + block
        elif is_list or len(block) <= LONGEST_PARAGRAPH:
            found.append(block)
        else:
            found += _groups(block)
    return [Passage(block, source) for block in found if sum(map(str.isalpha, block)) >= 20 and not block.endswith(":")]


def choose(found: Sequence[Passage], vectors: Vectors, question: Vectors) -> list[Passage]:
    """At most `MOST_PASSAGES` of `found` that speak to the question, none twice, in the order of the articles."""
    if not found:
        return []
    nearness = vectors @ question
    least = max(NEAR, ALMOST_AS_NEAR * float(nearness.max()))
    chosen: list[int] = []
    for i in np.argsort(-nearness, kind="stable"):
        if nearness[i] < least or len(chosen) == MOST_PASSAGES:
            break
        if not chosen or float((vectors[chosen] @ vectors[i]).max()) < SAME:
            chosen.append(int(i))
    return [found[i] for i in sorted(chosen)]


def compose(chosen: Sequence[Passage], requester: str | None, organization: str) -> tuple[str, list[dict[str, Any]]]:
    """The letter and its citations; each passage ends with the mark of its citation."""
    greeting = first_name(requester)
    parts = [f"Hello {greeting}," if greeting else "Hello,", "thank you for your message. Our help centre says:"]
    citations = []
    for mark, passage in enumerate(chosen, start=1):
        parts.append(f"{passage.text} [{mark}]")
        citations.append({"mark": mark, **vars(passage.source), "text": passage.text})
    parts += ["If this does not help, just reply to this message.", f"Kind regards\n{organization}"]
    return "\n\n".join(parts), citations


def first_name(requester: str | None) -> str | None:
    """ "Jane" of "Jane Doe <jane@example.com>"; None where there is only an address or nothing like a name."""
    words = (requester or "").split("<")[0].replace('"', " ").split()
    if not words or not _NAME.match(words[0]) or not words[0][0].isupper():
        return None
    return words[0]


def _groups(block: str) -> list[str]:
    """The sentences of a long paragraph, as many together as a short paragraph holds."""
    found: list[str] = []
    for sentence in sentences(block):
        if found and len(found[-1]) + len(sentence) < LONGEST_PARAGRAPH:
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found


def _continues(before: str, block: str) -> bool:
    """Whether `block` is the next part of the list that `before` ends with: a blank line stood between two steps."""
    return bool(_STEP.match(before.splitlines()[-1])) and bool(_STEP.match(block))
