"""The query tap: some of the queries as they are answered, and nothing when nobody listens.

Without an order to watch, the transports talk to the engine and the tap is not there. With
one, it stands between them for a moment: it looks at a batch, takes what its budget allows,
and steps aside again until the budget has grown. So at a low rate every query is seen, at a
high one about `rate` a second, and the path of the others is as it always was.

`needles` are octets in lower case that a question must hold to be of interest, whatever the
rate: as long as there are some, the tap stays in the way and searches each batch for them,
one call a batch and needle. What it finds has a budget of its own.

Samples go up the feed in bundles; when the control process does not take them, they are
dropped and counted, never queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Protocol

from dnsd.answer.transport import Transport
from dnsd.dns.message import HEADER, Malformed, question_end
from dnsd.transport.answering import Answerer
from dnsd.worker.messages import DROPPED, FORWARDED, Sample, Samples, Watch

_BUNDLE = 100  # samples sent together at most
_WAIT = 0.1  # seconds a sample waits for others at most
_FOUND_RATE = 500  # samples a second that needles may bring
_BURST = 0.1  # seconds of a rate that may be used at once
_LEAST = 8  # the smallest burst, in samples
_A_BATCH = 8  # samples taken of one batch at most, so that they spread over time


class Tapped(Protocol):
    """A listener, as far as the tap needs one."""

    def answer_with(self, engine: Answerer) -> None:
        """Ask this engine from now on."""

    def client(self, i: int) -> bytes:
        """The packed address of who sent packet `i` of the batch that is being answered."""


class _Budget:
    """A token bucket: `rate` a second, a tenth of a second of it at once."""

    __slots__ = ("_at", "_clock", "left", "most", "rate")

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate, self._clock = rate, clock
        self.most = max(float(_LEAST), rate * _BURST) if rate else 0.0
        self.left = self.most
        self._at = clock()

    def take(self, wanted: int) -> int:
        """How many of `wanted` may be had now."""
        now = self._clock()
        self.left = min(self.most, self.left + (now - self._at) * self.rate)
        self._at = now
        granted = min(wanted, int(self.left))
        self.left -= granted
        return granted


class _Front:
    """What one transport talks to while the tap is in its way. Clients are looked up for
    samples only, so that the other queries of a batch do not pay for theirs."""

    __slots__ = ("_batch", "_engine", "_listener", "_single")

    def __init__(self, tap: Tap, engine: Answerer, listener: Tapped) -> None:
        self._engine, self._listener = engine, listener
        self._batch, self._single = tap.batch, tap.single

    @property
    def needs_client(self) -> bool:
        """As the engine."""
        return self._engine.needs_client

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> object:
        """See Engine.answer."""
        begun = perf_counter()
        outcome = self._engine.answer(packet, client, transport)
        self._single(packet, client, outcome, transport, perf_counter() - begun)
        return outcome

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> Sequence[object]:
        """See Engine.answer_batch."""
        begun = perf_counter()
        outcomes = self._engine.answer_batch(blob, lengths, stride, clients, transport)
        took = perf_counter() - begun
        self._batch(self._listener, blob, lengths, stride, outcomes, transport, took)
        return outcomes


class Tap:
    """Stands in the way of `listeners` only while it has to.

    `send` takes the bundles. `taken`, `dropped`: samples since the start.
    """

    def __init__(
        self,
        engine: Answerer,
        listeners: Iterable[Tapped],
        send: Callable[[Samples], bool],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`send` returns False when there is no room for a bundle."""
        self.taken = self.dropped = 0
        self._engine = engine
        self._fronts = [(one, _Front(self, engine, one)) for one in listeners]
        self._send, self._loop = send, loop
        self._needles: tuple[bytes, ...] = ()
        self._rate, self._found = _Budget(0, loop.time), _Budget(0, loop.time)
        self._bundle: list[Sample] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._in_the_way = False

    # -- orders ------------------------------------------------------------------------------

    def watch(self, order: Watch) -> None:
        """Watch as told from now on; rate 0 and no needles: not at all."""
        self._needles = order.needles
        self._rate = _Budget(order.rate, self._loop.time)
        self._found = _Budget(_FOUND_RATE if order.needles else 0, self._loop.time)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if order.rate or order.needles:
            self._step_in()
        else:
            self._step_aside()

    @property
    def in_the_way(self) -> bool:
        """Whether queries pass through here right now."""
        return self._in_the_way

    def _step_in(self) -> None:
        self._timer = None
        if not self._in_the_way:
            self._in_the_way = True
            for listener, front in self._fronts:
                listener.answer_with(front)

    def _step_aside(self) -> None:
        if self._in_the_way:
            self._in_the_way = False
            for listener, _ in self._fronts:
                listener.answer_with(self._engine)

    def _rest(self) -> None:
        """The budget is used up: out of the way until there is some again."""
        if self._needles or self._timer is not None:
            return
        self._step_aside()
        pause = min(1.0, _LEAST / self._rate.rate)
        self._timer = self._loop.call_later(pause, self._step_in)

    # -- what passes -------------------------------------------------------------------------

    def single(
        self, packet: bytes, client: bytes, outcome: object, transport: Transport, took: float
    ) -> None:
        """One query that was answered by itself."""
        if self._needles and self._holds(packet.lower()):
            if self._found.take(1):
                self._take(packet, client, outcome, transport, took, found=True)
        elif self._rate.rate:
            if self._rate.take(1):
                self._take(packet, client, outcome, transport, took)
            else:
                self._rest()

    def batch(
        self,
        listener: Tapped,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        outcomes: Sequence[object],
        transport: Transport,
        took: float,
    ) -> None:
        """A batch that was answered."""
        for needle in self._needles:
            if needle in (lower := blob.lower()):
                self._search(listener, lower, blob, lengths, stride, outcomes, transport, took)
                break
        if not self._rate.rate:
            return
        number = len(lengths)
        granted = self._rate.take(min(number, _A_BATCH))
        if not granted:
            self._rest()
            return
        for i in range(0, number, -(-number // granted)):
            packet = blob[i * stride : i * stride + lengths[i]]
            self._take(packet, listener.client(i), outcomes[i], transport, took)

    def _holds(self, lower: bytes) -> bool:
        return any(needle in lower for needle in self._needles)

    def _search(
        self,
        listener: Tapped,
        lower: bytes,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        outcomes: Sequence[object],
        transport: Transport,
        took: float,
    ) -> None:
        for i, length in enumerate(lengths):
            begin = i * stride
            if self._holds(lower[begin : begin + length]) and self._found.take(1):
                packet, client = blob[begin : begin + length], listener.client(i)
                self._take(packet, client, outcomes[i], transport, took, found=True)

    # -- samples -----------------------------------------------------------------------------

    def _take(
        self,
        packet: bytes,
        client: bytes,
        outcome: object,
        transport: Transport,
        took: float,
        found: bool = False,
    ) -> None:
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
            self._hand_over()
        elif self._flush is None:
            self._flush = self._loop.call_later(_WAIT, self._hand_over)

    def _hand_over(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        bundle, self._bundle = self._bundle, []
        if bundle and not self._send(Samples(tuple(bundle), self.dropped)):
            self.dropped += len(bundle)
