"""The objects of one scope, compared with each chunk of a list or watch.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: which differences
become events.

An `Informer` holds the objects of one scope. It applies each `WatchChunk` of the reflector and
returns the differences. Three cases need care:

* A listing removes the objects that it did not name, but only at its end: a listing that is
  interrupted removes nothing.
* A reconcile lists beside a running watch. A key that an event changed meanwhile is newer than the
  list. Every other difference that is still there after the events under way have arrived is an
  event that was lost.
* A refused object counts as named: its previous state stays in service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing

import structlog

from dnsd.cluster.objects import Event, Key, Object
from dnsd.cluster.store import NameTable, Store
from dnsd.sources.kubernetes.errors import ApiError, KubeError, Unreachable
from dnsd.sources.kubernetes.reflector import ListWatch, Refusal, WatchChunk, whole
from dnsd.sources.kubernetes.scope import Scope
from dnsd.sources.source import SourceStatus

log = structlog.get_logger("dnsd.kubernetes")

MAX_REFUSED = 1000  # refused objects that are remembered, to log each problem once

Place = tuple[str, str]  # namespace, name


class KeySet(NameTable[bool]):
    """Namespaces and names, as many as there are objects, in little memory."""

    __slots__ = ()

    def __contains__(self, place: Place) -> bool:
        return self.get(*place) is not None


class Informer:
    """The objects of one scope, and the state of its watch."""

    def __init__(self, list_watch: ListWatch) -> None:
        self.list_watch = list_watch
        self.kind = list_watch.scope.resource.name
        self.contact_at = 0.0  # the last contact, monotonic
        self.absences = 0  # answers in a row that the resource does not exist
        self.listings = 0
        self.reconcile_now = asyncio.Event()
        self.refused: dict[Key, str] = {}
        self.status = SourceStatus(f"kubernetes/{self.id}", "starting")
        self.reset()

    def reset(self) -> None:
        """Return to the state before the first contact."""
        self.store: Store[Object] = Store()
        self.version = ""
        self.synced = False
        self.excused = False  # the start does not wait for it; see `readiness.py`
        self.not_in_snapshot = False  # the snapshot in service has nothing of this scope
        self.forbidden = False  # by the last failure
        self.failures = 0  # other failures in a row before it was synced
        self.listed: KeySet | None = None  # by a listing under way
        self.changed: KeySet | None = None  # by events during a reconcile
        self.status.state, self.status.detail = "starting", ""

    @property
    def id(self) -> str:
        """The scope, for statuses, logs, and snapshots."""
        return self.list_watch.scope.id

    @property
    def ready(self) -> bool:
        """Whether the start does not wait for this scope (any longer)."""
        return self.synced or self.excused

    def remove(self, namespace: str, name: str) -> list[Event]:
        """Remove an object. Returns its Key, if it was present."""
        gone = self.store.pop(namespace, name)
        return [] if gone is None else [Key(self.kind, namespace, name)]

    def apply(self, chunk: WatchChunk) -> list[Event]:
        """The differences that `chunk` makes. The end of a listing removes what it did not name."""
        if chunk.begin:
            self.listed = KeySet()
        out: list[Event] = []
        for event in chunk.events:
            if isinstance(event, Key):
                self._note(event.namespace, event.name, listed=False)
                out += self.remove(event.namespace, event.name)
            else:
                self._note(event.namespace, event.name, listed=chunk.listing)
                if self.store.put(event):
                    out.append(event)
        for refusal in chunk.refused:
            self._refuse(refusal)
        if chunk.complete:
            out += self._remove_unlisted()
        if chunk.version and (chunk.complete or not chunk.listing):
            self.version = chunk.version
        return out

    def _note(self, namespace: str, name: str, *, listed: bool) -> None:
        """Note that the server named an object."""
        if self.listed is not None:
            if listed:
                self.listed.set(namespace, name, True)
            else:
                self.listed.pop(namespace, name)
        if self.changed is not None:
            self.changed.set(namespace, name, True)

    def _remove_unlisted(self) -> list[Event]:
        listed, self.listed = self.listed or KeySet(), None
        missing = [place for place in self.store.places() if place not in listed]
        self.listings += 1
        self.status.relists += bool(self.version)
        return [key for place in missing for key in self.remove(*place)]

    def _refuse(self, refusal: Refusal) -> None:
        """Log the problem of an object once. Its previous state stays in service."""
        key = refusal.key
        self._note(key.namespace, key.name, listed=True)
        if self.refused.get(key) == refusal.problem:
            return
        if len(self.refused) >= MAX_REFUSED:
            self.refused.clear()
        self.refused[key] = refusal.problem
        self.status.errors += 1
        log.warning("an object is left out", object=str(key), problem=refusal.problem)


async def reconcile(informer: Informer, confirm: Callable[[], Awaitable[bool]]) -> list[Event]:
    """List beside the watch. Returns events for what was lost, usually none.

    The list uses a connection of its own, so `confirm` checks that it is of the same cluster before
    anything is corrected. Nothing is compared while a listing is due or under way, because that
    does the same.

    Raises the errors of `whole` and `confirm`, and Unreachable if the latter returns False.
    """
    if not informer.synced or informer.listed is not None:
        return []
    listings = informer.listings
    informer.changed = KeySet()
    try:
        differing, missing = await _compare(informer)
        if not await confirm():
            raise Unreachable("the identity of the cluster behind the list is unknown")
        if differing or missing:
            await asyncio.sleep(informer.list_watch.client.timing.grace)
        informer.status.reconciles += 1
        if informer.listings != listings or informer.listed is not None:
            return []
        return _correct(informer, differing, missing)
    finally:
        informer.changed = None


async def _compare(informer: Informer) -> tuple[dict[Place, Object], list[Place]]:
    """The listed objects that differ, and the places of the objects that are not listed."""
    differing: dict[Place, Object] = {}
    listed = KeySet()
    async with aclosing(whole(informer.list_watch)) as chunks:
        async for chunk in chunks:
            if chunk.begin:
                differing.clear()
                listed = KeySet()
            for refusal in chunk.refused:
                listed.set(refusal.key.namespace, refusal.key.name, True)
            for thing in chunk.events:
                listed.set(thing.namespace, thing.name, True)
                if isinstance(thing, Object) and _is_newer(informer, thing):
                    differing[thing.namespace, thing.name] = thing
            await asyncio.sleep(0)
    return differing, [place for place in informer.store.places() if place not in listed]


def _is_newer(informer: Informer, listed: Object) -> bool:
    """Whether a listed object is unknown, or of another and not an older version."""
    known = informer.store.object(listed.namespace, listed.name)
    if known is None or not (known.version.isdigit() and listed.version.isdigit()):
        return known is None or known.version != listed.version
    return int(known.version) < int(listed.version)


def _correct(
    informer: Informer, differing: dict[Place, Object], missing: Iterable[Place]
) -> list[Event]:
    changed = informer.changed or KeySet()
    events: list[Event] = [
        thing
        for place, thing in differing.items()
        if place not in changed and informer.store.put(thing)
    ]
    events += [key for place in missing if place not in changed for key in informer.remove(*place)]
    if events:
        informer.status.corrections += len(events)
        first = events[0]
        log.error(
            "events were lost, corrected by a reconcile",
            scope=informer.id,
            corrections=len(events),
            first=str(first if isinstance(first, Key) else first.key),
        )
    return events


def describe(error: KubeError, scope: Scope) -> str:
    """The error as a sentence for the operator; for 401 and 403, with the action to take."""
    if not isinstance(error, ApiError) or error.status not in (401, 403):
        return str(error)
    resource = scope.resource
    if error.status == 401:
        return (
            f"the API server does not accept the credentials (401) for {resource.plural}: the"
            " token has expired or is for another cluster; retrying with credentials read anew"
        )
    role = f"Role in namespace {scope.namespace}" if scope.namespace else "ClusterRole"
    return (
        f"not allowed to list and watch {resource.plural} ({error}); the {role} lacks the"
        f' rule {{apiGroups: ["{resource.group}"], resources: ["{resource.plural}"],'
        ' verbs: ["list", "watch"]}'
    )
