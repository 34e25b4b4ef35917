"""The zone: who owns which RRsets, which names exist, and what an edit changed.

There is one edit, `Zone.replace(contributor, rrsets, cause)`: from now on this contributor
contributes exactly these. It returns the `Change`, or None when nothing that is served is
different. The rules:

* **Order does not matter.** What is served is a function of what every contributor contributes
  now, so any sequence of edits ends where a build from scratch would.
* **Several contributors at one name** are merged inside; in the zones of the view from outside
  the first of them has the name, by age, and who is not heard is in `disputes`: `merge.py`.
* **A name exists** when it has records, when a contributor says so (a *marker*, RRset type 0),
  or when a name below it exists (an empty non-terminal, RFC 8020). Each node counts the
  markers at it and the nodes below it, so a name's parents come and go without a search.
* **Reverse zones as needed** (see `reverse.py`) come with the first name below their apex
  and go with the last.
* **A Change costs what it touches**, whatever the size of the zone. For that the node of a
  name knows its contributor, and only names with several contributors have a table of who said
  what.
* One serial for all zones: a secondary of any of them sees it move. It is a 32-bit
  number that wraps (RFC 1982).

A name outside every zone is not served, whoever contributes it.

Memory: a cluster of 50,000 endpoints has more than 100,000 names. What a contributor contributes
is kept once and packed (`packing.py`). A *leaf*, a name that one contributor has alone with nothing
below it, as nine out of ten, is not kept at all: of it there is its hash, which leads to the
contributor, and the contributor knows its names. (Two names may have one hash; the second has a
node then.) Of a leaf right below a name that the same contributor has alone, as an endpoint's,
there is nothing: it is *implied* by the name above it.
Whoever asks for a name has the contributor unpacked; the last few stay so, for names are asked for
contributor by contributor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from struct import Struct as Packing

from msgspec import Struct

from dnsd.cluster.objects import Key
from dnsd.dns.names import ROOT, Name, name_of, parent_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.external import servers_of
from dnsd.zone.merge import APEX, merged, precedence, seniority, union, won
from dnsd.zone.reverse import reverse_zones
from dnsd.zone.schema import (
    MARKER,
    SOA_EXPIRE,
    SOA_REFRESH,
    SOA_RETRY,
    SchemaConfig,
    apex,
    reverse_ns,
    server_name,
)
from dnsd.zone.store import pack, tightened, unpack

__all__ = ["APEX", "Authority", "Cause", "Change", "Zone", "newer"]

_SEVERAL = Key("", "", "")  # stands in a node for "see Zone._shared"
_RECENT = 8  # contributors that stay unpacked
_TIGHTEN = 50  # contributors at once


_SOA = int(Type.SOA)
_SERIAL, _TIMERS = Packing(">I"), Packing(">IIII")


class Cause(Struct, frozen=True, gc=False):
    """Why a Change came: the object, its resourceVersion and manifest.

    `at`: when the event was handed in, in seconds of the caller's clock.
    """

    key: Key
    version: str = ""
    origin: str = ""
    at: float = 0.0


class Change(Struct, frozen=True, gc=False):
    """What one edit did to what is served; `serial` is the serial after it.

    RRsets are as served, merged: one that changed is in `removed` as it was and in `added`
    as it is. SOA records are in neither, they follow from the serial and `zones_born`,
    `zones_died`. `born` and `died` are the names that began and ceased to exist, with or
    without records.
    """

    serial: int
    contributor: Key
    removed: tuple[RRset, ...]
    added: tuple[RRset, ...]
    born: tuple[Name, ...]
    died: tuple[Name, ...]
    zones_born: tuple[Name, ...]
    zones_died: tuple[Name, ...]
    cause: Cause


class Authority(Struct, frozen=True, gc=False):
    """Of an SOA (RFC 1035 3.3.13) all but the serial. `timers`: refresh to minimum, 16 octets."""

    mname: Name
    rname: Name
    timers: bytes
    ttl: int


class _Node(Struct, gc=False):
    """A name that is no leaf."""

    holds: int  # names right below it, and markers at it
    contributor: Key | None  # whose RRsets these are; _SEVERAL; None: an empty non-terminal
    # What is served, where that is not just what the contributor contributes.
    sets: tuple[RRset, ...] | None = None


class _Kept(Struct, gc=False):
    """What a contributor contributes, packed. `contributor` is the one Key object that leaves lead
    to.

    `packed` is None while it is among the recent ones and was not packed yet.
    """

    contributor: Key
    packed: bytes | None


class _Part:
    """What a contributor contributes, unpacked: as it was given, and by name (without markers)."""

    __slots__ = ("by_name", "sets")

    def __init__(self, sets: tuple[RRset, ...]) -> None:
        self.sets = sets
        self.by_name = _by_name(sets)


class _Edit:
    """What one `replace` has done so far; becomes a Change."""

    __slots__ = ("added", "born", "died", "removed", "zones_born", "zones_died")

    def __init__(self) -> None:
        self.removed: list[RRset] = []
        self.added: list[RRset] = []
        self.born: list[Name] = []
        self.died: list[Name] = []
        self.zones_born: list[Name] = []
        self.zones_died: list[Name] = []

    def served(self, before: tuple[RRset, ...], after: tuple[RRset, ...]) -> None:
        """Notes that a name served `before` and serves `after`."""
        if not before:
            self.added += after
        elif before != after:
            self.removed += [one for one in before if one not in after]
            self.added += [one for one in after if one not in before]

    def empty(self) -> bool:
        return not (self.removed or self.added or self.born or self.died)


class Zone:
    """All zones dnsd serves, forward and reverse. Not thread-safe; never raises."""

    def __init__(self, config: SchemaConfig, serial: int, *, loose: bool = False) -> None:
        """`loose`: much will come at once, and `tighten` is called when it has."""
        self.config = config
        self._loose = loose
        self.serial = serial % 2**32
        self._nodes: dict[Name, _Node] = {}
        self._leaves: dict[int, Key] = {}  # by the hash of the name
        self._implied = 0  # leaves without an entry there
        self._contributions: dict[Key, _Kept] = {}
        self._recent: dict[Key, _Part] = {}
        # Names outside every zone -> how many contribute there all the same.
        self._orphans: dict[Name, int] = {}
        self._edited: tuple[Key, Collection[Name]] = _NOBODY  # see `replace`
        self._shared: dict[Name, dict[Key, tuple[RRset, ...]]] = {}
        self._authorities: dict[Name, Authority] = {}
        self._ages: dict[Key, str] = {}  # of contributors that have one
        # For each walk of `served` under way: names that lost one of several contributors.
        self._walks: list[dict[Name, None]] = []
        # Name -> who has it, then those who say something else and are not heard.
        self.disputes: dict[Name, tuple[Key, ...]] = {}
        self._external = {zone.name: zone for zone in config.external.zones}
        reverse = reverse_zones(config.reverse_zones)
        fixed = [*config.zones, *self._external] + (
            [] if reverse.as_needed else list(reverse.apexes)
        )
        self._apexes: dict[Name, None] = dict.fromkeys(fixed)
        self._as_needed = frozenset(reverse.apexes if reverse.as_needed else ()) - set(fixed)
        # Apexes below no other: the way from a name to the root ends there.
        every = {*fixed, *self._as_needed}
        self._tops = frozenset(
            name for name in every if not any(above in every for above in _above(name))
        )
        self.replace(APEX, apex(config), Cause(APEX))
        self.serial = serial % 2**32

    # -- the edit

    def replace(
        self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str = ""
    ) -> Change | None:
        """From now on `contributor` contributes exactly `rrsets` (none: it is gone).

        `age`: since when it exists (creationTimestamp, RFC 3339 in UTC), "" unknown.

        Returns what that changed, None if nothing, and the serial moves only if something
        did. Several RRsets of one name and type are joined; that a CNAME of the contributor's own
        is alone at its name is up to the contributor.
        """
        old = self._part(contributor)
        before = old.sets
        if before:
            known = set(before)
            now = dict.fromkeys(rrsets)
            fresh = tuple([one for one in now if one not in known])
            gone = tuple([one for one in before if one not in now])
            after = tuple(now)
        else:
            after = fresh = tuple(dict.fromkeys(rrsets))
            gone = ()
        age = age if after else ""
        aged = age != self._ages.get(contributor, "")
        if not fresh and not gone and not aged:
            return None
        if age:
            self._ages[contributor] = age
        else:
            self._ages.pop(contributor, None)
        edit = _Edit()
        new = _Part(after)
        contributor = self._keep(contributor, new)
        was, mine = old.by_name, new.by_name
        there = set(was)  # the names that are in place, on the way from `was` to `mine`
        self._edited = contributor, there
        # All that comes before all that goes: a name needed by both never dies in between.
        self._hold_markers(fresh, edit)
        if aged or not before:
            touched: Iterable[Name] = mine
        else:
            touched = dict.fromkeys([one.name for one in (*fresh, *gone) if one.name in mine])
        for name in touched:
            self._put(contributor, name, was.get(name, ()), mine[name], edit)
            there.add(name)
        for name in was:
            if name not in mine:
                self._take(contributor, name, was[name], edit)
                there.discard(name)
        self._release_markers(gone, edit)
        self._edited = _NOBODY
        if edit.empty():
            return None
        self.serial = (self.serial + 1) % 2**32
        return Change(
            self.serial,
            contributor,
            tuple(edit.removed),
            tuple(edit.added),
            tuple(edit.born),
            tuple(edit.died),
            tuple(edit.zones_born),
            tuple(edit.zones_died),
            cause,
        )

    def _keep(self, contributor: Key, part: _Part) -> Key:
        """Holds this as the contribution; returns the stored Key object of the contributor."""
        kept = self._contributions.get(contributor)
        if not part.sets:
            self._contributions.pop(contributor, None)
            self._recent.pop(contributor, None)
            return kept.contributor if kept else contributor
        if kept is None:
            kept = self._contributions[contributor] = _Kept(contributor, None)
        else:
            kept.packed = None
        self._remember(kept.contributor, part)
        return kept.contributor

    def rest(self) -> None:
        """Packs what the last edits left unpacked: for the time after a Change was passed on."""
        for contributor, part in self._recent.items():
            self._pack(contributor, part)

    def _pack(self, contributor: Key, part: _Part) -> None:
        kept = self._contributions[contributor]
        if kept.packed is None:
            kept.packed = pack(part.sets, tight=not self._loose)

    def tighten(self) -> Iterator[None]:
        """Takes less memory from now on; stops for others every millisecond or so."""
        self._loose = False
        for n, contributor in enumerate(list(self._contributions)):
            kept = self._contributions.get(contributor)
            if kept is not None and kept.packed is not None:
                kept.packed = tightened(kept.packed)
            if n % _TIGHTEN == 0:
                yield

    def _part(self, contributor: Key) -> _Part:
        """What a contributor contributes now."""
        part = self._recent.get(contributor)
        if part is None:
            kept = self._contributions.get(contributor)
            if kept is None or kept.packed is None:  # the latter are recent
                return _NOTHING
            part = _Part(unpack(kept.packed))
            self._remember(kept.contributor, part)
        return part

    def _remember(self, contributor: Key, part: _Part) -> None:
        recent = self._recent
        recent.pop(contributor, None)
        if len(recent) >= _RECENT:
            oldest = next(iter(recent))
            self._pack(oldest, recent.pop(oldest))
        recent[contributor] = part

    def _hold_markers(self, fresh: Iterable[RRset], edit: _Edit) -> None:
        for one in fresh:
            if one.type == MARKER:
                node = self._node(one.name) or self._grow(one.name, edit)
                if node is not None:
                    node.holds += 1

    def _release_markers(self, gone: Iterable[RRset], edit: _Edit) -> None:
        for one in gone:
            if one.type == MARKER and (node := self._node(one.name)) is not None:
                node.holds -= 1
                self._wither(one.name, edit)

    def _leaf(self, name: Name) -> Key | None:
        """Who has this leaf; None when it is none."""
        contributor = self._leaves.get(digest(name))
        if (
            contributor is not None
            and name in self._names(contributor)
            and name not in self._orphans
        ):
            return contributor
        above = self._nodes.get(name[1 + name[0] :])
        contributor = above.contributor if above is not None else None
        if contributor is None or contributor is _SEVERAL or name not in self._names(contributor):
            return None
        return None if name in self._nodes else contributor

    def _names(self, contributor: Key) -> Collection[Name]:
        """The names a contributor has in place."""
        edited, there = self._edited
        return there if contributor == edited else self._part(contributor).by_name

    def _node(self, name: Name) -> _Node | None:
        """The node of a name; a leaf's is made, to be changed."""
        node = self._nodes.get(name)
        if node is None and (contributor := self._leaf(name)) is not None:
            if self._is_implied(contributor, name):
                self._implied -= 1
            else:
                del self._leaves[digest(name)]
            node = self._nodes[name] = _Node(0, contributor)
        return node

    def _is_implied(self, contributor: Key, leaf: Name) -> bool:
        above = self._nodes.get(leaf[1 + leaf[0] :])
        return above is not None and above.contributor == contributor

    def _has(self, name: Name, node: _Node, contributor: Key | None) -> None:
        """Sets the contributor of a node and moves its implied leaves in or out of the table."""
        before, node.contributor = node.contributor, contributor
        for one in (before, contributor):
            if one is None or one is _SEVERAL or not node.holds:
                continue
            for leaf in self._names(one):
                if leaf[1 + leaf[0] :] != name or leaf in self._nodes or leaf in self._orphans:
                    continue
                place = digest(leaf)
                if one is contributor:
                    del self._leaves[place]
                    self._implied += 1
                else:
                    self._implied -= 1
                    if place in self._leaves:
                        self._nodes[leaf] = _Node(0, one)
                    else:
                        self._leaves[place] = one

    def _put(
        self,
        contributor: Key,
        name: Name,
        was: tuple[RRset, ...],
        sets: tuple[RRset, ...],
        edit: _Edit,
    ) -> None:
        """`contributor` contributes `sets` at `name`, instead of what it `was`."""
        node = self._nodes.get(name)
        if node is None:
            place = digest(name)
            above = self._nodes.get(name[1 + name[0] :])
            if not was and above is not None and place not in self._leaves:
                whose = above.contributor
                implied = whose is contributor
                if (implied or whose is None or whose is _SEVERAL) and name not in self._as_needed:
                    # The usual way to begin: nobody has the name, and the one above exists.
                    above.holds += 1
                    if implied:
                        self._implied += 1
                    else:
                        self._leaves[place] = contributor
                    edit.born.append(name)
                    edit.added += sets
                    return
            if was and self._leaf(name) == contributor:  # the usual way to change
                edit.served(was, sets)
                return
            node = self._node(name) or self._grow(name, edit)
            if node is None:
                if not was:
                    self._orphans[name] = self._orphans.get(name, 0) + 1
                return
        if node.contributor is None:
            edit.added += sets
            self._has(name, node, contributor)
            self._slim(name, node)
            return
        if node.contributor == contributor:
            edit.served(was, sets)
            return
        before = self._served(name, node)
        parts = self._shared.setdefault(name, {})
        if node.contributor is not _SEVERAL:
            parts[node.contributor] = before
        parts[contributor] = sets
        self._merge(name, node, parts, before, edit)

    def _take(self, contributor: Key, name: Name, was: tuple[RRset, ...], edit: _Edit) -> None:
        """`contributor` contributes nothing at `name` any more."""
        node = self._node(name)
        if node is None:
            self._orphans[name] -= 1
            if not self._orphans[name]:
                del self._orphans[name]
            return
        if node.contributor is not _SEVERAL:
            edit.served(was, ())
            self._has(name, node, None)
            self._wither(name, edit)
            return
        for walk in self._walks:
            walk[name] = None
        parts = self._shared[name]
        del parts[contributor]
        self._merge(name, node, parts, node.sets or (), edit)
        if len(parts) == 1:
            (alone,) = parts
            self._has(name, node, alone)
            if not (node.contributor == APEX and name in self._as_needed):
                node.sets = None
            del self._shared[name]
            self.disputes.pop(name, None)
            self._slim(name, node)

    def _merge(
        self,
        name: Name,
        node: _Node,
        parts: dict[Key, tuple[RRset, ...]],
        before: tuple[RRset, ...],
        edit: _Edit,
    ) -> None:
        dispute: tuple[Key, ...] = ()
        if self._external and self.zone_of(name) in self._external:
            after, dispute = won(parts, self._ages)
        else:
            after = merged(parts)
        if dispute:
            self.disputes[name] = dispute
        else:
            self.disputes.pop(name, None)
        edit.served(before, after)
        self._has(name, node, _SEVERAL)
        node.sets = after

    def _slim(self, name: Name, node: _Node) -> None:
        """Makes a leaf of a node that could be one."""
        if not node.holds and node.sets is None and node.contributor is not None:
            place = digest(name)
            if self._is_implied(node.contributor, name):
                del self._nodes[name]
                self._implied += 1
            elif place not in self._leaves:
                del self._nodes[name]
                self._leaves[place] = node.contributor

    def _grow(self, name: Name, edit: _Edit) -> _Node | None:
        """The node of a name that has none yet, and those between it and its apex.

        None when the name is outside every zone.
        """
        missing = [name]
        while (step := missing[-1]) not in self._tops:
            if step == ROOT:
                return None
            step = parent_of(step)
            above = self._node(step)
            if above is not None:
                above.holds += 1
                break
            missing.append(step)
        for step in reversed(missing):
            node = self._nodes[step] = _Node(step is not name, None)
            if step in self._as_needed:
                self._open(step, node, edit)
        edit.born += missing
        return node

    def _wither(self, name: Name, edit: _Edit) -> None:
        """Removes the name if nothing needs it, and those above it that it alone needed."""
        while (node := self._nodes.get(name)) is not None:
            as_needed = name in self._as_needed
            if node.holds or not (
                node.contributor is None or (as_needed and node.contributor == APEX)
            ):
                self._slim(name, node)
                return
            del self._nodes[name]
            edit.died.append(name)
            if as_needed:
                del self._apexes[name]
                edit.removed += node.sets or ()
                edit.zones_died.append(name)
            if name in self._tops:
                return
            name = parent_of(name)
            self._nodes[name].holds -= 1

    def _open(self, name: Name, node: _Node, edit: _Edit) -> None:
        """Makes this new node the apex of a reverse zone."""
        node.contributor, node.sets = APEX, (reverse_ns(name, self.config),)
        self._apexes[name] = None
        edit.added += node.sets
        edit.zones_born.append(name)

    # -- what is served

    def rrset(self, name: Name, type_: int) -> RRset | None:
        """What is served for a name and type, or None; the SOA of an apex included."""
        if type_ == _SOA and name in self._apexes:
            return self.soa(name)
        for one in self.at(name):
            if one.type == type_:
                return one
        return None

    def at(self, name: Name) -> tuple[RRset, ...]:
        """All RRsets served at a name, but for an apex's SOA, which holds the serial."""
        return self.find(name) or ()

    def find(self, name: Name) -> tuple[RRset, ...] | None:
        """What is `at` a name; None when the name does not exist."""
        node = self._nodes.get(name)
        if node is not None:
            return self._served(name, node)
        contributor = self._leaf(name)
        return self._part(contributor).by_name[name] if contributor is not None else None

    def _served(self, name: Name, node: _Node) -> tuple[RRset, ...]:
        if node.sets is not None:
            return node.sets
        return self._part(node.contributor).by_name[name] if node.contributor is not None else ()

    def exists(self, name: Name) -> bool:
        """Whether the name exists, with records or as an empty non-terminal."""
        return self.find(name) is not None

    def types(self, name: Name) -> tuple[int, ...]:
        """The types served at a name, ascending; empty when it has none or does not exist."""
        found = {one.type for one in self.at(name)}
        if name in self._apexes:
            found.add(_SOA)
        return tuple(sorted(found))

    def contributors(self, name: Name) -> tuple[Key, ...]:
        """Who contributes records at a name, in order of precedence. Markers do not count."""
        node = self._nodes.get(name)
        if node is None:
            contributor = self._leaf(name)
            return (contributor,) if contributor is not None else ()
        if node.contributor is None:
            return ()
        if node.contributor is _SEVERAL:
            if self._external and self.zone_of(name) in self._external:
                return tuple(sorted(self._shared[name], key=lambda one: seniority(one, self._ages)))
            return tuple(sorted(self._shared[name], key=precedence))
        return (node.contributor,)

    def contribution(self, contributor: Key) -> Sequence[RRset]:
        """What this contributor contributes, markers included, before it is merged with others."""
        return self._part(contributor).sets

    def age(self, contributor: Key) -> str:
        """The age a contributor was last given, "" for none."""
        return self._ages.get(contributor, "")

    def contributions(self) -> Iterator[tuple[Key, tuple[RRset, ...], str]]:
        """Every contributor but the apex, with what it contributes and its age."""
        for contributor, kept in self._contributions.items():
            if contributor != APEX:
                packed = kept.packed
                sets = self._part(contributor).sets if packed is None else unpack(packed)
                yield contributor, sets, self._ages.get(contributor, "")

    def zone_of(self, name: Name) -> Name | None:
        """The apex of the zone a name lies in: the longest one; None outside all of them."""
        if name in self._apexes:
            return name
        return next((above for above in _above(name) if above in self._apexes), None)

    @property
    def external(self) -> Collection[Name]:
        """The apexes of the zones of the view from outside."""
        return self._external.keys()

    def apexes(self) -> tuple[Name, ...]:
        """The apexes of all zones that exist now: forward, configured, then as needed."""
        return tuple(self._apexes)

    def soa(self, apex: Name) -> RRset:
        """The SOA of a zone (RFC 1035 3.3.13); a reverse zone's names the primary's server."""
        one = self.authority(apex)
        rdata = one.mname + one.rname + _SERIAL.pack(self.serial) + one.timers
        return RRset(apex, _SOA, one.ttl, (rdata,))

    def authority(self, apex: Name) -> Authority:
        """What of a zone's SOA does not change with the serial."""
        known = self._authorities.get(apex)
        if known is None:
            external = self._external.get(apex)
            if external is not None:
                below, ttl, mname = apex, external.ttl, servers_of(external, self.config)[0][0]
            else:
                below = apex if apex in self.config.zones else self.config.zones[0]
                ttl, mname = self.config.ttl, server_name(below)
            timers = _TIMERS.pack(SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, ttl)
            known = Authority(mname, name_of("hostmaster", below=below), timers, ttl)
            self._authorities[apex] = known
        return known

    def rrsets(self) -> Iterator[RRset]:
        """Every RRset served, the SOAs first."""
        for name in self._apexes:
            yield self.soa(name)
        for _, sets in self.served():
            yield from sets

    def names(self) -> Iterator[Name]:
        """Every name that exists, empty non-terminals included. See `served`."""
        return (name for name, _ in self.served())

    def served(self) -> Iterator[tuple[Name, tuple[RRset, ...]]]:
        """Every name that exists and what is `at` it: contributor by contributor, then the rest.

        The zone may change during the walk. Each pair is true at the moment it is yielded, and
        each name that exists during the whole walk with the same records is yielded. So a
        consumer that also applies each Change, in order, ends with the zone as it is.
        """
        nodes, leaves, orphans = self._nodes, self._leaves, self._orphans
        again: dict[Name, None] = {}
        self._walks.append(again)
        try:
            for contributor in list(self._contributions):
                for name in list(self._part(contributor).by_name):
                    sets = self._part(contributor).by_name.get(name)
                    if sets is None:  # the zone changed during the walk
                        continue
                    node = nodes.get(name)
                    if node is None:
                        above = nodes.get(name[1 + name[0] :])
                        implied = above is not None and above.contributor == contributor
                        known = leaves.get(digest(name)) == contributor and name not in orphans
                        if implied or known:
                            yield name, sets
                    elif node.sets is None and node.contributor == contributor:
                        yield name, sets
            for name in list(nodes):
                node = nodes.get(name)
                if node is not None and (node.sets is not None or node.contributor is None):
                    yield name, node.sets or ()
            # A name that passed from several contributors to one may be in neither part.
            while again:
                name, _ = again.popitem()
                found = self.find(name)
                if found is not None:
                    yield name, found
        finally:
            self._walks.remove(again)

    def __len__(self) -> int:
        """How many names exist."""
        return len(self._nodes) + len(self._leaves) + self._implied


def digest(name: Name) -> int:
    """What stands for a leaf: 60 bits of a hash whose key is the process's own.

    All 64 would take an int of 16 octets more.
    """
    return hash(name) & 0xFFF_FFFF_FFFF_FFFF


def newer(serial: int, than: int) -> bool:
    """Whether a serial comes after another, in serial number arithmetic (RFC 1982 3.2)."""
    return 0 < (serial - than) % 2**32 < 2**31


def _above(name: Name) -> Iterator[Name]:
    """The names above a name, nearest first, the root last."""
    while name != ROOT:
        name = parent_of(name)
        yield name


def _by_name(rrsets: Iterable[RRset]) -> dict[Name, tuple[RRset, ...]]:
    """One contributor's records by name, one RRset a type, ascending; markers left out."""
    out: dict[Name, tuple[RRset, ...]] = {}
    for one in rrsets:
        if one.type != MARKER:
            known = out.get(one.name)
            out[one.name] = (one,) if known is None else union((*known, one))
    return out


_NOTHING = _Part(())
_NOBODY: tuple[Key, Collection[Name]] = _SEVERAL, ()
