"""Reading the JSON document of `atum notices set`, checked before anything is written. Pure.

    {"timezone": "Europe/Berlin",                          default: the organization's
     "mail": {"from": "Acme <help@acme.example>",          default: ATUM_MAIL_FROM
              "queue": ["duty@acme.example"],              who is told of tickets that nobody has
              "kinds": ["sla_breach", "sla_warning"],      default: all three
              "gather_seconds": 30,                        how long notices wait for others of the same recipient
              "on": true},
     "quiet_hours": {"hours": {"mon": [["20:00", "07:00"]]}, "holds": ["sla_warning"]},
     "agents": {"kim": {"address": "kim@acme.example", "on": true, "kinds": […], "timezone": …, "quiet_hours": …}},
     "webhooks": [{"name": "pager", "url": "https://…", "secret": "whsec_…", "kinds": […], "on": true}]}

Without "mail" there is none. An agent's "quiet_hours" replace the organization's; null: none.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from desk.errors import InvalidInput
from desk.notices.addresses import mail_address, sender
from desk.notices.reach import Reach
from desk.notices.wanted import KINDS, USUAL_GATHER_SECONDS, WARNING, Agent, Quiet, Wanted, Webhook
from desk.sla.calendar import Calendar
from desk.sla.hours import DAY, WEEKDAYS, reading
from desk.sla.strict import checked_calendar
from desk.sla.zones import zone

SECRET_PREFIX = "whsec_"  # noqa: S105  no secret, but how one begins
_SECRET_BYTES = (24, 64)  # as the Standard Webhooks specification has it
_LONGEST_GATHER_SECONDS = 3_600
_MOST = 10_000  # agents, and more than any desk has
_MOST_WEBHOOKS = 50
_LONGEST_NAME = 200


def load(text: str) -> dict[str, Any]:
    """A document from JSON text.

    Raises:
        InvalidInput: it is no JSON; the message names line and column.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The document is no JSON: {error}.") from None


def read(given: Any, reach: Reach) -> Wanted:
    """What a document says. `reach`: which networks the installation lets webhooks reach.

    Raises:
        InvalidInput: one line that names the place.
    """
    with reading("the document"):
        _object(given, ("timezone", "mail", "quiet_hours", "agents", "webhooks"))
    timezone = _zone(given)
    mail = given.get("mail")
    with reading("mail"):
        mail = {"on": False} if mail is None else mail
        _object(mail, ("on", "from", "queue", "kinds", "gather_seconds"))
        mail_from = mail.get("from")
        with reading("from"):
            if mail_from is not None:
                sender(mail_from)
        queue = _addresses(mail.get("queue"))
        gather_seconds = _seconds(mail.get("gather_seconds", USUAL_GATHER_SECONDS))
        mail_on, mail_kinds = _switch(mail), _kinds(mail, "kinds", KINDS)
    hours, holds = _quiet(given)
    return Wanted(
        timezone, mail_on, mail_from, mail_kinds, queue, gather_seconds,
        Quiet(hours or {}, (WARNING,) if holds is None else holds),
        _agents(given.get("agents")), _webhooks(given.get("webhooks"), reach),
    )  # fmt: skip


def _agents(given: Any) -> dict[str, Agent]:
    found: dict[str, Agent] = {}
    with reading("agents"):
        if given is not None and not isinstance(given, Mapping):
            raise InvalidInput('it must be an object such as {"kim": {"address": "kim@acme.example"}}.')
        if len(given or ()) > _MOST:
            raise InvalidInput(f"there are more than {_MOST:,}.")
        for name, agent in (given or {}).items():
            _name(name)
            with reading(name):
                _object(agent, ("address", "on", "kinds", "timezone", "quiet_hours"))
                with reading("address"):
                    address = mail_address(agent["address"])
                hours, holds = _quiet(agent)
                kinds = None if agent.get("kinds") is None else _kinds(agent, "kinds", KINDS)
                found[name] = Agent(address, _switch(agent), kinds, _zone(agent), hours, holds)
    return found


def _webhooks(given: Any, reach: Reach) -> dict[str, Webhook]:
    found: dict[str, Webhook] = {}
    with reading("webhooks"):
        entries = _list(given)
        if len(entries) > _MOST_WEBHOOKS:
            raise InvalidInput(f"there are more than {_MOST_WEBHOOKS}.")
        for place, webhook in enumerate(entries, 1):
            with reading(f"webhook {place}"):
                _object(webhook, ("name", "url", "secret", "kinds", "on"))
                with reading("name"):
                    name = webhook["name"]
                    _name(name)
                if name in found:
                    raise InvalidInput(f"the name {name!r} is there twice.")
                with reading("url"):
                    _check_url(webhook["url"], reach)
                secret = webhook.get("secret")
                if secret is not None:
                    with reading("secret"):
                        key_of(secret)
                found[name] = Webhook(webhook["url"], secret, _kinds(webhook, "kinds", KINDS), _switch(webhook))
    return found


def key_of(secret: Any) -> bytes:
    """The key that a webhook's secret holds.

    Raises:
        InvalidInput: it is no secret as Standard Webhooks has them; the message does not repeat it.
    """
    told = f"it must be {SECRET_PREFIX} and {_SECRET_BYTES[0]} to {_SECRET_BYTES[1]} bytes in base64."
    if not isinstance(secret, str) or not secret.startswith(SECRET_PREFIX):
        raise InvalidInput(told)
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(told) from None
    if not _SECRET_BYTES[0] <= len(key) <= _SECRET_BYTES[1]:
        raise InvalidInput(told)
    return key


def _check_url(url: Any, reach: Reach) -> None:
    """What can be known before a name is looked up; the rest is checked at each post."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or len(url) > 2_000:
        raise InvalidInput("it must be a URL such as https://hooks.acme.example/desk.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput(f"it cannot be read: {error}.") from None
    if parts.scheme not in ("https", "http") or not host:
        raise InvalidInput("it must begin with https:// and a host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput("it must hold no user, no password and no fragment.")
    try:
        address = ip_address(host)
    except ValueError:
        return
    objection = reach.objection(host, address)
    if objection:
        raise InvalidInput(f"{objection}.")
    if parts.scheme == "http" and not reach.allows(host, address):
        raise InvalidInput("only https:// leaves the installation's own networks.")


def _quiet(given: Mapping[str, Any]) -> tuple[dict[str, Any] | None, tuple[str, ...] | None]:
    """Hours and kinds; null quiet hours are none, absent ones are None."""
    if "quiet_hours" not in given:
        return None, None
    with reading("quiet_hours"):
        quiet = given["quiet_hours"]
        if quiet is None:
            return {}, None
        _object(quiet, ("hours", "holds"))
        with reading("hours"):
            hours = quiet["hours"]
            _object(hours, WEEKDAYS)
        checked_calendar({"timezone": "UTC", "hours": hours})
        week = Calendar.from_dict({"timezone": "UTC", "hours": hours}).weekly
        if all(sum(ends - begins for begins, ends in day) == DAY for day in week):
            raise InvalidInput("they never end; to switch mail off there is on.")
        return dict(hours), _kinds(quiet, "holds", (WARNING,))


def _zone(given: Mapping[str, Any]) -> str | None:
    name = given.get("timezone")
    with reading("timezone"):
        return None if name is None else zone(name).key


def _kinds(given: Mapping[str, Any], name: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    with reading(name):
        kinds = usual if given.get(name) is None else _list(given[name])
        unknown = [str(kind)[:40] for kind in kinds if kind not in KINDS]
        if unknown:
            raise InvalidInput(f"{unknown[0]!r} is none of {', '.join(KINDS)}.")
        return tuple(kind for kind in KINDS if kind in kinds)


def _addresses(given: Any) -> tuple[str, ...]:
    with reading("queue"):
        return tuple(dict.fromkeys(mail_address(address) for address in _list(given)))


def _seconds(given: Any) -> int:
    with reading("gather_seconds"):
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= _LONGEST_GATHER_SECONDS:
            raise InvalidInput(f"{given!r} is no whole number of seconds from 0 to {_LONGEST_GATHER_SECONDS:,}.")
        return given


def _switch(given: Mapping[str, Any]) -> bool:
    is_on = given.get("on", True)
    if not isinstance(is_on, bool):
        raise InvalidInput("on must be true or false.")
    return is_on


def _name(name: Any) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InvalidInput(f"{str(name)[:40]!r} is no name.")


def _list(given: Any) -> list[Any]:
    if given is not None and not isinstance(given, list):
        raise InvalidInput("it must be a list.")
    return given or []


def _object(given: Any, names: Iterable[str]) -> None:
    if not isinstance(given, Mapping):
        raise InvalidInput(f"it must be an object with {', '.join(names)}.")
    unknown = [str(key)[:40] for key in given if key not in names]
    if unknown:
        raise InvalidInput(f"{unknown[0]!r} is unknown; known are {', '.join(names)}.")
