"""What is known of one scope of the API, compared with what is said about it.

A `Informer` holds the objects of one scope by namespace and name, takes each `WatchChunk` of the
reflector, and gives back the differences. Three moments need care:

* A listing drops what it did not mention, but only at its end: one that breaks off has
  dropped nothing.
* A reconcile lists beside a running watch. A key that an event touched meanwhile is newer
  than the list; of the others, after the events under way have had time to arrive, every
  difference is an event that was lost.
* An object that is refused counts as mentioned: what was known of it before is served on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from sys import intern

import structlog

from dnsd.cluster.objects import Event, Key, Object
from dnsd.cluster.store import Store
from dnsd.sources.kubernetes.client import ApiError, Unreachable
from dnsd.sources.kubernetes.credentials import KubeError
from dnsd.sources.kubernetes.reflector import ListWatch, Refusal, WatchChunk, whole
from dnsd.sources.kubernetes.scope import Scope
from dnsd.sources.source import SourceStatus

log = structlog.get_logger("dnsd.kubernetes")

MAX_REFUSED = 1000  # objects whose refusal is remembered, to log each once


Place = tuple[str, str]  # namespace, name


class KeySet:
    """Namespaces and names, as many as there are objects, in little memory.

    Names are interned, as those of the objects are, and in dicts, which are denser than sets.
    """

    __slots__ = ("_spaces",)

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, None]] = {}

    def add(self, namespace: str, name: str) -> None:
        self._spaces.setdefault(namespace, {})[intern(name)] = None

    def discard(self, namespace: str, name: str) -> None:
        self._spaces.get(namespace, {}).pop(name, None)

    def __contains__(self, place: Place) -> bool:
        return place[1] in self._spaces.get(place[0], ())


class Informer:
    """What is known of one scope, and how its watch is doing."""

    def __init__(self, list_watch: ListWatch) -> None:
        self.list_watch = list_watch
        self.kind = list_watch.scope.resource.name
        self.known: Store[Object] = Store()
        self.status = SourceStatus(f"kubernetes/{list_watch.scope.id}", "starting")
        self.version = ""
        self.synced = False
        self.excused = False  # it is not waited for; see KubernetesSource
        self.blank = False  # the snapshot that is served has nothing of it
        self.forbidden = False  # by the last failure
        self.seen: KeySet | None = None  # by a listing under way
        self.touched: KeySet | None = None  # by events during a reconcile
        self.absences = 0  # times in a row that the server did not know the resource
        self.failures = 0  # times that it failed otherwise before it was synced
        self.contact = 0.0  # the last one, monotonic
        self.listings = 0
        self.due = asyncio.Event()  # a reconcile, now
        self.refused: dict[Key, str] = {}

    @property
    def settled(self) -> bool:
        """Whether nobody has to wait for it."""
        return self.synced or self.excused

    def put(self, one: Object) -> bool:
        """Keep an object; False when it is known just so, in this version.

        Then the octets that are known stay: a relist must not hold two copies of everything.
        """
        if not self.known.put(one):
            return False
        self.status.objects = len(self.known)
        return True

    def drop(self, namespace: str, name: str) -> Key | None:
        """Forget an object; its Key, if it was known."""
        if self.known.pop(namespace, name) is None:
            return None
        self.status.objects = len(self.known)
        return Key(self.kind, namespace, name)

    def take(self, chunk: WatchChunk) -> list[Event]:
        """The differences that `chunk` makes; the end of a listing drops what it left out."""
        if chunk.begin:
            self.seen = KeySet()
        out: list[Event] = []
        for event in chunk.events:
            if isinstance(event, Key):
                if self._mark(event.namespace, event.name, listed=False) and (
                    gone := self.drop(event.namespace, event.name)
                ):
                    out.append(gone)
            elif self._mark(event.namespace, event.name, listed=chunk.listing) and self.put(event):
                out.append(event)
        for refusal in chunk.refused:
            self._refuse(refusal)
        if chunk.complete:
            out += self._sweep()
        if chunk.version and (chunk.complete or not chunk.listing):
            self.version = self.status.resource_version = chunk.version
        return out

    def _mark(self, namespace: str, name: str, *, listed: bool) -> bool:
        """Note that a name was mentioned. True, so that callers read as sentences."""
        if self.seen is not None:
            (self.seen.add if listed else self.seen.discard)(namespace, name)
        if self.touched is not None:
            self.touched.add(namespace, name)
        return True

    def _sweep(self) -> list[Event]:
        seen, self.seen = self.seen or KeySet(), None
        missing = [place for place in self.known.places() if place not in seen]
        gone = [key for place in missing if (key := self.drop(*place))]
        self.listings += 1
        self.status.relists += bool(self.version)
        return list(gone)

    def _refuse(self, refusal: Refusal) -> None:
        """Say once what is wrong with an object; what was known of it is served on."""
        key = refusal.key
        self._mark(key.namespace, key.name, listed=True)
        if self.refused.get(key) == refusal.problem:
            return
        if len(self.refused) >= MAX_REFUSED:
            self.refused.clear()
        self.refused[key] = refusal.problem
        self.status.errors += 1
        log.warning("an object is left out", object=str(key), problem=refusal.problem)

    def forget(self) -> None:
        """Be as before the first contact."""
        self.known = Store()
        self.seen = self.touched = None
        self.version = self.status.resource_version = ""
        self.synced = self.excused = self.blank = self.forbidden = False
        self.failures = 0
        self.status.state, self.status.detail, self.status.objects = "starting", "", 0


Confirm = Callable[[], Awaitable[bool]]


async def reconcile(informer: Informer, confirm: Confirm) -> list[Event]:
    """List beside the watch; the events that make good what was lost. Usually none.

    The list comes over a connection of its own, so `confirm` is asked whether it is of the
    same cluster before anything is corrected.

    Raises what `whole` and `confirm` raise, and Unreachable when the latter says no. Nothing
    is compared while a listing is due or under way, because that does the same.
    """
    if not informer.synced or informer.seen is not None:
        return []
    listings = informer.listings
    informer.touched = KeySet()
    try:
        differing, missing = await _compare(informer)
        if not await confirm():
            raise Unreachable("whose list it is could not be asked")
        if differing or missing:
            await asyncio.sleep(informer.list_watch.client.timing.settle)
        informer.status.reconciles += 1
        if informer.listings != listings or informer.seen is not None:
            return []
        return _correct(informer, differing, missing)
    finally:
        informer.touched = None


async def _compare(informer: Informer) -> tuple[dict[Place, Object], list[Place]]:
    """The listed objects that are news, and the places of those that are not listed."""
    differing: dict[Place, Object] = {}
    seen = KeySet()
    async with aclosing(whole(informer.list_watch)) as chunks:
        async for chunk in chunks:
            if chunk.begin:
                differing.clear()
                seen = KeySet()
            for refusal in chunk.refused:
                seen.add(refusal.key.namespace, refusal.key.name)
            for one in chunk.events:
                if isinstance(one, Key):
                    continue
                seen.add(one.namespace, one.name)
                if _differs(informer.known.object(one.namespace, one.name), one):
                    differing[one.namespace, one.name] = one
            await asyncio.sleep(0)
    return differing, [place for place in informer.known.places() if place not in seen]


def _correct(
    informer: Informer, differing: dict[Place, Object], missing: Iterable[Place]
) -> list[Event]:
    touched = informer.touched or KeySet()
    events: list[Event] = [
        one for place, one in differing.items() if place not in touched and informer.put(one)
    ]
    dropped = (informer.drop(*place) for place in missing if place not in touched)
    events += [key for key in dropped if key]
    if events:
        informer.status.corrections += len(events)
        log.error(
            "events were lost, corrected by a reconcile",
            scope=informer.list_watch.scope.id,
            corrections=len(events),
            first=str(events[0] if isinstance(events[0], Key) else events[0].key),
        )
    return events


def _differs(known: Object | None, listed: Object) -> bool:
    """Whether `listed` is news: not known, or in another and not an older version."""
    if known is None or not (known.version.isdigit() and listed.version.isdigit()):
        return known is None or known.version != listed.version
    return int(known.version) < int(listed.version)


def explain(error: KubeError, scope: Scope) -> str:
    """The error as a sentence for the operator; for 401 and 403, what to do about it."""
    if not isinstance(error, ApiError):
        return str(error)
    resource = scope.resource
    if error.status == 401:
        return (
            f"the API server does not accept the credentials (401) for {resource.plural}: the"
            " token has expired or is for another cluster; retrying with credentials read anew"
        )
    if error.status != 403:
        return str(error)
    role = f"Role in namespace {scope.namespace}" if scope.namespace else "ClusterRole"
    return (
        f"not allowed to list and watch {resource.plural} ({error}); the {role} lacks the"
        f' rule {{apiGroups: ["{resource.group}"], resources: ["{resource.plural}"],'
        ' verbs: ["list", "watch"]}'
    )
