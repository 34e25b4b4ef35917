"""The zone: which RRsets each contributor has, which names exist, and what an edit changed.

In `zone/` (control plane: the names that exist). Change here: the rules by which names come and go.

The only edit is `Zone.replace(contributor, rrsets, cause)`: from now on this contributor has
exactly these RRsets. It returns the `Change`, or None if nothing that is served changed. The rules:

* **Order does not matter.** What is served is a function of the current contributions, so any
  sequence of edits ends where a build from scratch would.
* **Several contributors at one name** are merged in the zones of the cluster. In external zones
  the oldest of them has the name, and `disputes` holds the others: see `merge.py`.
* **A name exists** if it has records, if a contributor declares it (a *marker*, RRset type 0),
  or if a name below it exists (an empty non-terminal, RFC 8020). Each node counts the markers at
  it and the names right below it, so parents come and go without a search.
* **Reverse zones as needed** (see `reverse.py`) come with the first name below their apex
  and go with the last.
* **A Change costs what it touches**, whatever the size of the zone. Therefore the node of a name
  holds its contributor, and only names with several contributors have a table of contributions.
* All zones have one serial, so secondaries of each zone see every change. It is a 32-bit number
  that wraps (RFC 1982).

A name outside every zone (an orphan) is not served, whatever contributes it. `store.py` holds the
zone in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from struct import Struct as Packing

from dnsd.cluster.objects import Key
from dnsd.dns.names import ROOT, Name, longest_suffix, parent_of
from dnsd.dns.rrset import RRset
from dnsd.dns.types import Type
from dnsd.zone.building import MARKER
from dnsd.zone.change import Cause, Change, Edit
from dnsd.zone.frame import Apex
from dnsd.zone.merge import APEX_KEY, merged, precedence, seniority, won
from dnsd.zone.reverse import reverse_zones
from dnsd.zone.schema import apex, authority_of, reverse_ns
from dnsd.zone.settings import SchemaConfig
from dnsd.zone.store import SEVERAL, Contribution, Node, RRsets, Store, digest

_SOA = int(Type.SOA)
_SERIAL = Packing(">I")


class Zone:
    """All zones that dnsd serves, forward and reverse. Not thread-safe; never raises."""

    def __init__(
        self,
        config: SchemaConfig,
        serial: int,
        *,
        unpacked: bool = False,
        digest: Callable[[Name], int] = digest,
    ) -> None:
        """`unpacked`: many edits follow at once, and `compact_all` is called after them."""
        self.config = config
        self.serial = serial % 2**32
        self._store = Store(unpacked=unpacked, digest=digest)
        self._shared: dict[Name, dict[Key, RRsets]] = {}
        self._authorities: dict[Name, Apex] = {}
        self._ages: dict[Key, str] = {}  # of contributors that have one
        # Name -> the contributor that has it, then those with other records, which are left out.
        self.disputes: dict[Name, tuple[Key, ...]] = {}
        self._external = {zone.name: zone for zone in config.external.zones}
        reverse = reverse_zones(config.reverse_zones)
        fixed = [*config.zones, *self._external] + (
            [] if reverse.as_needed else list(reverse.apexes)
        )
        self._apexes: dict[Name, None] = dict.fromkeys(fixed)
        self._as_needed = frozenset(reverse.apexes if reverse.as_needed else ()) - set(fixed)
        # Apexes below no other apex: the walk from a name to the root ends there.
        every = {*fixed, *self._as_needed}
        self._tops = frozenset(
            name for name in every if name == ROOT or longest_suffix(parent_of(name), every) is None
        )
        self.replace(APEX_KEY, apex(config), Cause(APEX_KEY))
        self.serial = serial % 2**32

    # -- the edit

    def replace(
        self, contributor: Key, rrsets: Sequence[RRset], cause: Cause, age: str = ""
    ) -> Change | None:
        """From now on `contributor` has exactly `rrsets` (empty: it is gone).

        `age`: its creationTimestamp (RFC 3339 in UTC), "" if unknown.

        Returns the Change. Returns None, and keeps the serial, if what is served is the same.
        Several RRsets of one name and type are joined. The caller ensures that a CNAME is alone
        at its name within the contribution.
        """
        store = self._store
        old = store.contribution(contributor)
        before = old.rrsets
        given = dict.fromkeys(rrsets)
        after = fresh = tuple(given)
        gone: RRsets = ()
        if before:
            known = set(before)
            fresh = tuple([rrset for rrset in after if rrset not in known])
            gone = tuple([rrset for rrset in before if rrset not in given])
        age = age if after else ""
        aged = age != self._ages.get(contributor, "")
        if not fresh and not gone and not aged:
            return None
        if age:
            self._ages[contributor] = age
        else:
            self._ages.pop(contributor, None)
        edit = Edit()
        new = Contribution(after)
        contributor = store.put(contributor, new)
        was, now = old.by_name, new.by_name
        placed = set(was)  # the names that are in place, on the way from `was` to `now`
        store.begin_edit(contributor, placed)
        # Everything is added before anything is removed: a name needed by both never dies.
        self._add_markers(fresh, edit)
        if aged or not before:
            touched: Iterable[Name] = now
        else:
            touched = dict.fromkeys([rrset.name for rrset in (*fresh, *gone) if rrset.name in now])
        for name in touched:
            self._put(contributor, name, was.get(name, ()), now[name], edit)
            placed.add(name)
        for name in was:
            if name not in now:
                self._remove(contributor, name, was[name], edit)
                placed.discard(name)
        self._remove_markers(gone, edit)
        store.end_edit()
        serial = (self.serial + 1) % 2**32
        change = edit.change(serial, contributor, cause)
        if change is not None:
            self.serial = serial
        return change

    def compact(self) -> None:
        """Packs what the last edits left unpacked; to be called after a Change was passed on."""
        self._store.compact()

    def compact_all(self) -> Iterator[None]:
        """Takes less memory from now on; yields about every millisecond, for other work."""
        return self._store.compact_all()

    def _add_markers(self, fresh: Iterable[RRset], edit: Edit) -> None:
        for rrset in fresh:
            if rrset.type == MARKER:
                node = self._store.promote(rrset.name) or self._insert_ancestors(rrset.name, edit)
                if node is not None:
                    node.children += 1

    def _remove_markers(self, gone: Iterable[RRset], edit: Edit) -> None:
        for rrset in gone:
            if rrset.type == MARKER and (node := self._store.promote(rrset.name)) is not None:
                node.children -= 1
                self._prune(rrset.name, edit)

    def _put(
        self, contributor: Key, name: Name, before: RRsets, rrsets: RRsets, edit: Edit
    ) -> None:
        """`contributor` now has `rrsets` at `name` instead of `before`."""
        store = self._store
        node = store.nodes.get(name)
        if node is None:
            if not before and name not in self._as_needed and store.add_leaf(name, contributor):
                edit.born.append(name)
                edit.added += rrsets
                return
            if before and store.leaf(name) == contributor:
                edit.served(before, rrsets)
                return
            node = store.promote(name) or self._insert_ancestors(name, edit)
            if node is None:
                if not before:
                    store.add_orphan(name)
                return
        if node.contributor is None:
            edit.added += rrsets
            store.assign(name, node, contributor)
            store.demote(name, node)
            return
        if node.contributor == contributor:
            edit.served(before, rrsets)
            return
        served = store.served_at(name, node)
        shared = self._shared.setdefault(name, {})
        if node.contributor is not SEVERAL:
            shared[node.contributor] = served
        shared[contributor] = rrsets
        self._merge(name, node, shared, served, edit)

    def _remove(self, contributor: Key, name: Name, before: RRsets, edit: Edit) -> None:
        """`contributor` has no records at `name` any more."""
        store = self._store
        node = store.promote(name)
        if node is None:
            store.remove_orphan(name)
            return
        if node.contributor is not SEVERAL:
            edit.served(before, ())
            store.assign(name, node, None)
            self._prune(name, edit)
            return
        store.note_unshared(name)
        shared = self._shared[name]
        del shared[contributor]
        self._merge(name, node, shared, node.rrsets or (), edit)
        if len(shared) == 1:
            (alone,) = shared
            store.assign(name, node, alone)
            if not (node.contributor == APEX_KEY and name in self._as_needed):
                node.rrsets = None
            del self._shared[name]
            self.disputes.pop(name, None)
            store.demote(name, node)

    def _merge(
        self, name: Name, node: Node, shared: dict[Key, RRsets], before: RRsets, edit: Edit
    ) -> None:
        """Serves at `name` what its contributors have together."""
        dispute: tuple[Key, ...] = ()
        if self._is_external(name):
            after, dispute = won(shared, self._ages)
        else:
            after = merged(shared)
        if dispute:
            self.disputes[name] = dispute
        else:
            self.disputes.pop(name, None)
        edit.served(before, after)
        self._store.assign(name, node, SEVERAL)
        node.rrsets = after

    def _insert_ancestors(self, name: Name, edit: Edit) -> Node | None:
        """The new node of a name, and new nodes for the missing names up to its apex.

        None if the name is outside every zone.
        """
        missing = [name]
        while (step := missing[-1]) not in self._tops:
            if step == ROOT:
                return None
            step = parent_of(step)
            above = self._store.promote(step)
            if above is not None:
                above.children += 1
                break
            missing.append(step)
        for step in reversed(missing):
            node = self._store.nodes[step] = Node(step is not name, None)
            if step in self._as_needed:
                self._open_zone(step, node, edit)
        edit.born += missing
        return node

    def _prune(self, name: Name, edit: Edit) -> None:
        """Removes the name if nothing needs it, then the ancestors that only it needed."""
        nodes = self._store.nodes
        while (node := nodes.get(name)) is not None:
            as_needed = name in self._as_needed
            unused = node.contributor is None or (as_needed and node.contributor == APEX_KEY)
            if node.children or not unused:
                self._store.demote(name, node)
                return
            del nodes[name]
            edit.died.append(name)
            if as_needed:
                del self._apexes[name]
                edit.removed += node.rrsets or ()
                edit.zones_died.append(name)
            if name in self._tops:
                return
            name = parent_of(name)
            nodes[name].children -= 1

    def _open_zone(self, name: Name, node: Node, edit: Edit) -> None:
        """Makes this new node the apex of a reverse zone."""
        node.contributor, node.rrsets = APEX_KEY, (reverse_ns(name, self.config),)
        self._apexes[name] = None
        edit.added += node.rrsets
        edit.zones_born.append(name)

    # -- what is served

    def rrset(self, name: Name, type_: int) -> RRset | None:
        """What is served for a name and type, or None. An apex has its SOA."""
        if type_ == _SOA and name in self._apexes:
            return self.soa(name)
        return next((rrset for rrset in self.at(name) if rrset.type == type_), None)

    def at(self, name: Name) -> RRsets:
        """All RRsets served at a name, except the SOA of an apex, which holds the serial."""
        return self.find(name) or ()

    def find(self, name: Name) -> RRsets | None:
        """What is `at` a name; None if the name does not exist."""
        return self._store.find(name)

    def exists(self, name: Name) -> bool:
        """Whether the name exists, with records or as an empty non-terminal."""
        return self.find(name) is not None

    def types(self, name: Name) -> tuple[int, ...]:
        """The types served at a name, ascending; empty if it has none or does not exist."""
        found = {rrset.type for rrset in self.at(name)}
        if name in self._apexes:
            found.add(_SOA)
        return tuple(sorted(found))

    def contributors(self, name: Name) -> tuple[Key, ...]:
        """The contributors of records at a name, in order of precedence. Markers do not count."""
        node = self._store.nodes.get(name)
        contributor = self._store.leaf(name) if node is None else node.contributor
        if contributor is None:
            return ()
        if contributor is not SEVERAL:
            return (contributor,)
        if self._is_external(name):
            return tuple(sorted(self._shared[name], key=lambda key: seniority(key, self._ages)))
        return tuple(sorted(self._shared[name], key=precedence))

    def contribution(self, contributor: Key) -> Sequence[RRset]:
        """The RRsets of a contributor, markers included, before they are merged with others."""
        return self._store.contribution(contributor).rrsets

    def age(self, contributor: Key) -> str:
        """The age that a contributor was last given, "" for none."""
        return self._ages.get(contributor, "")

    def contributions(
        self, wanted: Callable[[Key], bool] = lambda _: True
    ) -> Iterator[tuple[Key, RRsets, str]]:
        """Every contributor that is `wanted`, except the apex, with its RRsets and its age."""
        for contributor, rrsets in self._store.contributions(wanted):
            if contributor != APEX_KEY:
                yield contributor, rrsets, self._ages.get(contributor, "")

    def zone_of(self, name: Name) -> Name | None:
        """The apex of the zone that holds a name: the longest one; None outside all of them."""
        return longest_suffix(name, self._apexes)

    def _is_external(self, name: Name) -> bool:
        return bool(self._external) and self.zone_of(name) in self._external

    @property
    def external(self) -> Collection[Name]:
        """The apexes of the external zones."""
        return self._external.keys()

    def apexes(self) -> tuple[Name, ...]:
        """The apexes of all zones that exist now: forward, configured, then as needed."""
        return tuple(self._apexes)

    def soa(self, apex: Name) -> RRset:
        """The SOA of a zone (RFC 1035 3.3.13)."""
        authority = self.authority(apex)
        rdata = authority.mname + authority.rname + _SERIAL.pack(self.serial) + authority.timers
        return RRset(apex, _SOA, authority.ttl, (rdata,))

    def authority(self, apex: Name) -> Apex:
        """The part of a zone's SOA that does not change with the serial."""
        known = self._authorities.get(apex)
        if known is None:
            known = self._authorities[apex] = authority_of(apex, self.config)
        return known

    def rrsets(self) -> Iterator[RRset]:
        """Every RRset served, the SOAs first."""
        for name in self._apexes:
            yield self.soa(name)
        for _, rrsets in self.served():
            yield from rrsets

    def names(self) -> Iterator[Name]:
        """Every name that exists, empty non-terminals included. See `served`."""
        return (name for name, _ in self.served())

    def served(self) -> Iterator[tuple[Name, RRsets]]:
        """Every name that exists with its RRsets; the zone may change meanwhile.

        Each pair is true at the moment it is yielded, and each name that exists during the whole
        walk with the same records is yielded. So a consumer that also applies each Change, in
        order, ends with the zone as it is.
        """
        return self._store.served()

    def __len__(self) -> int:
        """The number of names that exist."""
        return len(self._store)
