"""Indexes over the objects: objects by what they refer to, and the Services on all Nodes.

In `cluster/` (control plane: the state of the cluster). Change here: how an event of one object
finds the others that it concerns.

An event of a Node may concern many contributors. A Node whose readiness or addresses change
concerns every Service that answers at node ports. Each of these Services has as many addresses as
there are Nodes, so the cost is the product of the two. Only the configured types of Services count.
Without an external zone, no type is configured. A heartbeat (only a new resourceVersion) concerns
only the Node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from sys import intern
from typing import Generic, TypeVar

from msgspec.structs import replace

from dnsd.cluster.objects import Key, Node, Object, Service
from dnsd.cluster.store import Packed, pack

O = TypeVar("O", bound=Object)  # noqa: E741

Reference = tuple[str, Hashable]  # a namespace, and a name or an address in it


class ReferenceIndex(Generic[O]):
    """Packed objects by what they refer to, whether or not that exists.

    `references`: what an object refers to. Most references have one object, which needs no tuple
    around it. An empty namespace takes no memory.
    """

    __slots__ = ("_references", "_spaces")

    def __init__(self, references: Callable[[O], Iterable[Reference]]) -> None:
        self._references = references
        self._spaces: dict[str, dict[Hashable, Packed | tuple[Packed, ...]]] = {}

    def get(self, namespace: str, name: Hashable) -> tuple[Packed, ...]:
        """The objects that refer to this."""
        objects = self._spaces.get(namespace, {}).get(name, ())
        return objects if isinstance(objects, tuple) else (objects,)

    def update(self, old: O | None, new: O | None) -> None:
        """An object was added, replaced, or removed."""
        # An object may refer to one thing twice, and is indexed once.
        if old:
            for space, name in set(self._references(old)):
                left = [packed for packed in self.get(space, name) if packed is not pack(old)]
                self._set(space, name, left)
        if new:
            for space, name in set(self._references(new)):
                self._set(space, name, [*self.get(space, name), pack(new)])

    def _set(self, namespace: str, name: Hashable, objects: list[Packed]) -> None:
        names = self._spaces.setdefault(intern(namespace), {})
        if objects:
            names[name] = tuple(objects) if len(objects) > 1 else objects[0]
        elif names.pop(name) and not names:
            del self._spaces[namespace]


class NodeIndex:
    """The Services that depend on all Nodes, and the Nodes as these Services depend on them."""

    def __init__(self, types: Collection[str] = ()) -> None:
        self._types = frozenset(types)
        self._services: set[Key] = set()
        # Each Node without the fields that change with a heartbeat; all Services share these.
        self._stable: dict[str, Node] = {}
        self._sorted: tuple[Node, ...] | None = ()  # None: `_stable` has changed

    def follow(self, types: Collection[str], services: Iterable[Service]) -> None:
        """From now on, Services of these `types` depend on the Nodes."""
        if self._types == frozenset(types):
            return
        self._types = frozenset(types)
        self._services = {one.key for one in services if one.type in self._types}

    def update_service(self, key: Key, new: Service | None) -> None:
        """A Service was added, replaced, or (None) removed."""
        if new and new.type in self._types:
            self._services.add(key)
        else:
            self._services.discard(key)

    def update(self, name: str, new: Node | None) -> Collection[Key]:
        """A Node was added, replaced, or (None) removed. Returns the Services concerned."""
        stable = replace(new, uid="", version="", created="", origin="") if new else None
        if self._stable.get(name) == stable:
            return ()
        if stable:
            self._stable[name] = stable
        else:
            del self._stable[name]
        self._sorted = None
        return self._services

    def nodes_of(self, service: Key) -> tuple[Node, ...]:
        """All Nodes by name (one shared tuple), if this Service depends on them."""
        if service not in self._services:
            return ()
        if self._sorted is None:
            self._sorted = tuple(self._stable[name] for name in sorted(self._stable))
        return self._sorted
