"""The filters by namespace: which objects of an informer are published.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: which objects the
settings `namespaces` and `namespace_selector` hide.

The API server applies `service_selector`, and `namespace_selector` to Namespaces. The objects of a
hidden namespace are kept but not published. So a label that changes on a Namespace needs no list.
"""

from __future__ import annotations

from collections.abc import Sequence

from dnsd.cluster.objects import CLUSTER_SCOPED, Event, Key
from dnsd.sources.kubernetes.informer import Informer


class NamespaceFilter:
    """The filters of one configuration, over all informers of a source."""

    def __init__(
        self, informers: Sequence[Informer], namespaces: Sequence[str], selector: str
    ) -> None:
        self._informers = informers
        self._only = frozenset(namespaces)
        self._selector = selector

    def passes(self, kind: str, namespace: str, name: str) -> bool:
        """Whether the object is, or is to be, published."""
        if kind == "Node":
            return True
        if self._only and (name if kind == "Namespace" else namespace) not in self._only:
            return False
        if kind == "Namespace" or not self._selector:
            return True
        spaces = (one for one in self._informers if one.kind == "Namespace")
        return any(one.store.get("", namespace) for one in spaces)

    def apply(self, informer: Informer, events: list[Event]) -> list[Event]:
        """The events to publish. With a selector, a Namespace shows or hides what is in it."""
        if not (self._only or self._selector):
            return events
        out: list[Event] = []
        for event in events:
            if self.passes(informer.kind, event.namespace, event.name):
                out.append(event)
                if self._selector and informer.kind == "Namespace":
                    out += self._objects_in(event)
        return out

    def _objects_in(self, namespace: Event) -> list[Event]:
        gone = isinstance(namespace, Key)
        return [
            thing.key if gone else thing
            for informer in self._informers
            if informer.kind not in CLUSTER_SCOPED
            for thing in informer.store.objects(namespace.name)
        ]

    def keys(self, informer: Informer) -> list[Event]:
        """The keys of the objects of an informer that have been published."""
        kind, places = informer.kind, informer.store.places()
        return [Key(kind, *place) for place in places if self.passes(kind, *place)]
