"""The zones of a table, and the names in them.

In `answer/` (pure: query bytes to reply bytes). Change here: what a table stores for each zone.

`Zones` is one generation of the dicts of a table, all keyed by the lower-cased name on the wire:

* `types[type + class]` -> `(singles, heads, whole, rrsets)`. `singles`: name -> rdata, for
  RRsets of one small record with the TTL that most records have. Their replies have one answer
  and fit every transport. The octets before the rdata depend only on its length, so they are
  stored once: `heads[len(rdata)]`. `whole`: name -> record, for single records with another
  TTL. `rrsets`: name -> `CompiledRRset` for all others.
* `names`: name -> `ZoneRef`, for names that need more than a lookup (an apex, an alias, a
  namespace of pods) and for names without records of their own (empty non-terminals).
* `leaves`: dicts of `types` whose keys exist, and lie in the zone of the name above them, without
  an entry in `names`. Nine names in ten are leaves.

A `ZoneRef` is a zone as seen from a name, with the kind of the name. So usual names pay nothing
for apexes and aliases: the engine reads `kind` after a miss, never before a hit.

A frame costs what it touches, however many zones exist: the serial is in one place
(`Generation`), and the negative replies made with the previous one are found without a search.
"""

from __future__ import annotations

from struct import pack
from typing import Any

from dnsd.answer.rrsets import CompiledRRset, kind_of
from dnsd.dns.names import Name, labels_of
from dnsd.dns.types import Type
from dnsd.zone.frame import ALIAS, APEX, PLAIN, PODS, Apex

# The types that clients query most. A query for one of them takes the fast path, even if no name
# of the table has a record of the type.
_USUAL = (1, 2, 5, 12, 13, 15, 16, 28, 29, 33, 35, 43, 44, 48, 52, 64, 65, 99, 257)
_A, _PTR, _AAAA, _SRV = int(Type.A), int(Type.PTR), int(Type.AAAA), int(Type.SRV)

Leaves = tuple[dict[Name, Any], dict[Name, Any], dict[Name, Any], dict[Name, Any]]
# Singles: rdata, heads by the length of the rdata, whole records. Then the other RRsets.
Sets = tuple[dict[Name, bytes], list[bytes], dict[Name, bytes], dict[Name, CompiledRRset]]


class Generation:
    """The serial of all zones of a table, and the zones with negative replies made with it."""

    __slots__ = ("negative", "serial")

    def __init__(self) -> None:
        self.serial = 0
        self.negative: list[ZoneRef] = []

    def begin(self, serial: int) -> None:
        """Sets another serial and drops the negative replies of the previous one."""
        self.serial = serial
        for zone_ref in self.negative:
            zone_ref.negatives = {}
        self.negative = []


class ZoneRef:
    """The zone of a name. `kind`: what the name is (PLAIN, APEX, ALIAS, or PODS)."""

    __slots__ = ("apex", "generation", "kind", "name", "negatives", "siblings")

    def __init__(
        self, apex: Apex, kind: int, generation: Generation, siblings: dict[int, ZoneRef]
    ) -> None:
        self.apex = apex
        self.name = apex.name
        self.kind = kind
        self.generation = generation
        self.siblings = siblings  # kind -> ZoneRef of the same zone, shared between them
        self.negatives: dict[int, bytes] = {}  # len(qname) -> authority section

    def negative(self, length: int) -> bytes:
        """The authority section of a negative reply to a qname of `length` octets (RFC 2308 3).

        Its owner is a pointer into the question, so it depends on where the apex begins.
        """
        body = self.negatives.get(length)
        if body is None:
            if not self.negatives:
                self.generation.negative.append(self)
            pointer = 0xC000 | (12 + length - len(self.name))
            body = self.negatives[length] = self.denial(pack("!H", pointer))
        return body

    def denial(self, owner: bytes) -> bytes:
        """The SOA record of a negative reply; `owner` is the apex or a pointer to it."""
        minimum = int.from_bytes(self.apex.timers[-4:], "big")
        return self._soa(owner, min(self.apex.ttl, minimum))

    def soa(self) -> bytes:
        """The SOA record as the answer to a query for the apex."""
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


class Zones:
    """One generation of the dicts. `ttl`: the TTL of most records, as in a record.

    `depths`: number of labels -> apexes with so many labels. `changes` counts the zones that
    were added or removed.
    """

    __slots__ = ("alias", "changes", "depths", "leaves", "names", "ttl", "types", "zone_refs")

    def __init__(self, ttl: int = 0) -> None:
        self.ttl = pack("!I", ttl)
        self.names: dict[Name, ZoneRef] = {}
        self.zone_refs: dict[Name, ZoneRef] = {}
        self.depths: dict[int, int] = {}
        self.changes = 0
        self.alias: dict[Name, Name] = {}
        self.types: dict[bytes, Sets] = {kind_of(type_): _no_sets() for type_ in _USUAL}
        self.leaves: Leaves = (
            self.types[kind_of(_A)][0],
            self.types[kind_of(_SRV)][3],
            self.types[kind_of(_PTR)][0],
            self.types[kind_of(_AAAA)][0],
        )

    def zone_ref(self, apex: Apex, generation: Generation) -> ZoneRef:
        """The PLAIN reference to a zone, which is added or changed to what `apex` states."""
        zone_ref = self.zone_refs.get(apex.name)
        if zone_ref is None:
            siblings: dict[int, ZoneRef] = {}
            for kind in (PLAIN, APEX, ALIAS, PODS):
                siblings[kind] = ZoneRef(apex, kind, generation, siblings)
            zone_ref = self.zone_refs[apex.name] = siblings[PLAIN]
            self._count(apex.name, 1)
        elif zone_ref.apex != apex:
            for sibling in zone_ref.siblings.values():
                sibling.apex = apex
                sibling.negatives = {}
        return zone_ref

    def remove_zone(self, apex: Name) -> None:
        """Removes a zone if it is there. The names in it are removed one by one (`remove`)."""
        if self.zone_refs.pop(apex, None) is not None:
            self._count(apex, -1)

    def _count(self, apex: Name, step: int) -> None:
        depth = sum(1 for _ in labels_of(apex))
        self.depths[depth] = self.depths.get(depth, 0) + step
        if not self.depths[depth]:
            del self.depths[depth]
        self.changes += 1

    def exists(self, name: Name) -> bool:
        """Whether the name has records, or is above a name that has records."""
        a, srv, ptr, aaaa = self.leaves
        return name in a or name in srv or name in ptr or name in aaaa or name in self.names

    def remove(self, name: Name) -> None:
        """Removes a name with all its records, if it exists."""
        if not self.exists(name):
            return
        self.names.pop(name, None)
        self.alias.pop(name, None)
        for singles, _, whole, rrsets in self.types.values():
            singles.pop(name, None)
            whole.pop(name, None)
            rrsets.pop(name, None)

    def sets(self, type_: int) -> Sets:
        """The records of a type, which is added if it is new."""
        kind = kind_of(type_)
        sets = self.types.get(kind)
        if sets is None:
            sets = self.types[kind] = _no_sets()
        return sets


def _no_sets() -> Sets:
    return ({}, [], {}, {})
