"""One connection of DNS messages with a length in front (RFC 1035 section 4.2.2, RFC 7766).

In `transport/` (data plane: sockets). Change here: framing, order, and bounds of a connection.

TCP uses it, and so can every other transport that frames messages like TCP. Rules:
- Replies leave in the order in which they are ready (RFC 7766 section 7). A deferred query does
  not hold up the queries behind it.
- A length shorter than a DNS header means that the peer does not speak DNS or has lost count, so
  no later length can be trusted. The queries before it are answered, then the connection closes.
- A query that the engine drops, such as a response, is dropped; the connection stays open.
- The messages of a `Stream` leave in their order, and the queries behind it wait. The next message
  is made when the client takes it. A stream that raises ends the connection, because its
  client cannot tell that messages are missing (RFC 5936 section 2.2).
- End of file means that no more queries come. The queries before it are answered, then the
  connection closes (RFC 7766 section 6.2.4; clients such as `nc` close their half early).
- Memory is bounded in both directions. At most one inbox beyond a message is buffered on the way
  in. dnsd reads nothing from a peer that does not read, or whose queries all are deferred. The
  buffer on the way out may pass _HIGH_WATER by one reply, or by late replies; past _MAX_UNSENT
  dnsd cuts the connection.
- The server hands out work in portions (`work`), so that a peer with 10,000 pipelined queries, or
  with long ones, takes turns with the others.

A connection has no timer. It records since when it waits for what, and the one sweep of the
server compares that with the limits (`overdue`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol, cast

from msgspec import Struct

from dnsd.answer.outcome import Stream
from dnsd.dns.framing import PREFIX, frame
from dnsd.dns.message import MAX_MESSAGE
from dnsd.transport.answering import HEADER_BYTES, Answering

# So many octets of messages count as the work of one query. The number is a guess: usual queries
# count as one, and the largest message counts as 129, a whole turn.
OCTETS_PER_QUERY = 512

_HIGH_WATER = 32 * 1024  # octets a peer may leave unread before dnsd stops answering it
_MAX_UNSENT = 256 * 1024


class StreamCounters(Struct):
    """Totals of one listening socket since it was opened."""

    accepted: int = 0
    refused: int = 0  # over a limit, and no idle connection to close instead
    evicted: int = 0  # idle, closed for a new connection
    timeouts: int = 0  # closed by one of the time limits
    received: int = 0  # messages
    sent: int = 0
    dropped: int = 0  # messages that get no reply
    malformed: int = 0  # lengths that no message can have
    deferred: int = 0  # handed to `on_deferred`
    late: int = 0  # replies of deferred queries that were sent
    errors: int = 0  # accept calls that failed
    failures: int = 0  # exceptions in the engine


class StreamServer(Protocol):
    """The part of a server that its connections use."""

    answering: Answering
    totals: StreamCounters
    inbox: memoryview
    draining: bool

    def now(self) -> float: ...
    def ready(self, connection: Connection) -> None: ...
    def queue(self, connection: Connection) -> None: ...
    def mark_active(self, connection: Connection) -> None: ...
    def remove(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """One connection. `client`: the packed address of the peer."""

    __slots__ = (
        "_active",
        "_buffer",
        "_closing_since",
        "_deferred",
        "_ended",
        "_messages",
        "_out",
        "_out_bytes",
        "_partial_since",
        "_reading",
        "_server",
        "_stalled_since",
        "_transport",
        "_unpaid",
        "_working",
        "client",
        "queued",
    )

    def __init__(self, server: StreamServer, client: bytes) -> None:
        self.client = client
        self.queued = False  # in the server's queue for work
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._unpaid = 0  # octets read since the last portion of work
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._deferred = 0  # deferred queries without a reply
        self._messages: Iterator[bytes] | None = None  # the rest of a stream
        self._working = False
        self._reading = True
        self._ended = False  # nothing more is read: end of file, or an invalid length
        self._active = server.now()
        # Since when, in seconds of the event loop; 0.0 for not at all.
        self._partial_since = 0.0
        self._stalled_since = 0.0
        self._closing_since = 0.0

    # -- called by asyncio -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER)
        if self._closing_since:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        # One for all connections: the event loop fills it and calls buffer_updated at once.
        return self._server.inbox

    def buffer_updated(self, nbytes: int) -> None:
        self._buffer += self._server.inbox[:nbytes]
        self._unpaid += nbytes
        self._server.ready(self)

    def eof_received(self) -> bool:
        self._ended = True
        self._server.ready(self)
        return True  # the half for writing stays open

    def pause_writing(self) -> None:
        self._stalled_since = self._server.now()

    def resume_writing(self) -> None:
        self._stalled_since = 0.0
        self._server.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._closing_since = self._closing_since or self._server.now()
        self._buffer.clear()
        self._server.remove(self)

    # -- called by the server --------------------------------------------------------------

    def work(self, limit: int) -> int:
        """Answer queries until they have cost `limit`; what they have cost.

        The unit is one query, and OCTETS_PER_QUERY octets cost as much. The cost may exceed
        `limit` by the last query, and by the octets that were read before.
        """
        spent = self._unpaid // OCTETS_PER_QUERY
        self._unpaid = 0
        answered = False
        self._working = True
        while spent < limit and self._may_answer():
            if self._messages is not None:
                answered = True
                spent += self._continue(self._messages)
                continue
            query = self._next_query()
            if query is None:
                break
            answered = True
            spent += 1 + len(query) // OCTETS_PER_QUERY
            self._answer(query)
        self._working = False
        self._flush()
        if answered:
            self._active = self._server.now()
            self._server.mark_active(self)
        self._proceed(answered)
        return spent

    def pause(self) -> None:
        """Read nothing before the next portion of work."""
        self._read(False)

    def idle(self) -> bool:
        """Whether closing this connection now would lose no reply.

        The connection may hold the beginning of a message: see `partial`.
        """
        return (
            self._transport is not None
            and not (self._deferred or self._messages or self.queued or self._stalled_since)
            and self._transport.get_write_buffer_size() == 0
        )

    def partial(self) -> bool:
        """Whether the beginning of a message has arrived and the rest has not."""
        return bool(self._buffer)

    def closing(self) -> bool:
        """Whether it waits only until the written replies have left."""
        return bool(self._closing_since)

    def overdue(self, now: float) -> Callable[[], None] | None:
        """How to end the connection, if a limit of time has passed: `close` or `abort`."""
        limits = self._server.answering.limits
        if self._closing_since:
            since, limit, end = self._closing_since, limits.write_timeout, self.abort
        elif self._stalled_since and now - self._stalled_since > limits.write_timeout:
            return self.abort
        elif self._deferred or self.queued or self._stalled_since:
            since, limit, end = self._active, limits.deferred_timeout, self.abort
        elif self._partial_since:
            since, limit, end = self._partial_since, limits.message_timeout, self.close
        else:
            since, limit, end = self._active, limits.idle_timeout, self.close
        return end if now - since > limit else None

    def finish(self) -> None:
        """Close once every query is answered; at once if none is open."""
        if not self._working:
            self._proceed(False)

    def close(self) -> None:
        """Close once the written replies have left."""
        if not self._closing_since:
            self._closing_since = self._server.now()
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._closing_since = self._closing_since or self._server.now()
        if self._transport is not None:
            self._transport.abort()

    # -- internals -------------------------------------------------------------------------

    def _may_answer(self) -> bool:
        return not (
            self._stalled_since
            or self._closing_since
            or self._deferred >= self._server.answering.limits.max_forwards
            or self._out_bytes > _HIGH_WATER
        )

    def _has_work(self) -> bool:
        """Whether a stream goes on, or the buffer has a message, or an impossible length."""
        return self._messages is not None or self._length() is not None

    def _length(self) -> int | None:
        """The length of the next message; None until its last octet is there.

        A length that no message can have needs no further octet.
        """
        buffer = self._buffer
        if len(buffer) < PREFIX:
            return None
        length = buffer[0] << 8 | buffer[1]
        return length if length < HEADER_BYTES or len(buffer) >= PREFIX + length else None

    def _next_query(self) -> bytes | None:
        buffer, length = self._buffer, self._length()
        if length is None:
            return None
        if length < HEADER_BYTES:
            self._server.totals.malformed += 1
            self._read(False)
            self._ended = True
            buffer.clear()
            return None
        query = bytes(buffer[PREFIX : PREFIX + length])
        del buffer[: PREFIX + length]
        return query

    def _answer(self, query: bytes) -> None:
        answering, totals = self._server.answering, self._server.totals
        totals.received += 1
        outcome = answering.answer(query, self.client)
        if isinstance(outcome, bytes):
            self._put(outcome)
        elif isinstance(outcome, Stream):
            self._messages = outcome.messages
        elif answering.defer(outcome, self._reply_late):
            totals.deferred += 1
            self._deferred += 1
        else:
            totals.dropped += 1

    def _continue(self, messages: Iterator[bytes]) -> int:
        """Send the next message of a stream; what it cost."""
        try:
            message = next(messages, None)
        except Exception as error:  # noqa: BLE001  (no query may end the process)
            self._server.answering.fail(error, b"")
            self.abort()
            message = None
        if message is None:
            self._messages = None
            return 0
        self._put(message)
        return 1 + len(message) // OCTETS_PER_QUERY

    def _reply_late(self, reply: bytes | None) -> None:
        self._deferred -= 1
        if self._closing_since:
            return
        if reply is not None:
            self._server.totals.late += 1
            self._put(reply)
        if self._working:
            return
        self._active = self._server.now()
        self._server.mark_active(self)
        self._flush()
        self._proceed(False)

    def _put(self, reply: bytes) -> None:
        if len(reply) > MAX_MESSAGE:
            self._server.totals.dropped += 1
            return
        self._out.append(frame(reply))
        self._out_bytes += PREFIX + len(reply)
        self._server.totals.sent += 1

    def _flush(self) -> None:
        if not self._out or self._transport is None or self._closing_since:
            return
        self._transport.write(b"".join(self._out))
        self._out.clear()
        self._out_bytes = 0
        if self._transport.get_write_buffer_size() > _MAX_UNSENT:
            self._server.totals.timeouts += 1
            self.abort()

    def _proceed(self, progress: bool) -> None:
        """Go on with work, with reading, or with the end of the connection."""
        if self._closing_since:
            return
        if progress:
            self._partial_since = 0.0  # the buffer now holds another message
        if self._has_work():
            self._read(False)
            if self._may_answer():
                self._server.queue(self)
        elif self._ended or (self._server.draining and not self._buffer):
            if not self._deferred:
                self.close()
        else:
            self._read(self._may_answer())
            if not self._buffer:
                self._partial_since = 0.0
            elif not self._partial_since:
                self._partial_since = self._server.now()

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
