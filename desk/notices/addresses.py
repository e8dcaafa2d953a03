"""Mail addresses as people write them into settings: checked once, so that no header can be made of one. Pure."""

import re
from email.errors import HeaderParseError
from email.headerregistry import Address
from typing import Any

from desk.errors import InvalidInput

_LONGEST = 254  # RFC 5321
_NAMED = re.compile(r"\s*(?P<name>[^<>@,;]*?)\s*<(?P<plain>[^<>\s]+)>\s*")


def mail_address(text: Any) -> str:
    """A plain address such as `kim@acme.example`.

    Raises:
        InvalidInput: it is none, or not in ASCII.
    """
    return _checked(text, text).addr_spec


def sender(text: Any) -> Address:
    """`Acme help desk <help@acme.example>`, or an address alone.

    Raises:
        InvalidInput: it is neither, or the name is an encoded word, which would be decoded into what nobody checked.
    """
    named = _NAMED.fullmatch(text) if isinstance(text, str) else None
    if named is None:
        return _checked(text, text)
    if "=?" in named["name"]:
        raise InvalidInput(f"{str(text)[:80]!r} has a name that is encoded; write it as it is to be read.")
    return Address(named["name"].strip('"'), addr_spec=_checked(named["plain"], text).addr_spec)


def _checked(plain: Any, shown: Any) -> Address:
    if not isinstance(shown, str) or not shown.isprintable() or not 3 <= len(plain) <= _LONGEST:
        raise InvalidInput(f"{str(shown)[:80]!r} is no mail address such as kim@acme.example.")
    if not plain.isascii():
        raise InvalidInput(f"{shown[:80]!r} is not in ASCII; write the domain as xn--….")
    try:
        found = Address(addr_spec=plain)
    except (HeaderParseError, ValueError, IndexError, AttributeError):
        found = Address()
    if not found.username or not found.domain or " " in plain or found.addr_spec != plain:
        raise InvalidInput(f"{shown[:80]!r} is no mail address such as kim@acme.example.")
    return found
