"""The queries of this moment: samples of the workers, counted and sent to live streams.

In `admin/` (control plane: the HTTP API). Change here: top lists and live queries.

Workers sample up to `query_samples` queries per second at all times; the top lists count these. An
open live stream raises the rate. A stream that filters by name makes the workers look for that name
in all queries, so it also finds a rare name. Counters, listeners, and queues are bounded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Annotated

from msgspec import Meta, Struct

from dnsd.admin.listeners import Listener, Listeners
from dnsd.dns.addresses import address_text
from dnsd.dns.message import Rcode
from dnsd.dns.names import Name, text_of
from dnsd.dns.types import type_text
from dnsd.observe.histogram import ANSWER_BOUNDS, Histogram
from dnsd.observe.tap import DROPPED, FORWARDED, Sample, Samples
from dnsd.observe.topk import Window
from dnsd.transport.registry import name_of

STREAM_RATE = 1000  # samples per second and worker while a stream has no filter by name
MAX_LISTENERS = 16
_QUEUE = 2000  # queries in the queue of one listener
_MAX_PATTERNS = 8
_MIN_PATTERN = 3  # characters; a shorter text occurs in too many names
_CAPACITY = 256  # guaranteed counters of a slot; a slot holds up to twice as many
_TICK = 10.0  # seconds between two readings of the number of queries
_RCODES: dict[int, str] = {one: one.name for one in Rcode}
_RCODES |= {FORWARDED: "UPSTREAM", DROPPED: "DROPPED"}
WINDOWS = {"1m": (6, 10.0), "10m": (10, 60.0)}
DIMENSIONS = ("names", "clients", "nxdomains", "types")


class Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """The filter of a stream; empty matches all queries. `client`: an address or a network.

    `name`: part of a name; `rcode`: a response code.
    """

    name: Annotated[str, Meta(max_length=255)] = ""
    client: Annotated[str, Meta(max_length=60)] = ""
    rcode: Annotated[str, Meta(max_length=20)] = ""
    type: Annotated[str, Meta(max_length=20)] = ""


class Query(Struct, frozen=True):
    """One sampled query as text. `took_us`: microseconds that the engine took for its batch."""

    at: float
    name: str
    type: str
    client: str
    rcode: str
    over: str
    took_us: float


class QueryListener(Listener[Query]):
    """A live stream: the queries that match its filter."""

    def __init__(self, wanted: Filter) -> None:
        """Raises ValueError if the filter's client is not an address or a network."""
        super().__init__(_QUEUE)
        self._wanted = wanted
        self._network = ip_network(wanted.client, strict=False) if wanted.client else None
        self._name = wanted.name.lower().rstrip(".")

    @property
    def pattern(self) -> bytes:
        """The longest label of the wanted name, which its question contains; b"" for none."""
        longest = max(self._name.split("."), key=len)
        return longest.encode("ascii", "replace") if len(longest) >= _MIN_PATTERN else b""

    def offer(self, item: Query) -> None:
        wanted = self._wanted
        if (
            (not self._name or self._name in item.name.rstrip(".").lower())
            and wanted.rcode.upper() in ("", item.rcode)
            and wanted.type.upper() in ("", item.type)
            and (not self._network or self._in_network(item.client))
        ):
            super().offer(item)

    def _in_network(self, client: str) -> bool:
        return bool(client) and self._network is not None and ip_address(client) in self._network


class Live:
    """Samples in; top lists, a histogram, and live streams out.

    `watch(rate, patterns)` configures the workers; `queries()` is the total number of queries.
    """

    def __init__(
        self,
        base_rate: int,
        watch: Callable[[int, tuple[bytes, ...]], None],
        queries: Callable[[], int],
    ) -> None:
        self.base_rate = base_rate
        self.rate = base_rate  # samples per second and worker, as configured now
        self.samples = 0
        self.answer_seconds = Histogram(ANSWER_BOUNDS)
        self.listeners: Listeners[QueryListener] = Listeners(MAX_LISTENERS)
        self._watch, self._queries = watch, queries
        self._windows: Mapping[str, Mapping[str, Window[bytes]]] = {
            window: {one: Window(*shape, _CAPACITY) for one in DIMENSIONS}
            for window, shape in WINDOWS.items()
        }
        # Readings: time.monotonic() seconds, queries, samples.
        self._totals: deque[tuple[float, int, int]] = deque(maxlen=70)

    def start(self) -> None:
        """Make the workers sample from now on."""
        self._tick(time.monotonic())
        self._configure()

    def take(self, bundle: Samples) -> None:
        """Count the samples of a worker, and offer them to the streams."""
        now = time.monotonic()
        for sample in bundle.samples:
            self._count(sample, now)
        self._tick(now)
        if self.listeners:
            at = time.time()
            for sample in bundle.samples:
                query = in_text(sample, at)
                for listener in self.listeners:
                    listener.offer(query)

    def _count(self, sample: Sample, now: float) -> None:
        self.samples += 1
        if sample.found or not sample.question:
            return  # selected by its name: counting it would bias the estimates
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
    def listening(self, wanted: Filter) -> Iterator[QueryListener]:
        """A stream for as long as the context lasts. Raises TooManyListeners, ValueError."""
        try:
            with self.listeners.added(QueryListener(wanted)) as listener:
                self._configure()
                yield listener
        finally:
            self._configure()

    def _configure(self) -> None:
        patterns = {one.pattern for one in self.listeners}
        everything = b"" in patterns or len(patterns) > _MAX_PATTERNS
        self.rate = max(self.base_rate, STREAM_RATE if everything else 0)
        self._watch(self.rate, () if everything else tuple(sorted(patterns)))

    # -- top ---------------------------------------------------------------------------------

    def top(self, window: str, dimension: str, k: int) -> list[dict[str, object]]:
        """The most frequent items: item, samples, error, and estimated number of queries."""
        one_in = self.one_in(window)
        show = {"clients": _client, "types": _type}.get(dimension, text_of)
        return [
            {
                "item": show(item),
                "samples": times,
                "error": error,
                "estimate": round(times * one_in),
            }
            for item, times, error in self._windows[window][dimension].top(k, time.monotonic())
        ]

    def one_in(self, window: str) -> float:
        """The number of queries per sample in this window."""
        slots, seconds = WINDOWS[window]
        begin = time.monotonic() - slots * seconds
        since = next((one for one in self._totals if one[0] >= begin), None)
        if since is None:
            return 1.0
        queries, samples = self._queries() - since[1], self.samples - since[2]
        return max(1.0, queries / samples) if samples else 1.0

    def query_counts(self) -> Callable[[Name], int]:
        """The estimated number of queries for a name in the last ten minutes; 0 for few."""
        one_in = self.one_in("10m")
        counts = self._windows["10m"]["names"].top(100_000, time.monotonic())
        found = {name: round((times - error) * one_in) for name, times, error in counts}
        return lambda name: found.get(name, 0)


def in_text(sample: Sample, at: float) -> Query:
    """A sample as text. `at`: seconds since the epoch."""
    question = sample.question
    return Query(
        at=round(at, 3),
        name=text_of(question[:-4]) if question else "",
        type=_type(question[-4:-2]) if question else "",
        client=_client(sample.client),
        rcode=_RCODES.get(sample.rcode, str(sample.rcode)),
        over=name_of(sample.transport),
        took_us=round(sample.took * 1e6, 1),
    )


def _type(wire: bytes) -> str:
    return type_text(int.from_bytes(wire, "big"))


def _client(packed: bytes) -> str:
    return address_text(packed) if packed else ""
