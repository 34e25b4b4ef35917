"""What the zone answers, worked out from the zone itself and not from compiled bytes.

`explain` and `plan` have a zone and no engine. The rules are those of `dnsd.answer.reply`
(RFC 1034 4.3.2, RFC 8020, RFC 8482); a test asks the engine the same questions and compares.
"""

from __future__ import annotations

from msgspec import Struct

from dnsd.answer.pods import address_of
from dnsd.answer.reply import MAX_CHAIN
from dnsd.dns.names import Name, labels_of, parent_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.zone import Zone

NOERROR, NXDOMAIN, SERVFAIL, REFUSED = "NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"


class Found(Struct, frozen=True):
    """The outcome of a question: `answer` in order, aliases first.

    `end`: the name at which it was decided, behind all aliases. `left`: that name lies in
    no zone of ours, so its records have to come from elsewhere.
    """

    rcode: str
    answer: tuple[RRset, ...]
    end: Name
    left: bool = False

    @property
    def kind(self) -> str:
        """ "answer", "nodata", "nxdomain", "servfail", "alias", or "not ours"."""
        if self.left:
            return "alias" if self.answer else "not ours"
        if self.rcode == NOERROR:
            return "answer" if self.answer else "nodata"
        return self.rcode.lower()


def lookup(zone: Zone, name: Name, type_: int) -> Found:
    """The outcome for a name (lower case) and a type, of data that is ready."""
    if zone.zone_of(name) is None:
        return Found(REFUSED, (), name, left=True)
    if type_ == Type.ANY and _has_records(zone, name):
        return Found(NOERROR, _any(zone, name), name)
    chain: list[RRset] = []
    alias = zone.rrset(name, Type.CNAME) if type_ != Type.CNAME else None
    while alias is not None:
        if len(chain) == MAX_CHAIN:
            return Found(SERVFAIL, (), name)
        chain.append(alias)
        name = alias.rdatas[0].lower()
        alias = zone.rrset(name, Type.CNAME)
    if zone.zone_of(name) is None:
        return Found(NOERROR, tuple(chain), name, left=True)
    found = zone.rrset(name, type_) or _pod(zone, name, type_)
    if found is not None:
        return Found(NOERROR, (*chain, found), name)
    there = zone.exists(name) or pod_address(zone, name) is not None
    return Found(NOERROR if there else NXDOMAIN, tuple(chain), name)


def pod_address(zone: Zone, name: Name) -> bytes | None:
    """The address that a pod's name spells, where any address will do (pods: insecure)."""
    if zone.config.pods != "insecure" or not name[0] or zone.exists(name):
        return None
    above = parent_of(name)
    labels = list(labels_of(above))
    if not zone.exists(above) or len(labels) < 2 or labels[1] != b"pod":
        return None
    if parent_of(parent_of(above)) not in zone.config.zones:
        return None
    return address_of(name[1 : 1 + name[0]])


def _pod(zone: Zone, name: Name, type_: int) -> RRset | None:
    address = pod_address(zone, name)
    if address is None or type_ != (Type.A if len(address) == 4 else Type.AAAA):
        return None
    return RRset(name, type_, zone.config.ttl, (address,))


def _has_records(zone: Zone, name: Name) -> bool:
    return bool(zone.types(name)) or pod_address(zone, name) is not None


def _any(zone: Zone, name: Name) -> tuple[RRset, ...]:
    alias = zone.rrset(name, Type.CNAME)
    if alias is not None:
        return (alias,)
    return (RRset(name, int(Type.HINFO), zone.config.ttl, (b"\x07RFC8482\x00",)),)
