"""One kind of object, followed: list, watch, reconnect, relist, for ever.

A ladder of small generators, each standing on the one below and knowing one thing:

    reflect    for ever: from a version or from nothing, through every error, with backoff
    listing    everything there is: WatchList where the server can, else pages
    pages      a list, page by page                 watch    one stream, until it ends
    decode     lines -> objects, Keys, versions
    kubeclient bytes

What climbs it is a `WatchChunk`: a few objects that are, Keys of objects that are gone, and the
resourceVersion up to which everything has been said. Objects of a listing are marked; its
last `WatchChunk` is `complete`, and what was not named between `begin` and `complete` no longer
exists. Whoever consumes compares with what it has (`kubernetes.py`), so a listing may be
broken off and begun again, and an object may be said twice.

When is a version no longer good? When the server says 410, as HTTP status or as an ERROR
event in a stream of status 200; and when several streams in a row ended at once and without
a word, because a server that was restored from a backup answers a version from its future
with 200 and silence. So a version of an earlier run is compared with the server's before it
is resumed from: a list of one object has it. Every other end of a stream resumes where it
left off.

An object that DNS cannot use is a `Refusal`: reported, and never the end of a stream.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import Struct

from dnsd.cluster.objects import BadObject, Event, Key, Object, from_json
from dnsd.sources.kubernetes.client import (
    MAX_PAGE,
    NOT_JSON,
    ApiError,
    Client,
    Silent,
    Unreachable,
    api_error,
)
from dnsd.sources.kubernetes.credentials import KubeError
from dnsd.sources.kubernetes.scope import Scope, next_version

INITIAL_END = "k8s.io/initial-events-end"
MAX_WHOLE = 8 * MAX_PAGE  # a list in one piece, the last resort of `whole`
# Objects that are said at once. The control loop breathes after each run, and of a listing no
# more objects than these are unpacked at a time: 50 are about 150 KB.
RUN = 50


class Refusal(Struct, frozen=True):
    """An object that is there and cannot be used; `key` as far as it could be read."""

    key: Key
    version: str
    problem: str


class WatchChunk(Struct, frozen=True):
    """What the server said in one breath; see the module's text."""

    events: tuple[Event, ...] = ()
    refused: tuple[Refusal, ...] = ()
    version: str = ""  # "": as before
    listing: bool = False
    begin: bool = False
    complete: bool = False
    quiet: bool = False  # connected, and nothing more to say for now

    @property
    def opening(self) -> bool:
        """Whether a stream or list has just been opened."""
        return self.begin or not (self.word or self.quiet)

    @property
    def word(self) -> bool:
        """Whether the server said anything, or only opened a stream."""
        return bool(self.events or self.refused or self.version or self.complete)


class Retry(Struct, frozen=True):
    """The last try failed with `error`; the next one is `delay` seconds away."""

    error: KubeError
    delay: float


class ListWatch(Struct):
    """What every rung needs: the server, what to follow, and what was learned about it."""

    client: Client
    scope: Scope
    page_size: int = 500
    watch_list: bool = True  # until the server says that it cannot
    rng: random.Random = msgspec.field(default_factory=random.Random)


# ---------------------------------------------------------------------------------------
# decode: bytes -> Said. Only our fields are looked at; the object stays raw bytes until its
# kind's decoder takes it.


class _Meta(Struct, rename="camel"):
    name: str = ""
    namespace: str | None = None
    resource_version: str | None = None
    annotations: dict[str, str] | None = None


class _OnlyMeta(Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _WatchEvent(Struct):
    type: str
    object: msgspec.Raw


class _ListMeta(Struct, rename="camel"):
    resource_version: str | None = None
    continue_: str | None = msgspec.field(name="continue", default=None)


class _List(Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


_EVENT = msgspec.json.Decoder(_WatchEvent)
_META = msgspec.json.Decoder(_OnlyMeta)
_LIST = msgspec.json.Decoder(_List)


def _object(kind: str, data: msgspec.Raw) -> Object | Refusal:
    """The stripped object; a Refusal with as much of its name as can be read."""
    try:
        return from_json(kind, data)[0]
    except (BadObject, *NOT_JSON) as error:
        problem = str(error)
    try:
        meta = _META.decode(data).metadata
    except NOT_JSON:
        meta = _Meta()
    key = Key(kind, meta.namespace or "", meta.name)
    return Refusal(key, meta.resource_version or "", problem)


class _Batcher:
    """Collects one Said."""

    __slots__ = ("events", "refused", "version")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.refused: list[Refusal] = []
        self.version = ""

    def add(self, kind: str, data: msgspec.Raw) -> None:
        one = _object(kind, data)
        if isinstance(one, Refusal):
            self.refused.append(one)
        else:
            self.events.append(one)
        self.version = one.version or self.version

    def chunk(self, *, listing: bool, begin: bool = False, complete: bool = False) -> WatchChunk:
        out = WatchChunk(
            tuple(self.events), tuple(self.refused), self.version, listing, begin, complete
        )
        self.events, self.refused, self.version = [], [], ""
        return out


# ---------------------------------------------------------------------------------------
# The rungs.


async def watch(list_watch: ListWatch, version: str) -> AsyncGenerator[WatchChunk, None]:
    """One stream, from `version` on, or (`""`) with everything that is first (WatchList).

    The first Said is empty and means: connected. Ends when the server ends the stream;
    raises ApiError for an ERROR event, and what `Client.lines` raises.
    """
    timing = list_watch.client.timing
    listing = not version
    params = list_watch.scope.params | {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(max(1, int(timing.watch * (1 + list_watch.rng.random())))),
    }
    if listing:
        params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    else:
        params["resourceVersion"] = version
    state = _Stream(list_watch.scope.resource.name, listing)
    lines = list_watch.client.lines(
        list_watch.scope.path, params, lambda: timing.end_mark if state.listing else timing.idle
    )
    connected = False
    async with aclosing(lines) as pieces:
        async for piece in pieces:
            if not piece:
                yield WatchChunk(
                    quiet=connected, listing=state.listing, begin=listing and not connected
                )
                connected = True
            for start in range(0, len(piece), RUN):
                for chunk in state.take(piece[start : start + RUN]):
                    yield chunk
                if state.error:
                    raise state.error


class _Stream:
    """The lines of one watch -> Saids; knows whether the initial events are over."""

    __slots__ = ("batcher", "error", "kind", "listing")

    def __init__(self, kind: str, listing: bool) -> None:
        self.kind, self.listing = kind, listing
        self.batcher = _Batcher()
        self.error: KubeError | None = None

    def take(self, lines: list[bytes]) -> list[WatchChunk]:
        """What the lines say; `error` is set when one ends the stream."""
        out: list[WatchChunk] = []
        for line in lines:
            try:
                event = _EVENT.decode(line)
                self._event(event, out)
            except NOT_JSON as error:
                self.error = Unreachable(f"the stream of {self.kind} is not JSON: {error}")
            if self.error:
                break
        if self.batcher.events or self.batcher.refused or self.batcher.version:
            out.append(self.batcher.chunk(listing=self.listing))
        return out

    def _event(self, event: _WatchEvent, out: list[WatchChunk]) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self.batcher.add(self.kind, event.object)
            return
        if event.type == "ERROR":
            self.error = api_error(event.object)
            return
        meta = _META.decode(event.object).metadata
        self.batcher.version = meta.resource_version or self.batcher.version
        if event.type == "DELETED":
            self.batcher.events.append(Key(self.kind, meta.namespace or "", meta.name))
        elif event.type == "BOOKMARK" and self.listing:
            if INITIAL_END not in (meta.annotations or {}):
                # A bookmark before the end mark: the server took this for a plain watch.
                self.error = NoEndMark(f"{self.kind}: a bookmark without the end mark came first")
                return
            out.append(self.batcher.chunk(listing=True, complete=True))
            self.listing = False


class NoEndMark(Unreachable):
    """The server does not know WatchList, and ignored the wish instead of refusing it."""


async def _page(list_watch: ListWatch, params: dict[str, str], limit: int = MAX_PAGE) -> _List:
    """One page of a list; its items keep the body alive as long as they need it."""
    body = await list_watch.client.page(list_watch.scope.path, params, limit)
    try:
        return _LIST.decode(body)
    except NOT_JSON as error:
        raise Unreachable(
            f"{list_watch.client.host}{list_watch.scope.path}: no list: {error}"
        ) from error


async def pages(list_watch: ListWatch) -> AsyncGenerator[WatchChunk, None]:
    """Everything there is, page by page; consistent, of the version of the last Said.

    A `continue` that expired (410) is raised: begin again.
    """
    version, token, begin = "", "", True
    while True:
        params = list_watch.scope.params
        if list_watch.page_size:
            params["limit"] = str(list_watch.page_size)
        if token:
            params["continue"] = token
        page = await _page(list_watch, params, MAX_PAGE if list_watch.page_size else MAX_WHOLE)
        token = page.metadata.continue_ or ""
        version = page.metadata.resource_version or version
        items = page.items or []
        del page
        while True:
            batcher = _Batcher()
            for item in items[:RUN]:
                batcher.add(list_watch.scope.resource.name, item)
            del items[:RUN]
            last = not items and not token
            batcher.version = version if last else ""
            yield batcher.chunk(listing=True, begin=begin, complete=last)
            begin = False
            if not items:
                break
        if not token:
            return


async def whole(list_watch: ListWatch) -> AsyncGenerator[WatchChunk, None]:
    """`pages`, begun again when its `continue` expires; the third time without pages.

    A cluster that changes faster than it can be paged through is listed in one piece, as
    the API's documentation recommends, rather than never.
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
    """Everything there is, and, where the server can WatchList, what happens then."""
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
    """Whether the server cannot, or will not, do WatchList: 400, 422, in-stream 500, silence."""
    if isinstance(error, ApiError):
        return error.status in (400, 422) or (error.in_stream and error.status == 500)
    return True


async def resuming(list_watch: ListWatch, version: str) -> AsyncGenerator[WatchChunk, None]:
    """`watch` from the version of an earlier run, if the server has ever been there.

    Raises ApiError 410 when it has not. The list is not of version 0, which would be cheaper
    for etcd and come whole: a server's cache does not heed `limit`.
    """
    page = await _page(list_watch, list_watch.scope.params | {"limit": "1"})
    reached = page.metadata.resource_version or ""
    if version.isdigit() and reached.isdigit() and int(reached) < int(version):
        raise ApiError(410, f"version {version} is of the future, the server is at {reached}")
    async with aclosing(watch(list_watch, version)) as chunks:
        async for chunk in chunks:
            yield chunk


async def reflect(
    list_watch: ListWatch, version: str = ""
) -> AsyncGenerator[WatchChunk | Retry, None]:
    """For ever: from `version` on, or from a listing. Errors are said as Trouble, and mended.

    That a resource is not there is an error once each of its versions has been tried.

    Raises nothing but cancellation.
    """
    record = _Record()
    foreign = bool(version)  # not heard from this server yet
    untried = -1  # versions left of a round through all, when the resource was not there
    while True:
        resumed = bool(version)
        live = time.monotonic() if resumed else math.inf  # since when this is a watch
        error: KubeError | None = None
        connected = word = complete = False
        if resumed:
            rung = resuming(list_watch, version) if foreign else watch(list_watch, version)
        else:
            rung = listing(list_watch)
        try:
            async with aclosing(rung) as chunks:
                async for chunk in chunks:
                    connected, word, foreign = True, word or chunk.word, False
                    if chunk.complete:
                        complete, live = True, time.monotonic()
                    if not chunk.listing or chunk.complete:
                        version = chunk.version or version
                    yield chunk
        except (ApiError, Unreachable) as problem:
            error = problem
        brief = time.monotonic() - live < list_watch.client.timing.brief
        if complete and error is None:
            record.failures *= brief
            continue  # listed: now watch, from its version on
        if isinstance(error, ApiError) and error.status == 404:
            version, list_watch.scope = "", next_version(list_watch.scope)
            untried = len(list_watch.scope.resource.older) if untried < 0 else untried - 1
            if untried > 0:
                continue
        untried = -1
        record.ended(error, word=word and (resumed or complete), brief=brief)
        expired = isinstance(error, ApiError) and error.expired
        if resumed and connected:
            expired |= record.wordless(error, word, brief, list_watch.client.timing.empty_ends)
        if expired:
            version, record.empty = "", 0
        delay = _delay(list_watch, record.failures, error)
        if error is not None:
            yield Retry(error, delay)
        await asyncio.sleep(delay)


class _Record:
    """How the last tries went: what backoff and patience are reckoned from."""

    __slots__ = ("empty", "failures")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.empty = 0  # streams in a row that ended without a word

    def ended(self, error: KubeError | None, *, word: bool, brief: bool) -> None:
        if not brief and (word or error is None):
            self.failures = 0 if error is None else 1
        else:
            self.failures = 1 if word else self.failures + 1

    def wordless(self, error: KubeError | None, word: bool, brief: bool, patience: int) -> bool:
        """Whether so many streams ended without a word that their version must be wrong.

        Only those that ended at once count: a proxy may end what is quiet for a while. A
        silence in which even bookmarks stayed away decides at once.
        """
        self.empty = self.empty + 1 if brief and not word else 0
        return not word and (isinstance(error, Silent) or self.empty >= patience)


def _delay(list_watch: ListWatch, failures: int, error: KubeError | None) -> float:
    """Seconds until the next try: jittered, exponential, bounded, and what the server asks."""
    timing = list_watch.client.timing
    delay = 0.0
    if failures:
        exponent = min(failures - 1, 16)
        delay = min(timing.backoff * 2**exponent, timing.backoff_max)
        delay *= 0.5 + list_watch.rng.random() / 2
    if isinstance(error, ApiError):
        delay = max(delay, error.retry_after)
    return delay
