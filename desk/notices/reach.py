"""Where webhooks may be sent: to addresses on the public internet, and to what ATUM_WEBHOOKS_MAY_REACH names.

An organization chooses where its webhooks go, and must not reach with them what stands beside us: this machine, the
network it is in, the address at which a cloud hands out its machines' credentials. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from desk.errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = ip_network("64:ff9b::/96")
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")
_HOST_AGENT = ip_address("168.63.129.16")  # public by its number, and yet a cloud's agent beside the machine


@dataclass(frozen=True)
class Reach:
    """What the installation allows beyond the public internet: host names, and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def read(cls, entries: Iterable[str]) -> "Reach":
        """From host names, addresses and networks such as 10.1.0.0/16.

        Raises:
            InvalidInput: an entry is none of these; the message quotes it.
        """
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ip_network(entry))
            except ValueError:
                if "/" in entry or ":" in entry or not entry.strip(".") or entry.replace(".", "").isdigit():
                    raise InvalidInput(f"{entry!r} is no host name, address or network such as 10.1.0.0/16") from None
                names.add(_plain(entry))
        return cls(frozenset(names), tuple(networks))

    def allows(self, host: str, address: Address) -> bool:
        """Whether the installation itself named this host, or a network with this address."""
        return _plain(host) in self.names or any(
            form.version == network.version and form in network
            for form in {address, _inner(address)}
            for network in self.networks
        )

    def objection(self, host: str, address: Address) -> str | None:
        """Why a request to `host` at `address` must not be made; None where it may."""
        if self.allows(host, address) or is_public(address):
            return None
        return f"{host} is at {address}, which is not on the public internet (ATUM_WEBHOOKS_MAY_REACH may allow it)"


def is_public(address: Address) -> bool:
    """Whether an address is a single one on the public internet, also behind every way to write IPv4 in IPv6."""
    inner = _inner(address)
    return (
        inner.is_global
        and not inner.is_multicast
        and not inner.is_reserved
        and not inner.is_unspecified
        and inner != _HOST_AGENT
        and not (isinstance(inner, IPv6Address) and (inner.is_site_local or inner in _NAT64_LOCAL))
    )


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, where it does; else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):  # ::a.b.c.d, long out of use
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
