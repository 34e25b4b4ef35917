"""The state of the cluster: all objects, indexed so that an event finds its contributors.

In `cluster/` (control plane: between the sources and the zone). Change here: how an event finds the
contributors that it concerns, and what the schema receives for a contributor.

A *contributor* is an object that causes names: a Service (with the EndpointSlices that name it), a
Namespace, or a Pod; in external zones also a Node, an Ingress, a route (with its Gateways), or a
DNSEndpoint. `State.apply` applies events and returns the contributors whose names may have changed.
`State.subject` gives the schema one contributor with all objects it depends on.

Rules
* The state is a function of the last event of every key: in any order of events, two states that
  hold the same objects have equal subjects.
* The dirty set covers every difference: it holds each contributor whose subject differs after
  `apply`. It may hold more, but an event that changes nothing dirties nothing.
* An EndpointSlice dirties the Service that its label named before and the one that it names now, if
  they exist. A slice may arrive before its Service, and is kept until the Service arrives.
* Every other object dirties itself if it is a contributor. A Gateway dirties its routes, and a Node
  dirties the Services at node ports (see `index.py`).
* An event costs a few dictionary steps, however many objects there are.
* Objects are kept packed (see `store.py`). The indexes share the octets of the stores. Services and
  slices that have just arrived stay unpacked until `compact`, because the caller is about to read
  them.

A Namespace exists here if a Namespace object does. The zone adds the empty non-terminal `ns.svc`
for names below it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from sys import intern
from typing import Any, cast

from dnsd.cluster.index import NodeIndex, Reference, ReferenceIndex
from dnsd.cluster.objects import (
    CONTRIBUTOR_KINDS,
    RESOURCES,
    ROUTE_KINDS,
    EndpointSlice,
    Event,
    Gateway,
    Key,
    Namespace,
    Object,
    Pod,
    Route,
    RouteSubject,
    Service,
    ServiceSubject,
    Subject,
)
from dnsd.cluster.store import Packed, Store, pack, unpack

_MAX_UNPACKED = 2_000  # objects that stay unpacked if `compact` is not called

_name = attrgetter("name")
_place = attrgetter("namespace", "name")


def _service_of(piece: EndpointSlice) -> list[Reference]:
    return [(piece.namespace, intern(piece.service))] if piece.service else []


def _addresses_of(pod: Pod) -> list[Reference]:
    return [("", ip) for ip in pod.ips]  # hostNetwork Pods share the address of their Node


def _gateways_of(route: Route) -> list[Reference]:
    return [(parent.namespace, parent.name) for parent in route.parents]


class State:
    """The objects of the cluster, and the indexes over them. Not thread-safe.

    `node_ports`: the types of Services whose external names depend on the Nodes.
    """

    def __init__(self, node_ports: Collection[str] = ()) -> None:
        self._stores: dict[str, Store[Any]] = {kind: Store() for kind in ("Namespace", *RESOURCES)}
        self._nodes = NodeIndex(node_ports)
        self._slices = ReferenceIndex(_service_of)
        self._pods = ReferenceIndex(_addresses_of)
        self._routes = ReferenceIndex(_gateways_of)
        self._service_types: dict[str, int] = defaultdict(int)
        self._unpacked: dict[Packed, Object] = {}

    def apply(self, events: Iterable[Event]) -> set[Key]:
        """Apply `events` in order. Returns the contributors that they may concern.

        A Key of an unknown kind, or of an object that does not exist, changes nothing.
        """
        dirty: set[Key] = set()
        if len(self._unpacked) >= _MAX_UNPACKED:
            self.compact()
        for event in events:
            store = self._stores.get(event.kind)
            if store is None:
                continue
            if isinstance(event, Key):
                old = store.pop(event.namespace, event.name)
                if old is not None:
                    self._update(event, unpack(old), None, dirty)
            else:
                old = store.get(event.namespace, event.name)
                if store.put(event):
                    self._update(event.key, unpack(old) if old else None, event, dirty)
        return dirty

    def compact(self) -> None:
        """Keep no object unpacked: the caller has read those that the last events concern."""
        self._unpacked.clear()

    def _update(self, key: Key, old: Any, new: Any, dirty: set[Key]) -> None:
        """Update the indexes after an object was added, replaced, or (None) removed."""
        if key.kind in CONTRIBUTOR_KINDS:
            dirty.add(key)
        match key.kind:
            case "Service":
                for one, sign in ((old, -1), (new, 1)):
                    if one:
                        self._service_types["headless" if one.headless else one.type] += sign
                self._nodes.update_service(key, new)
            case "EndpointSlice":
                self._slices.update(old, new)
                for one in (old, new):
                    if one and self._stores["Service"].get(key.namespace, one.service):
                        dirty.add(Key("Service", key.namespace, intern(one.service)))
            case "Pod":
                self._pods.update(old, new)
            case "Node":
                dirty.update(self._nodes.update(key.name, new))
            case "Gateway":
                dirty.update(self.routes_of(key))
            case kind if kind in ROUTE_KINDS:
                self._routes.update(old, new)
        if new and key.kind in ("Service", "EndpointSlice"):
            self._unpacked[pack(new)] = new

    def follow_nodes(self, node_ports: Collection[str]) -> None:
        """From now on, Services of these types depend on the Nodes. Read all subjects again."""
        self._nodes.follow(node_ports, self.services())

    def subject(self, contributor: Key) -> Subject | None:
        """The contributor with all objects it depends on; None if it does not exist."""
        if contributor.kind not in CONTRIBUTOR_KINDS:
            return None
        thing = self.get(contributor)
        if isinstance(thing, Service):
            nodes = self._nodes.nodes_of(contributor)
            return ServiceSubject(thing, self.slices_of(contributor), nodes)
        if isinstance(thing, Route):
            keys = sorted({parent.key for parent in thing.parents})
            gateways = [one for key in keys if isinstance(one := self.get(key), Gateway)]
            return RouteSubject(thing, tuple(gateways))
        return thing

    def get(self, key: Key) -> Object | None:
        """The object of this key, of any kind in RESOURCES."""
        store = self._stores.get(key.kind)
        packed = store.get(key.namespace, key.name) if store else None
        return None if packed is None else self._unpack(packed)

    def _unpack(self, packed: Packed) -> Object:
        return self._unpacked.get(packed) or unpack(packed)

    def services(self, namespace: str | None = None) -> Iterator[Service]:
        """All Services, or those of one namespace."""
        return self._stores["Service"].objects(namespace)

    def service_types(self) -> dict[str, int]:
        """The number of Services of each type; "headless" counts as a type of its own."""
        return {kind: count for kind, count in self._service_types.items() if count}

    def service_counts(self) -> dict[str, int]:
        """The number of Services in each namespace that has any, with or without a Namespace."""
        return self._stores["Service"].sizes()

    def keys(self, *kinds: str) -> list[Key]:
        """The keys of all objects of these kinds, kind by kind."""
        return [Key(kind, *place) for kind in kinds for place in self._stores[kind].places()]

    def namespaces(self) -> Iterator[Namespace]:
        """The Namespace objects."""
        return self._stores["Namespace"].objects()

    def slices_of(self, service: Key) -> tuple[EndpointSlice, ...]:
        """The slices that name this Service (which need not exist), ordered by name."""
        slices = [
            cast(EndpointSlice, self._unpack(one))
            for one in self._slices.get(service.namespace, service.name)
        ]
        return tuple(sorted(slices, key=_name))

    def routes_of(self, gateway: Key) -> frozenset[Key]:
        """The routes attached to this Gateway (which need not exist)."""
        routes = self._routes.get(gateway.namespace, gateway.name)
        return frozenset(unpack(route).key for route in routes)

    def pods_with(self, ip: bytes) -> tuple[Pod, ...]:
        """The Pods with this address (octets), finished ones too, by namespace and name."""
        return tuple(sorted([cast(Pod, unpack(one)) for one in self._pods.get("", ip)], key=_place))

    def objects(self, *kinds: str) -> Iterator[Object]:
        """The objects of these kinds, or every object, kind by kind."""
        for kind in kinds or self._stores:
            yield from self._stores[kind].objects()

    def counts(self) -> dict[str, int]:
        """The number of objects of each kind."""
        return {kind: len(store) for kind, store in self._stores.items()}
