"""Receives datagrams in batches, has each batch answered in one call, and sends the replies.

In `transport/` (data plane: sockets). Change here: how datagrams are received and sent.

When the event loop reports a readable socket, dnsd receives a batch, the engine answers it in one
call, and the replies leave in one call. Then dnsd looks again, because a busy server has a queue
by now, and another look costs less than another pass of the event loop. After BATCHES_PER_WAKEUP
batches the event loop gets its turn, so that a flood starves neither TCP nor the changes.

Rules:
- A datagram is never answered twice and never kept. A reply that cannot be sent now is dropped
  and counted: clients of UDP repeat a query, and a queue would only delay every reply.
- A datagram of MAX_PACKET octets or more is dropped and counted as truncated.
- An exception in the engine costs the packet that caused it. The rest of its batch is answered
  packet by packet.
- The counters are plain ints: `received` is `sent` + `dropped` + `deferred` + the replies
  that could not be sent, which are part of `errors`.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from dnsd.answer.outcome import Outcome, Stream
from dnsd.transport import mmsg
from dnsd.transport.answering import Answering
from dnsd.transport.mmsg import MAX_PACKET, STRIDE, Mmsg
from dnsd.transport.peer import Peer, is_wildcard, request_destination
from dnsd.transport.plain import Plain

# Batches, of SLOTS packets each, before the event loop gets its turn: about 2 ms at 5 us a query.
BATCHES_PER_WAKEUP = 8


class UdpCounters(Struct):
    """Totals of one socket since it was opened."""

    received: int = 0
    sent: int = 0
    dropped: int = 0  # without a reply: not a query, truncated, or the engine raised
    truncated: int = 0  # longer than MAX_PACKET octets; part of `dropped`
    deferred: int = 0  # handed to `on_deferred`
    late: int = 0  # replies of deferred queries that were sent
    batches: int = 0
    errors: int = 0  # receive calls that failed, and replies that could not be sent
    failures: int = 0  # exceptions in the engine


class Udp:
    """Answers the queries that arrive on one socket.

    `sock` is bound (see listener.py) and belongs to this object. `batched`: one system call per
    batch; None where the platform has it.
    """

    socket_type: ClassVar[socket.SocketKind] = socket.SOCK_DGRAM
    counters_type: ClassVar[type[Struct]] = UdpCounters

    def __init__(
        self, sock: socket.socket, answering: Answering, *, batched: bool | None = None
    ) -> None:
        sock.setblocking(False)
        wildcard = is_wildcard(sock)
        if wildcard:
            request_destination(sock)
        if batched is None:
            batched = mmsg.available()
        slots = Mmsg if batched else Plain
        self._datagrams: Mmsg | Plain = slots(sock, source_addresses=wildcard)
        self._socket = sock
        self.answering = answering
        self._counters = UdpCounters()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deferred = 0  # deferred queries without a reply

    def start(self) -> None:
        """Answer from now on, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._ready)

    def client(self, i: int) -> bytes:
        """The packed address that packet `i` of the current batch came from."""
        return self._datagrams.peer(i).packed

    def counters(self) -> UdpCounters:
        """The counters as they are now; the same object each time."""
        self._counters.errors = self._datagrams.errors
        self._counters.failures = self.answering.failures
        return self._counters

    def _ready(self) -> None:
        datagrams, counters = self._datagrams, self._counters
        for _ in range(BATCHES_PER_WAKEUP):
            n = datagrams.receive()
            if not n:
                return
            counters.batches += 1
            counters.received += n
            outcomes = self._answer(n)
            sent = datagrams.send(outcomes)
            counters.sent += sent
            if sent != n:
                self._handle_unsent(outcomes)

    def _answer(self, n: int) -> Sequence[Outcome]:
        """The outcomes for the packets in the first n slots."""
        datagrams, stage = self._datagrams, self.answering.stage
        lengths = datagrams.lengths(n)
        if max(lengths) > STRIDE:
            return self._answer_singly(lengths)
        clients = datagrams.clients(n) if stage.needs_client else None
        transport = self.answering.transport
        try:
            return stage.answer_batch(datagrams.blob(n), lengths, STRIDE, clients, transport)
        except Exception:  # noqa: BLE001  (packet by packet, the one that raises is found)
            return self._answer_singly(lengths)

    def _answer_singly(self, lengths: Sequence[int]) -> list[Outcome]:
        datagrams, answering = self._datagrams, self.answering
        n = len(lengths)
        clients = datagrams.clients(n) if answering.stage.needs_client else [b""] * n
        outcomes: list[Outcome] = []
        for i, length in enumerate(lengths):
            if length >= MAX_PACKET:
                self._counters.truncated += 1
                outcomes.append(None)
                continue
            outcomes.append(answering.answer(datagrams.packet(i, length), clients[i]))
        return outcomes

    def _handle_unsent(self, outcomes: Sequence[Outcome]) -> None:
        """Count, defer, or send the outcomes that are not replies."""
        counters = self._counters
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome, bytes):
                continue
            if outcome is None:
                counters.dropped += 1
                continue
            peer = self._datagrams.peer(i)
            if isinstance(outcome, Stream) and outcome.datagram is not None:
                counters.sent += self._send(peer, outcome.datagram)
            elif self.answering.defer(outcome, functools.partial(self._reply_late, peer)):
                counters.deferred += 1
                self._deferred += 1
            else:
                counters.dropped += 1

    def _reply_late(self, peer: Peer, reply: bytes | None) -> None:
        self._deferred -= 1
        if reply is None or self._socket.fileno() < 0:
            return
        self._counters.late += self._send(peer, reply)

    def _send(self, peer: Peer, reply: bytes) -> bool:
        try:
            self._socket.sendmsg((reply,), peer.ancillary, 0, peer.address)
        except OSError:
            self._datagrams.errors += 1
            return False
        return True

    async def drain(self, quiet: float, limit: float, handover: bool = False) -> bool:
        """Answer until no datagram came for `quiet` seconds and no deferred query waits.

        True then; False when `limit` seconds passed before. At once over with `handover`.
        """
        if handover:
            self.close()
            return True
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        seen = -1
        while seen != self._counters.received or self._deferred:
            left = end - loop.time()
            if left <= 0:
                return False
            seen = self._counters.received
            await asyncio.sleep(min(quiet, left))
        return True

    def close(self) -> None:
        """Stop answering and close the socket. Later replies are dropped."""
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()
