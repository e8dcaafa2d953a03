"""What the customer wrote with their own hands: no quoted mail, no log lines, no code, no signature."""

import re
from functools import lru_cache

LONGEST = 20_000  # characters that are looked at; nobody complains for longer
REMEMBERED = 256  # texts: the jobs of one ticket ask about the same

_FENCE = re.compile(r"^(```|~~~).*?(^\1|\Z)", re.MULTILINE | re.DOTALL)
# What follows one of these lines is somebody else's, or a signature.
_END = re.compile(
    r"^(-- ?|_{5,}|-{3,} ?(original message|forwarded message).*|on .{4,120} wrote:|from: .+|begin forwarded message:"
    r"|sent from my .{1,40}|get outlook for .{1,20})\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_LOG = re.compile(
    r"""^\s*(
        [\[(]?\d{4}-\d\d-\d\d[T ]\d\d:\d\d | [\[(]?\d\d:\d\d:\d\d | [A-Z][a-z]{2}\s+\d{1,2}\s\d\d:\d\d:\d\d
      | [\[(]?(TRACE|DEBUG|INFO|WARN(ING)?|ERROR|FATAL|CRITICAL)\b[\])]?[\s:]
      | Traceback\b | File\s".+",\sline\s\d+ | at\s[\w.$<>/]+\( | Caused\sby:\s | [\w.]+(Error|Exception):\s | [$#>]\s
    )""",
    re.VERBOSE,
)
_CLOSING = re.compile(
    r"^\s*(kind|best|warm|many)?\s*(regards|wishes|thanks|cheers|sincerely|yours \w+)\s*[,.!]*\s*$", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=\S)|\n+")


def own_words(text: str) -> str:
    """`text` without quotes, logs, code and signature; "" where nothing is left."""
    return _own_words(text[:LONGEST])


@lru_cache(maxsize=REMEMBERED)
def _own_words(text: str) -> str:
    text = _FENCE.sub("\n", text)
    end = _END.search(text)
    if end:
        text = text[: end.start()]
    lines = []
    for line in text.splitlines():
        if line.lstrip().startswith(">") or _LOG.match(line) or _machine(line):
            continue
        lines.append(line.strip())
    for number, line in enumerate(lines):
        # A closing formula near the end begins the signature.
        if _CLOSING.match(line) and len([rest for rest in lines[number + 1 :] if rest]) <= 6:
            lines = lines[:number]
            break
    return "\n".join(lines).strip()


def sentences(text: str) -> list[str]:
    """The sentences of `text`; a line break ends one as well."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def _machine(line: str) -> bool:
    """Whether hardly any of a longer line is words: hex dumps, key=value rows, JSON, paths."""
    line = line.strip()
    if len(line) < 40:
        return False
    said = sum(map(str.isalpha, line)) + sum(map(line.count, " ,.'!?-"))
    return said / len(line) < 0.72
