"""One TCP connection: length-prefixed queries in, replies out (RFC 1035 4.2.2, RFC 7766).

Rules:
- Replies leave in the order in which they are ready (RFC 7766 section 7). A query that
  waits for upstream does not hold up those behind it.
- A message shorter than a DNS header means that the peer does not speak DNS or has lost
  count; no later length can be trusted. What came before is answered, then we close.
- A query that the engine drops (a reply, say) is dropped here too; the connection lives on.
- End of file from the peer means "no more queries", not "no more interest": what was asked
  is answered, then we close (RFC 7766 section 6.2.4 is about us, this is for `nc` and friends).
- Bounded in every direction: at most one inbox beyond a message is buffered on the way in,
  and nothing is read from a peer that does not read, or whose queries all wait upstream. What
  is buffered on the way out may pass _HIGH_WATER by one reply, or by the replies from
  upstream; past _MOST_UNSENT the connection is cut.
- Work is done in portions that the server hands out (`work`), so that a peer with 10,000
  queries in its pipeline, or with long ones, takes turns with everybody else.

There are no timers here. Each connection writes down since when it waits for what, and the
server's one sweep compares (`overdue`).
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol, cast

from msgspec import Struct

from dnsd.answer.transport import Transport
from dnsd.transport.answering import (
    HEADER_BYTES,
    Answerer,
    Failures,
    LateReply,
    OnAsk,
    answer_safely,
    ask_safely,
)
from dnsd.transport.settings import StreamLimits

# So many octets of messages are as much work as a query. A guess: it leaves usual queries as
# they are, and makes the largest message count as 129, a whole turn.
OCTETS_A_QUERY = 512

_HIGH_WATER = 32 * 1024  # bytes a peer may be behind before we stop answering it
_MOST_UNSENT = 256 * 1024
_LARGEST = 65_535


class StreamCounters(Struct):
    """Totals of one listening socket since it was opened."""

    accepted: int = 0
    refused: int = 0  # over a limit, and no idle connection to close instead
    evicted: int = 0  # idle, closed to make room
    timeouts: int = 0  # closed by one of the time limits
    received: int = 0  # messages
    sent: int = 0
    dropped: int = 0  # messages that get no reply
    malformed: int = 0  # lengths that no message can have
    deferred: int = 0  # handed to on_ask
    late: int = 0  # replies of deferred queries that were sent
    errors: int = 0  # accept calls that failed
    failures: int = 0  # exceptions in the engine


class Overdue(Enum):
    """What the sweep should do with a connection."""

    NO = 0
    CLOSE = 1
    ABORT = 2


class Keeper(Protocol):
    """The part of the server that its connections see."""

    transport: Transport
    engine: Answerer
    failures: Failures
    limits: StreamLimits
    tally: StreamCounters
    on_ask: OnAsk | None
    inbox: memoryview
    draining: bool

    def now(self) -> float: ...
    def ready(self, connection: Connection) -> None: ...
    def queue(self, connection: Connection) -> None: ...
    def touch(self, connection: Connection) -> None: ...
    def forget(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The protocol object of one connection. `client`: the packed address of the peer."""

    __slots__ = (
        "_active",
        "_buffer",
        "_closing_since",
        "_ended",
        "_keeper",
        "_out",
        "_out_bytes",
        "_partial_since",
        "_reading",
        "_stalled_since",
        "_transport",
        "_unpaid",
        "_waiting",
        "_working",
        "client",
        "queued",
    )

    def __init__(self, keeper: Keeper, client: bytes) -> None:
        self.client = client
        self.queued = False  # in the keeper's queue for work
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._unpaid = 0  # octets that were read since the last portion of work
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._waiting = 0  # Asks without a reply so far
        self._working = False
        self._reading = True
        self._ended = False  # nothing more is read: end of file, or garbage
        self._active = keeper.now()
        # Since when, 0.0 for not at all:
        self._partial_since = 0.0
        self._stalled_since = 0.0
        self._closing_since = 0.0

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        if self._closing_since:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        # One for all connections: the event loop fills it and calls buffer_updated at once.
        return self._keeper.inbox

    def buffer_updated(self, nbytes: int) -> None:
        self._buffer += self._keeper.inbox[:nbytes]
        self._unpaid += nbytes
        self._keeper.ready(self)

    def eof_received(self) -> bool:
        self._ended = True
        self._keeper.ready(self)
        return True  # keep the writing half

    def pause_writing(self) -> None:
        self._stalled_since = self._keeper.now()

    def resume_writing(self) -> None:
        self._stalled_since = 0.0
        self._keeper.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closing_since = self._closing_since or self._keeper.now()
        self._buffer.clear()
        self._keeper.forget(self)

    # What the server calls.

    def work(self, limit: int) -> int:
        """Answer what has arrived, for `limit` queries' worth of work; the worth of it.

        Octets count by OCTETS_A_QUERY. It is more than `limit` by what the last query, or
        what was read before, went beyond it.
        """
        spent = self._unpaid // OCTETS_A_QUERY
        self._unpaid = 0
        answered = False
        self._working = True
        while spent < limit and self._may_answer():
            query = self._next_query()
            if query is None:
                break
            answered = True
            spent += 1 + len(query) // OCTETS_A_QUERY
            self._answer(query)
        self._working = False
        self._flush()
        if answered:
            self._active = self._keeper.now()
            self._keeper.touch(self)
        self._settle(answered)
        return spent

    def hold(self) -> None:
        """Read no more before the next portion of work."""
        self._read(False)

    def idle(self) -> bool:
        """Whether nobody would lose a reply if this connection were closed now.

        It may hold the beginning of a message: see `partial`.
        """
        return (
            self._transport is not None
            and not (self._waiting or self.queued or self._stalled_since)
            and self._transport.get_write_buffer_size() == 0
        )

    def partial(self) -> bool:
        """Whether the beginning of a message has arrived and the rest has not."""
        return bool(self._buffer)

    def closing(self) -> bool:
        """Whether it only waits for what is written to leave."""
        return bool(self._closing_since)

    def overdue(self, now: float) -> Overdue:
        """Whether the peer, or we, took longer than a limit allows."""
        limits = self._keeper.limits
        if self._closing_since:
            late = now - self._closing_since > limits.write_timeout
            return Overdue.ABORT if late else Overdue.NO
        if self._stalled_since and now - self._stalled_since > limits.write_timeout:
            return Overdue.ABORT
        if self._waiting or self.queued or self._stalled_since:
            return Overdue.ABORT if now - self._active > limits.ask_timeout else Overdue.NO
        if self._partial_since:
            late = now - self._partial_since > limits.message_timeout
            return Overdue.CLOSE if late else Overdue.NO
        return Overdue.CLOSE if now - self._active > limits.idle_timeout else Overdue.NO

    def finish_soon(self) -> None:
        """Close when all that was asked is answered; at once when nothing was."""
        if not self._working:
            self._settle(False)

    def close(self) -> None:
        """Close after what is written has left."""
        if not self._closing_since:
            self._closing_since = self._keeper.now()
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._closing_since = self._closing_since or self._keeper.now()
        if self._transport is not None:
            self._transport.abort()

    # The inside.

    def _may_answer(self) -> bool:
        return not (
            self._stalled_since
            or self._closing_since
            or self._waiting >= self._keeper.limits.max_forwards
            or self._out_bytes > _HIGH_WATER
        )

    def _query_waits(self) -> bool:
        """Whether a whole message, or a length that cannot be, is in the buffer."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        length = buffer[0] << 8 | buffer[1]
        return length < HEADER_BYTES or len(buffer) >= 2 + length

    def _next_query(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length = buffer[0] << 8 | buffer[1]
        if length < HEADER_BYTES:
            self._keeper.tally.malformed += 1
            self._read(False)
            self._ended = True
            buffer.clear()
            return None
        if len(buffer) < 2 + length:
            return None
        query = bytes(buffer[2 : 2 + length])
        del buffer[: 2 + length]
        return query

    def _answer(self, query: bytes) -> None:
        keeper = self._keeper
        tally = keeper.tally
        tally.received += 1
        outcome = answer_safely(
            keeper.engine, query, self.client, keeper.transport, keeper.failures
        )
        if isinstance(outcome, bytes):
            self._put(outcome)
        elif outcome is None or keeper.on_ask is None:
            tally.dropped += 1
        else:
            tally.deferred += 1
            self._waiting += 1
            ask_safely(keeper.on_ask, outcome, LateReply(self._reply_late), keeper.failures)

    def _reply_late(self, reply: bytes | None) -> None:
        self._waiting -= 1
        if self._closing_since:
            return
        if reply is not None:
            self._keeper.tally.late += 1
            self._put(reply)
        if self._working:
            return
        self._active = self._keeper.now()
        self._keeper.touch(self)
        self._flush()
        self._settle(False)

    def _put(self, reply: bytes) -> None:
        if len(reply) > _LARGEST:
            self._keeper.tally.dropped += 1
            return
        self._out.append(len(reply).to_bytes(2, "big"))
        self._out.append(reply)
        self._out_bytes += len(reply) + 2
        self._keeper.tally.sent += 1

    def _flush(self) -> None:
        if not self._out or self._transport is None or self._closing_since:
            return
        self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._keeper.tally.timeouts += 1
            self.abort()

    def _settle(self, progress: bool) -> None:
        """Decide what is next: more work, more reading, or the end."""
        if self._closing_since:
            return
        if progress:
            self._partial_since = 0.0  # what is in the buffer now is another message
        if self._query_waits():
            self._read(False)
            if self._may_answer():
                self._keeper.queue(self)
        elif self._ended or (self._keeper.draining and not self._buffer):
            if not self._waiting:
                self.close()
        else:
            self._read(self._may_answer())
            if not self._buffer:
                self._partial_since = 0.0
            elif not self._partial_since:
                self._partial_since = self._keeper.now()

    def _read(self, wanted: bool) -> None:
        if wanted == self._reading or self._transport is None:
            return
        if self._transport.is_closing() or self._ended:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
