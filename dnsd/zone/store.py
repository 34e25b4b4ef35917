"""Storage of the zone: the contributions, packed, and an index of the names.

In `zone/` (control plane: the names that exist). Change here: how the zone is held in memory.
`zone.py` has the rules; it decides what is stored.

A cluster of 50,000 endpoints has more than 100,000 names, so memory is the reason for each of
these rules:

* A contribution is stored once, packed. The names of a contributor are alike (endpoints and the
  PTR records that point to them), so they compress well: a Service of five endpoints has 14
  RRsets, which take 2,500 octets as objects, 1,100 packed, and 250 compressed. To pack and to
  unpack take a few microseconds. To compress takes 20 microseconds, which is little for a Change
  and much for all that a start reads; until `compact_all`, contributions may stay uncompressed.
* The last few contributions used stay unpacked, because names are read contributor by contributor.
* A *leaf* is a name with records of one contributor and no name below it, as nine of ten names
  are. A leaf has no node. A hash of its name leads to its contributor, whose contribution holds
  the name. If two names have the same hash, the second one has a node.
* A leaf right below a node of the same contributor (an endpoint below its Service) does not even
  have a hash: the node above *implies* it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from zlib import compress, decompress

import msgspec
from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import Name
from dnsd.dns.rrset import RRset
from dnsd.zone.building import MARKER
from dnsd.zone.merge import union

SEVERAL = Key("", "", "")  # the contributor of a node with several contributors
_RECENT = 8  # contributions that stay unpacked
_COMPACT_STEP = 50  # contributions compressed without a pause
_FASTEST = 1  # of zlib's levels; higher ones save nothing with data this short
_ZLIB = 0x78  # the first octet of compressed data (RFC 1950); no msgpack array begins with it

RRsets = tuple[RRset, ...]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RRsets).decode


def pack(rrsets: Sequence[RRset], *, compressed: bool) -> bytes:
    """These RRsets as octets, in their order."""
    packed = _encode(rrsets)
    return compress(packed, _FASTEST) if compressed else packed


def compact(packed: bytes) -> bytes:
    """The same RRsets, compressed."""
    return packed if packed[0] == _ZLIB else compress(packed, _FASTEST)


def unpack(packed: bytes) -> RRsets:
    """The RRsets that `pack` was given."""
    return _decode(decompress(packed) if packed[0] == _ZLIB else packed)


def digest(name: Name) -> int:
    """The hash that stands for a leaf: 60 bits, keyed for each process.

    All 64 bits would take an int of 16 octets more.
    """
    return hash(name) & 0xFFF_FFFF_FFFF_FFFF


class Contribution:
    """The RRsets of one contributor: as they were given, and by name (without markers)."""

    __slots__ = ("by_name", "rrsets")

    def __init__(self, rrsets: RRsets) -> None:
        self.rrsets = rrsets
        self.by_name: dict[Name, RRsets] = {}
        for rrset in rrsets:
            if rrset.type != MARKER:
                known = self.by_name.get(rrset.name)
                self.by_name[rrset.name] = (rrset,) if known is None else union((*known, rrset))


class Node(Struct, gc=False):
    """A name that is not a leaf.

    `children`: the names right below it, and the markers at it. `contributor` is None for an
    empty non-terminal. `rrsets` is set where the served RRsets differ from the contribution.
    """

    children: int
    contributor: Key | None
    rrsets: RRsets | None = None


class _Packed(Struct, gc=False):
    """A stored contribution. `contributor` is the one Key object that the leaves share.

    `octets` is None while the contribution is unpacked and has changed since it was packed.
    """

    contributor: Key
    octets: bytes | None


_NOTHING = Contribution(())
_NO_EDIT: tuple[Key, Collection[Name]] = SEVERAL, ()


class Store:
    """Contributions, nodes, and leaves. Not thread-safe.

    `nodes` is public for reading; only methods change it and the leaves. `orphans` are the
    names outside every zone, with the number of contributors that have records there.
    """

    def __init__(self, *, unpacked: bool, digest: Callable[[Name], int] = digest) -> None:
        """`unpacked`: do not compress contributions until `compact_all`."""
        self._digest = digest
        self.nodes: dict[Name, Node] = {}
        self.orphans: dict[Name, int] = {}
        self._compressed = not unpacked
        self._leaves: dict[int, Key] = {}  # by digest of the name
        self._implied = 0  # leaves that have no entry there
        self._packed: dict[Key, _Packed] = {}
        self._recent: dict[Key, Contribution] = {}
        self._puts = 0  # how often a contribution was stored
        self._edit = _NO_EDIT
        # For each walk of `served` under way: names that lost one of several contributors.
        self._walks: list[dict[Name, None]] = []

    def __len__(self) -> int:
        """The number of names that exist."""
        return len(self.nodes) + len(self._leaves) + self._implied

    # -- contributions

    def contribution(self, contributor: Key) -> Contribution:
        """The contribution now; an empty one for an unknown contributor."""
        found = self._recent.get(contributor)
        if found is None:
            packed = self._packed.get(contributor)
            if packed is None or packed.octets is None:  # the latter are recent
                return _NOTHING
            found = Contribution(unpack(packed.octets))
            self._remember(packed.contributor, found)
        return found

    def put(self, contributor: Key, contribution: Contribution) -> Key:
        """Stores a contribution instead of the one before; returns the shared Key object."""
        self._puts += 1
        packed = self._packed.get(contributor)
        if not contribution.rrsets:
            self._packed.pop(contributor, None)
            self._recent.pop(contributor, None)
            return packed.contributor if packed else contributor
        if packed is None:
            packed = self._packed[contributor] = _Packed(contributor, None)
        else:
            packed.octets = None
        self._remember(packed.contributor, contribution)
        return packed.contributor

    def contributions(
        self, wanted: Callable[[Key], bool] = lambda _: True
    ) -> Iterator[tuple[Key, RRsets]]:
        """Every contributor that is `wanted`, with its RRsets. Others are not unpacked.

        The zone may change between two of them. Contributors that come meanwhile are left out.
        """
        for contributor, packed in list(self._packed.items()):
            if not wanted(contributor) or self._packed.get(contributor) is not packed:
                continue
            octets = packed.octets
            found = self.contribution(contributor).rrsets if octets is None else unpack(octets)
            yield contributor, found

    def _remember(self, contributor: Key, contribution: Contribution) -> None:
        recent = self._recent
        recent.pop(contributor, None)
        if len(recent) >= _RECENT:
            oldest = next(iter(recent))
            self._pack(oldest, recent.pop(oldest))
        recent[contributor] = contribution

    def _pack(self, contributor: Key, contribution: Contribution) -> None:
        packed = self._packed[contributor]
        if packed.octets is None:
            packed.octets = pack(contribution.rrsets, compressed=self._compressed)

    def compact(self) -> None:
        """Packs the recent contributions."""
        for contributor, contribution in self._recent.items():
            self._pack(contributor, contribution)

    def compact_all(self) -> Iterator[None]:
        """Compresses every contribution, now and from now on; yields about every millisecond."""
        self._compressed = True
        for n, contributor in enumerate(list(self._packed)):
            packed = self._packed.get(contributor)
            if packed is not None and packed.octets is not None:
                packed.octets = compact(packed.octets)
            if n % _COMPACT_STEP == 0:
                yield

    # -- names

    def begin_edit(self, contributor: Key, placed: Collection[Name]) -> None:
        """Begins an edit, in which only the names in `placed` are in place for a contributor."""
        self._edit = contributor, placed

    def end_edit(self) -> None:
        """Ends an edit: all names of the contribution are in place."""
        self._edit = _NO_EDIT

    def _names(self, contributor: Key) -> Collection[Name]:
        """The names of a contributor that are in place."""
        edited, placed = self._edit
        return placed if contributor == edited else self.contribution(contributor).by_name

    def find(self, name: Name) -> RRsets | None:
        """What is served at a name; None if the name does not exist."""
        node = self.nodes.get(name)
        if node is not None:
            return self.served_at(name, node)
        contributor = self.leaf(name)
        return None if contributor is None else self.contribution(contributor).by_name[name]

    def served_at(self, name: Name, node: Node) -> RRsets:
        """What is served at a node."""
        if node.rrsets is not None:
            return node.rrsets
        if node.contributor is None:
            return ()
        return self.contribution(node.contributor).by_name[name]

    def served(self) -> Iterator[tuple[Name, RRsets]]:
        """Every name that exists and what is served there, as `Zone.served` specifies."""
        again: dict[Name, None] = {}
        self._walks.append(again)
        try:
            yield from self._served_by_contributors()
            for name in list(self.nodes):
                node = self.nodes.get(name)
                if node is not None and (node.rrsets is not None or node.contributor is None):
                    yield name, node.rrsets or ()
            # A name that passed from several contributors to one may be in neither part.
            while again:
                name, _ = again.popitem()
                found = self.find(name)
                if found is not None:
                    yield name, found
        finally:
            self._walks.remove(again)

    def _served_by_contributors(self) -> Iterator[tuple[Name, RRsets]]:
        """The names whose RRsets are those of one contribution, by contributor."""
        nodes, leaves, orphans = self.nodes, self._leaves, self.orphans
        for contributor in list(self._packed):
            puts = self._puts
            for name, rrsets in self.contribution(contributor).by_name.items():
                if self._puts != puts:  # the zone changed during the walk
                    if (now := self.contribution(contributor).by_name.get(name)) is None:
                        continue
                    rrsets = now
                node = nodes.get(name)
                if node is None:
                    above = nodes.get(name[1 + name[0] :])
                    implied = above is not None and above.contributor == contributor
                    if implied or (
                        leaves.get(self._digest(name)) == contributor and name not in orphans
                    ):
                        yield name, rrsets
                elif node.rrsets is None and node.contributor == contributor:
                    yield name, rrsets

    def note_unshared(self, name: Name) -> None:
        """Notes that a node loses one of several contributors, for the walks under way."""
        for walk in self._walks:
            walk[name] = None

    def leaf(self, name: Name) -> Key | None:
        """The contributor of a leaf; None if the name is not a leaf."""
        contributor = self._leaves.get(self._digest(name))
        if contributor is not None and name in self._names(contributor):
            if name not in self.orphans:
                return contributor
        above = self.nodes.get(name[1 + name[0] :])
        contributor = above.contributor if above is not None else None
        if contributor is None or contributor is SEVERAL or name not in self._names(contributor):
            return None
        return None if name in self.nodes else contributor

    def add_leaf(self, name: Name, contributor: Key) -> bool:
        """Adds a new name as a leaf right below a node; False if it has to be a node.

        This is the usual case: the name is new, and the name above it is a node.
        """
        above = self.nodes.get(name[1 + name[0] :])
        if above is None:
            return False
        key = self._digest(name)
        if key in self._leaves:
            return False
        if above.contributor is contributor:
            self._implied += 1
        elif above.contributor is None or above.contributor is SEVERAL:
            self._leaves[key] = contributor
        else:
            return False
        above.children += 1
        return True

    def promote(self, name: Name) -> Node | None:
        """The node of a name, made from its leaf if it has one; None if the name is new."""
        node = self.nodes.get(name)
        if node is None and (contributor := self.leaf(name)) is not None:
            if self._is_implied(contributor, name):
                self._implied -= 1
            else:
                del self._leaves[self._digest(name)]
            node = self.nodes[name] = Node(0, contributor)
        return node

    def demote(self, name: Name, node: Node) -> None:
        """Makes a leaf of a node, if it meets the conditions of a leaf."""
        if node.children or node.rrsets is not None or node.contributor is None:
            return
        key = self._digest(name)
        if self._is_implied(node.contributor, name):
            self._implied += 1
        elif key not in self._leaves:
            self._leaves[key] = node.contributor
        else:
            return
        del self.nodes[name]

    def assign(self, name: Name, node: Node, contributor: Key | None) -> None:
        """Sets the contributor of a node. Leaves below it become implied, or cease to be."""
        before, node.contributor = node.contributor, contributor
        if not node.children:
            return
        for key in (before, contributor):
            if key is not None and key is not SEVERAL:
                for leaf in self._leaves_below(name, self._names(key)):
                    if key is contributor:
                        del self._leaves[self._digest(leaf)]
                        self._implied += 1
                    else:
                        self._implied -= 1
                        self._enter(leaf, key)

    def _leaves_below(self, name: Name, names: Iterable[Name]) -> Iterator[Name]:
        for leaf in names:
            if leaf[1 + leaf[0] :] == name and leaf not in self.nodes and leaf not in self.orphans:
                yield leaf

    def _enter(self, leaf: Name, contributor: Key) -> None:
        """Enters a leaf by its hash, or as a node if another leaf has the same hash."""
        key = self._digest(leaf)
        if key in self._leaves:
            self.nodes[leaf] = Node(0, contributor)
        else:
            self._leaves[key] = contributor

    def _is_implied(self, contributor: Key, leaf: Name) -> bool:
        above = self.nodes.get(leaf[1 + leaf[0] :])
        return above is not None and above.contributor == contributor

    def add_orphan(self, name: Name) -> None:
        """Counts a contributor with records at a name outside every zone."""
        self.orphans[name] = self.orphans.get(name, 0) + 1

    def remove_orphan(self, name: Name) -> None:
        self.orphans[name] -= 1
        if not self.orphans[name]:
            del self.orphans[name]
