"""One resource of the API, watched: list, watch, reconnect, and list again, without end.

In `sources/kubernetes/` (control plane: the API server as a source). Change here: when a listing, a
resume, or a delay follows the end of a stream.

The module is a series of small generators. Each uses the one below it, and has one concern:

    reflect      without end: from a version or from a listing, through every error, with backoff
    listing      everything that exists: WatchList if the server supports it, else pages
    pages        a list, page by page               watch        one stream, until it ends
    decoding     lines to objects, Keys, and versions
    client       bytes

All of them yield `WatchChunk`s: some objects, Keys of objects that are gone, and the
resourceVersion up to which the server has sent everything. The objects of a listing are marked. Its
last chunk is `complete`: objects that it did not name since `begin` no longer exist. The consumer
compares chunks with the objects it has (`informer.py`), so a listing may be interrupted and begun
again, and may name an object twice.

A version is no longer usable in two cases. First, the server answers 410, as an HTTP status or as
an ERROR event in a stream with status 200. Second, several streams in a row end at once and without
data, because a server that was restored from a backup answers a version from its future with 200
and silence. So the version of an earlier run is compared with that of the server before the watch
resumes from it: a list of one object has it. After every other end of a stream, the watch resumes
where it ended.

An object that DNS cannot use is a `Refusal`: it is reported, and never ends a stream.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import Struct, field

from dnsd.cluster.objects import BadObject, Event, Key, from_json
from dnsd.sources.kubernetes.client import MAX_PAGE, Client
from dnsd.sources.kubernetes.errors import (
    NOT_JSON,
    ApiError,
    KubeError,
    Silent,
    Unreachable,
    api_error,
)
from dnsd.sources.kubernetes.scope import Scope, next_version

INITIAL_END = "k8s.io/initial-events-end"
MAX_WHOLE = 8 * MAX_PAGE  # bytes of a list in one piece, the last resort of `whole`
# Objects in one chunk. The control loop runs other tasks after each chunk, and a listing has no
# more objects than these unpacked at a time: 50 are about 150 KB.
CHUNK = 50


class Refusal(Struct, frozen=True):
    """An object that exists and cannot be used. `key`: as far as it could be read."""

    key: Key
    version: str
    problem: str


class WatchChunk(Struct, frozen=True):
    """Some events of a stream or a list; see the rules of the module."""

    events: tuple[Event, ...] = ()
    refused: tuple[Refusal, ...] = ()
    version: str = ""  # "": unchanged
    listing: bool = False
    begin: bool = False
    complete: bool = False
    quiet: bool = False  # connected, and the server has nothing more to send for now

    @property
    def opening(self) -> bool:
        """Whether a stream or list has just been opened."""
        return self.begin or not (self.has_data or self.quiet)

    @property
    def has_data(self) -> bool:
        """Whether the server sent anything, or only opened a stream."""
        return bool(self.events or self.refused or self.version or self.complete)


class Retry(Struct, frozen=True):
    """The last attempt failed with `error`. The next one follows after `delay` seconds."""

    error: KubeError
    delay: float


class ListWatch(Struct):
    """The server, the scope to watch, and what is known about the server."""

    client: Client
    scope: Scope
    page_size: int = 500
    watch_list: bool = True  # until the server refuses it
    rng: random.Random = field(default_factory=random.Random)


# ---------------------------------------------------------------------------------------
# Decoding. An object stays raw bytes until the decoder of its kind reads it.


class _Meta(Struct, rename="camel"):
    # Without labels and the like: they may be the fields that cannot be decoded.
    name: str = ""
    namespace: str | None = None
    resource_version: str | None = None
    annotations: dict[str, str] | None = None


class _OnlyMeta(Struct):
    metadata: _Meta = field(default_factory=_Meta)


class _WatchEvent(Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(Struct, rename="camel"):
    resource_version: str | None = None
    continue_: str | None = field(name="continue", default=None)


class List(Struct):
    """A page of a list. Its items keep the body in memory as long as they need it."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_EVENT = msgspec.json.Decoder(_WatchEvent)
_META = msgspec.json.Decoder(_OnlyMeta)


class _Batcher:
    """Collects the events of one chunk."""

    __slots__ = ("events", "kind", "refused", "version")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.events: list[Event] = []
        self.refused: list[Refusal] = []
        self.version = ""

    def add(self, data: msgspec.Raw) -> None:
        """Add an object, or a Refusal with as much of its name as can be read."""
        try:
            thing = from_json(self.kind, data)[0]
            self.events.append(thing)
            version = thing.version
        except (BadObject, *NOT_JSON) as error:
            try:
                meta = _META.decode(data).metadata
            except NOT_JSON:
                meta = _Meta()
            version = meta.resource_version or ""
            key = Key(self.kind, meta.namespace or "", meta.name)
            self.refused.append(Refusal(key, version, str(error)))
        self.version = version or self.version

    def chunk(self, *, listing: bool, begin: bool = False, complete: bool = False) -> WatchChunk:
        """The collected events; the next chunk begins."""
        out = WatchChunk(
            tuple(self.events), tuple(self.refused), self.version, listing, begin, complete
        )
        self.events, self.refused, self.version = [], [], ""
        return out


# ---------------------------------------------------------------------------------------
# The generators.


async def watch(
    list_watch: ListWatch, version: str, *, verify: bool = False
) -> AsyncGenerator[WatchChunk, None]:
    """One stream, from `version` on; without a version, WatchList: first everything that exists.

    The first chunk is empty and means that the stream is open. Ends when the server ends the
    stream. Raises ApiError for an ERROR event, and the errors of `Client.lines`.

    `verify`: the version is of an earlier run. Raises ApiError 410 if the server has not reached
    it. The list for that does not use version 0: this would be cheaper for etcd, but the cache of
    the server ignores `limit` and would send everything.
    """
    client, timing, scope = list_watch.client, list_watch.client.timing, list_watch.scope
    if verify:
        page = await client.fetch(scope.path, List, scope.params | {"limit": "1"})
        current = page.metadata.resource_version or ""
        if version.isdigit() and current.isdigit() and int(current) < int(version):
            raise ApiError(410, f"version {version} is in the future, the server is at {current}")
    listing = not version
    params = scope.params | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(max(1, int(timing.watch * (1 + list_watch.rng.random())))),
    }
    if listing:
        params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    else:
        params["resourceVersion"] = version
    stream = _Stream(scope.resource.name, listing)
    lines = client.lines(
        scope.path, params, lambda: timing.end_mark if stream.listing else timing.idle
    )
    connected = False
    async with aclosing(lines) as pieces:
        async for piece in pieces:
            if not piece:
                yield WatchChunk(
                    quiet=connected, listing=stream.listing, begin=listing and not connected
                )
                connected = True
            for start in range(0, len(piece), CHUNK):
                for chunk in stream.take(piece[start : start + CHUNK]):
                    yield chunk
                if stream.error:
                    raise stream.error


class _Stream(_Batcher):
    """Turns the lines of one watch into chunks. `listing`: the initial events are not complete."""

    __slots__ = ("error", "listing")

    def __init__(self, kind: str, listing: bool) -> None:
        super().__init__(kind)
        self.listing = listing
        self.error: KubeError | None = None

    def take(self, lines: list[bytes]) -> list[WatchChunk]:
        """The chunks of these lines. `error` is set if a line ends the stream."""
        out: list[WatchChunk] = []
        for line in lines:
            try:
                event = _EVENT.decode(line)
                self._event(event, out)
            except NOT_JSON as error:
                self.error = Unreachable(f"the stream of {self.kind} is not JSON: {error}")
            if self.error:
                break
        if self.events or self.refused or self.version:
            out.append(self.chunk(listing=self.listing))
        return out

    def _event(self, event: _WatchEvent, out: list[WatchChunk]) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self.add(event.object)
            return
        if event.type == "ERROR":
            self.error = api_error(event.object)
            return
        meta = _META.decode(event.object).metadata
        self.version = meta.resource_version or self.version
        if event.type == "DELETED":
            self.events.append(Key(self.kind, meta.namespace or "", meta.name))
        elif event.type == "BOOKMARK" and self.listing:
            if INITIAL_END not in (meta.annotations or {}):
                # The server takes the request for a plain watch.
                self.error = NoEndMark(f"{self.kind}: a bookmark precedes the end mark")
                return
            out.append(self.chunk(listing=True, complete=True))
            self.listing = False


class NoEndMark(Unreachable):
    """The server does not support WatchList, and ignores the request instead of refusing it."""


async def pages(list_watch: ListWatch) -> AsyncGenerator[WatchChunk, None]:
    """Everything that exists, page by page, consistent at the version of the last chunk.

    Raises ApiError for a `continue` token that has expired (410): begin again.
    """
    scope, batcher = list_watch.scope, _Batcher(list_watch.scope.resource.name)
    version, token, begin = "", "", True
    while True:
        params = scope.params
        if list_watch.page_size:
            params["limit"] = str(list_watch.page_size)
        if token:
            params["continue"] = token
        limit = MAX_PAGE if list_watch.page_size else MAX_WHOLE
        page = await list_watch.client.fetch(scope.path, List, params, limit=limit)
        token = page.metadata.continue_ or ""
        version = page.metadata.resource_version or version
        items = page.items or []
        del page
        for start in range(0, len(items) or 1, CHUNK):
            for item in items[start : start + CHUNK]:
                batcher.add(item)
            last = not token and start + CHUNK >= len(items)
            batcher.version = version if last else ""
            yield batcher.chunk(listing=True, begin=begin, complete=last)
            begin = False
        if not token:
            return


async def whole(list_watch: ListWatch) -> AsyncGenerator[WatchChunk, None]:
    """`pages`, begun again if its `continue` token expires; the third time in one piece.

    A cluster that changes faster than its pages are read would otherwise never be listed. The
    documentation of the API recommends this.
    """
    for attempt in range(3):
        paged = list_watch if attempt < 2 else msgspec.structs.replace(list_watch, page_size=0)
        try:
            async with aclosing(pages(paged)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except ApiError as error:
            if not error.expired or attempt == 2:
                raise


async def listing(list_watch: ListWatch) -> AsyncGenerator[WatchChunk, None]:
    """Everything that exists and, if the server supports WatchList, the events after that."""
    if list_watch.watch_list:
        initial = True
        try:
            async with aclosing(watch(list_watch, "")) as chunks:
                async for chunk in chunks:
                    initial = initial and not chunk.complete
                    yield chunk
        except (ApiError, NoEndMark, Silent) as error:
            if not initial or not _refuses_watch_list(error):
                raise
            list_watch.watch_list = False
        if not initial:
            return
    async with aclosing(whole(list_watch)) as chunks:
        async for chunk in chunks:
            yield chunk


def _refuses_watch_list(error: KubeError) -> bool:
    """Whether the server does not support WatchList: 400, 422, an in-stream 500, or silence."""
    if isinstance(error, ApiError):
        return error.status in (400, 422) or (error.in_stream and error.status == 500)
    return True


async def reflect(
    list_watch: ListWatch, version: str = ""
) -> AsyncGenerator[WatchChunk | Retry, None]:
    """Without end: from `version` on, or from a listing. Each error is yielded as a Retry.

    A missing resource is an error when each of its versions has been tried. Raises only
    cancellation.
    """
    failures = 0  # in a row: the basis of the backoff
    empty = 0  # streams in a row that ended without data
    unverified = bool(version)  # the version is not from this server
    untried = -1  # versions left in a round through all, if the resource is missing
    while True:
        resumed = bool(version)
        live_since = time.monotonic() if resumed else math.inf
        error: KubeError | None = None
        connected = has_data = complete = False
        steps = watch(list_watch, version, verify=unverified) if resumed else listing(list_watch)
        try:
            async with aclosing(steps) as chunks:
                async for chunk in chunks:
                    connected, unverified = True, False
                    has_data = has_data or chunk.has_data
                    if chunk.complete:
                        complete, live_since = True, time.monotonic()
                    if not chunk.listing or chunk.complete:
                        version = chunk.version or version
                    yield chunk
        except (ApiError, Unreachable) as problem:
            error = problem
        brief = time.monotonic() - live_since < list_watch.client.timing.brief
        if complete and error is None:
            failures *= brief
            continue  # listed: now watch from its version on
        if isinstance(error, ApiError) and error.status == 404:
            version, list_watch.scope = "", next_version(list_watch.scope)
            untried = len(list_watch.scope.resource.older) if untried < 0 else untried - 1
            if untried > 0:
                continue
        untried = -1
        progress = has_data and (resumed or complete)
        if not brief and (progress or error is None):
            failures = 0 if error is None else 1
        else:
            failures = 1 if progress else failures + 1
        expired = isinstance(error, ApiError) and error.expired
        if resumed and connected:
            # Only streams that ended at once count: a proxy may end a stream that is quiet for a
            # while. A silence without even bookmarks decides at once.
            empty = empty + 1 if brief and not has_data else 0
            silent = isinstance(error, Silent) or empty >= list_watch.client.timing.empty_ends
            expired |= silent and not has_data
        if expired:
            version, empty = "", 0
        delay = _delay(list_watch, failures, error)
        if error is not None:
            yield Retry(error, delay)
        await asyncio.sleep(delay)


def _delay(list_watch: ListWatch, failures: int, error: KubeError | None) -> float:
    """Seconds until the next attempt: exponential, jittered, bounded, and at least Retry-After."""
    timing, delay = list_watch.client.timing, 0.0
    if failures:
        delay = min(timing.backoff * 2 ** min(failures - 1, 16), timing.backoff_max)
        delay *= 0.5 + list_watch.rng.random() / 2
    return max(delay, error.retry_after if isinstance(error, ApiError) else 0.0)
