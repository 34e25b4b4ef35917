"""DNS over TCP: who may connect, whose turn it is, and who has to go (RFC 7766, RFC 9210).

Rules:
- A turn of the event loop answers at most QUERIES_A_TURN queries over TCP, at most
  QUERIES_A_CONNECTION of one connection, and accepts at most ACCEPTS_A_TURN connections.
  What is left waits in a queue, round-robin, and UDP gets its turn in between.
- Octets are work too: OCTETS_A_QUERY of them count as one query more, once when they are
  read and once when they are answered. A turn goes beyond its bound by one message at most.
- Who waits in the queue is not read from, so what all clients together can make us read in
  a turn is what a turn has paid for, after the first inbox of each.
- At the limit, in all or of one client address, the connection that has been idle longest
  makes room; one with the beginning of a message counts as idle only when no other does. When
  all are busy, the newcomer is refused: it has lost nothing yet.
- When the process runs out of file descriptors, one idle connection is closed, accepting
  rests for a moment, and goes on; the connections wait in the kernel meanwhile.
- One timer for all: a sweep that asks each connection whether it is overdue, SWEPT_A_TURN of
  them a turn, of which it closes at most CLOSED_A_TURN: those that came together are overdue
  together, and to close 2,000 in one turn takes as long as 5,000 queries over UDP.
- The order of activity is the order of a dict: a connection that does something is taken
  out and put in again at the end, so the longest idle comes first.
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

from dnsd.answer.transport import Transport
from dnsd.runtime.tasks import Tasks
from dnsd.transport.answering import Answerer, Failures, OnAsk
from dnsd.transport.settings import StreamLimits
from dnsd.transport.stream import Connection, Overdue, StreamCounters

log = structlog.get_logger(__name__)

QUERIES_A_TURN = 128  # about a millisecond
QUERIES_A_CONNECTION = 32
ACCEPTS_A_TURN = 2  # 15 us each, with what it takes to set one up
SWEPT_A_TURN = 64  # half a microsecond each
CLOSED_A_TURN = 2  # 18 us each

_INBOX = 64 * 1024
_FIRST_REST = 0.05  # seconds without accepting after an error, doubled up to:
_LONGEST_REST = 1.0

# accept(2): the connection is gone, or a firewall was against it; the next may be fine.
_ONE_CONNECTION = frozenset(
    {errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH}
    | {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENONET, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
)


class Tcp:
    """Answers the queries of connections to one listening socket.

    `sock` listens (see listen.py) and is from now on this object's. `on_ask` takes the
    engine's third outcome; without it such queries are dropped.
    """

    socket_type: ClassVar[socket.SocketKind] = socket.SOCK_STREAM
    counters_type: ClassVar[type[Struct]] = StreamCounters

    def __init__(
        self,
        sock: socket.socket,
        transport: Transport,
        engine: Answerer,
        *,
        on_ask: OnAsk | None = None,
        limits: StreamLimits = StreamLimits(),  # noqa: B008 - frozen,
    ) -> None:
        sock.setblocking(False)
        self.transport = transport
        self.engine = engine
        self.on_ask = on_ask
        self.limits = limits
        self.tally = StreamCounters()
        self.failures = Failures(transport.name)
        self.inbox = memoryview(bytearray(_INBOX))
        self.draining = False
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop
        self._accepting = False
        self._rest = _FIRST_REST
        self._timers: dict[str, asyncio.Handle] = {}
        self._next_sweep = 0.0  # when it begins
        self._adopting = Tasks()
        self._connections: dict[Connection, None] = {}
        self._clients: dict[bytes, dict[Connection, None]] = {}
        self._queue: deque[Connection] = deque()
        self._budget = QUERIES_A_TURN
        self._turn_is_due = False
        self._empty: asyncio.Event

    def start(self) -> None:
        """Accept and answer from now on, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        self._empty.set()
        self._accept_again()
        self._sweep()

    def answer_with(self, engine: Answerer) -> None:
        """Ask another engine from the next message on (see observe/tap.py)."""
        self.engine = engine

    def client(self, i: int) -> bytes:  # noqa: ARG002 - batches come over UDP only
        """As of a UDP transport; nobody asks here, where clients come with their messages."""
        return b""

    def counters(self) -> StreamCounters:
        """The counters as they are now; the same object each time."""
        self.tally.failures = self.failures.count
        return self.tally

    def __len__(self) -> int:
        """The number of connections that are open."""
        return len(self._connections)

    def connections(self) -> tuple[Connection, ...]:
        """The connections that are open, the one idle for longest first."""
        return tuple(self._connections)

    async def drain(self, quiet: float, limit: float, handover: bool = False) -> bool:  # noqa: ARG002
        """Accept no more, answer what was asked, close.

        Returns True when all connections ended by themselves, False when some had to be
        cut after `limit` seconds.
        """
        self._stop_accepting()
        # Two turns: what has already arrived is read and answered before idleness is judged.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.draining = True
        for connection in self.connections():
            connection.finish_soon()
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

    # Accepting.

    def _accept_again(self) -> None:
        self._loop.add_reader(self._socket, self._accept)
        self._accepting = True

    def _stop_accepting(self) -> None:
        if self._accepting:
            self._loop.remove_reader(self._socket)
            self._accepting = False
        if timer := self._timers.pop("accept", None):
            timer.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.tally.errors += 1
                if error.errno in _ONE_CONNECTION:
                    continue
                self._rest_from_accepting(error)
                return
            self._rest = _FIRST_REST
            self.tally.accepted += 1
            host = address[0].partition("%")[0]
            self._admit(sock, socket.inet_pton(sock.family, host))

    def _rest_from_accepting(self, error: OSError) -> None:
        self._stop_accepting()
        self._make_room(self._connections)
        log.warning(
            "cannot accept connections",
            transport=self.transport.name,
            error=error.strerror,
            pause=self._rest,
        )
        self._timers["accept"] = self._loop.call_later(self._rest, self._accept_again)
        self._rest = min(2 * self._rest, _LONGEST_REST)

    def _admit(self, sock: socket.socket, client: bytes) -> None:
        limits = self.limits
        others = self._clients.get(client, {})
        full = len(others) >= limits.per_client and not self._make_room(others)
        full = full or (
            len(self._connections) >= limits.max_connections
            and not self._make_room(self._connections)
        )
        if full:
            self.tally.refused += 1
            sock.close()
            return
        sock.setblocking(False)
        connection = Connection(self, client)
        self._connections[connection] = None
        self._clients.setdefault(client, {})[connection] = None
        self._empty.clear()
        self._adopting.start(self._adopt(sock, connection), "accept a connection")

    async def _adopt(self, sock: socket.socket, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:  # the peer has gone already
            self.tally.errors += 1
            self.forget(connection)
            sock.close()

    def _make_room(self, among: Iterable[Connection]) -> bool:
        """Close the one idle for longest; False when none is."""
        second_choice: Connection | None = None
        for connection in among:
            if not connection.idle():
                continue
            if not connection.partial():
                second_choice = connection
                break
            second_choice = second_choice or connection
        if second_choice is None:
            return False
        self.tally.evicted += 1
        self.forget(second_choice)
        second_choice.abort()
        return True

    # What connections call.

    def now(self) -> float:
        """The event loop's time in seconds."""
        return self._loop.time()

    def ready(self, connection: Connection) -> None:
        """Something arrived: answer at once if this turn has room for it, else in the next."""
        if connection.queued:
            return
        if self._budget <= 0:
            connection.hold()
            self.queue(connection)
            return
        self._budget -= connection.work(min(self._budget, QUERIES_A_CONNECTION))
        self._see_to_next_turn()

    def queue(self, connection: Connection) -> None:
        """Let the connection work in a later turn."""
        if not connection.queued:
            connection.queued = True
            self._queue.append(connection)
            self._see_to_next_turn()

    def touch(self, connection: Connection) -> None:
        """The connection did something: it is the least idle one now."""
        if connection in self._connections:
            for order in (self._connections, self._clients[connection.client]):
                del order[connection]
                order[connection] = None

    def forget(self, connection: Connection) -> None:
        """The connection has ended, or is about to."""
        if self._connections.pop(connection, self) is self:
            return
        others = self._clients[connection.client]
        del others[connection]
        if not others:
            del self._clients[connection.client]
        if not self._connections:
            self._empty.set()

    # Turns and time.

    def _see_to_next_turn(self) -> None:
        if not self._turn_is_due and (self._queue or self._budget < QUERIES_A_TURN):
            self._turn_is_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        self._budget = QUERIES_A_TURN
        # Each of those that wait now gets one portion; those who want more queue up again.
        for _ in range(len(self._queue)):
            if self._budget <= 0:
                break
            connection = self._queue.popleft()
            connection.queued = False
            self._budget -= connection.work(min(self._budget, QUERIES_A_CONNECTION))
        self._see_to_next_turn()

    def _sweep(self) -> None:
        limits = self.limits
        shortest = min(
            limits.idle_timeout, limits.message_timeout, limits.write_timeout, limits.ask_timeout
        )
        self._next_sweep = self._loop.time() + min(max(shortest / 4, 0.01), 1.0)
        self._sweep_on(iter(self.connections()))

    def _sweep_on(self, left: Iterator[Connection]) -> None:
        """Sees to some of the connections that are left, and to the rest in later turns."""
        now, closed = self.now(), 0
        for connection in islice(left, SWEPT_A_TURN):
            overdue = connection.overdue(now)
            if overdue is Overdue.NO:
                continue
            closed += 1
            self.tally.timeouts += not connection.closing()
            if overdue is Overdue.CLOSE:
                connection.close()
            else:
                connection.abort()
            if closed == CLOSED_A_TURN:
                break
        else:
            if length_hint(left) == 0:
                self._timers["sweep"] = self._loop.call_at(self._next_sweep, self._sweep)
                return
        self._timers["sweep"] = self._loop.call_soon(self._sweep_on, left)
