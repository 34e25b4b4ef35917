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
* Who could get none, address or node port, is in force without it, and reported.
* `ipFamilyPolicy` and `ipFamilies` choose the families as the API server would: SingleStack
  (the default) the first of `ipFamilies`, else of the family of the first network; the
  dual-stack policies both, where RequireDualStack insists. A family that no network is
  configured for is refused when it is insisted on.

An entry that is what most are, the only one of its key, in force and published as it stands,
is all that is kept of that key. Of any other key there is a `_Case`, and so there is of every
key that changes touch, while they are taken in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from ipaddress import ip_network
from operator import attrgetter
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from dnsd.cluster.objects import Key, Object, Service
from dnsd.cluster.store import KeyTable, Packed, pack, unpack
from dnsd.dns.addresses import address_text
from dnsd.sources.manifests.allocate import Asker, Network, address_allocator
from dnsd.sources.manifests.file import Entry, Problem
from dnsd.sources.manifests.nodeports import NONE_LEFT, NodePorts
from dnsd.sources.manifests.problems import Changes, note
from dnsd.sources.source import SourceError

_WIDTHS = {"IPv4": 4, "IPv6": 16}
_place = attrgetter("place")
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


class _Case(Struct, gc=False):
    """A key about which there is more to know, or to decide, than one entry says.

    `stated`: the first entry by place. `force`: the one in force. `last`: what was published.
    """

    key: Key
    stated: Entry | None
    force: Entry | None
    last: Packed | None


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
        self._plain: KeyTable[Entry] = KeyTable()  # keys that are no case
        self._cases: dict[Key, _Case] = {}
        self._contested: dict[Key, list[Entry]] = {}  # stated more than once; all, by place
        self._count = 0  # of the published
        self._taken: dict[bytes, Entry] = {}  # addresses stated by the Services in force
        self._refused: dict[Key, Problem] = {}
        self._waiting: dict[bytes, set[Key]] = {}  # address -> the refused who wait for it
        self._waits: dict[Key, Sequence[bytes]] = {}  # and the other way round
        self._ports = NodePorts()
        self._dry: dict[Key, list[Problem]] = {}  # what they wanted, and none was left
        self._wrong: dict[Key, tuple[Problem, ...]] = {}  # all of these, as last reported
        self._changes: Changes = {}

    def update(self, files: Mapping[str, Sequence[Entry]]) -> list[Packed | Key]:
        """Take in what these files say now (nothing: the file is gone); what changes by it."""
        dirty: dict[Key, _Case] = {}
        for path, entries in files.items():
            self._restate(path, tuple(entries), dirty)
        touched: dict[Key, _Case] = {}
        while dirty:
            touched |= dirty
            dirty = self._settle(dirty)
        for case in touched.values():
            if case.key.kind == "Service":
                self._ask(case)
        moved = {Key("Service", *one) for each in self._allocators.values() for one in each.moved()}
        moved |= self._ports.moved()
        for key in moved - touched.keys():
            touched[key] = self._case(key)
        events = [event for key in sorted(touched) for event in self._publish(touched[key])]
        self._check(touched.keys())
        if len(touched) > len(self._cases):
            # A dictionary does not shrink by itself, and this one held all that were touched.
            self._cases = dict(self._cases)
        return events

    def problems(self) -> list[Problem]:
        """The contradictions there are now, and who could get no address or node port."""
        return sorted(problem for found in self._wrong.values() for problem in found)

    def changes(self) -> Changes:
        """Which of them came and which went since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def _check(self, touched: Collection[Key]) -> None:
        """Find out what is wrong with these keys now; nothing else can have changed."""
        parts: list[dict[Key, Any]] = [self._wrong, self._refused, self._contested, self._dry]
        keys: Collection[Key] = touched
        if sum(map(len, parts)) < len(touched):  # as at the start, of 60,000 objects
            keys = {key for part in parts for key in part if key in touched}
        for key in keys:
            note(self._changes, self._wrong.pop(key, ()), -1)
            found = [*self._disputes(key), *self._dry.get(key, ())]
            if key in self._refused:
                found.append(self._refused[key])
            if found:
                self._wrong[key] = tuple(found)
                note(self._changes, found, 1)

    def _disputes(self, key: Key) -> list[Problem]:
        """Where a key is stated although another entry holds it."""
        stated = self._contested.get(key)
        if stated is None:
            return []
        case = self._cases[key]
        holder, candidate = case.force or stated[0], self._candidate(case)
        return [
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
            if entry is not candidate
        ]

    def objects(self) -> Iterator[Object]:
        """All objects in force, by kind, namespace and name."""
        plain = ((key, entry.packed) for key, entry in self._plain.items())
        others = ((key, self._cases[key].last) for key in sorted(self._cases))
        for _, packed in merge(plain, others):
            if packed is not None:
                yield unpack(packed)

    def __len__(self) -> int:
        return self._count

    # -- cases -----------------------------------------------------------------------------

    def _case(self, key: Key) -> _Case:
        """What is known of a key, to be changed; `_close` is called for it in the end."""
        case = self._cases.get(key)
        if case is None:
            entry = self._plain.get(key)
            case = _Case(key, entry, entry, entry.packed if entry else None)
            self._cases[key] = case
        return case

    def _close(self, case: _Case) -> None:
        """Keep no case of a key of which there is only an entry to know, or nothing."""
        key, entry = case.key, case.stated
        plain = entry is case.force and case.last == (entry.packed if entry else None)
        if plain and key not in self._contested:
            del self._cases[key]
        else:
            entry = None
        if entry is None:
            self._plain.pop(key)
        else:
            self._plain.set(key, entry)

    # -- names ---------------------------------------------------------------------------

    def _restate(self, path: str, entries: tuple[Entry, ...], dirty: dict[Key, _Case]) -> None:
        """Replace what one file states; the keys this concerns go into `dirty`."""
        old = dict.fromkeys(self._files.pop(path, ()))
        new = dict.fromkeys(entries)
        if new:
            self._files[path] = entries
        for entry in old:
            if entry not in new:
                case = self._case(entry.key)
                self._unstate(case, entry)
                dirty[case.key] = case
        for entry in new:
            if entry not in old:
                case = self._case(entry.key)
                self._state(case, entry)
                dirty[case.key] = case

    def _state(self, case: _Case, entry: Entry) -> None:
        if case.stated is not None:
            stated = self._contested.setdefault(case.key, [case.stated])
            stated.append(entry)
            stated.sort(key=_place)
            entry = stated[0]
        case.stated = entry

    def _unstate(self, case: _Case, entry: Entry) -> None:
        stated = self._contested.get(case.key)
        if stated is None:
            case.stated = None
            return
        stated.remove(entry)
        case.stated = stated[0]
        if len(stated) == 1:
            del self._contested[case.key]

    def _candidate(self, case: _Case) -> Entry | None:
        """The entry that holds this name: of the file that has it, else the first by path."""
        stated, current = self._contested.get(case.key), case.force
        if stated and current:
            return next((one for one in stated if one.file == current.file), case.stated)
        return case.stated

    # -- addresses that are stated ---------------------------------------------------------

    def _settle(self, dirty: dict[Key, _Case]) -> dict[Key, _Case]:
        """Decide anew about these keys; the keys that waited for an address this set free."""
        candidates = [(case, self._candidate(case)) for case in dirty.values()]
        freed: set[bytes] = set()
        # All let go before anyone takes, so that two Services can exchange addresses; what a
        # Service goes on stating it keeps, so that no newcomer can slip in between.
        for case, entry in candidates:
            if case.force is not None:
                wanted = _addresses(entry)
                given_up = [ip for ip in _addresses(case.force) if ip not in wanted]
                self._let_go(case.key, given_up)
                freed.update(given_up)
            self._unwait(case.key)
        losers = []
        ordered = [(case, entry) for case, entry in candidates if entry]
        ordered.sort(key=lambda one: one[1].place)
        for case, entry in ordered:
            try:
                self._admit(case, entry)
            except _Refused as refused:
                losers.append((case, entry, refused))
        for case, entry, why in losers:
            freed |= self._turn_away(case, entry, why)
        for case, candidate in candidates:
            if candidate is None:
                case.force = None
        free = [ip for ip in freed if ip not in self._taken]
        return {key: self._case(key) for ip in free for key in self._waiting.get(ip, ())}

    def _admit(self, case: _Case, entry: Entry) -> None:
        """Put an entry in force, with the addresses it states. Raises _Refused."""
        if entry.claims is None:
            self._families(_service(entry))  # refuses what cannot be had
        ips = _addresses(entry)
        self._check_free(case.key, ips)
        self._take(entry, ips)
        case.force = entry

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

    def _turn_away(self, case: _Case, entry: Entry, refused: _Refused) -> set[bytes]:
        """An entry that cannot be in force: its last good version stays, if that still can.

        Returns the addresses this sets free.
        """
        key, current = case.key, case.force
        self._refused[key] = Problem(
            entry.file, entry.line, 0, entry.document, str(key), refused.field, refused.text
        )
        self._waits[key] = refused.waits
        for ip in refused.waits:
            self._waiting.setdefault(ip, set()).add(key)
        if current is None:
            return set()
        held = _addresses(current)
        if current.file == entry.file and all(self._free(ip, key) for ip in held):
            self._take(current, held)
            return set()
        case.force = None
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

    def _ask(self, case: _Case) -> None:
        """Ask for the addresses and ports this Service needs given, and for no others."""
        key, entry = case.key, case.force
        service = _service(entry) if entry and entry.claims is None else None
        self._ports.restate(key, service)
        needed = self._families(service) if service else ()
        asker: Asker = key.namespace, key.name
        for width, allocator in self._allocators.items():
            if width in needed:
                allocator.ask(asker)
            else:
                allocator.leave(asker)

    def _publish(self, case: _Case) -> list[Packed | Key]:
        """The event that this key's object in force causes, if it differs from the last one."""
        entry, last = case.force, case.last
        self._dry.pop(case.key, None)
        if entry is not None and entry.claims is None:
            now: Packed | None = self._allocated(case.key, entry)
        else:
            now = entry.packed if entry else None
        case.last = now
        self._count += (now is not None) - (last is not None)
        self._close(case)
        if now == last:
            return []
        return [case.key if now is None else now]

    def _allocated(self, key: Key, entry: Entry) -> Packed:
        """The Service with the addresses and node ports given to it."""
        thing = self._ports.given(_service(entry))
        asker: Asker = key.namespace, key.name
        given = [self._allocators[width].given(asker) for width in self._families(thing)]
        if None in given:
            text = f"no address is left in {self._networks}; configure a larger network"
            self._lacks(entry, "spec.clusterIP", text)
        if (port := self._ports.lacking(thing)) is not None:
            self._lacks(entry, f"spec.ports[{port}].nodePort", NONE_LEFT)
        ips = [ip for ip in given if ip]
        if ips:
            thing = replace(thing, cluster_ips=(*thing.cluster_ips, *ips), allocated=True)
        return pack(thing)

    def _lacks(self, entry: Entry, field: str, text: str) -> None:
        place = entry.file, entry.line, 0, entry.document
        self._dry.setdefault(entry.key, []).append(Problem(*place, str(entry.key), field, text))


def _service(entry: Entry) -> Service:
    """The Service of an entry that takes a closer look, see `Entry.claims`."""
    return cast(Service, entry.object)


def _addresses(entry: Entry | None) -> tuple[bytes, ...]:
    """The addresses that an entry states."""
    if entry is None or entry.claims == b"":
        return ()
    if (claims := entry.claims) is None:
        return _service(entry).cluster_ips
    return (claims,) if len(claims) in (4, 16) else (claims[:4], claims[4:])
