"""Which ways out a notification takes. Pure: settings, the notice and the instant in, rows out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from desk.notices.wanted import TEST, Quiet


@dataclass(frozen=True)
class Way:
    """One delivery: `channel` mail or webhook, `address` a mail address or a webhook's name.

    `held_until`: quiet hours end then. `dispatch_id`: a post leaves alone, so it has its own from the start, the same
    one however often it is planned; mails are gathered first.
    """

    channel: str
    address: str
    agent: str | None = None
    held_until: datetime | None = None
    dispatch_id: UUID | None = None


def ways_out(notice: Mapping[str, Any], at: datetime) -> list[Way]:
    """The deliveries of a notice, a row of `sql/deliverable.sql`, that reaches the inbox at `at`."""
    posts = [
        Way("webhook", name, dispatch_id=uuid5(notice["id"], f"webhook:{name}")) for name in notice["webhooks"] or ()
    ]
    return [*_mails(notice, at), *posts]


def _mails(notice: Mapping[str, Any], at: datetime) -> Iterator[Way]:
    if not notice["mail_on"]:
        return
    kind, agent = notice["kind"], notice["recipient"]
    if agent is None:
        addresses, kinds = notice["queue_addresses"], notice["mail_kinds"]
    else:
        addresses = [notice["agent_address"]] if notice["agent_mail_on"] else []
        kinds = notice["mail_kinds"] if notice["agent_kinds"] is None else notice["agent_kinds"]
    if kind != TEST and kind not in kinds:
        return
    held_until = quiet_of(notice).until(at, zone_of(notice), kind)
    for address in addresses:
        yield Way("mail", address, agent, held_until)


def quiet_of(notice: Mapping[str, Any]) -> Quiet:
    """The quiet hours of the recipient: the agent's own, else the organization's."""
    hours, holds = notice["agent_quiet_hours"], notice["agent_quiet_holds"]
    return Quiet(
        notice["quiet_hours"] if hours is None else hours, tuple(notice["quiet_holds"] if holds is None else holds)
    )


def zone_of(notice: Mapping[str, Any]) -> str:
    """The recipient's IANA zone."""
    return notice["agent_timezone"] or notice["timezone"]
