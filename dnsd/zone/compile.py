"""Compiles Changes and zones into frames for the answer tables.

In `zone/` (control plane: the names that exist). Change here: what is computed before a query.

Everything that follows from the zone is computed here when the zone changes, so that a reply is
a concatenation. `frame.py` has the format and the rules of compiled bodies. Two more rules:

* Additional records exist for names of the SRV's own contributor. In the zones of the cluster that
  is always so. In external zones a DNSEndpoint may point to any name, and has no additional
  records for names of other contributors.
* An RRset that is longer than a message is cut after the records that fit (`records_that_fit`),
  because half of the addresses are better than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from struct import Struct as Packing
from struct import pack
from typing import TYPE_CHECKING

from dnsd.dns.names import Name, parent_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.frame import (
    ALIAS,
    APEX,
    MAX_BODY,
    PLAIN,
    PODS,
    SMALL_BODY,
    Frame,
    Node,
    RRsetBody,
    encode_frame,
)

if TYPE_CHECKING:
    from dnsd.zone.change import Change
    from dnsd.zone.zone import Zone

_SMALL_RDATA = SMALL_BODY - 12
_POINTER_LIMIT = 0x3FFF
_OWNER_IS_QUESTION = b"\xc0\x0c"
# Names in one frame of a whole table: a step of the control loop compiles one frame, in 10 ms.
NODES_PER_FRAME = 500
_RECORD = Packing("!2sHHIH").pack  # owner, type, class, TTL, length
_FIXED = Packing("!HHIH").pack  # the same without the owner
_A, _AAAA, _CNAME, _SRV = int(Type.A), int(Type.AAAA), int(Type.CNAME), int(Type.SRV)
# Types whose records need no additional records; their owners are neither apex nor alias.
_ADDRESSES = frozenset((_A, _AAAA))
_PLAIN_TYPES = frozenset((_A, _AAAA, int(Type.PTR)))


def compile_change(change: Change, zone: Zone) -> bytes:
    """The frame that moves the tables from before `change` to after it.

    Call it before the zone changes again. Its size depends on the names that the Change touches
    and on the SRV records that point to addresses it touches, not on the zone.
    """
    touched = dict.fromkeys(change.born)
    moved: set[Name] = set()
    for old_or_new in (change.removed, change.added):
        for rrset in old_or_new:
            touched[rrset.name] = None
            if rrset.type in (_A, _AAAA):
                moved.add(rrset.name)
    # SRV records that may point there are of these contributors: the changed one, and those that
    # share a changed name.
    contributors = dict.fromkeys([change.contributor] if moved else [])
    for name in moved:
        contributors.update(dict.fromkeys(zone.contributors(name)))
    for contributor in contributors:
        for rrset in zone.contribution(contributor):
            if rrset.type == _SRV and any(rdata[6:] in moved for rdata in rrset.rdatas):
                touched[rrset.name] = None
    served = ((name, sets) for name in touched if (sets := zone.find(name)) is not None)
    return _frame(zone, served, gone=change.died, zones_gone=change.zones_died)


def compile_all(zone: Zone, size: int = NODES_PER_FRAME) -> Iterator[bytes]:
    """Frames that rebuild the whole table: the first resets, the last completes.

    A generator: each step compiles at most `size` names. The zone may change between
    two steps. The table is complete if the frame of each Change is applied between the frames
    where it was compiled, because a node has the new state of its name, not a difference.
    """
    apexes = zone.apexes()
    yield _reset(zone)
    served = zone.served()
    above: dict[Name, Name] = {}
    for first in served:  # no lists: each contributor is unpacked once for all its names
        if zone.apexes() != apexes:
            apexes, above = zone.apexes(), {}
        some = chain((first,), islice(served, size - 1))
        yield _frame(zone, some, above=above)
    yield encode_frame(Frame(zone.serial, complete=True))


def compile_empty(zone: Zone) -> bytes:
    """The frame of a table with the zones and without names: enough while it is NOT_READY."""
    return _reset(zone, complete=True)


def _reset(zone: Zone, complete: bool = False) -> bytes:
    zones, ttl = tuple(map(zone.authority, zone.apexes())), zone.config.ttl
    return encode_frame(Frame(zone.serial, reset=True, complete=complete, zones=zones, ttl=ttl))


def records_that_fit(rrset: RRset) -> int:
    """The number of an RRset's records that one message over TCP can carry."""
    room = MAX_BODY
    for i, rdata in enumerate(rrset.rdatas):
        room -= 12 + len(rdata)
        if room < 0:
            return i
    return len(rrset.rdatas)


def _frame(
    zone: Zone,
    names: Iterable[tuple[Name, tuple[RRset, ...]]],
    gone: tuple[Name, ...] = (),
    zones_gone: tuple[Name, ...] = (),
    above: dict[Name, Name] | None = None,
) -> bytes:
    """`above` caches the apex of the names below a name."""
    index: dict[Name, int] = {}
    nodes: list[Node] = []
    apexes = frozenset(zone.apexes())
    if above is None:
        above = {}
    for name, served in names:
        parent = name[1 + name[0] :]
        apex = name if name in apexes else above.get(parent)
        if apex is None:
            apex = zone.zone_of(parent)
            if apex is None:
                continue
            above[parent] = apex
        number = index.setdefault(apex, len(index))
        if len(served) == 1:
            rrset = served[0]
            type_, rdatas = rrset.type, rrset.rdatas
            if type_ in _PLAIN_TYPES and len(rdatas) == 1 and len(rdatas[0]) <= _SMALL_RDATA:
                # The usual case: one small record and nothing else.
                rdata = rdatas[0]
                body = _RECORD(_OWNER_IS_QUESTION, type_, 1, rrset.ttl, len(rdata)) + rdata
                nodes.append(Node(name, number, PLAIN, ((type_, body),)))
                continue
        nodes.append(_node(zone, name, served, apex, number))
    zones = tuple(map(zone.authority, index))
    return encode_frame(
        Frame(zone.serial, zones=zones, nodes=tuple(nodes), gone=gone, zones_gone=zones_gone)
    )


def _node(zone: Zone, name: Name, served: tuple[RRset, ...], apex: Name, index: int) -> Node:
    kind, target = PLAIN, b""
    singles: list[tuple[int, bytes]] = []
    bodies: list[RRsetBody] = []
    external = zone.external
    for rrset in served:
        if rrset.type == _CNAME:
            kind, target = ALIAS, rrset.rdatas[0]
        body = _body(rrset)
        if len(rrset.rdatas) == 1 and len(body) <= SMALL_BODY and rrset.type != _SRV:
            singles.append((rrset.type, body))
        else:
            bodies.append(_rrset_body(zone, rrset, body, stated=apex in external))
    if name == apex:
        kind = APEX
    elif zone.config.pods == "insecure" and _is_pod_namespace(name, apex):
        kind = PODS
    return Node(name, index, kind, tuple(singles), tuple(bodies), target)


def _is_pod_namespace(name: Name, apex: Name) -> bool:
    """Whether `name` is ns.pod.Z."""
    return parent_of(name) == b"\x03pod" + apex


def _body(rrset: RRset) -> bytes:
    rdatas = rrset.rdatas
    if len(rdatas) == 1:
        rdata = rdatas[0]
        return _RECORD(_OWNER_IS_QUESTION, rrset.type, 1, rrset.ttl, len(rdata)) + rdata
    fixed = _OWNER_IS_QUESTION + pack("!HHI", rrset.type, 1, rrset.ttl)
    rdatas = rdatas[: records_that_fit(rrset)]
    return b"".join([fixed + pack("!H", len(rdata)) + rdata for rdata in rdatas])


def _rrset_body(zone: Zone, rrset: RRset, body: bytes, stated: bool) -> RRsetBody:
    """`stated`: the targets may be names of other contributors, as those of a DNSEndpoint.

    Then only names that the contributor shares have additional records, because `compile_change`
    finds the SRV records to compile anew by contributor.
    """
    count = records_that_fit(rrset)
    if rrset.type in (_A, _AAAA):
        return RRsetBody(rrset.type, count, len(body) // count, body)
    if rrset.type != _SRV:
        return RRsetBody(rrset.type, count, 0, body)
    records: list[bytes] = []
    seen: set[Name] = set()
    position = 12 + len(rrset.name) + 4
    room = MAX_BODY - len(body)
    for rdata in rrset.rdatas[:count]:
        target = rdata[6:]
        offset = position + 18  # owner, type, class, TTL, length; priority, weight, port
        position += 12 + len(rdata)
        if target in seen:
            continue
        seen.add(target)
        if stated and zone.contributors(rrset.name)[0] not in zone.contributors(target):
            continue
        owner = pack("!H", 0xC000 | offset) if offset <= _POINTER_LIMIT else target
        for addresses in zone.at(target):
            for address in addresses.rdatas if addresses.type in _ADDRESSES else ():
                record = owner + _FIXED(addresses.type, 1, rrset.ttl, len(address)) + address
                room -= len(record)
                records.append(record)
    if room < 0:
        records = []
    return RRsetBody(rrset.type, count, 0, body, len(records), b"".join(records))
