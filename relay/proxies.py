"""Finds a client's own address behind trusted reverse proxies."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1")
_WITH_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*:[^\]]*)\]|(?P<v4>[^:]*))(?::[0-9]{1,5})?", re.ASCII)


class TrustedProxies:
    """The proxies whose forwarding headers are believed.

    `networks` are addresses or networks as text; raises ValueError for anything else.
    """

    def __init__(self, networks: Iterable[str] = LOOPBACK_NETWORKS) -> None:
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(text) for text in networks]

    def client_ip(self, peer: str, forwarded_for: Iterable[str], real_ip: str | None) -> str:
        """The client's address, given the TCP peer's and the headers of its request.

        Of `X-Forwarded-For` (each header's value, in order) it is the last address that is no
        trusted proxy, for the first ones can be made up by the client; else `X-Real-IP`. The
        headers count only where `peer` is a trusted proxy. What cannot be read is `peer` as it is.
        """
        own = _parse(peer)
        if own is None or not self._trusts(own):
            return peer if own is None else str(own)
        hops = [hop for value in forwarded_for for hop in value.split(",")]
        for hop in reversed(hops):
            address = _parse(hop)
            if address is None:  # no trusted proxy wrote this, nor what precedes it
                break
            if not self._trusts(address):
                return str(address)
        return str(_parse(real_ip or "") or own)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> Address | None:
    """An address that may be followed by a port, IPv4 in IPv6 as IPv4; None for anything else."""
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):  # else it is an IPv6 address without a port, or nothing
        text = found["v6"] or found["v4"] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
