"""Reverse zones: which addresses have names, and which zones hold these names.

In `zone/` (control plane: the names that exist). Change here: how a CIDR becomes reverse zones.

A CIDR is not always a zone: reverse names are cut at octets (IPv4, RFC 1035 3.5) or at nibbles
(IPv6, RFC 3596 2.5). A CIDR whose length is between two cuts becomes the smallest set of zones
that covers exactly it: 172.16.0.0/12 is sixteen zones, `16.172.in-addr.arpa` to
`31.172.in-addr.arpa`. dnsd claims no wider zone, because it has no data about the addresses
next to the CIDR, and NXDOMAIN for them would be wrong.

Configured reverse zones always exist. Without any, dnsd takes the private ranges *as needed*: the
apex of a zone appears with the first PTR below it and disappears with the last (see `zone.py`).
So a cluster that uses 10.0.0.0/8 does not answer for 192.168.0.0/16.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from dnsd.dns.names import IN_ADDR_ARPA, IP6_ARPA, Name, name_of
from dnsd.dns.networks import PRIVATE


class ReverseZones(Struct, frozen=True):
    """The reverse zones of a configuration.

    `as_needed`: a zone exists only while a name exists below its apex. `octets` and `nibbles` are
    the prefixes of the addresses, for IPv4 as octets and for IPv6 as hexadecimal digits.
    """

    apexes: tuple[Name, ...]
    as_needed: bool
    octets: frozenset[bytes]
    nibbles: frozenset[str]
    octet_lengths: tuple[int, ...]
    nibble_lengths: tuple[int, ...]

    def covers(self, packed: bytes) -> bool:
        """Whether the reverse name of this packed address is in one of the zones."""
        if len(packed) == 4:
            for length in self.octet_lengths:  # noqa: SIM110  any() takes three times as long
                if packed[:length] in self.octets:
                    return True
            return False
        digits = packed.hex()
        return any(digits[:length] in self.nibbles for length in self.nibble_lengths)


@lru_cache(maxsize=16)
def reverse_zones(cidrs: tuple[str, ...]) -> ReverseZones:
    """The reverse zones of these CIDRs; without any, those of the private ranges as needed.

    Raises ValueError, which names the text, for text that is not a CIDR or has host bits set.
    """
    octets: dict[bytes, Name] = {}
    nibbles: dict[str, Name] = {}
    for cidr in cidrs or PRIVATE:
        network = ip_network(cidr)
        if isinstance(network, IPv4Network):
            octets.update(_cut_at_octets(network))
        else:
            nibbles.update(_cut_at_nibbles(network))
    return ReverseZones(
        apexes=(*octets.values(), *nibbles.values()),
        as_needed=not cidrs,
        octets=frozenset(octets),
        nibbles=frozenset(nibbles),
        octet_lengths=tuple(sorted({len(prefix) for prefix in octets})),
        nibble_lengths=tuple(sorted({len(prefix) for prefix in nibbles})),
    )


def _cut_at_octets(network: IPv4Network) -> dict[bytes, Name]:
    """Address prefix to apex; at most 128 of them, for a length one above a boundary."""
    octets = -(-network.prefixlen // 8)
    prefixes = [
        part.network_address.packed[:octets] for part in network.subnets(new_prefix=octets * 8)
    ]
    return {
        prefix: name_of(*[str(octet) for octet in reversed(prefix)], below=IN_ADDR_ARPA)
        for prefix in prefixes
    }


def _cut_at_nibbles(network: IPv6Network) -> dict[str, Name]:
    """Address prefix to apex; at most 8 of them."""
    digits = -(-network.prefixlen // 4)
    prefixes = [
        part.network_address.packed.hex()[:digits]
        for part in network.subnets(new_prefix=digits * 4)
    ]
    return {prefix: name_of(*reversed(prefix), below=IP6_ARPA) for prefix in prefixes}
