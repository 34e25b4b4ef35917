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
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network

from msgspec.structs import replace

from dnsd.cluster.allocate import Asker, Network, address_allocator
from dnsd.cluster.manifestfile import Entry, Problem
from dnsd.cluster.nodeports import NodePorts
from dnsd.cluster.objects import Event, Key, Object, Service, address_text
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
        # A key is one object in all of these: 100,000 of them are memory worth having.
        self._stated: dict[Key, Entry] = {}  # the first by place
        self._contested: dict[Key, list[Entry]] = {}  # stated more than once; all, by place
        self._force: dict[Key, Entry] = {}
        self._taken: dict[bytes, Key] = {}  # addresses stated by the Services in force
        self._refused: dict[Key, Problem] = {}
        self._waiting: dict[bytes, set[Key]] = {}  # address -> the refused who wait for it
        self._waits: dict[Key, Sequence[bytes]] = {}  # and the other way round
        self._ports = NodePorts()
        self._dry: set[Key] = set()  # wanted an address, and none was left
        self._published: dict[Key, Object] = {}

    def update(self, files: Mapping[str, Sequence[Entry]]) -> list[Event]:
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
        return [event for key in sorted(touched) for event in self._publish(key)]

    def problems(self) -> list[Problem]:
        """The contradictions there are now, and who could get no address."""
        found = list(self._refused.values())
        for key, stated in self._contested.items():
            holder = self._force.get(key) or stated[0]
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
            entry = self._force[key]
            text = f"no address is left in {self._networks}; configure a larger network"
            place = entry.file, entry.line, 0, entry.document
            found.append(Problem(*place, str(key), "spec.clusterIP", text))
        return sorted(found)

    def objects(self) -> Iterable[Object]:
        """All objects in force."""
        return self._published.values()

    def __len__(self) -> int:
        return len(self._published)

    # -- names ---------------------------------------------------------------------------

    def _restate(self, path: str, entries: tuple[Entry, ...], dirty: set[Key]) -> None:
        """Replace what one file states; the keys this concerns go into `dirty`."""
        old = {(entry.place, entry.object.key): entry for entry in self._files.pop(path, ())}
        new = {(entry.place, entry.object.key): entry for entry in entries}
        if new:
            self._files[path] = entries
        for place, entry in old.items():
            if not _same(entry, new.get(place)):
                self._unstate(place[1], entry)
                dirty.add(place[1])
        for place, entry in new.items():
            if not _same(entry, old.get(place)):
                self._state(place[1], entry)
                dirty.add(place[1])

    def _state(self, key: Key, entry: Entry) -> None:
        first = self._stated.setdefault(key, entry)
        if first is not entry:
            stated = self._contested.setdefault(key, [first])
            stated.append(entry)
            stated.sort(key=lambda one: one.place)
            self._stated[key] = stated[0]

    def _unstate(self, key: Key, entry: Entry) -> None:
        stated = self._contested.get(key)
        if stated is None:
            del self._stated[key]
            return
        stated.remove(entry)
        self._stated[key] = stated[0]
        if len(stated) == 1:
            del self._contested[key]

    def _candidate(self, key: Key) -> Entry | None:
        """The entry that holds this name: of the file that has it, else the first by path."""
        first = self._stated.get(key)
        stated, current = self._contested.get(key), self._force.get(key)
        if stated and current:
            return next((one for one in stated if one.file == current.file), first)
        return first

    # -- addresses that are stated ---------------------------------------------------------

    def _settle(self, dirty: set[Key]) -> set[Key]:
        """Decide anew about these keys; the keys that waited for an address this set free."""
        candidates = {key: self._candidate(key) for key in dirty}
        freed: set[bytes] = set()
        # All let go before anyone takes, so that two Services can exchange addresses; what a
        # Service goes on stating it keeps, so that no newcomer can slip in between.
        for key, entry in candidates.items():
            wanted = _addresses(entry)
            given_up = [ip for ip in _addresses(self._force.get(key)) if ip not in wanted]
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
                self._force.pop(key, None)
        free = [ip for ip in freed if ip not in self._taken]
        return {key for ip in free for key in self._waiting.get(ip, ())}

    def _admit(self, key: Key, entry: Entry) -> None:
        """Put an entry in force, with the addresses it states. Raises _Refused."""
        thing = entry.object
        if isinstance(thing, Service):
            self._families(thing)  # refuses what cannot be had
            self._check_free(key, thing.cluster_ips)
            self._take(key, thing.cluster_ips)
        self._force[key] = entry

    def _check_free(self, key: Key, ips: Sequence[bytes]) -> None:
        held = [ip for ip in ips if self._taken.get(ip, key) != key]
        if held:
            other = self._taken[held[0]]
            raise _Refused(
                "spec.clusterIP",
                f"{address_text(held[0])} is the address of {other}"
                f" ({self._force[other].origin}), which keeps it; change one of them",
                held,
            )

    def _turn_away(self, entry: Entry, refused: _Refused) -> set[bytes]:
        """An entry that cannot be in force: its last good version stays, if that still can.

        Returns the addresses this sets free.
        """
        key = entry.object.key
        self._refused[key] = Problem(
            entry.file, entry.line, 0, entry.document, str(key), refused.field, refused.text
        )
        self._waits[key] = refused.waits
        for ip in refused.waits:
            self._waiting.setdefault(ip, set()).add(key)
        current = self._force.get(key)
        if current is None:
            return set()
        held = _addresses(current)
        if current.file == entry.file and all(self._taken.get(ip, key) == key for ip in held):
            self._take(key, held)
            return set()
        del self._force[key]
        freed = {ip for ip in held if self._taken.get(ip) == key}
        self._let_go(key, freed)
        return freed

    def _take(self, key: Key, ips: Iterable[bytes]) -> None:
        for ip in ips:
            if ip not in self._taken:
                self._taken[ip] = key
                self._allocators[len(ip)].claim(ip)

    def _let_go(self, key: Key, ips: Iterable[bytes]) -> None:
        for ip in ips:
            if self._taken.get(ip) == key:
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
        entry = self._force.get(key)
        thing = entry.object if entry else None
        self._ports.restate(key, thing if isinstance(thing, Service) else None)
        needed = self._families(thing) if isinstance(thing, Service) else []
        asker: Asker = key.namespace, key.name
        for width, allocator in self._allocators.items():
            if width in needed:
                allocator.ask(asker)
            else:
                allocator.leave(asker)

    def _publish(self, key: Key) -> list[Event]:
        """The event that this key's object in force causes, if it differs from the last one."""
        self._dry.discard(key)
        entry = self._force.get(key)
        now = self._allocated(key, entry.object) if entry else None
        if now == self._published.get(key):
            return []
        if now is None:
            del self._published[key]
            return [key]
        self._published[key] = now
        return [now]

    def _allocated(self, key: Key, thing: Object) -> Object:
        """The object with the addresses and node ports given to it."""
        if not isinstance(thing, Service):
            return thing
        thing = self._ports.given(thing)
        asker: Asker = key.namespace, key.name
        given = [self._allocators[width].given(asker) for width in self._families(thing)]
        if None in given:
            self._dry.add(key)
        ips = [ip for ip in given if ip]
        if not ips:
            return thing
        return replace(thing, cluster_ips=(*thing.cluster_ips, *ips), allocated=True)


def _same(one: Entry, other: Entry | None) -> bool:
    """Whether nothing changed; most often an unchanged document's very entry."""
    return one is other or one == other


def _addresses(entry: Entry | None) -> tuple[bytes, ...]:
    thing = entry.object if entry else None
    return thing.cluster_ips if isinstance(thing, Service) else ()
