"""Public holidays of a country or one of its regions, from the package `holidays`. Pure; years are kept once read."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

import holidays

from desk.errors import InvalidInput

KEYS = ("country", "region")


def region_of(given: Mapping[str, Any]) -> tuple[str, str | None]:
    """Country and region from `{"country": "DE", "region": "BY"}`: ISO 3166-1 and, if any, the part of ISO 3166-2
    behind the hyphen.

    Raises:
        InvalidInput: unknown; the message says what is known.
    """
    if unknown := [str(key) for key in given if key not in KEYS]:
        raise InvalidInput(f"{unknown[0]!r} is unknown; known are {', '.join(KEYS)}.")
    country, region = given["country"], given.get("region")
    known = holidays.list_supported_countries(include_aliases=False)
    if country not in known:
        raise InvalidInput(f"country {country!r} is not known; name it by two letters, as DE, US or IN.")
    if region is not None and region not in known[country]:
        regions = ", ".join(known[country]) or "none"
        raise InvalidInput(f"region {region!r} of {country} is not known; there are {regions}.")
    return country, region


@lru_cache(maxsize=4096)
def public_holidays(country: str, region: str | None, year: int) -> frozenset[date]:
    """The days off in a calendar year, by local date; those moved to a working day included."""
    return frozenset(holidays.country_holidays(country, subdiv=region, years=year))
