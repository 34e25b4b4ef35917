"""Names whose questions never leave: nobody outside could answer them, and all could read them.

| names | RFC | answered |
|---|---|---|
| `localhost` and below | 6761 6.3 | 127.0.0.1, ::1, NODATA for other types |
| `1.0.0.127.in-addr.arpa`, `…1.…0.ip6.arpa` | 6303, 1912 4.1 | PTR `localhost` |
| `invalid`, `onion`, `local` and below | 6761 6.4, 7686 2, 6762 22.1 | NXDOMAIN |
| `home.arpa` and below | 8375 4 | NODATA at the apex, NXDOMAIN below |
| reverse zones of private and special networks | 6303 4 | the same |
| single labels | | NXDOMAIN, but DS and DNSKEY, which a validating client needs of TLDs |
| what the configuration adds | | NODATA at the name, NXDOMAIN below |

A forward rule for such a name or for one below it is stronger: who writes
`forward: {home.arpa: […]}` has a server that knows. The rule for `.` is not.

Negative answers carry the SOA of an empty zone (RFC 6303 3), so that clients may keep them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack

from dnsd.dns.message import Rcode
from dnsd.dns.names import IN_ADDR_ARPA, IP6_ARPA, ROOT, Name, name_from_text, name_of, parent_of
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Part

_TTL = 10_800  # RFC 6303 3
_LOCALHOST = name_of("localhost")
_HOME = name_of("home", "arpa")
_NOWHERE = tuple(name_of(text) for text in ("invalid", "onion", "local"))
_LOOPBACK_PTR = (
    name_from_text("1.0.0.127.in-addr.arpa."),
    name_of(*["1", *["0"] * 31], below=IP6_ARPA),
)
_DELEGATION = (43, 48)  # DS, DNSKEY
_LOOPBACK = {Type.A: bytes((127, 0, 0, 1)), Type.AAAA: bytes(15) + b"\x01"}


def _reverse_zones() -> Iterator[Name]:
    """The zones of RFC 6303 4.2 to 4.6, with RFC 7793's shared address space."""
    for text in (
        *("0", "127", "254.169", "2.0.192", "100.51.198", "113.0.203", "255.255.255.255", "10"),
        *(f"{second}.172" for second in range(16, 32)),
        "168.192",
        *(f"{second}.100" for second in range(64, 128)),
    ):
        yield name_of(*text.split("."), below=IN_ADDR_ARPA)
    for nibbles in (
        *("0" * 32, "1" + "0" * 31),  # :: and ::1, written backwards
        *("df", "8ef", "9ef", "aef", "bef"),  # fd00::/8, fe80::/10
        "8bd01002",  # 2001:db8::/32
    ):
        yield name_of(*nibbles, below=IP6_ARPA)


_SPECIAL_USE: dict[Name, Name] = {
    zone: zone for zone in (_LOCALHOST, *_NOWHERE, _HOME, *_reverse_zones())
}


class SpecialUseNames:
    """The names that stay, and what they are answered."""

    def __init__(self, extra: Iterable[Name] = ()) -> None:
        self._zones = dict(_SPECIAL_USE)
        self._zones.update((name, name) for name in extra)

    def zone_of(self, name: Name, type_: int) -> Name | None:
        """The zone a name stays in, None when its question may leave. Root: a single label."""
        here = name
        while here != ROOT:
            if here in self._zones:
                return here
            here = parent_of(here)
        if name != ROOT and parent_of(name) == ROOT and type_ not in _DELEGATION:
            return ROOT
        return None

    def answer(self, name: Name, type_: int, zone: Name) -> Part:
        """The answer for a name that stays in `zone`."""
        if zone == _LOCALHOST and type_ in _LOOPBACK:
            return _one(name, type_, _LOOPBACK[Type(type_)])
        if name in _LOOPBACK_PTR and type_ == Type.PTR:
            return _one(name, type_, _LOCALHOST)
        exists = zone == _LOCALHOST or name in _LOOPBACK_PTR
        exists = exists or (name == zone and zone not in _NOWHERE)
        rcode = Rcode.NOERROR if exists else Rcode.NXDOMAIN
        return Part(rcode, authority=(empty_zone_soa(zone),))


def _one(name: Name, type_: int, rdata: bytes) -> Part:
    return Part(Rcode.NOERROR, (Record(name, int(type_), _TTL, rdata),))


def empty_zone_soa(zone: Name, ttl: int = _TTL) -> Record:
    """The SOA of a zone that is empty by decree (RFC 6303 3)."""
    numbers = pack("!5I", 1, 3_600, 1_200, 604_800, ttl)
    rdata = zone + name_from_text("nobody.invalid.") + numbers
    return Record(zone, int(Type.SOA), ttl, rdata)
