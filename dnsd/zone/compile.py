"""Change -> wire delta: what the answer tables are told, as bytes.

Everything that can be derived from the zone is derived here, when it changes, so that a
reply is put together by concatenation. The unit is the *node*: one name with all it owns,
compiled. A frame says "these names now are this, those are gone", so applying a frame twice
does no harm and a table can be rebuilt from the frames of `compile_all` at any time.

The rules of a compiled body, relied upon by `answer/table.py` and `answer/engine.py`:

* Every record is owned by the name of the question and begins with the pointer c00c
  (RFC 1035 4.1.4); the question stands at offset 12 in every reply.
* A and AAAA records have a fixed size (16 and 28 octets), so a set of them can be rotated
  by slicing.
* The targets in SRV rdata are not compressed (RFC 2782). The records in *additional* point
  to them. The offsets are known because a question is as long as the name it asks for.
* Additional records are of names that the SRV's own contributor has. Inside that is always
  so; outside a DNSEndpoint may point anywhere, and gets none for what is not its own.
* SOA records are not here: they hold the serial, which every frame carries, and are made by
  the table when they are asked for.
* No body is longer than a message over TCP can be. An RRset that is, is cut after the
  records that fit (`records_that_fit`), since half of the addresses beat none.

Both ends speak msgpack through the types below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from struct import Struct as Packing
from struct import pack
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from dnsd.dns.names import Name, parent_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type

if TYPE_CHECKING:
    from dnsd.zone.zone import Change, Zone

# States of the tables (the first is only what a frame says that leaves the state alone).
UNCHANGED, NOT_READY, FRESH, STALE = range(4)

# Node kinds: what a name is besides its records.
PLAIN, APEX, ALIAS, PODS = range(4)

MAX_MESSAGE = 65_535
# What surrounds the answer section: header, the longest question, an OPT with our options.
_OVERHEAD = 12 + 255 + 4 + 300
MAX_BODY = MAX_MESSAGE - _OVERHEAD
# Single records up to this size fit every UDP reply (512) whatever the question.
SMALL_BODY = 512 - 12 - 255 - 4 - 40
_SMALL_RDATA = SMALL_BODY - 12
_POINTER_LIMIT = 0x3FFF
_OWNER_IS_QUESTION = b"\xc0\x0c"
# Names in one frame of a whole table: a step of the control loop compiles one frame, in 10 ms.
NODES_A_FRAME = 500
_RECORD = Packing("!2sHHIH").pack  # owner, type, class, TTL, length
_FIXED = Packing("!HHIH").pack  # the same without the owner
_A, _AAAA, _CNAME, _SRV = int(Type.A), int(Type.AAAA), int(Type.CNAME), int(Type.SRV)
# Their records need nothing but themselves, and their owners are neither apex nor alias.
_ADDRESSES = frozenset((_A, _AAAA))
_PLAIN_TYPES = frozenset((_A, _AAAA, int(Type.PTR)))


class RRsetBody(Struct, array_like=True, frozen=True, gc=False):
    """An RRset that is more than one small record.

    `unit`: octets of each record if they all have the same size and may be rotated, else 0.
    `additional`: records of the additional section, `extra` of them; left out when they do
    not fit (RFC 2181 9).
    """

    type: int
    count: int
    unit: int
    body: bytes
    extra: int = 0
    additional: bytes = b""


class Node(Struct, array_like=True, frozen=True, gc=False):
    """A name as it now is. `zone` is an index into the frame's `zones`.

    `singles`: (type, body) of each RRset that is one small record. `target`: where a CNAME
    leads, for kind ALIAS.
    """

    name: Name
    zone: int
    kind: int = PLAIN
    singles: tuple[tuple[int, bytes], ...] = ()
    many: tuple[RRsetBody, ...] = ()
    target: Name = b""


class Apex(Struct, array_like=True, frozen=True, gc=False):
    """A zone: what its SOA holds but for the serial. `timers`: refresh to minimum, 16 octets."""

    name: Name
    mname: Name
    rname: Name
    timers: bytes
    ttl: int


class Frame(Struct, array_like=True, frozen=True):
    """One step of the tables, applied as a whole.

    `reset`: begin new tables, beside those that answer; `complete`: answer from them now.
    `zones` are those that `nodes` refer to; `gone` are names that no longer exist, and
    `zones_gone` zones that are no longer served. `ttl`, with `reset`: what most records have.
    `unknown`, with `state`: names below which nobody knows what exists.
    """

    serial: int
    state: int = UNCHANGED
    reset: bool = False
    complete: bool = False
    zones: tuple[Apex, ...] = ()
    nodes: tuple[Node, ...] = ()
    gone: tuple[Name, ...] = ()
    zones_gone: tuple[Name, ...] = ()
    ttl: int = 0
    unknown: tuple[Name, ...] = ()


_encode = msgspec.msgpack.Encoder().encode


def compile_change(change: Change, zone: Zone) -> bytes:
    """The frame that takes the tables from before `change` to after it.

    Call it before the zone changes again. Its size depends on the names the Change
    touches, and on the SRV records that point to addresses it touches, not on the zone.
    """
    touched = dict.fromkeys(change.born)
    moved: set[Name] = set()
    for old_or_new in (change.removed, change.added):
        for rrset in old_or_new:
            touched[rrset.name] = None
            if rrset.type in (_A, _AAAA):
                moved.add(rrset.name)
    # Whose SRV may point there: besides who made the change, who shares a name with it.
    contributors = dict.fromkeys([change.contributor] if moved else [])
    for name in moved:
        contributors.update(dict.fromkeys(zone.contributors(name)))
    for contributor in contributors:
        for rrset in zone.contribution(contributor):
            if rrset.type == _SRV and any(rdata[6:] in moved for rdata in rrset.rdatas):
                touched[rrset.name] = None
    served = ((name, sets) for name in touched if (sets := zone.find(name)) is not None)
    return _frame(zone, served, gone=change.died, zones_gone=change.zones_died)


def compile_all(zone: Zone, size: int = NODES_A_FRAME) -> Iterator[bytes]:
    """Frames that build the whole table anew: the first resets, the last completes.

    A generator: each step compiles at most `size` names. The zone may change between
    two steps. The table is complete if the frame of each Change is applied between the frames
    where it was compiled, because a node says what its name *is*, not what changed.
    """
    apexes = zone.apexes()
    reset = Frame(zone.serial, reset=True, zones=tuple(_apexes(zone, apexes)), ttl=zone.config.ttl)
    yield _encode(reset)
    served = zone.served()
    above: dict[Name, Name] = {}
    for first in served:  # not lists of some: a contributor is unpacked once for all its names
        if zone.apexes() != apexes:
            apexes, above = zone.apexes(), {}
        some = chain((first,), islice(served, size - 1))
        yield _frame(zone, some, above=above)
    yield _encode(Frame(zone.serial, complete=True))


def compile_empty(zone: Zone) -> bytes:
    """The frame of a table that knows the zones and no name in them.

    It is all that is needed as long as the state is NOT_READY.
    """
    zones = tuple(_apexes(zone, zone.apexes()))
    return _encode(Frame(zone.serial, reset=True, complete=True, zones=zones, ttl=zone.config.ttl))


def compile_state(state: int, serial: int = 0, unknown: tuple[Name, ...] = ()) -> bytes:
    """The frame that says whether the tables can be trusted: NOT_READY, FRESH or STALE.

    NOT_READY: SERVFAIL with extended error 14 for every name in our zones. STALE: answers
    carry extended error 3 (19 with NXDOMAIN), RFC 8914. What does not exist, as far as is
    known, but lies at or below a name of `unknown` is answered as with NOT_READY.
    """
    return _encode(Frame(serial, state=state, unknown=unknown))


def records_that_fit(rrset: RRset) -> int:
    """How many of an RRset's records one message over TCP can carry."""
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
    """`above`: of names, the apex of what lies below them, as far as it is known."""
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
                # One small record and nothing else, as most names have.
                rdata = rdatas[0]
                body = _RECORD(_OWNER_IS_QUESTION, type_, 1, rrset.ttl, len(rdata)) + rdata
                nodes.append(Node(name, number, PLAIN, ((type_, body),)))
                continue
        nodes.append(_node(zone, name, served, apex, number))
    zones = tuple(_apexes(zone, index))
    return _encode(
        Frame(zone.serial, zones=zones, nodes=tuple(nodes), gone=gone, zones_gone=zones_gone)
    )


def _apexes(zone: Zone, names: Iterable[Name]) -> Iterator[Apex]:
    for name in names:
        one = zone.authority(name)
        yield Apex(name, one.mname, one.rname, one.timers, one.ttl)


def _node(zone: Zone, name: Name, served: tuple[RRset, ...], apex: Name, index: int) -> Node:
    kind, target = PLAIN, b""
    singles: list[tuple[int, bytes]] = []
    many: list[RRsetBody] = []
    external = zone.external
    for rrset in served:
        if rrset.type == _CNAME:
            kind, target = ALIAS, rrset.rdatas[0]
        body = _body(rrset)
        if len(rrset.rdatas) == 1 and len(body) <= SMALL_BODY and rrset.type != _SRV:
            singles.append((rrset.type, body))
        else:
            many.append(_many(zone, rrset, body, stated=apex in external))
    if name == apex:
        kind = APEX
    elif zone.config.pods == "insecure" and _is_pod_namespace(name, apex):
        kind = PODS
    return Node(name, index, kind, tuple(singles), tuple(many), target)


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


def _many(zone: Zone, rrset: RRset, body: bytes, stated: bool) -> RRsetBody:
    """`stated`: targets may be anybody's, as those that a DNSEndpoint states.

    Then only addresses of names that the contributor has a part in come along, because only those
    are known to have changed when they do.
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
        for one in zone.at(target):
            for address in one.rdatas if one.type in _ADDRESSES else ():
                record = owner + _FIXED(one.type, 1, rrset.ttl, len(address)) + address
                room -= len(record)
                records.append(record)
    if room < 0:
        records = []
    return RRsetBody(rrset.type, count, 0, body, len(records), b"".join(records))
