"""Accepts TCP connections, shares the time among them, and closes them (RFC 7766, RFC 9210).

In `transport/` (data plane: sockets). Change here: which connections stay, and their turns.

Rules:
- One turn of the event loop answers at most QUERIES_PER_TURN queries, at most QUERIES_PER_PORTION
  of one connection, and accepts at most ACCEPTS_PER_TURN connections. The rest waits in a
  round-robin queue, and UDP gets its turn in between.
- Octets are work too: OCTETS_PER_QUERY of them cost as much as a query, once when they are read
  and once when they are answered. A turn exceeds its bound by one message at most.
- dnsd does not read from a connection in the queue. So after the first inbox of each, the octets
  that dnsd reads in a turn are within the bound of the turn too.
- At a limit, of all connections or of one client address, the connection that has been idle
  longest is closed for the new one. A connection with the beginning of a message counts as idle
  only if no other is. If all are busy, the new one is refused: it has not lost a query yet.
- When the process has no file descriptor left, dnsd closes one idle connection and accepts again
  after a pause. Meanwhile the kernel holds the new connections.
- One timer serves all: a sweep checks which connections are overdue, SWEPT_PER_TURN of them per
  turn, and closes at most CLOSED_PER_TURN. Connections that came together are overdue
  together, and closing 2,000 in one turn takes as long as 5,000 queries over UDP.
- The order of a dict is the order of activity: an active connection moves to the end, so the one
  that has been idle longest is the first.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import length_hint
from typing import ClassVar

import structlog
from msgspec import Struct

from dnsd.runtime.tasks import Tasks
from dnsd.transport.answering import Answering
from dnsd.transport.stream import Connection, StreamCounters

log = structlog.get_logger(__name__)

QUERIES_PER_TURN = 128  # about a millisecond
QUERIES_PER_PORTION = 32
ACCEPTS_PER_TURN = 2  # 15 us each, set-up included
SWEPT_PER_TURN = 64  # half a microsecond each
CLOSED_PER_TURN = 2  # 18 us each

_INBOX = 64 * 1024
_MIN_PAUSE = 0.05  # seconds without accepting after an error; doubles up to:
_MAX_PAUSE = 1.0

# accept(2): errors of one connection, which has gone or which a firewall rejects.
_ONE_CONNECTION = frozenset(
    {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENONET, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
)


class Tcp:
    """Answers the queries on connections to one listening socket.

    `sock` listens (see listener.py) and belongs to this object.
    """

    socket_type: ClassVar[socket.SocketKind] = socket.SOCK_STREAM
    counters_type: ClassVar[type[Struct]] = StreamCounters

    def __init__(self, sock: socket.socket, answering: Answering) -> None:
        sock.setblocking(False)
        self.answering = answering
        self.totals = StreamCounters()
        self.inbox = memoryview(bytearray(_INBOX))
        self.draining = False
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop
        self._accepting = False
        self._pause = _MIN_PAUSE
        self._timers: dict[str, asyncio.Handle] = {}
        self._next_sweep = 0.0  # when it begins
        self._connecting = Tasks()
        self._connections: dict[Connection, None] = {}
        self._clients: dict[bytes, dict[Connection, None]] = {}
        self._queue: deque[Connection] = deque()
        self._budget = QUERIES_PER_TURN
        self._turn_scheduled = False
        self._empty: asyncio.Event

    def start(self) -> None:
        """Accept and answer from now on, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()
        self._start_accepting()
        self._sweep()

    def client(self, i: int) -> bytes:  # noqa: ARG002 - batches are of datagrams
        """As of UDP. Unused: the engine gets the client with each message."""
        return b""

    def counters(self) -> StreamCounters:
        """The counters as they are now; the same object each time."""
        self.totals.failures = self.answering.failures
        return self.totals

    def __len__(self) -> int:
        """The number of connections that are open."""
        return len(self._connections)

    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open, the one idle for longest first."""
        return tuple(self._connections)

    async def drain(self, quiet: float, limit: float, handover: bool = False) -> bool:  # noqa: ARG002
        """Accept no more connections, answer the queries that have arrived, and close.

        True when all connections ended by themselves; False when dnsd cut some of them after
        `limit` seconds. `quiet` and `handover` are of datagrams: a connection has one reader.
        """
        self._stop_accepting()
        # After two turns the queries that had already arrived are read and answered.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.draining = True
        for connection in self.connections():
            connection.finish()
        try:
            async with asyncio.timeout(limit):
                await self._empty.wait()
        except TimeoutError:
            for connection in self.connections():
                connection.abort()
            return False
        return True

    def close(self) -> None:
        """Close the listening socket and cut all connections."""
        if self._socket.fileno() >= 0:
            self._stop_accepting()
        self._socket.close()
        for timer in self._timers.values():
            timer.cancel()
        for connection in self.connections():
            connection.abort()

    # -- accepting -------------------------------------------------------------------------

    def _start_accepting(self) -> None:
        self._loop.add_reader(self._socket, self._accept)
        self._accepting = True

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._loop.remove_reader(self._socket)
            self._accepting = False
        if timer := self._timers.pop("accept", None):
            timer.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.totals.errors += 1
                if error.errno in _ONE_CONNECTION:
                    continue
                self._pause_accepting(error)
                return
            self._pause = _MIN_PAUSE
            self.totals.accepted += 1
            host = address[0].partition("%")[0]
            self._admit(sock, socket.inet_pton(sock.family, host))

    def _pause_accepting(self, error: OSError) -> None:
        self._stop_accepting()
        self._make_room(self._connections)
        log.warning(
            "cannot accept connections",
            transport=self.answering.transport.name,
            error=error.strerror,
            pause=self._pause,
            hint="raise the limit of open files (ulimit -n), or lower tcp_max_connections",
        )
        self._timers["accept"] = self._loop.call_later(self._pause, self._start_accepting)
        self._pause = min(2 * self._pause, _MAX_PAUSE)

    def _admit(self, sock: socket.socket, client: bytes) -> None:
        limits = self.answering.limits
        others = self._clients.get(client, {})
        full = len(others) >= limits.per_client and not self._make_room(others)
        full = full or (
            len(self._connections) >= limits.max_connections
            and not self._make_room(self._connections)
        )
        if full:
            self.totals.refused += 1
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(self, client)
        self._connections[connection] = None
        self._clients.setdefault(client, {})[connection] = None
        self._empty.clear()
        self._connecting.start(self._connect(sock, connection), "accept a connection")

    async def _connect(self, sock: socket.socket, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the peer has gone
            self.totals.errors += 1
            self.remove(connection)
            sock.close()

    def _make_room(self, among: Iterable[Connection]) -> bool:
        """Close the connection that has been idle longest; False if none is idle."""
        chosen: Connection | None = None
        for connection in among:
            if not connection.idle():
                continue
            if not connection.partial():
                chosen = connection
                break
            chosen = chosen or connection
        if chosen is None:
            return False
        self.totals.evicted += 1
        self.remove(chosen)
        chosen.abort()
        return True

    # -- called by connections -------------------------------------------------------------

    def now(self) -> float:
        """The time of the event loop, in seconds."""
        return self._loop.time()

    def ready(self, connection: Connection) -> None:
        """Octets have arrived: answer now if the turn has work left, otherwise in a later turn."""
        if connection.queued:
            return
        if self._budget <= 0:
            connection.pause()
            self.queue(connection)
            return
        self._budget -= connection.work(min(self._budget, QUERIES_PER_PORTION))
        self._schedule_turn()

    def queue(self, connection: Connection) -> None:
        """Let the connection work in a later turn."""
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)
            self._schedule_turn()

    def mark_active(self, connection: Connection) -> None:
        """The connection was active: it is the last in the order now."""
        if connection in self._connections:
            for order in (self._connections, self._clients[connection.client]):
                del order[connection]
                order[connection] = None

    def remove(self, connection: Connection) -> None:
        """The connection has ended, or is about to."""
        if self._connections.pop(connection, self) is self:
            return
        others = self._clients[connection.client]
        del others[connection]
        if not others:
            del self._clients[connection.client]
        if not self._connections:
            self._empty.set()

    # -- turns and time --------------------------------------------------------------------

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled and (self._queue or self._budget < QUERIES_PER_TURN):
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_scheduled = False
        self._budget = QUERIES_PER_TURN
        # Each connection that waits now gets one portion, and queues again for more.
        for _ in range(len(self._queue)):
            if self._budget <= 0:
                break
            connection = self._queue.popleft()
            connection.queued = False
            self._budget -= connection.work(min(self._budget, QUERIES_PER_PORTION))
        self._schedule_turn()

    def _sweep(self) -> None:
        limits = self.answering.limits
        shortest = min(
            limits.idle_timeout,
            limits.message_timeout,
            limits.write_timeout,
            limits.deferred_timeout,
        )
        self._next_sweep = self._loop.time() + min(max(shortest / 4, 0.01), 1.0)
        self._sweep_some(iter(self.connections()))

    def _sweep_some(self, left: Iterator[Connection]) -> None:
        """Sweep some of the connections that are left; the rest in later turns."""
        now, closed = self.now(), 0
        for connection in islice(left, SWEPT_PER_TURN):
            end = connection.overdue(now)
            if end is None:
                continue
            closed += 1
            self.totals.timeouts += not connection.closing()
            end()
            if closed == CLOSED_PER_TURN:
                break
        else:
            if length_hint(left) == 0:
                self._timers["sweep"] = self._loop.call_at(self._next_sweep, self._sweep)
                return
        self._timers["sweep"] = self._loop.call_soon(self._sweep_some, left)
