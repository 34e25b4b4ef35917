"""Special-use names: names that dnsd answers itself, because no upstream server could or should.

In `upstream/` (data plane: external names). Change here: which names never leave, and their
answers.

| names | RFC | answer |
|---|---|---|
| `localhost` and below | 6761 6.3 | 127.0.0.1, ::1, NODATA for other types |
| `1.0.0.127.in-addr.arpa`, `…1.…0.ip6.arpa` | 6303, 1912 4.1 | PTR `localhost` |
| `invalid`, `onion`, `local` and below | 6761 6.4, 7686 2, 6762 22.1 | NXDOMAIN |
| `home.arpa` and below | 8375 4 | NODATA at the apex, NXDOMAIN below |
| reverse zones of private and special networks | 6303 4 | the same |
| single labels | | NXDOMAIN, except DS and DNSKEY, which validating clients need of TLDs |
| names of the setting `never_leave` | | NODATA at the name, NXDOMAIN below |

A forward rule for such a name or for a name below it has precedence: `forward: {home.arpa: […]}`
names a server that has the zone. The rule for `.` does not have precedence.

Negative answers carry the SOA of an empty zone (RFC 6303 3), so that clients can cache them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import pack

from dnsd.dns.message import Rcode
from dnsd.dns.names import (
    IN_ADDR_ARPA,
    IP6_ARPA,
    ROOT,
    Name,
    longest_suffix,
    name_from_text,
    name_of,
    parent_of,
)
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer

_TTL = 10_800  # RFC 6303 3, as the mailbox in the SOA
_RNAME = b"\x06nobody\x07invalid\x00"
_LOCALHOST = name_of("localhost")
_HOME = name_of("home", "arpa")
_NONEXISTENT = tuple(name_of(text) for text in ("invalid", "onion", "local"))
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


_SPECIAL_USE = frozenset((_LOCALHOST, *_NONEXISTENT, _HOME, *_reverse_zones()))


class SpecialUseNames:
    """The special-use zones with those of `never_leave`, and their answers."""

    def __init__(self, extra: Iterable[Name] = ()) -> None:
        self._zones = _SPECIAL_USE.union(extra)

    def zone_of(self, name: Name, type_: int) -> Name | None:
        """The special-use zone that holds a name, or None. The root stands for single labels."""
        zone = longest_suffix(name, self._zones)
        if zone is not None:
            return zone
        if name != ROOT and parent_of(name) == ROOT and type_ not in _DELEGATION:
            return ROOT
        return None

    def answer(self, name: Name, type_: int, zone: Name) -> Answer:
        """The answer for a name in a special-use zone."""
        if zone == _LOCALHOST and type_ in _LOOPBACK:
            return _record(name, type_, _LOOPBACK[Type(type_)])
        if name in _LOOPBACK_PTR and type_ == Type.PTR:
            return _record(name, type_, _LOCALHOST)
        exists = zone == _LOCALHOST or name in _LOOPBACK_PTR
        exists = exists or (name == zone and zone not in _NONEXISTENT)
        rcode = Rcode.NOERROR if exists else Rcode.NXDOMAIN
        return Answer(rcode, authority=(empty_zone_soa(zone),))


def _record(name: Name, type_: int, rdata: bytes) -> Answer:
    return Answer(Rcode.NOERROR, (Record(name, int(type_), _TTL, rdata),))


def empty_zone_soa(zone: Name, ttl: int = _TTL) -> Record:
    """The SOA of an empty zone (RFC 6303 3)."""
    numbers = pack("!5I", 1, 3_600, 1_200, 604_800, ttl)
    rdata = zone + _RNAME + numbers
    return Record(zone, int(Type.SOA), ttl, rdata)
