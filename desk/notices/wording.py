"""What a mail says: one notice, or a digest of several. Pure; times are the recipient's wall clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from desk.notices.wanted import BREACH, ESCALATION, KINDS, TEST, WARNING

MOST_LINES = 25
_LONGEST_SUBJECT = 200
_LONGEST_LINE = 300
_METRICS = {
    "first_response": "time to the first response",
    "next_response": "time to the next response",
    "resolution": "time to resolve",
}
_HEADINGS = {BREACH: "Missed", ESCALATION: "Escalated to you", WARNING: "Running out", TEST: "Tests"}
_COUNTED = {BREACH: "missed", ESCALATION: "escalated", WARNING: "running out", TEST: "tests"}


@dataclass(frozen=True)
class Line:
    """One notice. `ticket_status`: as of now, for what was told late."""

    kind: str
    subject: str | None = None
    metric: str | None = None
    threshold: int | None = None
    priority: str | None = None
    due_at: datetime | None = None
    ticket_id: str | None = None
    ticket_status: str | None = None


@dataclass(frozen=True)
class Letter:
    """What one mail tells: how many notices of each kind, and the worst of them, the worst first."""

    organization: str
    timezone: str
    now: datetime
    counts: Mapping[str, int]
    lines: Sequence[Line]

    @property
    def total(self) -> int:
        """How many notices it tells."""
        return sum(self.counts.values())


def subject_of(letter: Letter) -> str:
    """One line without control characters, whatever customers wrote into the subjects of their tickets."""
    if letter.total == 1 and letter.lines:
        line = letter.lines[0]
        if line.kind == TEST:
            return one_line(f"A test notice from {letter.organization}", _LONGEST_SUBJECT)
        due = f" (due {_clock(line.due_at, letter)})" if line.due_at else ""
        told = one_line(f"{_what(line)}: {line.subject or 'a ticket'}", _LONGEST_SUBJECT - len(due))
        return told + due
    counted = ", ".join(
        f"{letter.counts[kind]:,} {_COUNTED[kind]}" for kind in (*KINDS, TEST) if letter.counts.get(kind)
    )
    return one_line(f"{letter.total:,} notices: {counted}", _LONGEST_SUBJECT)


def text_of(letter: Letter) -> str:
    """The body: each notice in a line, under its kind, and how many more there are."""
    parts = []
    if letter.total > 1:
        parts.append(subject_of(letter) + ".")
    for kind, lines in groupby(letter.lines[:MOST_LINES], lambda line: line.kind):
        shown = [f"- {_told(line, letter)}" for line in lines]
        heading = f"{_HEADINGS.get(kind, kind)} ({letter.counts[kind]:,})" if letter.total > 1 else ""
        parts.append("\n".join([heading, *shown] if heading else [line.removeprefix("- ") for line in shown]))
    more = letter.total - len(letter.lines[:MOST_LINES])
    if more:
        parts.append(f"… and {more:,} more. The inbox has them all.")
    parts.append(f"{one_line(letter.organization, _LONGEST_LINE)} · times in {letter.timezone}")
    return "\n\n".join(parts) + "\n"


def one_line(text: str, longest: int) -> str:
    """Text without line breaks and control characters, cut to a length."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _what(line: Line) -> str:
    metric = _METRICS.get(line.metric or "", "deadline")
    if line.kind == BREACH:
        return f"Missed the {metric}"
    if line.threshold is None:
        return f"The {metric} is running out" if line.kind == WARNING else f"Escalated: the {metric}"
    share = f"{line.threshold} % of the {metric}"
    return share if line.kind == WARNING else f"Escalated at {share}"


def _told(line: Line, letter: Letter) -> str:
    if line.kind == TEST:
        return "This is a test. Notices reach you here."
    parts = [
        _what(line),
        one_line(line.subject or "a ticket", _LONGEST_LINE),
        line.priority,
        f"due {_clock(line.due_at, letter)}" if line.due_at else None,
        f"{line.ticket_status} meanwhile" if line.ticket_status in ("resolved", "closed") else None,
        f"ticket {line.ticket_id}" if line.ticket_id else None,
    ]
    return " · ".join(part for part in parts if part)


def _clock(at: datetime, letter: Letter) -> str:
    """`15:30`, with the day where it is not today."""
    here = ZoneInfo(letter.timezone)
    local, today = at.astimezone(here), letter.now.astimezone(here)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%a} {local.day} {local:%b %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"
