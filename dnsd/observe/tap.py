"""The query tap: a stage that samples queries, and is out of the path when it has nothing to do.

In `observe/` (metrics, history, samples). Change here: which queries are sampled, and what a
sample contains.

Without an order to watch, the transports call the next stage and the tap is not in the path. With
an order, it inserts itself before that stage: it looks at a batch, takes what its budget allows,
and removes itself until the budget has grown again. So it samples every query at a low rate, and
about `rate` queries a second at a high one; the other queries never pass through it.

`patterns` are octets in lower case. A query that contains one is sampled at any rate. While there
are patterns, the tap stays in the path and searches each batch with one call for each pattern.
The queries that it finds have a budget of their own.

Samples go to the control process in bundles. A bundle that it does not take is dropped and
counted, never queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Protocol

from msgspec import Struct

from dnsd.answer.outcome import Outcome
from dnsd.answer.stages import Stage
from dnsd.answer.transport import Transport
from dnsd.dns.message import HEADER, Malformed, question_end
from dnsd.transport.answering import Answering

_BUNDLE = 100  # samples sent together at most
_WAIT = 0.1  # seconds that a sample waits for others at most
_PATTERN_RATE = 500  # samples a second that patterns may select
_BURST = 0.1  # seconds of a rate that may be used at once
_MIN_BURST = 8  # samples
_PER_BATCH = 8  # samples of one batch at most, so that they spread over time

FORWARDED, DROPPED = 254, 255  # instead of a response code


class Watch(Struct, frozen=True, tag="watch"):
    """The order to sample: `rate` queries a second at most, and those that contain a pattern.

    Rate 0 without patterns stops the sampling.
    """

    rate: int
    patterns: tuple[bytes, ...] = ()


class Sample(Struct, array_like=True, frozen=True, gc=False):
    """One query. `question`: name, type, and class as asked, b"" if it could not be read.

    `client`: the packed address. `rcode`: the response code, FORWARDED, or DROPPED. `transport`:
    its index in the registry. `took`: seconds that answering took, of the whole batch. `found`:
    selected by a pattern.
    """

    question: bytes
    client: bytes
    rcode: int
    transport: int
    took: float
    found: bool = False


class Samples(Struct, frozen=True, tag="samples"):
    """A bundle. `dropped`: samples since the start that the control process did not take."""

    samples: tuple[Sample, ...]
    dropped: int = 0


class Tapped(Protocol):
    """The part of a server of `transport/` that the tap needs."""

    answering: Answering

    def client(self, i: int) -> bytes:
        """The packed address of the client of packet `i` of the current batch."""


class _Budget:
    """A token bucket: `rate` a second, a tenth of a second of it at once."""

    __slots__ = ("_at", "_clock", "left", "most", "rate")

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self.most = max(float(_MIN_BURST), rate * _BURST) if rate else 0.0
        self.left = self.most
        self._at = clock()

    def take(self, wanted: int) -> int:
        """Takes up to `wanted` tokens; returns how many."""
        now = self._clock()
        self.left = min(self.most, self.left + (now - self._at) * self.rate)
        self._at = now
        granted = min(wanted, int(self.left))
        self.left -= granted
        return granted


class _TapStage:
    """The `Stage` of one server. Clients are looked up for samples only."""

    __slots__ = ("_next", "_server", "_tap")

    def __init__(self, tap: Tap, stage: Stage, server: Tapped) -> None:
        self._tap, self._next, self._server = tap, stage, server

    @property
    def needs_client(self) -> bool:
        """As the next stage."""
        return self._next.needs_client

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        """See `Stage`."""
        begun = perf_counter()
        outcome = self._next.answer(packet, client, transport)
        self._tap.sample_one(packet, client, outcome, transport, perf_counter() - begun)
        return outcome

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> Sequence[Outcome]:
        """See `Stage`."""
        begun = perf_counter()
        outcomes = self._next.answer_batch(blob, lengths, stride, clients, transport)
        took = perf_counter() - begun

        def sample(i: int, found: bool) -> None:
            packet = blob[i * stride : i * stride + lengths[i]]
            client = self._server.client(i)
            self._tap.add(packet, client, outcomes[i], transport, took, found)

        self._tap.sample_batch(blob, lengths, stride, sample)
        return outcomes


class Tap:
    """Inserts a stage before `stage` in each of `servers`, only while it has to.

    `send` takes a bundle, and returns False if there is no room for it. `taken`, `dropped`:
    samples since the start.
    """

    def __init__(
        self,
        stage: Stage,
        servers: Iterable[Tapped],
        send: Callable[[Samples], bool],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.taken = self.dropped = 0
        self._next = stage
        self._stages = [(one, _TapStage(self, stage, one)) for one in servers]
        self._send, self._loop = send, loop
        self._patterns: tuple[bytes, ...] = ()
        self._rate, self._found = _Budget(0, loop.time), _Budget(0, loop.time)
        self._bundle: list[Sample] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._inserted = False

    # -- in and out of the path --------------------------------------------------------------

    def watch(self, order: Watch) -> None:
        """Samples by this order from now on."""
        self._patterns = order.patterns
        self._rate = _Budget(order.rate, self._loop.time)
        self._found = _Budget(_PATTERN_RATE if order.patterns else 0, self._loop.time)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if order.rate or order.patterns:
            self._insert()
        else:
            self._remove()

    def _insert(self) -> None:
        self._timer = None
        if not self._inserted:
            self._inserted = True
            for server, stage in self._stages:
                server.answering.stage = stage

    def _remove(self) -> None:
        if self._inserted:
            self._inserted = False
            for server, _ in self._stages:
                server.answering.stage = self._next

    def _pause(self) -> None:
        """Leaves the path until there is a budget again."""
        if self._patterns or self._timer is not None:
            return
        self._remove()
        pause = min(1.0, _MIN_BURST / self._rate.rate)
        self._timer = self._loop.call_later(pause, self._insert)

    # -- which queries are sampled -----------------------------------------------------------

    def sample_one(
        self, packet: bytes, client: bytes, outcome: Outcome, transport: Transport, took: float
    ) -> None:
        """Samples a query that was answered alone, if the budget allows."""
        if self._patterns and self._matches(packet.lower()):
            if self._found.take(1):
                self.add(packet, client, outcome, transport, took, found=True)
        elif self._rate.rate:
            if self._rate.take(1):
                self.add(packet, client, outcome, transport, took, found=False)
            else:
                self._pause()

    def sample_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        sample: Callable[[int, bool], None],
    ) -> None:
        """Calls `sample` for the queries of a batch to sample: its index, and `found`."""
        if self._patterns and self._matches(lower := blob.lower()):
            for i, length in enumerate(lengths):
                packet = lower[i * stride : i * stride + length]
                if self._matches(packet) and self._found.take(1):
                    sample(i, True)
        if not self._rate.rate:
            return
        number = len(lengths)
        granted = self._rate.take(min(number, _PER_BATCH))
        if not granted:
            self._pause()
            return
        for i in range(0, number, -(-number // granted)):
            sample(i, False)

    def _matches(self, lower: bytes) -> bool:
        return any(pattern in lower for pattern in self._patterns)

    # -- samples -----------------------------------------------------------------------------

    def add(
        self,
        packet: bytes,
        client: bytes,
        outcome: Outcome,
        transport: Transport,
        took: float,
        found: bool,
    ) -> None:
        """Adds a sample to the bundle, which leaves when it is full or old enough."""
        if outcome is None:
            rcode = DROPPED
        elif isinstance(outcome, bytes):
            rcode = outcome[3] & 15
        else:
            rcode = FORWARDED
        try:
            question = packet[HEADER : question_end(packet)] if len(packet) > HEADER else b""
        except Malformed:
            question = b""
        self.taken += 1
        self._bundle.append(Sample(question, client, rcode, transport.index, took, found))
        if len(self._bundle) >= _BUNDLE:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = self._loop.call_later(_WAIT, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        bundle, self._bundle = self._bundle, []
        if bundle and not self._send(Samples(tuple(bundle), self.dropped)):
            self.dropped += len(bundle)
