"""Informers without an API server, for tests of what depends on their state."""

from __future__ import annotations

from dnsd.cluster.objects import RESOURCES, Object
from dnsd.sources.kubernetes.informer import Informer
from dnsd.sources.kubernetes.reflector import ListWatch
from dnsd.sources.kubernetes.scope import Scope


def informer(kind: str, *objects: Object, namespace: str = "", synced: bool = False) -> Informer:
    """An informer of a kind that holds `objects`. It has no client, and sends nothing."""
    made = Informer(ListWatch(None, Scope(RESOURCES[kind], namespace)))  # type: ignore[arg-type]
    for thing in objects:
        made.store.put(thing)
    made.synced = synced
    return made
