"""The zone cache: what each name answers, ready to be put behind a question.

A table is what the frames of `zone/compile.py` have made of it. It holds three kinds of
dicts, all keyed by the lower-cased name on the wire, and shares the key objects between
them:

* `names`: every name that exists (empty non-terminals too) -> the `Home` it lives in. A
  question whose name is here and nowhere else is NODATA.
* `types[qtype+qclass]` -> `(one, many)`. `one`: name -> body, for RRsets of one small
  record, the usual case: its reply has one answer and nothing else, and fits everywhere.
  `many`: name -> `Entry` for the rest.
* `homes`: apex -> `Home`.

A `Home` is a zone as seen from a name. Names that need more thought than a lookup (the
apex, which owns the SOA; an alias, whose target is followed; a namespace under which pod
addresses are names) have a home with that `kind`, so that the usual ones pay for none of
it: the engine looks at `home.kind` once it has missed, never before a hit.

`apply` is one step: no query is answered in between, because nothing else runs meanwhile.
After a `reset` frame a second table is filled beside the one that answers, and takes its
place when the `complete` frame comes.
"""

from __future__ import annotations

from functools import lru_cache
from struct import pack
from typing import NamedTuple

import msgspec

from dnsd.zone.compile import (
    ALIAS,
    APEX,
    NOT_READY,
    PLAIN,
    PODS,
    UNCHANGED,
    Apex,
    Frame,
    Node,
)
from dnsd.zone.rrset import Name, Type

_decode = msgspec.msgpack.Decoder(Frame).decode


class Counts(NamedTuple):
    """The header's four counts: with the additional records and without (`bare`), each
    without and with an OPT in the reply.
    """

    full: bytes
    full_opt: bytes
    bare: bytes
    bare_opt: bytes


class Entry(NamedTuple):
    """A compiled RRset of several records, or with additional records; see `compile.Many`."""

    body: bytes
    unit: int
    answers: int
    extra: int
    additional: bytes
    counts: Counts


@lru_cache(maxsize=4096)
def _counts(answers: int, extra: int) -> Counts:
    """Cached, so that all entries of so many records share theirs."""
    return Counts(
        pack("!HHHH", 1, answers, 0, extra),
        pack("!HHHH", 1, answers, 0, extra + 1),
        pack("!HHHH", 1, answers, 0, 0),
        pack("!HHHH", 1, answers, 0, 1),
    )


class Home:
    """The zone a name lives in. `kind`: what the name is besides (compile.PLAIN …)."""

    __slots__ = ("apex", "kind", "name", "negatives", "serial", "siblings")

    def __init__(self, apex: Apex, kind: int, serial: int, siblings: dict[int, Home]) -> None:
        self.apex = apex
        self.name = apex.name
        self.kind = kind
        self.serial = serial
        self.siblings = siblings  # kind -> Home of the same zone, shared between them
        self.negatives: dict[int, bytes] = {}  # len(qname) -> authority section

    def negative(self, length: int) -> bytes:
        """The authority section of a negative reply to a qname of `length` octets (RFC 2308 3).

        Its owner is a pointer into the question, so it depends on where the apex begins.
        """
        body = self.negatives.get(length)
        if body is None:
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
                pack("!I", self.serial),
                self.apex.timers,
            )
        )
        return owner + pack("!HHIH", Type.SOA, 1, ttl, len(rdata)) + rdata


def _compressed(name: Name, suffix: Name, pointer: bytes) -> bytes:
    """`name` with `suffix` replaced by a pointer to it (RFC 1035 4.1.4, 3.3.13)."""
    return name[: -len(suffix)] + pointer if name.endswith(suffix) else name


# Types that clients ask for all the time: a question for one of these that no name here
# owns is answered as fast as any.
_USUAL = (1, 2, 5, 12, 13, 15, 16, 28, 29, 33, 35, 43, 44, 48, 52, 64, 65, 99, 257)


class _Room:
    """One generation of the dicts."""

    __slots__ = ("alias", "homes", "names", "types")

    def __init__(self) -> None:
        self.names: dict[Name, Home] = {}
        self.homes: dict[Name, Home] = {}
        self.alias: dict[Name, Name] = {}
        self.types: dict[bytes, tuple[dict[Name, bytes], dict[Name, Entry]]] = {
            pack("!HH", type_, 1): ({}, {}) for type_ in _USUAL
        }


class Table:
    """What is answered now. `state` is one of compile.NOT_READY, FRESH, STALE.

    `version` grows with each frame: what is derived from the table is derived anew then.
    """

    __slots__ = (
        "_building",
        "_room",
        "_turn",
        "alias",
        "depths",
        "homes",
        "names",
        "serial",
        "state",
        "types",
        "version",
    )

    def __init__(self) -> None:
        self._building: _Room | None = None
        self.serial = 0
        self.state = NOT_READY
        self.version = 0
        self._turn = 0
        self.depths: list[int] = []
        self._enter(_Room())

    def apply(self, frame: bytes) -> None:
        """Takes one frame in. Raises msgspec.DecodeError for bytes that are no frame."""
        step = _decode(frame)
        if step.state != UNCHANGED:
            self.state = step.state
        if step.reset:
            self._building = _Room()
        room = self._building or self._room
        self.serial = step.serial or self.serial
        homes = [_home(room, apex, self.serial) for apex in step.zones]
        for name in step.gone:
            _forget(room, name)
        for name in step.zones_gone:
            room.homes.pop(name, None)
        for node in step.nodes:
            _put(room, node, homes[node.zone])
        if step.complete and self._building is not None:
            self._building = None
            self._enter(room)
        self._date(self._room)
        self.version += 1

    def _enter(self, room: _Room) -> None:
        self._room = room
        self.names, self.homes, self.types, self.alias = (
            room.names,
            room.homes,
            room.types,
            room.alias,
        )

    def _date(self, room: _Room) -> None:
        """Gives the homes the new serial; there are as many as zones, a few dozen at most."""
        for home in room.homes.values():
            for sibling in home.siblings.values():
                sibling.serial = self.serial
                sibling.negatives = {}
        # Label counts of the apexes, longest first: where `home_of` has to look.
        self.depths = sorted({_depth(name) for name in room.homes}, reverse=True)

    def turned(self, entry: Entry) -> bytes:
        """An entry's records; addresses begin with another one each time (RFC 1794)."""
        body, unit = entry.body, entry.unit
        if not unit:
            return body
        self._turn = turn = self._turn + 1
        cut = turn % entry.answers * unit
        return body[cut:] + body[:cut]

    def home_of(self, name: Name) -> Home | None:
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
                home = self.homes.get(name[offsets[deepest - depth] :])
                if home is not None:
                    return home
        return None


def _depth(name: Name) -> int:
    count = position = 0
    while length := name[position]:
        count += 1
        position += 1 + length
    return count


def _home(room: _Room, apex: Apex, serial: int) -> Home:
    """The plain home of a zone, made with its siblings when it is new or has changed."""
    home = room.homes.get(apex.name)
    if home is None:
        siblings: dict[int, Home] = {}
        for kind in (PLAIN, APEX, ALIAS, PODS):
            siblings[kind] = Home(apex, kind, serial, siblings)
        home = room.homes[apex.name] = siblings[PLAIN]
    elif home.apex != apex:
        for sibling in home.siblings.values():
            sibling.apex = apex
    return home


def _forget(room: _Room, name: Name) -> None:
    if room.names.pop(name, None) is not None:
        _clear(room, name)


def _clear(room: _Room, name: Name) -> None:
    room.alias.pop(name, None)
    for one, many in room.types.values():
        one.pop(name, None)
        many.pop(name, None)


def _put(room: _Room, node: Node, home: Home) -> None:
    name = node.name
    if name in room.names:
        _clear(room, name)
    room.names[name] = home.siblings[node.kind]
    if node.target:
        room.alias[name] = node.target
    for type_, body in node.ones:
        _sets(room, type_)[0][name] = body
    for many in node.many:
        _sets(room, many.type)[1][name] = Entry(
            many.body,
            many.unit,
            many.count,
            many.extra,
            many.additional,
            _counts(many.count, many.extra),
        )


def _sets(room: _Room, type_: int) -> tuple[dict[Name, bytes], dict[Name, Entry]]:
    key = pack("!HH", type_, 1)
    found = room.types.get(key)
    if found is None:
        found = room.types[key] = ({}, {})
    return found
