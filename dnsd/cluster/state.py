"""What the cluster says now: objects, indexed so that an event finds its contributors.

A *contributor* is an object that causes names: a Service (with the EndpointSlices that name it),
a Namespace, a Pod; for the view from outside also a Node, an Ingress, a route (with its
Gateways), a DNSEndpoint. `State.apply` puts events into the indexes and returns the contributors
whose names may have changed; `State.subject` hands the schema one contributor with all it depends
on.

Rules
* The state is a function of the last word on every key: whatever the order of events, two
  states that hold the same objects have equal subjects.
* The dirty set covers every difference: a contributor whose subject is another one after `apply`
  than before is in it. It may hold more, but an event that changes nothing at all dirties
  nothing.
* An EndpointSlice dirties the Service its label named before and the one it names now, if
  they exist. A slice may come before its Service and is kept until the Service does.
* A Pod, a Namespace, an Ingress, a route and a DNSEndpoint dirty themselves.
* What depends on many, and what that costs, is in `outside_state.py`: a Gateway dirties its
  routes, and a Node, besides itself, the Services that answer at node ports.
* The cost of an event is a few dictionary steps, however many objects there are: shelves are
  dictionaries by namespace and name (no key tuples are kept, which at 100,000 objects is
  memory worth having).
* Objects are kept packed (see `packing.py`), and unpacked when they are asked for. The
  indexes hold the very octets that the shelves do. What has just come stays unpacked until
  `rest`, for it is about to be asked for.

A Namespace exists here when a Namespace object does. That names below `ns.svc` make the name
`ns.svc` exist without one is the zone's business.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from sys import intern
from typing import cast

from dnsd.cluster.external_state import NodeIndex, RouteIndex
from dnsd.cluster.objects import (
    DNSEndpoint,
    EndpointSlice,
    Event,
    Gateway,
    Ingress,
    Key,
    Namespace,
    Node,
    Object,
    Pod,
    Route,
    Service,
    ServiceSubject,
    Subject,
)
from dnsd.cluster.packing import Packed, pack, unpack
from dnsd.cluster.store import Shelf

# Packed objects that an index leads to: most lead to one, and need no tuple around it.
Some = Packed | tuple[Packed, ...]

_FRESH = 2_000  # objects that stay unpacked if nobody calls `rest`

_name = attrgetter("name")
_place = attrgetter("namespace", "name")


class State:
    """The objects now in force, and the indexes over them. Not for use by several threads.

    `node_ports`: the types of Services whose names depend on the Nodes.
    """

    def __init__(self, node_ports: Collection[str] = ()) -> None:
        self._services: Shelf[Service] = Shelf()
        self._slices: Shelf[EndpointSlice] = Shelf()
        self._namespaces: Shelf[Namespace] = Shelf()
        self._pods: Shelf[Pod] = Shelf()
        self._nodes = NodeIndex(node_ports)
        self._routes = RouteIndex()
        self._ingresses: Shelf[Ingress] = Shelf()
        self._dns_endpoints: Shelf[DNSEndpoint] = Shelf()
        self._types: dict[str, int] = {}  # of Services, see service_types
        # namespace -> Service name -> its slices.
        self._by_service: dict[str, dict[str, Some]] = {}
        # address -> the Pods that have it (several share it with hostNetwork).
        self._by_address: dict[bytes, Some] = {}
        self._fresh: dict[Packed, Object] = {}

    def apply(self, events: Iterable[Event]) -> set[Key]:
        """Take in `events`, in order; the contributors (of CONTRIBUTOR_KINDS) they may concern.

        A Key of a kind that is not kept, or of an object that is not there, changes nothing.
        """
        dirty: set[Key] = set()
        if len(self._fresh) >= _FRESH:
            self.rest()
        for event in events:
            if isinstance(event, Key):
                self._drop(event, dirty)
            else:
                self._put(event, dirty)
        return dirty

    def rest(self) -> None:
        """Keep nothing unpacked: those whom the last events concerned have been asked for."""
        self._fresh.clear()

    def _unpack(self, packed: Packed) -> Object:
        return self._fresh.get(packed) or unpack(packed)

    def follow_nodes(self, node_ports: Collection[str]) -> None:
        """From now on Services of these types depend on the Nodes. The caller asks all anew."""
        self._nodes.follow(node_ports, self._services)

    def _put(self, thing: Object, dirty: set[Key]) -> None:
        match thing:
            case Service():
                before = self._services.packed(thing.namespace, thing.name)
                if self._services.put(thing):
                    if before is not None:
                        self._count_type(cast(Service, unpack(before)), -1)
                    self._count_type(thing, 1)
                    self._nodes.concern(thing)
                    self._fresh[pack(thing)] = thing
                    dirty.add(thing.key)
            case EndpointSlice():
                old = self._slices.packed(thing.namespace, thing.name)
                if self._slices.put(thing):
                    self._take_slice(old, dirty)
                    self._give_slice(thing, dirty)
            case Namespace():
                if self._namespaces.put(thing):
                    dirty.add(thing.key)
            case Pod():
                old = self._pods.packed(thing.namespace, thing.name)
                if self._pods.put(thing):
                    self._take_addresses(old)
                    self._give_addresses(thing)
                    dirty.add(thing.key)
            case Node():
                self._nodes.put(thing, dirty)
            case Ingress():
                if self._ingresses.put(thing):
                    dirty.add(thing.key)
            case DNSEndpoint():
                if self._dns_endpoints.put(thing):
                    dirty.add(thing.key)
            case Gateway() | Route():
                self._routes.put(thing, dirty)

    def _drop(self, key: Key, dirty: set[Key]) -> None:
        match key.kind:
            case "Service":
                if old := self._services.drop(key.namespace, key.name):
                    self._count_type(cast(Service, unpack(old)), -1)
                    self._nodes.unconcern(key)
                    dirty.add(key)
            case "EndpointSlice":
                if old := self._slices.drop(key.namespace, key.name):
                    self._take_slice(old, dirty)
            case "Namespace":
                if self._namespaces.drop("", key.name):
                    dirty.add(Key("Namespace", "", key.name))
            case "Pod":
                if old := self._pods.drop(key.namespace, key.name):
                    self._take_addresses(old)
                    dirty.add(key)
            case "Node":
                self._nodes.drop(key.name, dirty)
            case "Ingress":
                if self._ingresses.drop(key.namespace, key.name):
                    dirty.add(key)
            case "DNSEndpoint":
                if self._dns_endpoints.drop(key.namespace, key.name):
                    dirty.add(key)
            case _:
                self._routes.drop(key, dirty)

    def _count_type(self, service: Service, sign: int) -> None:
        kind = "headless" if service.headless else service.type
        self._types[kind] = self._types.get(kind, 0) + sign

    def _take_slice(self, old: Packed | None, dirty: set[Key]) -> None:
        """Take a slice that is another one now, or gone, from the Service that it named."""
        if old is None:
            return
        piece = cast(EndpointSlice, unpack(old))
        if not piece.service:
            return
        space = self._by_service[piece.namespace]
        left = _without(space[piece.service], old)
        if left:
            space[piece.service] = left
        else:
            del space[piece.service]
            if not space:
                del self._by_service[piece.namespace]
        self._dirty_service(Key("Service", intern(piece.namespace), intern(piece.service)), dirty)

    def _give_slice(self, new: EndpointSlice, dirty: set[Key]) -> None:
        """Give a slice that is on its shelf to the Service that it names."""
        if new.service:
            contributor = Key("Service", intern(new.namespace), intern(new.service))
            space = self._by_service.setdefault(contributor.namespace, {})
            packed = pack(new)
            space[contributor.name] = _with(space.get(contributor.name), packed)
            self._fresh[packed] = new
            self._dirty_service(contributor, dirty)

    def _dirty_service(self, contributor: Key, dirty: set[Key]) -> None:
        if self._services.packed(contributor.namespace, contributor.name) is not None:
            dirty.add(contributor)

    def _take_addresses(self, old: Packed | None) -> None:
        if old is None:
            return
        # An object may state one address twice; it is indexed once.
        for ip in set(cast(Pod, unpack(old)).ips):
            left = _without(self._by_address[ip], old)
            if left:
                self._by_address[ip] = left
            else:
                del self._by_address[ip]

    def _give_addresses(self, new: Pod) -> None:
        for ip in set(new.ips):
            self._by_address[ip] = _with(self._by_address.get(ip), pack(new))

    def subject(self, contributor: Key) -> Subject | None:
        """The subject of `contributor` for the schema; None when it does not exist."""
        match contributor.kind:
            case "Service":
                packed = self._services.packed(contributor.namespace, contributor.name)
                if packed is None:
                    return None
                service = cast(Service, self._unpack(packed))
                nodes = self._nodes.nodes_of(contributor)
                return ServiceSubject(service, self.slices_of(contributor), nodes)
            case "Namespace":
                return self._namespaces.get("", contributor.name)
            case "Pod":
                return self._pods.get(contributor.namespace, contributor.name)
            case "Node":
                return self._nodes.get(contributor.name)
            case "Ingress":
                return self._ingresses.get(contributor.namespace, contributor.name)
            case "DNSEndpoint":
                return self._dns_endpoints.get(contributor.namespace, contributor.name)
        return self._routes.subject(contributor)

    def get(self, key: Key) -> Object | None:
        """The object of this key, of any kind that is kept."""
        match key.kind:
            case "Service":
                return self._services.get(key.namespace, key.name)
            case "EndpointSlice":
                return self._slices.get(key.namespace, key.name)
            case "Namespace":
                return self._namespaces.get("", key.name)
            case "Pod":
                return self._pods.get(key.namespace, key.name)
            case "Node":
                return self._nodes.get(key.name)
            case "Ingress":
                return self._ingresses.get(key.namespace, key.name)
            case "DNSEndpoint":
                return self._dns_endpoints.get(key.namespace, key.name)
        return self._routes.get(key)

    def services(self, namespace: str | None = None) -> Iterable[Service]:
        """All Services, or those of one namespace."""
        return self._services if namespace is None else self._services.within(namespace)

    def service_namespaces(self) -> Iterable[str]:
        """The namespaces that have Services, whether or not there is an object for them."""
        return self._services.spaces()

    def service_types(self) -> dict[str, int]:
        """How many Services there are of each type; "headless" is one of its own."""
        return {kind: count for kind, count in self._types.items() if count}

    def service_counts(self) -> dict[str, int]:
        """How many Services there are in each namespace that has any."""
        return self._services.sizes()

    def pods(self, namespace: str | None = None) -> Iterable[Pod]:
        """All Pods, or those of one namespace."""
        return self._pods if namespace is None else self._pods.within(namespace)

    def pod_keys(self) -> list[Key]:
        """The keys of all Pods."""
        return [Key("Pod", namespace, name) for namespace, name in self._pods.places()]

    def namespaces(self) -> Iterable[Namespace]:
        """The Namespace objects."""
        return self._namespaces

    def nodes(self) -> Iterable[Node]:
        """The Node objects."""
        return self._nodes.objects()

    def slices_of(self, service: Key) -> tuple[EndpointSlice, ...]:
        """The slices that name this Service (which need not exist), in the order of their names."""
        found = self._by_service.get(service.namespace, {}).get(service.name)
        pieces = [cast(EndpointSlice, self._unpack(one)) for one in _each(found)]
        return tuple(sorted(pieces, key=_name))

    def routes_of(self, gateway: Key) -> frozenset[Key]:
        """The routes attached to this Gateway (which need not exist)."""
        return self._routes.attached(gateway)

    def pods_with(self, ip: bytes) -> tuple[Pod, ...]:
        """The Pods that have this packed address, finished ones too, by namespace and name."""
        found = self._by_address.get(ip)
        return tuple(sorted([cast(Pod, unpack(one)) for one in _each(found)], key=_place))

    def objects(self) -> Iterator[Object]:
        """Every object, kind by kind."""
        yield from self._namespaces
        yield from self._services
        yield from self._slices
        yield from self._pods
        yield from self._nodes.objects()
        yield from self._ingresses
        yield from self._routes.objects()
        yield from self._dns_endpoints

    def counts(self) -> dict[str, int]:
        """How many objects of each kind there are."""
        return {
            "Namespace": len(self._namespaces),
            "Service": len(self._services),
            "EndpointSlice": len(self._slices),
            "Pod": len(self._pods),
            "Node": len(self._nodes),
            "Ingress": len(self._ingresses),
            **self._routes.counts(),
            "DNSEndpoint": len(self._dns_endpoints),
        }


def _each(some: Some | None) -> tuple[Packed, ...]:
    if some is None:
        return ()
    return some if isinstance(some, tuple) else (some,)


def _with(some: Some | None, new: Packed) -> Some:
    return new if some is None else (*_each(some), new)


def _without(some: Some, old: Packed) -> Some | None:
    """`some` but this very one; None when none is left."""
    left = tuple([one for one in _each(some) if one is not old])
    return left if len(left) > 1 else left[0] if left else None
