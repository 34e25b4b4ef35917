"""What the cluster says now: objects, indexed so that an event finds its owners.

An *owner* is an object that causes names: a Service (with the EndpointSlices that name it),
a Namespace, a Pod; for the view from outside also a Node, an Ingress, a route (with its
Gateways), a DNSEndpoint. `State.apply` puts events into the indexes and returns the owners whose
names may have changed; `State.subject` hands the schema one owner with all it depends on.

Rules
* The state is a function of the last word on every key: whatever the order of events, two
  states that hold the same objects have equal subjects.
* The dirty set covers every difference: an owner whose subject is another one after `apply`
  than before is in it. It may hold more (a slice of a Service that does not exist yet), but
  an event that changes nothing at all dirties nothing.
* An EndpointSlice dirties the Service its label named before and the one it names now. A
  slice may come before its Service and is kept until the Service does.
* A Pod, a Namespace, an Ingress, a route and a DNSEndpoint dirty themselves.
* What depends on many, and what that costs, is in `outside_state.py`: a Gateway dirties its
  routes, and a Node, besides itself, the Services that answer at node ports.
* The cost of an event is a few dictionary steps, however many objects there are: shelves are
  dictionaries by namespace and name (no key tuples are kept, which at 100,000 objects is
  memory worth having), and the slices of a Service are kept in the order of their names.

A Namespace exists here when a Namespace object does. That names below `ns.svc` make the name
`ns.svc` exist without one is the zone's business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter

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
from dnsd.cluster.outside_state import NodeIndex, RouteIndex
from dnsd.cluster.shelf import Shelf

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
        # namespace -> Service name -> its slices, sorted by name.
        self._by_service: dict[str, dict[str, tuple[EndpointSlice, ...]]] = {}
        # packed address -> the Pods that have it (several share it with hostNetwork), by name.
        self._by_address: dict[bytes, tuple[Pod, ...]] = {}

    def apply(self, events: Iterable[Event]) -> set[Key]:
        """Take in `events`, in order; the owners (of OWNER_KINDS) they may concern.

        A Key of a kind that is not kept, or of an object that is not there, changes nothing.
        """
        dirty: set[Key] = set()
        for event in events:
            if isinstance(event, Key):
                self._drop(event, dirty)
            else:
                self._put(event, dirty)
        return dirty

    def follow_nodes(self, node_ports: Collection[str]) -> None:
        """From now on Services of these types depend on the Nodes. The caller asks all anew."""
        self._nodes.follow(node_ports, self._services)

    def _put(self, thing: Object, dirty: set[Key]) -> None:
        match thing:
            case Service():
                if self._services.put(thing) != thing:
                    self._nodes.concern(thing)
                    dirty.add(thing.key)
            case EndpointSlice():
                self._put_slice(self._slices.put(thing), thing, dirty)
            case Namespace():
                if self._namespaces.put(thing) != thing:
                    dirty.add(thing.key)
            case Pod():
                old = self._pods.put(thing)
                if old != thing:
                    self._put_pod(old, thing)
                    dirty.add(thing.key)
            case Node():
                self._nodes.put(thing, dirty)
            case Ingress():
                if self._ingresses.put(thing) != thing:
                    dirty.add(thing.key)
            case DNSEndpoint():
                if self._dns_endpoints.put(thing) != thing:
                    dirty.add(thing.key)
            case Gateway() | Route():
                self._routes.put(thing, dirty)

    def _drop(self, key: Key, dirty: set[Key]) -> None:
        match key.kind:
            case "Service":
                if self._services.drop(key.namespace, key.name):
                    self._nodes.unconcern(key)
                    dirty.add(key)
            case "EndpointSlice":
                self._put_slice(self._slices.drop(key.namespace, key.name), None, dirty)
            case "Namespace":
                if self._namespaces.drop("", key.name):
                    dirty.add(Key("Namespace", "", key.name))
            case "Pod":
                if pod := self._pods.drop(key.namespace, key.name):
                    self._put_pod(pod, None)
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

    def _put_slice(
        self, old: EndpointSlice | None, new: EndpointSlice | None, dirty: set[Key]
    ) -> None:
        if old == new:
            return
        if old and old.service:
            space = self._by_service[old.namespace]
            left = _without(space[old.service], old)
            if left:
                space[old.service] = left
            else:
                del space[old.service]
                if not space:
                    del self._by_service[old.namespace]
            dirty.add(Key("Service", old.namespace, old.service))
        if new and new.service:
            space = self._by_service.setdefault(new.namespace, {})
            space[new.service] = _with(space.get(new.service, ()), new)
            dirty.add(Key("Service", new.namespace, new.service))

    def _put_pod(self, old: Pod | None, new: Pod | None) -> None:
        # An object may state one address twice; it is indexed once.
        if old:
            for ip in set(old.ips):
                left = tuple(pod for pod in self._by_address[ip] if pod is not old)
                if left:
                    self._by_address[ip] = left
                else:
                    del self._by_address[ip]
        if new:
            for ip in set(new.ips):
                sharing = (*self._by_address.get(ip, ()), new)
                self._by_address[ip] = tuple(sorted(sharing, key=_place))

    def subject(self, owner: Key) -> Subject | None:
        """What the schema is asked about for `owner`; None when it does not exist (any more)."""
        match owner.kind:
            case "Service":
                service = self._services.get(owner.namespace, owner.name)
                if service is None:
                    return None
                nodes = self._nodes.nodes_of(owner)
                return ServiceSubject(service, self.slices_of(owner), nodes)
            case "Namespace":
                return self._namespaces.get("", owner.name)
            case "Pod":
                return self._pods.get(owner.namespace, owner.name)
            case "Node":
                return self._nodes.get(owner.name)
            case "Ingress":
                return self._ingresses.get(owner.namespace, owner.name)
            case "DNSEndpoint":
                return self._dns_endpoints.get(owner.namespace, owner.name)
        return self._routes.subject(owner)

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

    def pods(self, namespace: str | None = None) -> Iterable[Pod]:
        """All Pods, or those of one namespace."""
        return self._pods if namespace is None else self._pods.within(namespace)

    def namespaces(self) -> Iterable[Namespace]:
        """The Namespace objects."""
        return self._namespaces

    def nodes(self) -> Iterable[Node]:
        """The Node objects."""
        return self._nodes.objects()

    def slices_of(self, service: Key) -> tuple[EndpointSlice, ...]:
        """The slices that name this Service (which need not exist), in the order of their names."""
        return self._by_service.get(service.namespace, {}).get(service.name, ())

    def routes_of(self, gateway: Key) -> frozenset[Key]:
        """The routes attached to this Gateway (which need not exist)."""
        return self._routes.attached(gateway)

    def pods_with(self, ip: bytes) -> tuple[Pod, ...]:
        """The Pods that have this packed address, finished ones too, by namespace and name."""
        return self._by_address.get(ip, ())

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


def _with(slices: tuple[EndpointSlice, ...], new: EndpointSlice) -> tuple[EndpointSlice, ...]:
    """`slices`, sorted by name, with `new` among them."""
    at = bisect_left(slices, new.name, key=_name)
    return (*slices[:at], new, *slices[at:])


def _without(slices: tuple[EndpointSlice, ...], old: EndpointSlice) -> tuple[EndpointSlice, ...]:
    """`slices`, sorted by name, without the one named like `old`."""
    at = bisect_left(slices, old.name, key=_name)
    return slices[:at] + slices[at + 1 :]
