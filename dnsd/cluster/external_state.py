"""Who depends on many: Services at node ports on all Nodes, routes on their Gateways.

These are the two places where an event concerns more than one contributor, and what that costs:

* A Node whose readiness or addresses change concerns every Service that answers at node
  ports, and each of these has as many addresses as there are Nodes: the product of the two.
  Only the types of Services that were asked for count; without an outside zone that is
  none. A heartbeat (a new resourceVersion, nothing else) concerns nobody but the Node.
* A Gateway concerns the routes attached to it.

A Gateway may come after its routes, and a Node after its Services.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import cast

from msgspec.structs import replace

from dnsd.cluster.objects import (
    ROUTE_KINDS,
    Gateway,
    Key,
    Node,
    Object,
    Route,
    RouteSubject,
    Service,
)
from dnsd.cluster.packing import unpack
from dnsd.cluster.store import Shelf


class NodeIndex:
    """The Nodes, and the Services that depend on all of them."""

    def __init__(self, types: Collection[str] = ()) -> None:
        self._shelf: Shelf[Node] = Shelf()
        self._types = frozenset(types)
        self._services: set[Key] = set()
        # A Node without what changes with each heartbeat; all Services share one of each.
        self._faces: dict[str, Node] = {}
        self._all: tuple[Node, ...] | None = ()  # the faces by name; None: to be made anew

    def follow(self, types: Collection[str], services: Iterable[Service]) -> None:
        """Services of these `types` depend on the Nodes from now on."""
        self._types = frozenset(types)
        self._services = {one.key for one in services if one.type in self._types}

    def concern(self, service: Service) -> None:
        """A Service is new or another one now."""
        if service.type in self._types:
            self._services.add(service.key)
        else:
            self.unconcern(service.key)

    def unconcern(self, service: Key) -> None:
        """A Service is gone, or depends on the Nodes no more."""
        self._services.discard(service)

    def put(self, node: Node, dirty: set[Key]) -> None:
        """Keep a Node; whom it concerns goes into `dirty`."""
        if not self._shelf.put(node):
            return
        dirty.add(node.key)
        face = replace(node, uid="", version="", created="", origin="")
        if self._faces.get(node.name) != face:
            self._faces[node.name] = face
            self._moved(dirty)

    def drop(self, name: str, dirty: set[Key]) -> None:
        """Forget a Node; whom it concerned goes into `dirty`."""
        if self._shelf.drop("", name):
            dirty.add(Key("Node", "", name))
            del self._faces[name]
            self._moved(dirty)

    def _moved(self, dirty: set[Key]) -> None:
        self._all = None
        dirty.update(self._services)

    def nodes_of(self, service: Key) -> tuple[Node, ...]:
        """All Nodes by name (one tuple for everybody), if this Service depends on them."""
        if service not in self._services:
            return ()
        if self._all is None:
            self._all = tuple(self._faces[name] for name in sorted(self._faces))
        return self._all

    def get(self, name: str) -> Node | None:
        """The Node of this name, as it was last said."""
        return self._shelf.get("", name)

    def objects(self) -> Iterable[Node]:
        """All Nodes."""
        return self._shelf

    def __len__(self) -> int:
        return len(self._shelf)


class RouteIndex:
    """Gateways and routes, and which routes are attached to which Gateway."""

    def __init__(self) -> None:
        self._gateways: Shelf[Gateway] = Shelf()
        self._routes: dict[str, Shelf[Route]] = {kind: Shelf() for kind in ROUTE_KINDS}
        self._attached: dict[Key, set[Key]] = {}  # Gateway (which need not exist) -> routes

    def put(self, thing: Gateway | Route, dirty: set[Key]) -> None:
        """Keep a Gateway or a route; the routes it concerns go into `dirty`."""
        if isinstance(thing, Gateway):
            if self._gateways.put(thing):
                dirty.update(self._attached.get(thing.key, ()))
            return
        shelf = self._routes[thing.kind]
        old = shelf.get(thing.namespace, thing.name)
        if shelf.put(thing):
            self._attach(old, thing)
            dirty.add(thing.key)

    def drop(self, key: Key, dirty: set[Key]) -> None:
        """Forget a Gateway or a route; other kinds are not kept here."""
        if key.kind == "Gateway":
            if self._gateways.drop(key.namespace, key.name):
                dirty.update(self._attached.get(key, ()))
        elif key.kind in self._routes:
            if old := self._routes[key.kind].drop(key.namespace, key.name):
                self._attach(cast(Route, unpack(old)), None)
                dirty.add(key)

    def _attach(self, old: Route | None, new: Route | None) -> None:
        for parent in old.parents if old else ():
            routes = self._attached.get(parent.key, set())
            if old:
                routes.discard(old.key)
            if not routes:
                self._attached.pop(parent.key, None)
        for parent in new.parents if new else ():
            if new:
                self._attached.setdefault(parent.key, set()).add(new.key)

    def attached(self, gateway: Key) -> frozenset[Key]:
        """The routes attached to a Gateway."""
        return frozenset(self._attached.get(gateway, ()))

    def subject(self, key: Key) -> RouteSubject | None:
        """A route with its Gateways; None when it does not exist, or is no route."""
        shelf = self._routes.get(key.kind)
        route = shelf.get(key.namespace, key.name) if shelf else None
        if route is None:
            return None
        names = sorted({(parent.namespace, parent.name) for parent in route.parents})
        found = [self._gateways.get(*name) for name in names]
        return RouteSubject(route, tuple(one for one in found if one))

    def get(self, key: Key) -> Gateway | Route | None:
        """The Gateway or route of this key."""
        if key.kind == "Gateway":
            return self._gateways.get(key.namespace, key.name)
        shelf = self._routes.get(key.kind)
        return shelf.get(key.namespace, key.name) if shelf else None

    def objects(self) -> Iterator[Object]:
        """All Gateways, then all routes."""
        yield from self._gateways
        for shelf in self._routes.values():
            yield from shelf

    def counts(self) -> dict[str, int]:
        """How many there are, by kind."""
        counts = {kind: len(shelf) for kind, shelf in self._routes.items()}
        return {"Gateway": len(self._gateways), **counts}
