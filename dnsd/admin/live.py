"""What is asked right now: the workers' samples, counted and passed on to who listens.

Workers sample a few queries a second all the time (`query_samples`), which is what "top" is
made of. A live stream raises the rate for as long as it is open; one that filters by name
has the workers look for that name in all queries, so that it sees a rare one among many.
Everything here is bounded: counters, listeners, and the queue of each of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

from msgspec import Struct

from dnsd.dns.addresses import address_text
from dnsd.dns.names import Name, text_of
from dnsd.dns.types import type_text
from dnsd.observe.histogram import ANSWER_BOUNDS, Histogram
from dnsd.observe.topk import Window
from dnsd.transport.registry import name_of
from dnsd.worker.messages import DROPPED, FORWARDED, Sample, Samples

STREAM_RATE = 1000  # samples a second and worker while somebody listens to all queries
MAX_LISTENERS = 16
_QUEUE = 2000  # queries that wait for one listener
_MAX_NEEDLES = 8
_LEAST_NEEDLE = 3  # letters; what is shorter is everywhere
_CAPACITY = 256  # counters a slot of the windows may keep twice of
_TICK = 10.0  # seconds between two looks at how many queries there were
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_RCODES |= {FORWARDED: "UPSTREAM", DROPPED: "DROPPED"}
WINDOWS = {"1m": (6, 10.0), "10m": (10, 60.0)}
DIMENSIONS = ("names", "clients", "nxdomains", "types")


class Filter(Struct, frozen=True):
    """What a listener wants; empty: everything. `client`: an address or a network."""

    name: str = ""
    client: str = ""
    rcode: str = ""
    type: str = ""

    def check(self) -> None:
        """Raises ValueError for a client that is no network."""
        if self.client:
            ip_network(self.client, strict=False)


class Query(Struct, frozen=True):
    """One sampled query in text. `took_us`: microseconds in the engine, of its batch."""

    at: float
    name: str
    type: str
    client: str
    rcode: str
    over: str
    took_us: float


class Listener:
    """One live stream. `lost`: queries that it was too slow for."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.lost = 0
        self._network = ip_network(wanted.client, strict=False) if wanted.client else None
        self._name = wanted.name.lower().rstrip(".")
        self._queue: asyncio.Queue[Query] = asyncio.Queue(_QUEUE)

    @property
    def needle(self) -> bytes:
        """The longest label of the wanted name: what its question must hold. Can be empty."""
        longest = max(self._name.split("."), key=len)
        return longest.encode("ascii", "replace") if len(longest) >= _LEAST_NEEDLE else b""

    def offer(self, query: Query) -> None:
        wanted = self.wanted
        if self._name and self._name not in query.name.rstrip(".").lower():
            return
        if wanted.rcode and wanted.rcode.upper() != query.rcode:
            return
        if wanted.type and wanted.type.upper() != query.type:
            return
        if self._network and (not query.client or ip_address(query.client) not in self._network):
            return
        try:
            self._queue.put_nowait(query)
        except asyncio.QueueFull:
            self.lost += 1

    async def next(self) -> Query:
        """The next query."""
        return await self._queue.get()

    def waiting(self) -> list[Query]:
        """What else is there already."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]


class TooManyListeners(Exception):
    """No further stream may be opened now."""


class Live:
    """Samples in; top-K, a histogram and live streams out.

    `watch(rate, needles)` tells the workers; `queries()` is how many there were in all.
    """

    def __init__(
        self,
        base_rate: int,
        watch: Callable[[int, tuple[bytes, ...]], None],
        queries: Callable[[], int],
    ) -> None:
        self.base_rate = base_rate
        self.samples = self.dropped = 0
        self.answer_seconds = Histogram(ANSWER_BOUNDS)
        self.listeners: set[Listener] = set()
        self._watch, self._queries = watch, queries
        self._windows: Mapping[str, Mapping[str, Window[bytes]]] = {
            window: {one: Window(*shape, _CAPACITY) for one in DIMENSIONS}
            for window, shape in WINDOWS.items()
        }
        self._totals: deque[tuple[float, int, int]] = deque(maxlen=70)  # at, queries, samples

    def start(self) -> None:
        """Has the workers sample from now on."""
        self._tick(time.monotonic())
        self._order()

    def take(self, bundle: Samples) -> None:
        """Takes a bundle of a worker."""
        now, at = time.monotonic(), time.time()
        for sample in bundle.samples:
            self._count(sample, now)
        self._tick(now)
        if self.listeners:
            for sample in bundle.samples:
                query = in_text(sample, at)
                for listener in self.listeners:
                    listener.offer(query)

    def _count(self, sample: Sample, now: float) -> None:
        self.samples += 1
        if sample.found or not sample.question:
            return  # chosen by its name: it would count double
        self.answer_seconds.add(sample.took)
        name, kind = sample.question[:-4].lower(), sample.question[-4:-2]
        for windows in self._windows.values():
            windows["names"].add(name, now)
            windows["types"].add(kind, now)
            if sample.client:
                windows["clients"].add(sample.client, now)
            if sample.rcode == 3:
                windows["nxdomains"].add(name, now)

    def _tick(self, now: float) -> None:
        if not self._totals or now >= self._totals[-1][0] + _TICK:
            self._totals.append((now, self._queries(), self.samples))

    # -- streams -----------------------------------------------------------------------------

    @contextmanager
    def listening(self, wanted: Filter) -> Iterator[Listener]:
        """A listener, for as long as the context lasts. Raises TooManyListeners."""
        if len(self.listeners) >= MAX_LISTENERS:
            raise TooManyListeners(f"{MAX_LISTENERS} streams are open already")
        listener = Listener(wanted)
        self.listeners.add(listener)
        self._order()
        try:
            yield listener
        finally:
            self.listeners.discard(listener)
            self._order()

    @property
    def rate(self) -> int:
        """Samples a second and worker at most, as ordered now."""
        return self._rate

    def _order(self) -> None:
        needles = {one.needle for one in self.listeners}
        everything = b"" in needles or len(needles) > _MAX_NEEDLES
        self._rate = max(self.base_rate, STREAM_RATE if everything else 0)
        chosen = () if everything else tuple(sorted(needles))
        self._watch(self._rate, chosen)

    # -- top ---------------------------------------------------------------------------------

    def top(self, window: str, dimension: str, k: int) -> list[dict[str, object]]:
        """The most frequent ones: item, samples, error, and an estimate of all queries."""
        now = time.monotonic()
        one_in = self.one_in(window)
        show = {"clients": _client, "types": _type}.get(dimension, _name)
        return [
            {
                "item": show(item),
                "samples": times,
                "error": error,
                "estimate": round(times * one_in),
            }
            for item, times, error in self._windows[window][dimension].top(k, now)
        ]

    def one_in(self, window: str) -> float:
        """How many queries there are for one that was sampled, in this window."""
        now = time.monotonic()
        slots, seconds = WINDOWS[window]
        begin = now - slots * seconds
        since = next((one for one in self._totals if one[0] >= begin), None)
        if since is None:
            return 1.0
        queries, samples = self._queries() - since[1], self.samples - since[2]
        return max(1.0, queries / samples) if samples else 1.0

    def asked(self) -> Callable[[Name], int]:
        """About how many questions each name got in the last ten minutes, 0 for few."""
        one_in = self.one_in("10m")
        counts = self._windows["10m"]["names"].top(100_000, time.monotonic())
        found = {name: round((times - error) * one_in) for name, times, error in counts}
        return lambda name: found.get(name, 0)


def in_text(sample: Sample, at: float) -> Query:
    """A sample as it is shown."""
    question = sample.question
    return Query(
        at=round(at, 3),
        name=_name(question[:-4]) if question else "",
        type=_type(question[-4:-2]) if question else "",
        client=_client(sample.client),
        rcode=_RCODES.get(sample.rcode, str(sample.rcode)),
        over=name_of(sample.transport),
        took_us=round(sample.took * 1e6, 1),
    )


def _name(wire: bytes) -> str:
    return text_of(wire)


def _type(wire: bytes) -> str:
    return type_text(int.from_bytes(wire, "big"))


def _client(packed: bytes) -> str:
    return address_text(packed) if packed else ""


async def bundles(listener: Listener, beat: float) -> AsyncIterator[list[Query]]:
    """What the listener gets, several at once when there are; an empty list every `beat`."""
    while True:
        try:
            async with asyncio.timeout(beat):
                first = await listener.next()
        except TimeoutError:
            yield []
            continue
        yield [first, *listener.waiting()]
