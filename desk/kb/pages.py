"""HTML pages and plain text as Markdown, which is what articles are written in.

Promises: what a reader sees of a page is kept, tables, lists and code as such; scripts, styles and navigation are not
text. Characters that Markdown would read as something else are escaped: a text says what it said.
"""

import re
import warnings
from dataclasses import dataclass, field
from html import escape
from io import BytesIO

from bs4 import BeautifulSoup, Tag, XMLParsedAsHTMLWarning
from bs4.dammit import EncodingDetector
from lxml import etree
from markdownify import markdownify

from desk.errors import InvalidInput

UNSEEN = ("head", "title", "script", "style", "template", "noscript", "nav", "iframe", "object", "svg", "canvas")
DEEPEST = 150  # elements within each other; browsers make do with 512, our converter calls itself for each
# XHTML begins as XML does, and a page of a help centre is to be read as browsers read it.
warnings.filterwarnings("ignore", category=XMLParsedAsHTMLWarning)

_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")


@dataclass(frozen=True)
class Page:
    """A page's `title` (None: it has none), its body as Markdown, its language, and its `<meta name= content=>`."""

    title: str | None
    body_md: str
    language: str | None = None
    meta: dict[str, str] = field(default_factory=dict)


def of_html(data: bytes) -> Page:
    """A page of HTML. Of several parts `<main>`, else `<article>`, else the body is it; its title the first `<h1>`,
    else the `<title>`.

    Raises:
        UnicodeDecodeError: it is neither UTF-8 nor what it says it is.
        InvalidInput: it nests deeper than can be followed, or holds a NUL.
    """
    text = _decoded(data)
    if "\x00" in text:  # the parser would stop there
        raise InvalidInput("holds a NUL character")
    if text.strip() and _depth(data) > DEEPEST:
        raise InvalidInput("nests too deeply")
    soup = BeautifulSoup(text, "lxml")
    shown = soup.find("main") or soup.find("article") or soup.body or soup
    title = _text(soup.title)
    heading = shown.find("h1")
    if heading is not None and _text(heading):
        title = _text(heading)
        heading.extract()  # the title is not part of the body, too
    return Page(title, _markdown(shown), _attribute(soup.html, "lang"), _meta(soup))


def of_text(text: str) -> Page:
    """Plain text: its first line is the title, unless it is part of a paragraph; paragraphs stand between blank lines.

    A title alone is an article, too.
    """
    title, _, body = text.strip().partition("\n")
    paragraphs = [part.strip("\n") for part in _BLANK_LINE.split(body.strip("\n")) if part.strip()]
    # By way of HTML, so that one converter knows what has to be escaped.
    html = "".join("<p>" + "<br>".join(escape(line) for line in part.splitlines()) + "</p>" for part in paragraphs)
    return Page(title.strip(), _markdown(BeautifulSoup(html, "lxml")))


def _markdown(shown: Tag) -> str:
    for tag in shown.find_all(UNSEEN):
        tag.extract()
    for tag in shown.find_all(["details", "summary"]):
        tag.name = "div"  # a line of its own, as browsers show it
    for image in shown.find_all("img"):
        if str(image.get("src", "")).startswith("data:"):  # the picture itself, in megabytes of letters
            image["src"] = ""
    return str(
        markdownify(
            str(shown), heading_style="ATX", bullets="-", escape_misc=True, table_infer_header=True,
            newline_style="backslash",
        )
    ).strip()  # fmt: skip


def _depth(data: bytes) -> int:
    """How deep the page nests: known in a moment, whereas what is below takes minutes for a page of nothing else."""
    deepest = depth = 0
    for event, _ in etree.iterparse(BytesIO(data), events=("start", "end"), html=True, huge_tree=True):
        depth += 1 if event == "start" else -1
        if depth > DEEPEST:
            return depth
        deepest = max(deepest, depth)
    return deepest


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        declared = EncodingDetector.find_declared_encoding(data, is_html=True)
        if declared is None:
            raise
        try:
            return data.decode(declared)
        except UnicodeDecodeError:
            raise
        except (LookupError, UnicodeError):  # no encoding, or none that text can have
            pass
        raise


def _meta(soup: BeautifulSoup) -> dict[str, str]:
    found = {}
    for tag in soup.find_all("meta"):
        name, content = _attribute(tag, "name"), _attribute(tag, "content")
        if name and content:
            found[name.lower()] = content
    return found


def _text(tag: Tag | None) -> str | None:
    return " ".join(tag.get_text(" ").split()) or None if tag is not None else None


def _attribute(tag: Tag | None, name: str) -> str | None:
    value = tag.get(name) if tag is not None else None
    return value.strip() or None if isinstance(value, str) else None
