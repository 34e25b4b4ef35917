"""The query tap: a stage that samples queries, and leaves the path while it has nothing to do.

In `observe/` (used by each worker). Change here: which queries are sampled, and what a sample has.

Without an order to sample, the transports call the next stage, and the tap is not in the path. With
an order, the tap inserts itself before that stage, samples from a batch as many queries as its
budget allows, and removes itself until the budget has grown again. So while few queries arrive, it
samples all of them; while many arrive, it samples about `rate` per second, and the other queries do
not pass through it.

`patterns` are octets in lowercase. A query that contains a pattern is sampled at any rate, within a
budget of its own. While there are patterns, the tap stays in the path, and searches each batch once
for each pattern. Such samples are marked as `found`, and do not count for the rate.

Samples go to the control process in bundles. A bundle without room in the channel is dropped and
counted, and never queued.
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
from dnsd.runtime.tokens import TokenBucket
from dnsd.transport.answering import Answering

_BUNDLE = 100  # most samples in one bundle
_WAIT = 0.1  # seconds that a sample waits for others at most
_PATTERN_RATE = 500  # samples per second that patterns may select
_BURST = 0.1  # seconds of a rate that may be used at once
_MIN_BURST = 8  # samples
_PER_BATCH = 8  # most samples of one batch, so that samples spread over time

FORWARDED, DROPPED = 254, 255  # instead of a response code


class Watch(Struct, frozen=True, tag="watch"):
    """The order to sample: at most `rate` queries per second, and those that contain a pattern.

    Rate 0 without patterns stops the sampling.
    """

    rate: int
    patterns: tuple[bytes, ...] = ()


class Sample(Struct, array_like=True, frozen=True, gc=False):
    """One query. `question`: name, type, and class as received, b"" if it could not be read.

    `client`: the packed address. `rcode`: the response code, FORWARDED, or DROPPED. `transport`:
    its index in the registry. `took`: seconds that the engine took for the whole batch.
    `found`: selected by a pattern.
    """

    question: bytes
    client: bytes
    rcode: int
    transport: int
    took: float
    found: bool = False


class Samples(Struct, frozen=True, tag="samples"):
    """A bundle. `dropped`: samples since the start for which the channel had no room."""

    samples: tuple[Sample, ...]
    dropped: int = 0


class Tapped(Protocol):
    """The part of a server of `transport/` that the tap needs."""

    answering: Answering

    def client(self, i: int) -> bytes:
        """The packed address of the client of packet `i` of the current batch."""


def _bucket(rate: int, loop: asyncio.AbstractEventLoop) -> TokenBucket:
    return TokenBucket(rate, max(_MIN_BURST, rate * _BURST) if rate else 0, loop.time)


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
        took = perf_counter() - begun

        def sample(_: int, found: bool) -> None:
            self._tap.add(packet, client, outcome, transport, took, found)

        self._tap.sample_batch(packet, (len(packet),), 0, sample)
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
    """Inserts a stage before `stage` in each of `servers`, only while there are queries to sample.

    `send` returns False if a bundle does not fit. `taken`, `dropped`: samples since the start.
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
        self._rate, self._found = _bucket(0, loop), _bucket(0, loop)
        self._bundle: list[Sample] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flush_timer: asyncio.TimerHandle | None = None
        self._inserted = False

    # -- in and out of the path --------------------------------------------------------------

    def watch(self, order: Watch) -> None:
        """Sample by this order from now on."""
        self._patterns = order.patterns
        self._rate = _bucket(order.rate, self._loop)
        self._found = _bucket(_PATTERN_RATE if order.patterns else 0, self._loop)
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
        """Leave the path until there is a budget again."""
        if self._patterns or self._timer is not None:
            return
        self._remove()
        pause = min(1.0, _MIN_BURST / self._rate.rate)
        self._timer = self._loop.call_later(pause, self._insert)

    # -- which queries are sampled -----------------------------------------------------------

    def sample_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        sample: Callable[[int, bool], None],
    ) -> None:
        """Call `sample` with the index, and `found`, of each query of a batch to sample."""
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
        """Add a sample to the bundle, which is sent when it is full or old enough."""
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
