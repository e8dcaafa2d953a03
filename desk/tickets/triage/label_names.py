"""What labels are called, as examples: a name says something of its tickets, the more the fewer there are."""

import re
from collections.abc import Iterable

from desk.kb import embedding
from desk.tickets.vectors import Vectors

MOST = 500  # labels; with more, there are seldom so few tickets each that names help

_BREAK = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]{3}")


def of(labels: Iterable[str]) -> dict[str, tuple[str, Vectors]]:
    """The name of each label in plain words, with its vector; of numbers and codes nothing.

    Raises:
        ModelUnavailable: there is no embedding model.
    """
    names = {label: name for label in sorted(set(labels)) if (name := plain(label))}
    if not names or len(names) > MOST:
        return {}
    found = embedding.embed(list(names.values()))
    return {label: (name, vector) for (label, name), vector in zip(names.items(), found, strict=True)}


def plain(label: str) -> str | None:
    """`label` as words: "CARD_ARRIVAL" and "cardArrival" are "card arrival". None where there is no word in it."""
    return " ".join(_BREAK.split(label)).strip().lower() if _WORD.search(label) else None
