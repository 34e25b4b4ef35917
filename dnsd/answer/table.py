"""The zone cache: what each name answers, ready to be put behind a question.

A table is what the frames of `zone/compile.py` have made of it. It holds dicts, all keyed by
the lower-cased name on the wire:

* `types[qtype+qclass]` -> `(one, heads, own, many)`. `one`: name -> rdata, for RRsets of one
  small record with the TTL that most records have: its reply has one answer and nothing
  else, and fits everywhere. All that such records of a type have in front of the rdata
  depends on its length only, so it is there once: `heads[len(rdata)]`. `own`: name -> record,
  for those with a TTL of their own. `many`: name -> `Entry` for the rest.
* `names`: name -> the `ZoneRef` it lives in, for names that need more thought than a lookup and
  for those that nothing else says to exist: empty non-terminals, an apex, an alias. A
  *leaf*, a name with a record in one of `leaves`, exists by that, and its home is that of the
  names above it. Nine names in ten are leaves.
* `zone_refs`: apex -> `ZoneRef`.

A `ZoneRef` is a zone as seen from a name. An apex, which owns the SOA, an alias, whose target is
followed, and a namespace under which pod addresses are names have a home with that `kind`,
so that the usual names pay for none of it: the engine looks at `home.kind` once it has
missed, never before a hit.

A large zone is a few hundred thousand small objects, and their number is what a table costs.
So what is equal within a frame is one object: the rdata of a PTR or the target of an SRV
record *is* the key of the name it points to, if they came together.

A frame costs what it touches, however many zones there are: the serial is in one place
(`Generation`), the denials made with the old one are found without a search, and what depends on
which zones there are is worked out when one comes or goes.

`apply` is one step: no query is answered in between, because nothing else runs meanwhile.
After a `reset` frame a second table is filled beside the one that answers, and takes its
place when the `complete` frame comes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from struct import pack
from typing import Any

from msgspec import Struct

from dnsd.dns.message import HEADER
from dnsd.dns.names import MAX_NAME, Name, is_below
from dnsd.dns.types import Type
from dnsd.zone.frame import (
    ALIAS,
    APEX,
    NOT_READY,
    PLAIN,
    PODS,
    UNCHANGED,
    Apex,
    Node,
    RRsetBody,
    decode_frame,
)


class Form(Struct, frozen=True, gc=False):
    """What many entries have in common, and share.

    `unit`, `answers`, `extra` are those of `compile.Many`, with `count` for answers. `full` to
    `bare_opt`: the header's four counts, with the additional records and without (`bare`), each
    without and with an OPT in the reply. `head`: what stands before the body, beginning with
    type and class of the question. `leads[len(name)]`: what stands before the additional
    section. `led`: octets of each of them.
    """

    unit: int
    answers: int
    extra: int
    full: bytes
    full_opt: bytes
    bare: bytes
    bare_opt: bytes
    head: bytes
    leads: tuple[bytes, ...]
    led: int


class Entry(Struct, frozen=True, gc=False):
    """A compiled RRset of several records, or with additional records; see `compile.Many`.

    Usually `body` and `additional` are what is there, and the form adds nothing. Of one SRV
    record with one address they are the target and the address only, and the form has the
    rest: its target and its address are in the table anyway.
    """

    form: Form
    body: bytes
    additional: bytes

    def extras(self, name: Name) -> bytes:
        """The additional section of a reply to a question for `name`."""
        return self.form.leads[len(name)] + self.additional


_NO_LEADS = (b"",) * (MAX_NAME + 1)


@lru_cache(maxsize=4096)
def _form(unit: int, answers: int, extra: int, head: bytes, lead: bytes) -> Form:
    """Cached, so that entries of the same form share it.

    `lead`: octets 2 to 11 of the additional record, b"" when it is complete.
    """
    return Form(
        unit,
        answers,
        extra,
        pack("!HHHH", 1, answers, 0, extra),
        pack("!HHHH", 1, answers, 0, extra + 1),
        pack("!HHHH", 1, answers, 0, 0),
        pack("!HHHH", 1, answers, 0, 1),
        head,
        _leads(lead) if lead else _NO_LEADS,
        2 + len(lead) if lead else 0,
    )


@lru_cache(maxsize=64)
def _leads(lead: bytes) -> tuple[bytes, ...]:
    """The heads of an additional record that is owned by the target of the only SRV record.

    The pointer to it depends on how long the question is.
    """
    return tuple(
        pack("!H", 0xC000 | (HEADER + length + 4 + _SRV_HEAD)) + lead
        for length in range(MAX_NAME + 1)
    )


class Generation:
    """What all zones of a table have in common: the serial, and who has denials made with it."""

    __slots__ = ("denying", "serial")

    def __init__(self) -> None:
        self.serial = 0
        self.denying: list[ZoneRef] = []

    def begin(self, serial: int) -> None:
        """Another serial from now on: the denials of the old one are forgotten."""
        self.serial = serial
        for zone_ref in self.denying:
            zone_ref.negatives = {}
        self.denying = []


class ZoneRef:
    """The zone a name lives in. `kind`: what the name is besides (compile.PLAIN …)."""

    __slots__ = ("apex", "generation", "kind", "name", "negatives", "siblings")

    def __init__(
        self, apex: Apex, kind: int, generation: Generation, siblings: dict[int, ZoneRef]
    ) -> None:
        self.apex = apex
        self.name = apex.name
        self.kind = kind
        self.generation = generation
        self.siblings = siblings  # kind -> Home of the same zone, shared between them
        self.negatives: dict[int, bytes] = {}  # len(qname) -> authority section

    def negative(self, length: int) -> bytes:
        """The authority section of a negative reply to a qname of `length` octets (RFC 2308 3).

        Its owner is a pointer into the question, so it depends on where the apex begins.
        """
        body = self.negatives.get(length)
        if body is None:
            if not self.negatives:
                self.generation.denying.append(self)
            pointer = 0xC000 | (12 + length - len(self.name))
            body = self.negatives[length] = self.denial(pack("!H", pointer))
        return body

    def denial(self, owner: bytes) -> bytes:
        """The SOA record of a negative reply; `owner` spells the apex or points to it."""
        minimum = int.from_bytes(self.apex.timers[-4:], "big")
        return self._soa(owner, min(self.apex.ttl, minimum))

    def soa(self) -> bytes:
        """The SOA record as the answer to a question for the apex."""
        return self._soa(b"\xc0\x0c", self.apex.ttl)

    def _soa(self, owner: bytes, ttl: int) -> bytes:
        rdata = b"".join(
            (
                _compressed(self.apex.mname, self.name, owner),
                _compressed(self.apex.rname, self.name, owner),
                pack("!I", self.generation.serial),
                self.apex.timers,
            )
        )
        return owner + pack("!HHIH", Type.SOA, 1, ttl, len(rdata)) + rdata


def _compressed(name: Name, suffix: Name, pointer: bytes) -> bytes:
    """`name` with `suffix` replaced by a pointer to it (RFC 1035 4.1.4, 3.3.13)."""
    return name[: -len(suffix)] + pointer if name.endswith(suffix) else name


_RECORD_HEAD = 12  # owner, type, class, TTL, length
_SRV_HEAD = _RECORD_HEAD + 6  # priority, weight, port
_OWNER_IS_QUESTION = b"\xc0\x0c"

# With so many zones at most, a name's is found by comparing its end with each apex, which
# takes 50 ns an apex; with more, by its labels, which takes a microsecond for six of them.
_FEW = 16

# Types that clients ask for all the time: a question for one of these that no name here
# owns is answered as fast as any.
_USUAL = (1, 2, 5, 12, 13, 15, 16, 28, 29, 33, 35, 43, 44, 48, 52, 64, 65, 99, 257)


# Names with one usual record of these types, or with an entry of SRV, are leaves.
_A, _PTR, _AAAA, _SRV = int(Type.A), int(Type.PTR), int(Type.AAAA), int(Type.SRV)
_LEAF_TYPES = frozenset((_A, _PTR, _AAAA))

# One record each: rdata, heads by its length, record. Then the entries.
Sets = tuple[dict[Name, bytes], list[bytes], dict[Name, bytes], dict[Name, Entry]]


class _Zones:
    """One generation of the dicts. `ttl`: that of most records, as in a record.

    `depths`: label count -> apexes of so many labels. `zoned` grows when one comes or goes.
    """

    __slots__ = ("alias", "depths", "leaves", "names", "ttl", "types", "zone_refs", "zoned")

    def __init__(self, ttl: int = 0) -> None:
        self.ttl = pack("!I", ttl)
        self.names: dict[Name, ZoneRef] = {}
        self.zone_refs: dict[Name, ZoneRef] = {}
        self.depths: dict[int, int] = {}
        self.zoned = 0
        self.alias: dict[Name, Name] = {}
        self.types: dict[bytes, Sets] = {_kind(type_): _no_sets() for type_ in _USUAL}
        self.leaves: tuple[dict[Name, Any], ...] = (
            self.types[_kind(_A)][0],
            self.types[_kind(_SRV)][3],
            self.types[_kind(_PTR)][0],
            self.types[_kind(_AAAA)][0],
        )

    def gain(self, zone_ref: ZoneRef) -> None:
        """A zone has come."""
        self.zone_refs[zone_ref.name] = zone_ref
        depth = _depth(zone_ref.name)
        self.depths[depth] = self.depths.get(depth, 0) + 1
        self.zoned += 1

    def lose(self, apex: Name) -> None:
        """A zone has gone, if it was there."""
        if self.zone_refs.pop(apex, None) is None:
            return
        depth = _depth(apex)
        self.depths[depth] -= 1
        if not self.depths[depth]:
            del self.depths[depth]
        self.zoned += 1

    def holds(self, name: Name) -> bool:
        """Whether the name exists."""
        one, two, three, four = self.leaves
        return name in one or name in two or name in three or name in four or name in self.names


class Table:
    """What is answered now. `state` is one of compile.NOT_READY, FRESH, STALE.

    `version` grows with each frame: what is derived from the table is derived anew then.
    `zoned` grows when zones have come or gone.
    """

    __slots__ = (
        "_building",
        "_era",
        "_room",
        "_turn",
        "_zoned",
        "alias",
        "apart",
        "depths",
        "leaves",
        "names",
        "state",
        "types",
        "unknown",
        "version",
        "zone_refs",
        "zoned",
    )

    def __init__(self) -> None:
        self._building: _Zones | None = None
        self._era = Generation()
        self.zoned = self._zoned = 0
        self.state = NOT_READY
        self.unknown: tuple[Name, ...] = ()
        self.version = 0
        self._turn = 0
        self.depths: list[int] = []
        self.apart: tuple[tuple[Name, ZoneRef], ...] = ()
        self.leaves: tuple[dict[Name, Any], ...] = ()
        self._enter(_Zones())

    def apply(self, frame: bytes) -> None:
        """Takes one frame in. Raises msgspec.DecodeError for bytes that are no frame."""
        step = decode_frame(frame)
        if step.state != UNCHANGED:
            self.state, self.unknown = step.state, step.unknown
        if step.reset:
            self._building = _Zones(step.ttl)
        room = self._building or self._room
        if step.serial not in (0, self.serial):
            self._era.begin(step.serial)
        zone_refs = [_home(room, apex, self._era) for apex in step.zones]
        for name in step.gone:
            _forget(room, name)
        for name in step.zones_gone:
            room.lose(name)
        filling = _Filling(room, step.nodes)
        for node in step.nodes:
            filling.put(node, zone_refs[node.zone])
        if step.complete and self._building is not None:
            self._building = None
            self._enter(room)
        if self._room.zoned != self._zoned:
            self._survey()
        self.leaves = tuple(filter(None, self._room.leaves))
        self.version += 1

    def _enter(self, room: _Zones) -> None:
        self._room = room
        self._zoned = -1
        self.names, self.zone_refs, self.types, self.alias = (
            room.names,
            room.zone_refs,
            room.types,
            room.alias,
        )

    def _survey(self) -> None:
        """Works out anew what depends on which zones there are."""
        room = self._room
        self._zoned = room.zoned
        # Label counts of the apexes, longest first: where `zone_of` has to look.
        self.depths = sorted(room.depths, reverse=True)
        few = len(room.zone_refs) <= _FEW and _apart(room.zone_refs)
        self.apart = tuple(room.zone_refs.items()) if few else ()
        self.zoned += 1

    @property
    def serial(self) -> int:
        """That of all zones."""
        return self._era.serial

    def exists(self, name: Name) -> bool:
        """Whether the name has records, or is above one that has."""
        return self._room.holds(name)

    def may_exist(self, name: Name) -> bool:
        """Whether a name that does not exist lies where nobody knows what does."""
        return any(is_below(name, one) for one in self.unknown)

    def record(self, name: Name, kind: bytes) -> bytes | None:
        """The record of a name, if it has one small record of this type and class."""
        sets = self.types.get(kind)
        if sets is None:
            return None
        one, heads, own, _ = sets
        rdata = one.get(name)
        return own.get(name) if rdata is None else heads[len(rdata)][len(kind) :] + rdata

    def owns_records(self, name: Name) -> bool:
        """Whether the name has records of any type (an apex's SOA, which is not kept, aside)."""
        sets = self.types.values()
        return any(name in one or name in own or name in many for one, _, own, many in sets)

    def entry(self, name: Name, kind: bytes) -> Entry | None:
        """The records of a name, if it has others of this type and class."""
        sets = self.types.get(kind)
        return None if sets is None else sets[3].get(name)

    def turned(self, entry: Entry) -> bytes:
        """The body of an entry; which address comes first changes from time to time (RFC 1794).

        There is one sequence for all entries, and clients ask for several in step: A, then
        AAAA. So it is not a count, every other of which would be even for ever, but numbers
        of which any regular choice is about as evenly spread as all.
        """
        body, form = entry.body, entry.form
        if not form.unit:
            return body
        # A linear congruential generator of full period. Only its high bits are of use, and it
        # is as small as it is because all of this is then done in one machine word.
        self._turn = turn = self._turn * 5509 + 13849 & 0x1FFFF
        cut = (turn * form.answers >> 17) * form.unit
        return body[cut:] + body[:cut]

    def zone_above(self, name: Name) -> ZoneRef | None:
        """The zone of a name that exists.

        Its octets end with those of an apex, and if no apex ends with another, with one only.
        """
        for apex, zone_ref in self.apart:
            if name.endswith(apex):
                return zone_ref
        return self.zone_of(name)

    def zone_of(self, name: Name) -> ZoneRef | None:
        """The zone that `name` lies in, existing or not; None when it is none of ours.

        `name` is well-formed and in lower case. Looks as often as there are different
        depths of apexes, however many labels the name has.
        """
        offsets = []
        position = 0
        while length := name[position]:
            offsets.append(position)
            position += 1 + length
        offsets.append(position)
        deepest = len(offsets) - 1
        for depth in self.depths:
            if depth <= deepest:
                zone_ref = self.zone_refs.get(name[offsets[deepest - depth] :])
                if zone_ref is not None:
                    return zone_ref
        return None


def _depth(name: Name) -> int:
    count = position = 0
    while length := name[position]:
        count += 1
        position += 1 + length
    return count


def _apart(apexes: Iterable[Name]) -> bool:
    """Whether no apex ends with the octets of another.

    Of those that begin alike, sorted, the shortest comes first and the next begins with it.
    """
    backwards = sorted(apex[::-1] for apex in apexes)
    return not any(longer.startswith(one) for one, longer in pairwise(backwards))


def _home(room: _Zones, apex: Apex, generation: Generation) -> ZoneRef:
    """The plain home of a zone, made with its siblings when it is new or has changed."""
    zone_ref = room.zone_refs.get(apex.name)
    if zone_ref is None:
        siblings: dict[int, ZoneRef] = {}
        for kind in (PLAIN, APEX, ALIAS, PODS):
            siblings[kind] = ZoneRef(apex, kind, generation, siblings)
        zone_ref = siblings[PLAIN]
        room.gain(zone_ref)
    elif zone_ref.apex != apex:
        for sibling in zone_ref.siblings.values():
            sibling.apex = apex
            sibling.negatives = {}
    return zone_ref


def _forget(room: _Zones, name: Name) -> None:
    if room.holds(name):
        _clear(room, name)


def _clear(room: _Zones, name: Name) -> None:
    room.names.pop(name, None)
    room.alias.pop(name, None)
    for one, _, own, many in room.types.values():
        one.pop(name, None)
        own.pop(name, None)
        many.pop(name, None)


class _Filling:
    """What nodes of one frame are put into a room with; equal octets become one object."""

    __slots__ = ("_entries", "_room", "_share")

    def __init__(self, room: _Zones, nodes: Iterable[Node]) -> None:
        self._room = room
        self._share = {node.name: node.name for node in nodes}.setdefault
        self._entries: dict[bytes, Entry] = {}

    def put(self, node: Node, zone_ref: ZoneRef) -> None:
        """Makes a name what the node says it is."""
        room, name = self._room, node.name
        if room.holds(name):
            _clear(room, name)
        leaf = False
        for type_, record in node.singles:
            one, heads, own, _ = _sets(room, type_)
            if record[6:10] == room.ttl:
                rdata = record[_RECORD_HEAD:]
                one[name] = self._share(rdata, rdata)
                if len(rdata) >= len(heads):
                    _lengthen(heads, type_, room.ttl, len(rdata))
                leaf = leaf or type_ in _LEAF_TYPES
            else:
                own[name] = record
        for many in node.many:
            _sets(room, many.type)[3][name] = self._entry(many, name)
            leaf = leaf or many.type == _SRV
        if node.target:
            room.alias[name] = node.target
        if not leaf or node.kind != PLAIN:
            room.names[name] = zone_ref.siblings[node.kind]

    def _entry(self, many: RRsetBody, name: Name) -> Entry:
        kind = _kind(many.type)
        body, additional = many.body, many.additional
        if many.type == _SRV and many.count == many.extra == 1:
            target, lead = body[_SRV_HEAD:], additional[2:_RECORD_HEAD]
            if additional.startswith(_leads(lead)[len(name)]):
                return self._lone(kind + body[:_SRV_HEAD], target, lead, additional[_RECORD_HEAD:])
        form = _form(many.unit, many.count, many.extra, kind, b"")
        return Entry(form, self._share(body, body), additional)

    def _lone(self, head: bytes, target: Name, lead: bytes, address: bytes) -> Entry:
        """The entry of one SRV record with one address; names with the same share it."""
        key = b"".join((head, target, lead, address))
        entry = self._entries.get(key)
        if entry is None:
            share = self._share
            form = _form(0, 1, 1, head, lead)
            entry = Entry(form, share(target, target), share(address, address))
            self._entries[key] = entry
        return entry


def _lengthen(heads: list[bytes], type_: int, ttl: bytes, length: int) -> None:
    """Makes `heads` reach to rdata of `length` octets.

    A head begins with type and class of the question, which it stands behind the name of.
    """
    kind = _kind(type_)
    heads += (
        b"".join((kind, _OWNER_IS_QUESTION, kind, ttl, pack("!H", size)))
        for size in range(len(heads), length + 1)
    )


@lru_cache(maxsize=256)
def _kind(type_: int) -> bytes:
    """Type and class as they end a question."""
    return pack("!HH", type_, 1)


def _no_sets() -> Sets:
    return ({}, [], {}, {})


def _sets(room: _Zones, type_: int) -> Sets:
    kind = _kind(type_)
    found = room.types.get(kind)
    if found is None:
        found = room.types[kind] = _no_sets()
    return found
