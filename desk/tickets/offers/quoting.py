"""Whether a quotation is in its source, as the database judges it (`is_quoted` in migration 0038). Pure."""

import re

from desk.tickets.offers.masking import MASKS

_LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)")
_UNSEEN = re.compile(r"[\s!-/:-@\[-`{-~\x80-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff]+", re.ASCII)
_BETWEEN = re.compile("\n|" + "|".join(re.escape(mask) for mask in MASKS))


def is_quoted(quotation: str, source: str) -> bool:
    """Whether each line of `quotation`, masks aside, is in `source`; spaces, punctuation and links do not count."""
    whole = _quotable(source)
    parts = [_quotable(part) for part in _BETWEEN.split(quotation)]
    return any(parts) and all(part in whole for part in parts)


def _quotable(text: str) -> str:
    return _UNSEEN.sub("", _LINK.sub(r"\1", text))
