"""What all manifest files say together: who holds a name, who holds an address.

Files are read one by one and may contradict each other. The catalogue takes in what changed
in some of them and returns the events that lead from what was in force to what is now. There
are no files here, and no time.

Rules
* Of several entries with one key, the one of the file that has it already keeps it; where
  nobody has it, the first by path does. The others are reported and come in when it goes.
* A cluster IP that two Services state belongs to the one that has it already, else to the
  first by path. The other Service is refused as a whole (what it had in force stays, if its
  own addresses are still free), reported, and comes in when the conflict goes.
* A Service that needs a cluster IP and states none gets one: see cluster/allocate.py. An
  address that is stated always beats one that was given.
* So do node ports, from the range of an API server: see cluster/nodeports.py.
* `ipFamilyPolicy` and `ipFamilies` choose the families as the API server would: SingleStack
  (the default) the first of `ipFamilies`, else of the family of the first network; the
  dual-stack policies both, where RequireDualStack insists. A family that no network is
  configured for is refused when it is insisted on.

What most entries are, the first by place, in force and published as they stand, is kept once;
what is otherwise about a key is kept beside it (`_force`, `_published`). While changes are
taken in, that is every key they touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network

from msgspec.structs import replace

from dnsd.cluster.allocate import Asker, Network, address_allocator
from dnsd.cluster.keytable import KeyTable
from dnsd.cluster.manifestfile import Entry, Problem
from dnsd.cluster.nodeports import NodePorts
from dnsd.cluster.objects import Key, Object, Service, address_text
from dnsd.cluster.packing import Packed, pack, unpack
from dnsd.cluster.source import SourceError

_WIDTHS = {"IPv4": 4, "IPv6": 16}
_FAMILIES = {width: family for family, width in _WIDTHS.items()}


def networks_of(cidrs: Iterable[str]) -> list[Network]:
    """The networks cluster IPs are given from. Raises SourceError for text that is none."""
    networks = []
    for cidr in cidrs:
        try:
            networks.append(ip_network(cidr))
        except ValueError as error:
            raise SourceError(
                f"service_cidrs: {error}; write a network like 10.96.0.0/12"
            ) from error
    return networks


class _Refused(Exception):
    """A Service that cannot be in force: the field, why, and the addresses it waits for."""

    def __init__(self, field: str, text: str, waits: Sequence[bytes] = ()) -> None:
        self.field, self.text, self.waits = field, text, waits
        super().__init__(text)


class Catalogue:
    """The entries of all files, which of them are in force, and the addresses they hold."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._allocators = {
            width: address_allocator(n for n in networks if n.version == version)
            for width, version in ((4, 4), (16, 6))
        }
        self._widths = tuple(dict.fromkeys(4 if n.version == 4 else 16 for n in networks))
        self._networks = ", ".join(str(network) for network in networks)
        self._files: dict[str, tuple[Entry, ...]] = {}
        self._stated: KeyTable[Entry] = KeyTable()  # the first by place
        self._contested: dict[Key, list[Entry]] = {}  # stated more than once; all, by place
        # What is in force (None: nothing), where that is not what is stated.
        self._force: dict[Key, Entry | None] = {}
        # What was published last (None: nothing), where that is not what is in force.
        self._published: dict[Key, Packed | None] = {}
        self._count = 0  # of the published
        self._taken: dict[bytes, Entry] = {}  # addresses stated by the Services in force
        self._refused: dict[Key, Problem] = {}
        self._waiting: dict[bytes, set[Key]] = {}  # address -> the refused who wait for it
        self._waits: dict[Key, Sequence[bytes]] = {}  # and the other way round
        self._ports = NodePorts()
        self._dry: set[Key] = set()  # wanted an address, and none was left

    def update(self, files: Mapping[str, Sequence[Entry]]) -> list[Packed | Key]:
        """Take in what these files say now (nothing: the file is gone); what changes by it."""
        dirty: set[Key] = set()
        for path, entries in files.items():
            self._restate(path, tuple(entries), dirty)
        touched: set[Key] = set()
        while dirty:
            touched |= dirty
            dirty = self._settle(dirty)
        for key in touched:
            if key.kind == "Service":
                self._ask(key)
        for allocator in self._allocators.values():
            touched.update(Key("Service", *asker) for asker in allocator.moved())
        touched |= self._ports.moved()
        events = [event for key in sorted(touched) for event in self._publish(key)]
        if len(touched) > len(self._force) + len(self._published):
            # Dictionaries do not shrink by themselves, and these held every key once.
            self._force, self._published = dict(self._force), dict(self._published)
        return events

    def problems(self) -> list[Problem]:
        """The contradictions there are now, and who could get no address."""
        found = list(self._refused.values())
        for key, stated in self._contested.items():
            holder = self._in_force(key) or stated[0]
            found += [
                Problem(
                    entry.file,
                    entry.line,
                    0,
                    entry.document,
                    str(key),
                    "metadata.name",
                    f"is in {holder.origin} already, which keeps it; rename or remove one",
                )
                for entry in stated
                if entry is not self._candidate(key)
            ]
        for key in self._dry:
            entry = self._in_force(key)
            if entry is None:
                continue
            text = f"no address is left in {self._networks}; configure a larger network"
            place = entry.file, entry.line, 0, entry.document
            found.append(Problem(*place, str(key), "spec.clusterIP", text))
        return sorted(found)

    def objects(self) -> Iterator[Object]:
        """All objects in force, by kind, namespace and name."""
        for key in self._stated:
            published = self._last(key)
            if published is not None:
                yield unpack(published)

    def __len__(self) -> int:
        return self._count

    # -- what is kept once -----------------------------------------------------------------

    def _in_force(self, key: Key) -> Entry | None:
        return self._force[key] if key in self._force else self._stated.get(key)

    def _last(self, key: Key) -> Packed | None:
        """What was published last about this key."""
        if key in self._published:
            return self._published[key]
        entry = self._in_force(key)
        return entry.packed if entry else None

    def _part(self, key: Key) -> None:
        """Before what is stated or in force changes: keep beside it what there was."""
        if key not in self._published:
            self._published[key] = self._last(key)
        if key not in self._force:
            self._force[key] = self._stated.get(key)

    def _join(self, key: Key) -> None:
        """Keep only what differs."""
        if key in self._force and self._force[key] is self._stated.get(key):
            del self._force[key]
        entry, last = self._in_force(key), self._published.pop(key, None)
        if last != (entry.packed if entry else None):
            self._published[key] = last

    # -- names ---------------------------------------------------------------------------

    def _restate(self, path: str, entries: tuple[Entry, ...], dirty: set[Key]) -> None:
        """Replace what one file states; the keys this concerns go into `dirty`."""
        old = dict.fromkeys(self._files.pop(path, ()))
        new = dict.fromkeys(entries)
        if new:
            self._files[path] = entries
        for entry in old:
            if entry not in new:
                key = entry.key
                self._part(key)
                self._unstate(key, entry)
                dirty.add(key)
        for entry in new:
            if entry not in old:
                key = entry.key
                self._part(key)
                self._state(key, entry)
                dirty.add(key)

    def _state(self, key: Key, entry: Entry) -> None:
        first = self._stated.get(key)
        if first is not None:
            stated = self._contested.setdefault(key, [first])
            stated.append(entry)
            stated.sort(key=lambda one: one.place)
            entry = stated[0]
        self._stated.put(key, entry)

    def _unstate(self, key: Key, entry: Entry) -> None:
        stated = self._contested.get(key)
        if stated is None:
            self._stated.drop(key)
            return
        stated.remove(entry)
        self._stated.put(key, stated[0])
        if len(stated) == 1:
            del self._contested[key]

    def _candidate(self, key: Key) -> Entry | None:
        """The entry that holds this name: of the file that has it, else the first by path."""
        first = self._stated.get(key)
        stated, current = self._contested.get(key), self._in_force(key)
        if stated and current:
            return next((one for one in stated if one.file == current.file), first)
        return first

    # -- addresses that are stated ---------------------------------------------------------

    def _settle(self, dirty: set[Key]) -> set[Key]:
        """Decide anew about these keys; the keys that waited for an address this set free."""
        for key in dirty:
            self._part(key)
        candidates = {key: self._candidate(key) for key in dirty}
        freed: set[bytes] = set()
        # All let go before anyone takes, so that two Services can exchange addresses; what a
        # Service goes on stating it keeps, so that no newcomer can slip in between.
        for key, entry in candidates.items():
            wanted = _addresses(entry)
            given_up = [ip for ip in _addresses(self._in_force(key)) if ip not in wanted]
            self._let_go(key, given_up)
            freed.update(given_up)
            self._unwait(key)
        losers = []
        ordered = [(key, entry) for key, entry in candidates.items() if entry]
        ordered.sort(key=lambda one: one[1].place)
        for key, entry in ordered:
            try:
                self._admit(key, entry)
            except _Refused as refused:
                losers.append((entry, refused))
        for entry, why in losers:
            freed |= self._turn_away(entry, why)
        for key, candidate in candidates.items():
            if candidate is None:
                self._force[key] = None
        free = [ip for ip in freed if ip not in self._taken]
        return {key for ip in free for key in self._waiting.get(ip, ())}

    def _admit(self, key: Key, entry: Entry) -> None:
        """Put an entry in force, with the addresses it states. Raises _Refused."""
        service = _needing(entry)
        if service:
            self._families(service)  # refuses what cannot be had
        ips = _addresses(entry)
        self._check_free(key, ips)
        self._take(entry, ips)
        self._force[key] = entry

    def _check_free(self, key: Key, ips: Sequence[bytes]) -> None:
        held = [ip for ip in ips if not self._free(ip, key)]
        if held:
            other = self._taken[held[0]]
            raise _Refused(
                "spec.clusterIP",
                f"{address_text(held[0])} is the address of {other.key}"
                f" ({other.origin}), which keeps it; change one of them",
                held,
            )

    def _free(self, ip: bytes, key: Key) -> bool:
        """Whether nobody but this Service has an address."""
        holder = self._taken.get(ip)
        return holder is None or holder.key == key

    def _turn_away(self, entry: Entry, refused: _Refused) -> set[bytes]:
        """An entry that cannot be in force: its last good version stays, if that still can.

        Returns the addresses this sets free.
        """
        key = entry.key
        self._refused[key] = Problem(
            entry.file, entry.line, 0, entry.document, str(key), refused.field, refused.text
        )
        self._waits[key] = refused.waits
        for ip in refused.waits:
            self._waiting.setdefault(ip, set()).add(key)
        current = self._in_force(key)
        if current is None:
            return set()
        held = _addresses(current)
        if current.file == entry.file and all(self._free(ip, key) for ip in held):
            self._take(current, held)
            return set()
        self._force[key] = None
        freed = {ip for ip in held if ip in self._taken and self._free(ip, key)}
        self._let_go(key, freed)
        return freed

    def _take(self, entry: Entry, ips: Iterable[bytes]) -> None:
        """Let an entry have addresses that are free, or that its Service has already."""
        for ip in ips:
            if ip not in self._taken:
                self._allocators[len(ip)].claim(ip)
            self._taken[ip] = entry

    def _let_go(self, key: Key, ips: Iterable[bytes]) -> None:
        for ip in ips:
            if ip in self._taken and self._free(ip, key):
                del self._taken[ip]
                self._allocators[len(ip)].release(ip)

    def _unwait(self, key: Key) -> None:
        if self._refused.pop(key, None) is None:
            return
        for ip in self._waits.pop(key, ()):
            self._waiting[ip].discard(key)
            if not self._waiting[ip]:
                del self._waiting[ip]

    # -- addresses that are given ----------------------------------------------------------

    def _families(self, service: Service) -> list[int]:
        """The widths of the addresses this Service needs given. Raises _Refused."""
        if service.headless or service.type == "ExternalName" or not self._widths:
            return []
        for i, family in enumerate(service.ip_families):
            if family not in _WIDTHS:
                raise _Refused(f"spec.ipFamilies[{i}]", f"{family!r} is neither IPv4 nor IPv6")
        have = {len(ip) for ip in service.cluster_ips}
        asked = list(dict.fromkeys(_WIDTHS[family] for family in service.ip_families))
        dual = service.ip_family_policy in ("PreferDualStack", "RequireDualStack")
        if not dual and len(asked) < 2:
            wanted = [] if have else asked or list(self._widths[:1])
        else:
            order = dict.fromkeys((*asked, *self._widths, 4, 16))
            wanted = [width for width in order if width not in have]
            if service.ip_family_policy == "PreferDualStack":
                wanted = [width for width in wanted if width in self._widths]
        for width in wanted:
            if width not in self._widths:
                raise _Refused(
                    "spec.ipFamilyPolicy" if dual else "spec.ipFamilies",
                    f"asks for {_FAMILIES[width]}, and service_cidrs has no such network",
                )
        return wanted

    def _ask(self, key: Key) -> None:
        """Ask for the addresses and ports this Service needs given, and for no others."""
        entry = self._in_force(key)
        service = _needing(entry) if entry else None
        self._ports.restate(key, service)
        needed = self._families(service) if service else []
        asker: Asker = key.namespace, key.name
        for width, allocator in self._allocators.items():
            if width in needed:
                allocator.ask(asker)
            else:
                allocator.leave(asker)

    def _publish(self, key: Key) -> list[Packed | Key]:
        """The event that this key's object in force causes, if it differs from the last one."""
        self._dry.discard(key)
        self._part(key)
        entry, last = self._in_force(key), self._published[key]
        now = self._allocated(key, entry) if entry else None
        self._published[key] = now
        self._count += (now is not None) - (last is not None)
        self._join(key)
        if now == last:
            return []
        return [key if now is None else now]

    def _allocated(self, key: Key, entry: Entry) -> Packed:
        """The object with the addresses and node ports given to it."""
        service = _needing(entry)
        if service is None:
            return entry.packed
        thing = self._ports.given(service)
        asker: Asker = key.namespace, key.name
        given = [self._allocators[width].given(asker) for width in self._families(thing)]
        if None in given:
            self._dry.add(key)
        ips = [ip for ip in given if ip]
        if ips:
            thing = replace(thing, cluster_ips=(*thing.cluster_ips, *ips), allocated=True)
        return pack(thing)


def _needing(entry: Entry) -> Service | None:
    """The Service of an entry that takes a closer look, see `Entry.claims`."""
    thing = entry.object if entry.claims is None else None
    return thing if isinstance(thing, Service) else None


def _addresses(entry: Entry | None) -> tuple[bytes, ...]:
    """The addresses that an entry states."""
    if entry is None:
        return ()
    if entry.claims is not None:
        return entry.claims
    service = _needing(entry)
    return service.cluster_ips if service else ()
