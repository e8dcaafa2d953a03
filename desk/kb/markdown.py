"""Markdown as a reader sees it: sections under their headings, blocks of readable text in the order of the page.

Every visible word is kept, in order: of a link its label, of an image its alternative text, of an HTML or MDX tag its
text and the attributes that a page shows. Addresses behind labels, comments and reference definitions are not visible.
Text that nests deeper than the parser follows is taken as plain paragraphs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

MAX_NESTING = 60
LONGEST_HEADING = 300  # characters; a longer one is a paragraph that somebody marked wrongly
SHOWN_ATTRIBUTES = ("title", "description", "alt", "label", "summary", "caption", "placeholder")

_TAG = re.compile(r"<!--.*?-->|<(/?)([A-Za-z][\w.-]*)((?:\"[^\"]*\"|'[^']*'|\{[^}]*\}|[^<>\"'])*)>", re.DOTALL)
_ATTRIBUTE = re.compile(rf"\b({'|'.join(SHOWN_ATTRIBUTES)})\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n{2,}")
_PARSER = MarkdownIt("commonmark", {"maxNesting": MAX_NESTING}).enable(["table", "strikethrough"])


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table or piece of code: `pieces` are what it may be split into, each whole by itself.

    `head` is repeated above every part (a table's first row). `navigation`: nothing but links to elsewhere.
    """

    pieces: tuple[str, ...]
    head: str = ""
    navigation: bool = False


@dataclass
class Section:
    """What stands under one heading, up to the next one. `path`: the headings above it, outermost first."""

    path: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)


def sections(body: str) -> list[Section]:
    """The sections of a page, in order. A heading without text of its own or below it is a section, too."""
    tokens = _PARSER.parse(body)
    if any(token.level >= MAX_NESTING - 2 for token in tokens):  # deeper than that the parser drops what it finds
        return [Section((), [Block((text.strip(),)) for text in _BLANK_LINES.split(body) if text.strip()])]
    found = [Section(())]
    open_headings: list[tuple[int, str]] = []
    for node in SyntaxTreeNode(tokens).children:
        if node.type == "heading" and len(_inline(node)) <= LONGEST_HEADING:
            level = int(node.tag[1])
            while open_headings and open_headings[-1][0] >= level:
                open_headings.pop()
            open_headings.append((level, _inline(node)))
            found.append(Section(tuple(text for _, text in open_headings if text)))
        else:
            found[-1].blocks.extend(_blocks(node))
    return [
        section
        for index, section in enumerate(found)
        if section.blocks or (section.path and not _has_children(found, index))
    ]


def _has_children(found: list[Section], index: int) -> bool:
    path = found[index].path
    return index + 1 < len(found) and found[index + 1].path[: len(path)] == path and found[index + 1].path != path


def _blocks(node: SyntaxTreeNode) -> Iterator[Block]:
    match node.type:
        case "paragraph":
            yield from _block([_inline(node)], navigation=_only_links(node))
        case "heading":  # inside a quote or a list
            yield from _block([_inline(node)])
        case "bullet_list" | "ordered_list":
            yield from _block(_items(node), navigation=_only_links(node))
        case "fence" | "code_block":
            yield from _block(node.content.rstrip("\n").split("\n"))
        case "table":
            rows = [" | ".join(_inline(cell) for cell in row.children) for row in _rows(node)]
            yield from _block(rows[1:] or rows, head=rows[0] if rows[1:] else "")
        case "html_block":
            yield from _block([line for line in _visible(node.content).split("\n") if line.strip()])
        case "hr":
            return
        case _:  # a quote, and what else holds blocks
            for child in node.children:
                yield from _blocks(child)


def _block(pieces: list[str], head: str = "", navigation: bool = False) -> Iterator[Block]:
    if head or any(piece.strip() for piece in pieces):
        yield Block(tuple(piece for piece in pieces if piece.strip()) or ("",), head, navigation)


def _items(node: SyntaxTreeNode, indent: str = "") -> list[str]:
    """A list's lines, one an item, nested ones below their parent."""
    lines = []
    number = int(node.attrGet("start") or 1) if node.type == "ordered_list" else None
    for item in node.children:
        marker = "- " if number is None else f"{number}. "
        number = None if number is None else number + 1
        for child in item.children:
            if child.type in ("bullet_list", "ordered_list"):
                lines += _items(child, indent + "  ")
                continue
            for block in _blocks(child):
                for piece in ([block.head] if block.head else []) + list(block.pieces):
                    lines.append(indent + marker + piece)
                    marker = "  "
    return lines


def _rows(table: SyntaxTreeNode) -> Iterator[SyntaxTreeNode]:
    for part in table.children:
        yield from part.children


def _inline(node: SyntaxTreeNode) -> str:
    """The visible text of a paragraph, heading or cell."""
    written = []
    for child in node.walk():
        match child.type:
            case "text" | "code_inline":
                written.append(child.content)
            case "image":
                pass  # its alternative text is its children
            case "softbreak" | "hardbreak":
                written.append("\n")
            case "html_inline":
                written.append(_visible(child.content))
    return "".join(written).strip()


def _only_links(node: SyntaxTreeNode) -> bool:
    """Whether each word below `node` is part of a link."""
    linked = False
    for child in node.walk():
        if child.type in ("text", "code_inline", "fence", "code_block", "html_block") and child.content.strip():
            above = child.parent
            while above is not None and above.type != "link" and above is not node:
                above = above.parent
            if above is None or above.type != "link":
                return False
            linked = True
    return linked


def _visible(html: str) -> str:
    """What a page shows of a piece of HTML."""

    def shown(tag: re.Match[str]) -> str:
        if tag[2] is None:
            return ""
        attributes = [double or single for _, double, single in _ATTRIBUTE.findall(tag[3])]
        return " ".join(["", *attributes, ""]) if attributes else ""

    return unescape(_TAG.sub(shown, html))
