"""Where articles are imported from: a folder of Markdown, HTML and plain text, or a JSONL file. Reading only; nothing
is written here.

A file's name without its ending is its id, its folder the category, its first heading (of plain text the first line)
the title. Lines `key: value` between two lines `---` at the top of Markdown say otherwise (title, category, language or
lang, visibility, status, id), and so does `<meta name="category" content="…">` in the head of a page.
A JSONL line has id, title, body_md and, where they differ from the defaults, category, lang, visibility, status.

What cannot be used is not an exception but a `Refusal` that names the file or line, so that a person sees all of them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from desk.errors import InvalidInput
from desk.kb import pages
from desk.kb.articles import LONGEST_BODY_BYTES, Article

LONGEST_LINE_BYTES = 2 * LONGEST_BODY_BYTES + 100_000  # JSON escapes may double what they carry
KEYS = {
    "id": "external_id", "title": "title", "category": "category", "language": "language", "lang": "language",
    "visibility": "visibility", "status": "status",
}  # fmt: skip

PAGES = (".html", ".htm")
TEXTS = (".txt",)
ENDINGS = (".md", *PAGES, *TEXTS)

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIRST_HEADING = re.compile(r"^#[ \t]+(.+?)[ \t]*#*[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Refusal:
    """What was not taken: `where` is a file or a line, `reason` says why and names the field."""

    where: str
    reason: str


@dataclass
class Reading:
    """What a source holds, in its order."""

    articles: list[Article] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def read(path: Path) -> Reading:
    """All articles of `path`, with what of it cannot be used.

    Raises:
        InvalidInput: there is nothing at `path`, it is neither a folder nor a .jsonl file, or it holds no article.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    if is_folder:
        found = _each(path, _article_files(path))
        nothing = f"{path} holds no Markdown file (*.md), no page (*.html) and no text (*.txt)."
    elif not is_there:
        raise InvalidInput(f"{path} does not exist.")
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        found = _lines(path)
        nothing = f"{path} is empty."
    else:
        raise InvalidInput(f"{path} is neither a folder of Markdown nor of pages or texts, nor a .jsonl file.")
    reading = Reading()
    seen: dict[str, str] = {}
    for where, outcome in found:
        if isinstance(outcome, str):
            reading.refused.append(Refusal(where, outcome))
        elif outcome.external_id in seen:
            reading.refused.append(Refusal(where, f"id {outcome.external_id!r} is that of {seen[outcome.external_id]}"))
        else:
            seen[outcome.external_id] = where
            reading.articles.append(outcome)
    if not reading.articles and not reading.refused:
        raise InvalidInput(nothing)
    return reading


Found = Iterator[tuple[str, Article | str]]
"""Where, and the article or the reason why there is none."""


def _article_files(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _each(folder: Path, files: list[Path]) -> Found:
    for path in files:
        where = path.relative_to(folder).as_posix()
        try:
            # Somebody else's help centre must not publish files of whoever imports it.
            if not path.resolve().is_relative_to(folder.resolve()):
                raise InvalidInput("is a link that leads out of the folder")
            yield where, _article(path, where)
        except (InvalidInput, OSError) as error:
            yield where, str(error)
        except UnicodeDecodeError as error:
            yield where, f"is not UTF-8 at byte {error.start}"


def _article(path: Path, where: str) -> Article:
    size = path.stat().st_size
    if size > LONGEST_BODY_BYTES:
        raise InvalidInput(f"has {size:,} bytes, {LONGEST_BODY_BYTES:,} are allowed")
    data = path.read_bytes()
    if not data.strip():
        raise InvalidInput("is empty")
    given: dict[str, str] = {"external_id": where[: -len(path.suffix)]}
    if "/" in where:
        given["category"] = where.rpartition("/")[0]
    if path.suffix.lower() in PAGES:
        return _of_page(pages.of_html(data), given)
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    if not text.strip():
        raise InvalidInput("is empty")
    return _of_page(pages.of_text(text), given) if path.suffix.lower() in TEXTS else _of_markdown(text, given)


def _of_page(page: pages.Page, given: dict[str, str]) -> Article:
    if page.language is not None:
        given["language"] = page.language
    if page.title is not None:
        given["title"] = page.title
    given |= {KEYS[key]: value for key, value in page.meta.items() if key in KEYS}
    if "title" not in given:
        raise InvalidInput("title is missing: no heading <h1> and no <title>")
    return Article(body_md=page.body_md, **given)


def _of_markdown(text: str, given: dict[str, str]) -> Article:
    matter = _FRONT_MATTER.match(text)
    if matter:
        text = text[matter.end() :]
        given |= _front_matter(matter[1])
    heading = _FIRST_HEADING.search(text)
    if "title" not in given:
        if heading is None:
            raise InvalidInput("title is missing: no heading `# …` and none in the front matter")
        given["title"] = heading[1]
    if heading and heading[1] == given["title"] and not text[: heading.start()].strip():
        text = text[heading.end() :]  # the title is not part of the body, too
    return Article(body_md=text.strip(), **given)


def _front_matter(block: str) -> dict[str, str]:
    given = {}
    for line in block.splitlines():
        key, colon, value = line.partition(":")
        name = KEYS.get(key.strip().lower())
        if colon and name and value.strip():
            given[name] = value.strip().strip("'\"")
    return given


def _lines(path: Path) -> Found:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    with file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE_BYTES + 1), b""), start=1):
            where = f"line {number}"
            if len(line) > LONGEST_LINE_BYTES:
                rest = len(line)
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE_BYTES)
                    rest += len(line)
                yield where, f"body_md: the line has {rest:,} bytes, {LONGEST_BODY_BYTES:,} are allowed"
            elif line.strip():
                try:
                    yield where, _from_json(line.decode("utf-8-sig").rstrip())
                except InvalidInput as error:
                    yield where, str(error)
                except UnicodeDecodeError as error:
                    yield where, f"is not UTF-8 at byte {error.start}"
                except json.JSONDecodeError as error:
                    yield where, f"is not JSON: {error.msg} at column {error.colno}"
                except RecursionError:
                    yield where, "is not usable JSON: it nests too deeply"
                except ValueError as error:  # a number of thousands of digits
                    yield where, f"is not usable JSON: {error}"


def _from_json(line: str) -> Article:
    row: Any = json.loads(line)
    if not isinstance(row, dict):
        raise InvalidInput("is not a JSON object")
    for name in ("id", "title", "body_md"):
        if row.get(name) is None:
            raise InvalidInput(f"{name} is missing")
    identifier = str(row["id"]) if type(row["id"]) is int else row["id"]  # true is an int, too
    given = {KEYS[key]: value for key, value in row.items() if key in KEYS and key != "id" and value is not None}
    return Article(external_id=identifier, body_md=row["body_md"], **given)
