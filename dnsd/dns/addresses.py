"""IP addresses: text to packed bytes, and back.

In `dns/` (wire format, no I/O). Change here: which texts are addresses, and how they are printed.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

from dnsd.dns.types import Type

_A, _AAAA = int(Type.A), int(Type.AAAA)
_OCTETS = {str(octet): octet for octet in range(256)}
_four_octets = struct.Struct("4B").pack
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # of the wildcard addresses


class Address(Struct, frozen=True):
    """An IP address and a port to listen on; port 0: any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def overlaps(self, other: Address) -> bool:
        """Whether only one of the two can be bound: the same port, and one host or a wildcard.

        The IPv6 wildcard does not take IPv4 (IPV6_V6ONLY); port 0 is never the same port.
        """
        hosts = {self.host, other.host}
        alike = self.port == other.port != 0 and (":" in self.host) == (":" in other.host)
        return alike and (len(hosts) == 1 or not hosts.isdisjoint(_LOOPBACK))

    def reachable(self) -> Address:
        """The address at which this host reaches the listener: loopback for a wildcard."""
        return Address(_LOOPBACK.get(self.host, self.host), self.port)


class Endpoint(Struct, frozen=True):
    """Where to answer: an address, and the URL scheme of a transport; "" for UDP and TCP both."""

    address: Address
    scheme: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}" if self.scheme else str(self.address)

    def overlaps(self, other: Endpoint) -> bool:
        """Whether only one of the two can be bound."""
        alike = self.scheme == other.scheme or not (self.scheme and other.scheme)
        return alike and self.address.overlaps(other.address)


def pack_address(text: str) -> bytes:
    """The 4 or 16 bytes of an IPv4 or IPv6 address in text.

    Raises ValueError for other text, also for addresses with a zone identifier (`fe80::1%eth0`).
    """
    try:
        # Most addresses are IPv4, and ipaddress takes ten times as long for one.
        first, second, third, fourth = text.split(".")
        return _four_octets(_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth])
    except (KeyError, ValueError):
        if "%" in text:
            raise ValueError(f"{text!r} has a zone identifier") from None
        return ip_address(text).packed


def pack_addresses(values: list[str] | None, width: int = 0) -> tuple[bytes, ...] | None:
    """The packed addresses; None if one is not an address of `width` octets (0: either width).

    This is the quick path for valid objects. After None, `Check.addresses` finds the reason.
    """
    if not values:
        return ()
    try:
        packed = (  # most objects have one address
            (pack_address(values[0]),)
            if len(values) == 1
            else tuple([pack_address(value) for value in values])
        )
    except ValueError:
        return None
    if width:
        for address in packed:
            if len(address) != width:
                return None
    return packed


_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291 2.5.5.2


def address_text(packed: bytes) -> str:
    """The usual text form of a packed address (RFC 5952 for IPv6).

    IPv4-mapped addresses are in hexadecimal. The form that `str` gives them depends on the
    version of Python, and names are made from this text.
    """
    if len(packed) == 4:
        return str(IPv4Address(packed))
    if packed.startswith(_MAPPED):
        return f"::ffff:{packed[12] << 8 | packed[13]:x}:{packed[14] << 8 | packed[15]:x}"
    return str(IPv6Address(packed))


def address_type(packed: bytes) -> int:
    """The type of the records that hold a packed address: A or AAAA."""
    return _A if len(packed) == 4 else _AAAA


def is_address(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 literal."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
