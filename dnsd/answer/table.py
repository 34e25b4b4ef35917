"""The answer table: the records of each name, compiled to follow a question.

In `answer/` (pure: query bytes to reply bytes). Change here: how frames become answers.

The frames of `zone/compile.py` fill the table. `zones.py` describes its dicts, `rrsets.py` the
RRsets of several records. Equal octets of a frame become one object: the rdata of a PTR record,
or the target of an SRV record, *is* the key of the name that it points to, if both came in one
frame.

`apply` is one step: no query is answered in between, because nothing else runs meanwhile. After
a `reset` frame a second generation is filled beside the one that answers, and replaces it with
the `complete` frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from struct import pack

from msgspec import Struct

from dnsd.answer.rrsets import RECORD_HEAD, CompiledRRset, Compiler, kind_of
from dnsd.answer.zones import Generation, ZoneRef, Zones
from dnsd.dns.names import Name, is_below
from dnsd.dns.types import Type
from dnsd.zone.frame import NOT_READY, PLAIN, UNCHANGED, Node, decode_frame

# Up to so many zones, the zone of a name is found by comparing its end with each apex, which
# takes 50 ns an apex; beyond, by its labels, which takes a microsecond for six of them.
_FEW_ZONES = 16
_OWNER_IS_QUESTION = b"\xc0\x0c"
_SRV = int(Type.SRV)
# A name with a usual record of one of these types, or with SRV records, is a leaf.
_LEAF_TYPES = frozenset((int(Type.A), int(Type.PTR), int(Type.AAAA)))

# Records as they follow a question, their count, additional records, and their count.
Found = tuple[bytes, int, bytes, int]


class Claim(Struct, frozen=True):
    """What dnsd claims about its data, the same value for every table of a process.

    `state`: NOT_READY, FRESH, or STALE of `zone/compile.py`. `unknown`: names at or below which
    dnsd does not hold what exists.
    """

    state: int = NOT_READY
    unknown: tuple[Name, ...] = ()


class Table:
    """The current answers.

    `version` grows with each frame, and invalidates all data that is derived from the table.
    `zoned` grows when zones are added or removed.
    """

    __slots__ = (
        "_building",
        "_generation",
        "_rotation",
        "_zoned",
        "_zones",
        "alias",
        "apart",
        "claim",
        "depths",
        "leaves",
        "names",
        "types",
        "version",
        "zone_refs",
        "zoned",
    )

    def __init__(self, claim: Claim = Claim()) -> None:  # noqa: B008 - Claim is immutable
        self._building: Zones | None = None
        self._generation = Generation()
        self.zoned = self._zoned = 0
        self.claim = claim
        self.version = 0
        self._rotation = 0
        self.depths: list[int] = []
        self.apart: tuple[tuple[Name, ZoneRef], ...] = ()
        self._enter(Zones())

    def apply(self, frame: bytes) -> None:
        """Applies one frame. Raises msgspec.DecodeError for bytes that are not a frame."""
        step = decode_frame(frame)
        if step.state != UNCHANGED:
            self.claim = Claim(step.state, step.unknown)
        if step.reset:
            self._building = Zones(step.ttl)
        zones = self._building or self._zones
        if step.serial not in (0, self.serial):
            self._generation.begin(step.serial)
        zone_refs = [zones.zone_ref(apex, self._generation) for apex in step.zones]
        for name in step.gone:
            zones.remove(name)
        for name in step.zones_gone:
            zones.remove_zone(name)
        compiler = Compiler({node.name: node.name for node in step.nodes})
        for node in step.nodes:
            _put(zones, node, zone_refs[node.zone], compiler)
        if step.complete and self._building is not None:
            self._building = None
            self._enter(zones)
        if self._zones.changes != self._zoned:
            self._derive_from_zones()
        self.version += 1

    def adopt(self, claim: Claim) -> None:
        """Sets the claim of another table of the process."""
        self.claim = claim
        self.version += 1

    def _enter(self, zones: Zones) -> None:
        self._zones = zones
        self._zoned = -1
        self.names, self.zone_refs = zones.names, zones.zone_refs
        self.types, self.alias, self.leaves = zones.types, zones.alias, zones.leaves

    def _derive_from_zones(self) -> None:
        zones = self._zones
        self._zoned = zones.changes
        # Label counts of the apexes, the deepest first: the suffixes that `zone_of` looks up.
        self.depths = sorted(zones.depths, reverse=True)
        few = len(zones.zone_refs) <= _FEW_ZONES and _apart(zones.zone_refs)
        self.apart = tuple(zones.zone_refs.items()) if few else ()
        self.zoned += 1

    @property
    def serial(self) -> int:
        """The serial of all zones."""
        return self._generation.serial

    def exists(self, name: Name) -> bool:
        """Whether the name has records, or is above a name that has records."""
        return self._zones.exists(name)

    def may_exist(self, name: Name) -> bool:
        """Whether dnsd does not hold what exists at or below a name that the table lacks."""
        return any(is_below(name, ancestor) for ancestor in self.claim.unknown)

    def find(self, name: Name, kind: bytes) -> Found | None:
        """The records of a name and a type; None if the name has no record of this type."""
        sets = self.types.get(kind)
        if sets is None:
            return None
        singles, heads, whole, rrsets = sets
        if (rdata := singles.get(name)) is not None:
            return heads[len(rdata)][len(kind) :] + rdata, 1, b"", 0
        if (record := whole.get(name)) is not None:
            return record, 1, b"", 0
        if (rrset := rrsets.get(name)) is not None:
            layout = rrset.layout
            body = layout.head[len(kind) :] + self.rotated(rrset)
            return body, layout.answers, rrset.additional_section(name), layout.extra
        return None

    def owns_records(self, name: Name) -> bool:
        """Whether the name has records of any type (apart from the SOA of an apex)."""
        return any(
            name in singles or name in whole or name in rrsets
            for singles, _, whole, rrsets in self.types.values()
        )

    def rotated(self, rrset: CompiledRRset) -> bytes:
        """The body of an RRset; the address that comes first changes (RFC 1794).

        One sequence serves all RRsets, and a client queries several RRsets in step: A, then AAAA.
        From a counter, one of them would get even numbers only. So the sequence is pseudo-random:
        any regular selection of its numbers is spread about as evenly as all of them.
        """
        body, layout = rrset.body, rrset.layout
        if not layout.unit:
            return body
        # A linear congruential generator of full period. Only its high bits are evenly spread.
        # It is this small so that the arithmetic stays within one machine word.
        self._rotation = rotation = self._rotation * 5509 + 13849 & 0x1FFFF
        cut = (rotation * layout.answers >> 17) * layout.unit
        return body[cut:] + body[:cut]

    def zone_above(self, name: Name) -> ZoneRef | None:
        """The zone of a name that exists.

        The name ends with the octets of its apex. If no apex ends with the octets of another one,
        the name ends with those of its apex only.
        """
        for apex, zone_ref in self.apart:
            if name.endswith(apex):
                return zone_ref
        return self.zone_of(name)

    def zone_of(self, name: Name) -> ZoneRef | None:
        """The zone that `name` lies in, whether it exists or not; None for an external name.

        `name` is well-formed and in lower case. The number of lookups is the number of
        different depths of apexes, however many labels the name has.
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


def _apart(apexes: Iterable[Name]) -> bool:
    """Whether no apex ends with the octets of another.

    In the sorted list of reversed apexes, an apex comes right before one that ends with it.
    """
    backwards = sorted(apex[::-1] for apex in apexes)
    return not any(longer.startswith(shorter) for shorter, longer in pairwise(backwards))


def _put(zones: Zones, node: Node, zone_ref: ZoneRef, compiler: Compiler) -> None:
    """Replaces what the table has of a name by what the node states."""
    name = node.name
    zones.remove(name)
    leaf = False
    for type_, record in node.singles:
        singles, heads, whole, _ = zones.sets(type_)
        if record[6:10] == zones.ttl:
            rdata = record[RECORD_HEAD:]
            singles[name] = compiler.share(rdata, rdata)
            if len(rdata) >= len(heads):
                _lengthen(heads, kind_of(type_), zones.ttl, len(rdata))
            leaf = leaf or type_ in _LEAF_TYPES
        else:
            whole[name] = record
    for body in node.bodies:
        zones.sets(body.type)[3][name] = compiler.rrset(body, name)
        leaf = leaf or body.type == _SRV
    if node.target:
        zones.alias[name] = node.target
    if not leaf or node.kind != PLAIN:
        zones.names[name] = zone_ref.siblings[node.kind]


def _lengthen(heads: list[bytes], kind: bytes, ttl: bytes, length: int) -> None:
    """Adds the heads of rdata up to `length` octets.

    A head begins with type and class of the question, because it follows the question's name.
    """
    heads += (
        b"".join((kind, _OWNER_IS_QUESTION, kind, ttl, pack("!H", size)))
        for size in range(len(heads), length + 1)
    )
