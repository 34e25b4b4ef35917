"""Compute the answer to a question from the zone, without compiled bytes.

In `explain/` (control plane: pure). Change here: what a question resolves to.

`explain` and `plan` have a zone and no engine. The rules are those of `dnsd.answer.reply`
(RFC 1034 4.3.2, RFC 8020, RFC 8482). A test sends the same questions to the engine and compares.
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

# The outcome of an external name, as API clients know it.
EXTERNAL = "not ours"


class Found(Struct, frozen=True):
    """The answer to a question. `answer`: RRsets in order, aliases first.

    `end`: the name after all aliases. `left`: `end` is an external name, so an upstream server
    has its records.
    """

    rcode: str
    answer: tuple[RRset, ...]
    end: Name
    left: bool = False

    @property
    def kind(self) -> str:
        """ "answer", "nodata", "nxdomain", "servfail", "alias", or `EXTERNAL`."""
        if self.left:
            return "alias" if self.answer else EXTERNAL
        if self.rcode == NOERROR:
            return "answer" if self.answer else "nodata"
        return self.rcode.lower()


def lookup(zone: Zone, name: Name, type_: int) -> Found:
    """The answer for a lowercase name and a type, from complete data."""
    if zone.zone_of(name) is None:
        return Found(REFUSED, (), name, left=True)
    alias = zone.rrset(name, Type.CNAME) if type_ != Type.CNAME else None
    if type_ == Type.ANY and (zone.types(name) or pod_address(zone, name) is not None):
        minimal = RRset(name, int(Type.HINFO), zone.config.ttl, (b"\x07RFC8482\x00",))
        return Found(NOERROR, (alias or minimal,), name)
    chain: list[RRset] = []
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
    exists = zone.exists(name) or pod_address(zone, name) is not None
    return Found(NOERROR if exists else NXDOMAIN, tuple(chain), name)


def pod_address(zone: Zone, name: Name) -> bytes | None:
    """The address that a pod name encodes, if each address has a name (pods: insecure)."""
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
