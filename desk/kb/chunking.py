"""Articles to chunks: pieces that fit the model's window and make sense alone.

Promises: every visible word of the article is in a chunk (`markdown` says what is visible), in order; the model sees at
most `LIMIT` tokens of any chunk, title and headings included, so it truncates nothing; a list, a table, a piece of code
or a paragraph that fits stands in one chunk; no chunk crosses a heading. What is too long is split between lines, then
sentences, then words; a word longer than the model can read is split as well.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from desk.kb import markdown

VERSION = 1  # part of every chunk's hash: raise it when the same text makes another embedding input
LIMIT = 220  # tokens; MiniLM was trained on 128 and its card says 256
PREFIX_LIMIT = 72  # tokens of title and headings; longer ones are cut in the embedding input only
LONGEST_TEXT = 4000  # characters, for text of which the model sees no tokens (zero-width and control characters)
READABLE_RUN = 100  # letters, decomposed; the tokenizer takes a longer run for one unknown token
WORD_PIECE = 32  # what such a run is broken into; decomposed, a Hangul syllable is three letters

Count = Callable[[Sequence[str]], list[int]]
"""Tokens of each text, the model's two frame tokens included: `embedding.token_counts`."""

_LONG_RUN = re.compile(rf"[^\s!-/:-@\[-`{{-~]{{{WORD_PIECE + 1},}}")
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？؟])\s+|(?<=[。！？])")
_FRAME = 2  # [CLS] and [SEP]


@dataclass(frozen=True)
class Chunk:
    """A part of an article. `text` is what a reader sees, `embedded` what the model sees, `sha` names the latter."""

    heading_path: tuple[str, ...]
    text: str
    embedded: str
    tokens: int
    navigation: bool = False

    @property
    def sha(self) -> bytes:
        """Same hash, same vector: chunks with it are embedded once."""
        return sha256(f"{VERSION}\0{self.embedded}".encode()).digest()


def split(title: str, body: str, count: Count) -> list[Chunk]:
    """The chunks of an article, in order; at least one, so that an article of a title alone is found by it."""
    found = []
    for section in markdown.sections(body) or [markdown.Section(())]:
        found += _split_section(title, section, count)
    counts = count([chunk.embedded for chunk in found])
    return [
        Chunk(chunk.heading_path, chunk.text, chunk.embedded, tokens, chunk.navigation)
        for chunk, tokens in zip(found, counts, strict=True)
    ]


def _split_section(title: str, section: markdown.Section, count: Count) -> list[Chunk]:
    headings = section.path[1:] if section.path and _same(section.path[0], title) else section.path
    prefix = _prefix(title, headings, count)
    budget = LIMIT - _tokens([prefix], count)[0] - _FRAME
    made: list[Chunk] = []
    waiting: list[str] = []
    used = 0
    navigation = bool(section.blocks) and all(block.navigation for block in section.blocks)

    def flush() -> None:
        nonlocal used
        if waiting or not (section.blocks or made):
            text = "\n".join(waiting)
            made.append(Chunk(section.path, text, _readable(f"{prefix}\n{text}".strip()), 0, navigation))
        waiting.clear()
        used = 0

    for block in section.blocks:
        whole = _Piece.of([_joined(block)], count)[0]
        pieces = [whole] if whole.fits(budget) else _fitting(block, budget, count)
        if used and used + whole.tokens > budget:
            flush()
        for piece in pieces:
            if used + piece.tokens > budget or sum(map(len, waiting)) + len(piece.text) > LONGEST_TEXT:
                flush()
                if block.head and piece is not pieces[0] and piece is not whole:
                    head = _Piece.of([block.head], count)[0]
                    if head.tokens + piece.tokens <= budget:
                        waiting.append(head.text)
                        used += head.tokens
            waiting.append(piece.text)
            used += piece.tokens
    flush()
    return made


@dataclass(frozen=True)
class _Piece:
    text: str
    tokens: int

    @classmethod
    def of(cls, texts: Sequence[str], count: Count) -> "list[_Piece]":
        return [cls(text, tokens) for text, tokens in zip(texts, _tokens(texts, count), strict=True)]

    def fits(self, budget: int) -> bool:
        return self.tokens <= budget and len(self.text) <= LONGEST_TEXT


def _joined(block: markdown.Block) -> str:
    return "\n".join([block.head, *block.pieces] if block.head else block.pieces)


def _fitting(block: markdown.Block, budget: int, count: Count) -> list[_Piece]:
    """The block in pieces that fit, as few and as natural as can be."""
    texts = [block.head, *block.pieces] if block.head else list(block.pieces)
    pieces = _Piece.of(texts, count)
    for cut in (_lines, _sentences, _words):
        if all(piece.fits(budget) for piece in pieces):
            break
        smaller: list[_Piece] = []
        for piece in pieces:
            smaller += [piece] if piece.fits(budget) else _packed(_Piece.of(cut(piece.text), count), budget)
        pieces = smaller
    while not all(piece.fits(budget) for piece in pieces):
        smaller = []
        for piece in pieces:
            middle = len(piece.text) // 2
            halves = [piece.text[:middle], piece.text[middle:]]
            smaller += [piece] if piece.fits(budget) or not middle else _Piece.of(halves, count)
        if len(smaller) == len(pieces):
            break
        pieces = smaller
    return pieces


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def _words(text: str) -> list[str]:
    return text.split()


def _packed(pieces: list[_Piece], budget: int) -> list[_Piece]:
    """Neighbours joined again, as long as they fit."""
    packed: list[_Piece] = []
    for piece in pieces:
        joined = _Piece(f"{packed[-1].text} {piece.text}", packed[-1].tokens + piece.tokens) if packed else None
        if joined and joined.fits(budget):
            packed[-1] = joined
        else:
            packed.append(piece)
    return packed


def _prefix(title: str, headings: Sequence[str], count: Count) -> str:
    """Title and headings, the nearest heading last. Too long: the title keeps half, the nearest headings the rest."""
    whole = "\n".join(part for part in (title, " > ".join(headings)) if part)
    if _tokens([whole], count)[0] <= PREFIX_LIMIT:
        return whole
    half = PREFIX_LIMIT // 2
    return "\n".join(_shortened(part, half, count) for part in (title, " > ".join(headings[-1:])) if part)


def _shortened(text: str, budget: int, count: Count) -> str:
    return _fitting(markdown.Block((text,)), budget, count)[0].text


def _tokens(texts: Sequence[str], count: Count) -> list[int]:
    """Tokens without the frame. They add up: the tokenizer never joins across white space."""
    return [tokens - _FRAME for tokens in count([_readable(text) for text in texts])]


def _readable(text: str) -> str:
    """`text` as the model gets it: composed (NFC), and runs it could not read broken up."""
    return _LONG_RUN.sub(_broken, unicodedata.normalize("NFC", text))


def _broken(run: re.Match[str]) -> str:
    if len(unicodedata.normalize("NFD", run[0])) <= READABLE_RUN:
        return run[0]
    return " ".join(run[0][start : start + WORD_PIECE] for start in range(0, len(run[0]), WORD_PIECE))


def _same(heading: str, title: str) -> bool:
    return heading.casefold().split() == title.casefold().split()
