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

from collections.abc import Iterable
from struct import pack

from dnsd.dns.message import Rcode
from dnsd.dns.names import ROOT, Name, longest_suffix, name_of, parent_of, reverse_name
from dnsd.dns.records import Record
from dnsd.dns.types import Type
from dnsd.upstream.chain import Answer
from dnsd.zone.reverse import reverse_zones

_TTL = 10_800  # RFC 6303 3, as the mailbox in the SOA
_RNAME = b"\x06nobody\x07invalid\x00"
_LOCALHOST = name_of("localhost")
_HOME = name_of("home", "arpa")
_NONEXISTENT = tuple(name_of(text) for text in ("invalid", "onion", "local"))
_DELEGATION = (43, 48)  # DS, DNSKEY
_LOOPBACK = {Type.A: bytes((127, 0, 0, 1)), Type.AAAA: bytes(15) + b"\x01"}
_LOOPBACK_PTR = tuple(map(reverse_name, _LOOPBACK.values()))

# The networks of RFC 6303 4.2 to 4.6, and the shared address space (RFC 7793).
_LOCAL = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "255.255.255.255/32")
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
_EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
_LOCAL_IPV6 = ("::/128", "::1/128", "fd00::/8", "fe80::/10")
_REVERSE_ZONES = reverse_zones((*_LOCAL, *_PRIVATE, *_EXAMPLES, *_LOCAL_IPV6)).apexes
_SPECIAL_USE = frozenset((_LOCALHOST, *_NONEXISTENT, _HOME, *_REVERSE_ZONES))


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
