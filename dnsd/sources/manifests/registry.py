"""Combines the manifests of all files: which one of a name is in use, and which addresses it has.

In `sources/manifests/` (control plane: objects from files). Change here: conflicts between files.

Files are read one by one and may contradict each other. The registry takes in what changed in some
of them, and returns the events that lead to the objects in use now. It does not use the file system
or a clock.

Rules
* Of several manifests with one key, the one in the file whose manifest is in use stays in use. If
  none is in use, the first by path is used. The others are reported, and can be used when it goes.
* A cluster IP that two Services state belongs to the Service that has it, else to the first by
  path. The other Service is refused as a whole and reported (its last version stays in use if its
  addresses are free), and can be used when the conflict ends.
* A Service that needs a cluster IP and states none is allocated one (`allocate.py`). An address
  that a manifest states takes precedence over an allocated one. The same is true of node ports
  (`nodeports.py`).
* If no address or node port is left, the Service is used without it and reported.
* `ipFamilyPolicy` and `ipFamilies` choose the families as the API server does: SingleStack (the
  default) the first of `ipFamilies`, else the family of the first network; the dual-stack policies
  both. A family that RequireDualStack or `ipFamilies` requires and that has no network is refused.

Most keys are declared once, used, and published as declared. Only `_active` has an entry for them.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network
from operator import attrgetter
from typing import cast

from msgspec.structs import replace

from dnsd.cluster.objects import Key, Object, Service
from dnsd.cluster.store import KeyTable, Packed, pack, unpack
from dnsd.dns.addresses import address_text
from dnsd.sources.manifests.allocate import address_allocator
from dnsd.sources.manifests.manifest import Manifest
from dnsd.sources.manifests.nodeports import NONE_LEFT, NodePorts
from dnsd.sources.manifests.problems import Changes, Problem, count

_WIDTHS = {"IPv4": 4, "IPv6": 16}  # octets of an address
_FAMILIES = {width: family for family, width in _WIDTHS.items()}
_place = attrgetter("place")


class _Refused(Exception):
    """A Service that cannot be used: the field, the reason, and the addresses it waits for."""

    def __init__(self, field: str, text: str, waits: Sequence[bytes] = ()) -> None:
        self.field, self.text, self.waits = field, text, waits
        super().__init__(text)


class Registry:
    """The manifests of all files, those in use, and the addresses that they have.

    `cidrs`: the networks from which Services without a cluster IP get one. Raises ValueError for a
    text that is not a network, which the kind of the setting has excluded.
    """

    def __init__(self, cidrs: Iterable[str] = ()) -> None:
        networks = [ip_network(cidr) for cidr in cidrs]
        self._allocators = {
            width: address_allocator(n for n in networks if n.version == version)
            for width, version in ((4, 4), (16, 6))
        }
        self._widths = tuple(dict.fromkeys(4 if n.version == 4 else 16 for n in networks))
        self._networks = ", ".join(str(network) for network in networks)
        self._ports = NodePorts()
        self._files: dict[str, tuple[Manifest, ...]] = {}
        self._active: KeyTable[Manifest] = KeyTable()  # in use
        self._count = 0  # of the active
        self._touched: dict[Key, Manifest | None] = {}  # the active ones that an update may change
        # All manifests of a key by place, if they are not the active one alone.
        self._declared: dict[Key, list[Manifest]] = {}
        self._published: dict[Key, Packed] = {}  # if it is not the active manifest as it stands
        self._holders: dict[bytes, Manifest] = {}  # active Services by the addresses they state
        self._refused: dict[Key, tuple[Problem, Sequence[bytes]]] = {}  # and what they wait for
        self._waiting: dict[bytes, set[Key]] = {}  # refused Services by address
        self._exhausted: dict[Key, list[Problem]] = {}  # nothing was left to allocate
        self._problems: dict[Key, tuple[Problem, ...]] = {}  # all of a key, as last reported
        self._changes: Changes = {}

    def update(self, files: Mapping[str, Sequence[Manifest]]) -> list[Packed | Key]:
        """Replace the manifests of these files (empty: the file is gone). Returns the events."""
        dirty: set[Key] = set()
        for path, manifests in files.items():
            dirty |= self._declare(path, tuple(manifests))
        while dirty:
            dirty = self._settle(dirty)
        for key, active in self._touched.items():
            if key.kind == "Service":
                self._request(key, active)
        for allocator in self._allocators.values():
            for request in allocator.moved():
                self._touch(Key("Service", *request))
        for key in self._ports.moved():
            self._touch(key)
        published = map(self._publish, sorted(self._touched))
        events = [event for event in published if event is not None]
        self._collect_problems()
        # A new dictionary if this one has shrunk, which dictionaries do not do by themselves.
        if len(self._touched) > len(self._declared):
            self._declared = dict(self._declared)
        self._touched = {}
        return events

    def problems(self) -> list[Problem]:
        """The contradictions that exist now, and the allocations that failed."""
        return sorted(problem for found in self._problems.values() for problem in found)

    def changes(self) -> Changes:
        """The problems that were added and removed since the last call."""
        changes, self._changes = self._changes, {}
        return changes

    def objects(self) -> Iterator[Object]:
        """All objects in use, by kind, namespace, and name."""
        for key, manifest in self._active.items():
            yield unpack(self._published.get(key, manifest.packed))

    def __len__(self) -> int:
        return self._count

    # -- names ---------------------------------------------------------------------------

    def _touch(self, key: Key) -> None:
        """Prepare a key for changes."""
        if key not in self._touched:
            self._touched[key] = active = self._active.get(key)
            self._declared.setdefault(key, [active] if active else [])

    def _declare(self, path: str, manifests: tuple[Manifest, ...]) -> set[Key]:
        """Replace what one file declares. Returns the keys that this concerns."""
        old, new = dict.fromkeys(self._files.pop(path, ())), dict.fromkeys(manifests)
        if new:
            self._files[path] = manifests
        removed = [(one.key, one) for one in old if one not in new]
        added = [(one.key, one) for one in new if one not in old]
        for key, manifest in removed:
            self._touch(key)
            self._declared[key].remove(manifest)
        for key, manifest in added:
            self._touch(key)
            if declared := self._declared[key]:
                insort(declared, manifest, key=_place)
            else:
                declared.append(manifest)
        return {key for key, _ in (*removed, *added)}

    def _candidate(self, key: Key) -> Manifest | None:
        """The manifest to use: of the file whose manifest is active, else the first by path."""
        declared, active = self._declared[key], self._touched[key]
        if len(declared) < 2 or active is None:
            return declared[0] if declared else None
        return next((one for one in declared if one.file == active.file), declared[0])

    # -- addresses that manifests state ----------------------------------------------------

    def _settle(self, keys: set[Key]) -> set[Key]:
        """Choose the active manifests of these keys. Returns keys that wait for a freed address."""
        candidates = {key: self._candidate(key) for key in keys}
        freed: set[bytes] = set()
        # All release before any takes, so that two Services can exchange addresses. A Service
        # keeps what it still states, so that no other Service can take it in between.
        for key, candidate in candidates.items():
            if active := self._touched[key]:
                kept = _addresses(candidate)
                freed |= self._release(key, [ip for ip in _addresses(active) if ip not in kept])
            if key in self._refused:
                self._stop_waiting(key)
            if candidate is None:
                self._touched[key] = None
        refused = []
        present = [(key, manifest) for key, manifest in candidates.items() if manifest]
        for key, manifest in sorted(present, key=lambda pair: pair[1].place):
            try:
                self._admit(key, manifest)
            except _Refused as error:
                refused.append((key, manifest, error))
        for key, manifest, reason in refused:
            freed |= self._refuse(key, manifest, reason)
        free = [ip for ip in freed if ip not in self._holders]
        waiting = {key for ip in free for key in self._waiting.get(ip, ())}
        for key in waiting:
            self._touch(key)
        return waiting

    def _admit(self, key: Key, manifest: Manifest) -> None:
        """Use a manifest, with the addresses that it states. Raises _Refused."""
        if manifest.claims is None:
            self._families(_service(manifest))  # refuses families without a network
        ips = _addresses(manifest)
        held = [ip for ip in ips if not self._is_free(ip, key)] if ips else ()
        if held:
            holder = self._holders[held[0]]
            text = f"{address_text(held[0])} is the address of {holder.key} ({holder.origin})"
            raise _Refused("spec.clusterIP", f"{text}, which keeps it; change one of them", held)
        self._use(key, manifest, ips)

    def _use(self, key: Key, manifest: Manifest, ips: Iterable[bytes]) -> None:
        for ip in ips:
            if ip not in self._holders:
                self._allocators[len(ip)].claim(ip)
            self._holders[ip] = manifest
        self._touched[key] = manifest

    def _is_free(self, ip: bytes, key: Key) -> bool:
        """Whether no other Service has an address."""
        holder = self._holders.get(ip)
        return holder is None or holder.key == key

    def _refuse(self, key: Key, manifest: Manifest, reason: _Refused) -> set[bytes]:
        """Refuse a manifest. Its last version stays active if its addresses are free.

        Returns the addresses that this frees.
        """
        self._refused[key] = manifest.problem(reason.field, reason.text), reason.waits
        for ip in reason.waits:
            self._waiting.setdefault(ip, set()).add(key)
        active = self._touched[key]
        held = _addresses(active)
        if active and active.file == manifest.file:
            if all(self._is_free(ip, key) for ip in held):
                self._use(key, active, held)
                return set()
        self._touched[key] = None
        return self._release(key, held)

    def _release(self, key: Key, ips: Iterable[bytes]) -> set[bytes]:
        """Take these addresses from a Service. Returns those that it had."""
        released = {ip for ip in ips if ip in self._holders and self._is_free(ip, key)}
        for ip in released:
            del self._holders[ip]
            self._allocators[len(ip)].release(ip)
        return released

    def _stop_waiting(self, key: Key) -> None:
        for ip in self._refused.pop(key)[1]:
            self._waiting[ip].discard(key)
            if not self._waiting[ip]:
                del self._waiting[ip]

    # -- addresses and ports that are allocated --------------------------------------------

    def _families(self, service: Service) -> list[int]:
        """The widths of the addresses to allocate to a Service. Raises _Refused."""
        if service.headless or service.type == "ExternalName" or not self._widths:
            return []
        for i, family in enumerate(service.ip_families):
            if family not in _WIDTHS:
                raise _Refused(f"spec.ipFamilies[{i}]", f"{family!r} is neither IPv4 nor IPv6")
        have = {len(ip) for ip in service.cluster_ips}
        stated = list(dict.fromkeys(_WIDTHS[family] for family in service.ip_families))
        dual = service.ip_family_policy in ("PreferDualStack", "RequireDualStack")
        if not dual and len(stated) < 2:
            wanted = [] if have else stated or list(self._widths[:1])
        else:
            order = dict.fromkeys((*stated, *self._widths, 4, 16))
            wanted = [width for width in order if width not in have]
            if service.ip_family_policy == "PreferDualStack":
                wanted = [width for width in wanted if width in self._widths]
        for width in wanted:
            if width not in self._widths:
                raise _Refused(
                    "spec.ipFamilyPolicy" if dual else "spec.ipFamilies",
                    f"needs {_FAMILIES[width]}, and service_cidr has no such network; add one",
                )
        return wanted

    def _request(self, key: Key, active: Manifest | None) -> None:
        """Request what is to be allocated to the active Service, and nothing else."""
        service = _service(active) if active and active.claims is None else None
        self._ports.declare(key, service)
        widths = self._families(service) if service else ()
        for width, allocator in self._allocators.items():
            if width in widths:
                allocator.request((key.namespace, key.name))
            else:
                allocator.withdraw((key.namespace, key.name))

    def _publish(self, key: Key) -> Packed | Key | None:
        """Take over the active manifest of a key. Returns the event, if the object changes."""
        before, active = self._active.get(key), self._touched[key]
        old = self._published.pop(key, before.packed if before else None)
        self._exhausted.pop(key, None)
        new = active.packed if active else None
        if active is None:
            self._active.pop(key)
        else:
            self._active.set(key, active)
            if active.claims is None:
                new = self._allocated(key, active)
                if new != active.packed:
                    self._published[key] = new
        if self._declared[key] == ([active] if active else []):
            del self._declared[key]
        self._count += (new is not None) - (old is not None)
        if new == old:
            return None
        return key if new is None else new

    def _allocated(self, key: Key, manifest: Manifest) -> Packed:
        """The Service with the addresses and node ports allocated to it."""
        service = self._ports.with_ports(_service(manifest))
        ips = [
            self._allocators[width].allocated((key.namespace, key.name))
            for width in self._families(service)
        ]
        problems = []
        if None in ips:
            text = f"no address is left in {self._networks}; configure a larger network"
            problems.append(manifest.problem("spec.clusterIP", text))
        if (port := self._ports.without_port(service)) is not None:
            problems.append(manifest.problem(f"spec.ports[{port}].nodePort", NONE_LEFT))
        if problems:
            self._exhausted[key] = problems
        if found := tuple(ip for ip in ips if ip):
            cluster_ips = service.cluster_ips + found
            service = replace(service, cluster_ips=cluster_ips, allocated=True)
        return pack(service)

    # -- problems --------------------------------------------------------------------------

    def _collect_problems(self) -> None:
        """Find the problems of the touched keys. Those of other keys cannot have changed."""
        parts = self._problems, self._declared, self._exhausted, self._refused
        for key in {key for part in parts for key in part.keys() & self._touched.keys()}:
            count(self._changes, self._problems.pop(key, ()), -1)
            found = [*self._duplicates(key), *self._exhausted.get(key, ())]
            if key in self._refused:
                found.append(self._refused[key][0])
            if found:
                self._problems[key] = tuple(found)
                count(self._changes, found, 1)

    def _duplicates(self, key: Key) -> list[Problem]:
        """The places that declare a key although another manifest is used."""
        if key not in self._declared:
            return []
        declared, candidate = self._declared[key], self._candidate(key)
        used = self._touched[key] or declared[0]
        text = f"is in {used.origin} already, which keeps it; rename or remove one"
        return [one.problem("metadata.name", text) for one in declared if one is not candidate]


def _service(manifest: Manifest) -> Service:
    """The Service of a manifest whose `claims` are None."""
    return cast(Service, manifest.object)


def _addresses(manifest: Manifest | None) -> tuple[bytes, ...]:
    """The addresses that a manifest states."""
    if manifest is None or manifest.claims == b"":
        return ()
    if (claims := manifest.claims) is None:
        return _service(manifest).cluster_ips
    return (claims,) if len(claims) in (4, 16) else (claims[:4], claims[4:])
