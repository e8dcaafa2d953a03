"""A draft of a reply from passages of articles and of public replies of resolved tickets: verbatim, each with its
citation, steps kept whole.

Pure: texts and vectors in, a draft out. What is not near enough to the question is not said; without anything near
there is no draft.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from desk.tickets.offers import masking
from desk.tickets.own_words import sentences
from desk.tickets.vectors import Vectors

MOST_PASSAGES = 4
NEAR = 0.35  # relevance from which a passage speaks to the question
SAME = 0.92  # cosine from which two passages say the same
ALMOST_AS_NEAR = 0.8  # of the nearest passage's relevance; what is further off answers another question
FIRST_ARTICLE = 0.1  # relevance that the search's first article has before the others: it saw more than one passage
RELEVANCE_WEIGHT = 0.7  # the rest is for what the passages before have not said (maximal marginal relevance)
LEAST_LETTERS = 20  # beside masks; less says nothing by itself
LONGEST_PARAGRAPH = 420  # characters; a longer one is taken apart into groups of sentences

_STEP = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+")
_SKIPPED = re.compile(r"^\s*(?:#{1,6}\s|\||!\[|<|---|===|:::|import |export )")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARK = re.compile(r"\[(\d{1,4})\]")  # a footnote of the source would be taken for a citation
_NAME = re.compile(r"^[^\W\d_][^\W\d_'’-]{1,20}$")
_ENDED = re.compile(r"[.!?:…。！？؟][\"'”’)\]]*$")
# What an agent writes around an answer. It is said to one person, and asks, greets or thanks.
_AROUND = re.compile(
    r"^(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|greetings|hallo)\b.{0,60}$"
    r"|^(?:many )?(?:thanks|thank you)\b"
    r"|^(?:we|i)(?:'m| am| are|'re)? (?:so |very )?(?:sorry|apologi[sz]e|glad|happy)\b"
    r"|^(?:please )?let (?:me|us) know\b|^(?:have a|i hope|hope)\b|\?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """Where a passage is from: the article, its revision, the heading above it, and which of its chunks (from 0)."""

    article_id: str
    article_revision: int
    title: str
    heading: str
    chunk: int | None = None


@dataclass(frozen=True)
class ReplySource:
    """Where a passage is from: the public reply of an agent on a resolved ticket."""

    ticket_id: str
    message_id: str


@dataclass(frozen=True)
class Passage:
    """A paragraph, a few sentences or a whole list of steps, as the source has it; personal data is masked.

    `problem`: of a reply, the cosine of its ticket's problem and the question: an answer seldom repeats what was asked.
    """

    text: str
    source: Source | ReplySource
    problem: float | None = None


def passages(text: str, source: Source | ReplySource, problem: float | None = None) -> list[Passage]:
    """What of an article's chunk or of a reply can stand by itself in a letter: no headings, tables or bare links."""
    found: list[str] = []
    for block in _blocks(text):
        if "\n" in block or _STEP.match(block) or len(block) <= LONGEST_PARAGRAPH:
            found.append(block)
        else:
            found += _groups(block)
    return [
        Passage(block, source, problem)
        for block in found
        if sum(map(str.isalpha, masking.unmasked(block))) >= LEAST_LETTERS and not block.endswith(":")
    ]


def answer_of(reply: str) -> str:
    """An agent's reply without the sentences around the answer: greeting, thanks, regrets, questions. Where one stood a
    paragraph ends."""
    lines = []
    for line in reply.splitlines():
        kept: list[str] = []
        for part in sentences(line) or [""]:
            kept.append("" if _AROUND.search(part) else part)
        lines.append(" ".join(part or "\n\n" for part in kept))
    return "\n".join(lines)


def choose(found: Sequence[Passage], vectors: Vectors, question: Vectors) -> list[Passage]:
    """At most `MOST_PASSAGES` of `found` that speak to the question, by maximal marginal relevance, none twice.

    `found` is in the order of the search. Those of articles come first, in the articles' order, then those of replies.
    """
    if not found:
        return []
    nearness = vectors @ question
    problems = np.array([np.nan if one.problem is None else one.problem for one in found], dtype=np.float32)
    relevance = np.where(np.isnan(problems), nearness, (nearness + problems) / 2)
    is_near = relevance >= NEAR
    relevance = relevance + FIRST_ARTICLE * np.array([_is_of_first(one, found[0]) for one in found])
    least = ALMOST_AS_NEAR * float(relevance.max(where=is_near, initial=0))
    left = [int(i) for i in np.argsort(-relevance, kind="stable") if is_near[i] and relevance[i] >= least]
    chosen: list[int] = []
    while left and len(chosen) < MOST_PASSAGES:
        said = vectors[left] @ vectors[chosen].T if chosen else np.zeros((len(left), 1), dtype=np.float32)
        most_said = said.max(axis=1)
        left = [i for i, same in zip(left, most_said, strict=True) if same < SAME]
        if not left:
            break
        worth = RELEVANCE_WEIGHT * relevance[left] - (1 - RELEVANCE_WEIGHT) * most_said[most_said < SAME]
        chosen.append(left.pop(int(np.argmax(worth))))
    return [found[i] for i in sorted(chosen, key=lambda i: (isinstance(found[i].source, ReplySource), i))]


def compose(chosen: Sequence[Passage], requester: str | None, organization: str) -> tuple[str, list[dict[str, Any]]]:
    """The letter and its citations; each passage ends with the mark of its citation."""
    parts: list[str] = []
    citations = []
    for mark, passage in enumerate(chosen, start=1):
        is_reply = isinstance(passage.source, ReplySource)
        if is_reply and (mark == 1 or not isinstance(chosen[mark - 2].source, ReplySource)):
            parts.append("In a similar case this helped:")
        elif mark == 1:
            parts.append("Our help centre says:")
        parts.append(f"{passage.text} [{mark}]")
        citations.append({"mark": mark, **vars(passage.source), "text": passage.text})
    return letter(parts, requester, organization), citations


def letter(parts: Sequence[str], requester: str | None, organization: str) -> str:
    """`parts` between a greeting and a closing."""
    greeting = first_name(requester)
    signed = _MARK.sub(r"(\1)", organization)
    first, *rest = parts
    return "\n\n".join(
        [
            f"Hello {greeting}," if greeting else "Hello,",
            f"thank you for your message. {first}",
            *rest,
            "If this does not help, just reply to this message.",
            f"Kind regards\n{signed}",
        ]
    )


def is_steps(text: str) -> bool:
    """Whether a passage is a list, which stays as it is."""
    return any(_STEP.match(line) for line in text.splitlines())


def first_name(requester: str | None) -> str | None:
    """ "Jane" of "Jane Doe <jane@example.com>"; None where there is only an address or nothing like a name."""
    words = (requester or "").split("<")[0].replace('"', " ").split()
    if not words or not _NAME.match(words[0]) or not words[0][0].isupper():
        return None
    return words[0]


def _is_of_first(one: Passage, first: Passage) -> bool:
    sources = (one.source, first.source)
    return all(isinstance(of, Source) for of in sources) and sources[0].article_id == sources[1].article_id  # type: ignore[union-attr]


def _blocks(text: str) -> list[str]:
    """Paragraphs as one line each, and lists with a line per step, below the line that introduces them.

    A chunk has no blank lines between its paragraphs: one that ended its sentence is over. What is joined stood side by
    side in the source, so that it can be found there again.
    """
    found: list[str] = []
    is_over = True  # nothing joins the block before: a heading or a blank line stood between
    for line in text.splitlines():
        line = line.rstrip()
        if not line.strip() or _SKIPPED.match(line):
            is_over = True
            continue
        line = _MARK.sub(r"(\1)", _LINK.sub(r"\1", line).replace("**", "").replace("__", ""))
        before = found[-1] if found else ""
        in_list = bool(before) and is_steps(before)
        if _STEP.match(line):
            if in_list or before.endswith(":"):
                found[-1] += "\n" + line
            else:
                found.append(line)
        elif in_list and (line[0].isspace() or not (is_over or _ENDED.search(before))):
            found[-1] += "\n" + line
        elif before and not is_over and not in_list and not _ENDED.search(before):
            found[-1] += " " + line.strip()
        else:
            found.append(line.strip())
        is_over = False
    return found


def _groups(block: str) -> list[str]:
    """The sentences of a long paragraph, as many together as a short paragraph holds."""
    found: list[str] = []
    for sentence in sentences(block):
        if found and len(found[-1]) + len(sentence) < LONGEST_PARAGRAPH:
            found[-1] += " " + sentence
        else:
            found.append(sentence)
    return found
