"""The messages between the control process and a worker, and their framing.

In `worker/` (both processes). Change here: what crosses the process boundary.

Each message is four bytes of length (big-endian) and msgpack. The first message down is `Setup`.
Then `Table`s follow, and `Open` after each whole table.

* A `Table` is one step: the worker applies all its frames before it answers another query. The
  frames are opaque here (see zone/frame.py).
* The supervisor numbers the steps. The worker replies `Applied` to each, so that the control
  process knows when a change is answered everywhere.
* A worker does not answer before `Open`, because it has no table. Its packets wait in the socket,
  which the control process holds open.
* A worker sends a `Heartbeat` with its counters every second.
* `Watch` turns the query tap on and off, and `Samples` come back. `Probe`, `Peek`, and `Flush` get
  a reply with the same `id`.
* The end of the stream means that the other process has ended: a worker exits, and the supervisor
  replaces a worker.

The control process does not trust a worker, because workers parse hostile packets. Messages up are
small and of these types; any other message ends the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from
from typing import TypeVar

import msgspec
from msgspec import Struct

from dnsd.answer.settings import EngineConfig
from dnsd.observe.tap import Samples, Watch
from dnsd.transport.limits import StreamLimits
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.status import Where

MAX_DOWN = 1 << 30  # bytes of one message to a worker; a frame is much smaller
MAX_UP = 1 << 18  # bytes of one message to the control process
HEARTBEAT = 1.0  # seconds between two heartbeats
_HEADER = 4


class BadMessage(Exception):
    """The other process sent bytes that are not a message."""


# ---------------------------------------------------------------------------------------
# Down: control process -> worker.


class Socket(Struct, frozen=True):
    """An inherited socket: its file descriptor, and the name of its transport."""

    fd: int
    transport: str


class Setup(Struct, frozen=True, tag="setup"):
    """The configuration of a worker. `upstream`: None if the worker does not forward."""

    index: int
    sockets: tuple[Socket, ...]
    engine: EngineConfig
    limits: StreamLimits = StreamLimits()
    uvloop: bool = False
    log_level: str = "info"
    upstream: UpstreamConfig | None = None


class Table(Struct, frozen=True, tag="table"):
    """One step of the tables; `frames` are applied together."""

    step: int
    frames: tuple[bytes, ...]


class Open(Struct, frozen=True, tag="open"):
    """A whole table was sent. After the first one, the worker answers queries."""


class Drain(Struct, frozen=True, tag="drain"):
    """Finish and exit.

    The worker accepts no new connections. It answers UDP until no packet has arrived for `quiet`
    seconds, or not at all with `handover` (a successor reads the same sockets). It exits after
    `limit` seconds at the latest.
    """

    quiet: float
    limit: float
    handover: bool = False


class Probe(Struct, frozen=True, tag="probe"):
    """Request the reply to this packet as if `client` had sent it."""

    id: int
    packet: bytes
    client: bytes
    transport: int  # the index in the registry


class Flush(Struct, frozen=True, tag="flush"):
    """Forget cached replies of upstreams: those for `name`, or all (None)."""

    id: int
    name: bytes | None


class Peek(Struct, frozen=True, tag="peek"):
    """Request where an external name would be answered. Sends no query."""

    id: int
    name: bytes
    qtype: int


Down = Setup | Table | Open | Drain | Watch | Probe | Peek | Flush

# ---------------------------------------------------------------------------------------
# Up: worker -> control process.


class Applied(Struct, frozen=True, tag="applied"):
    """The worker has applied this step."""

    step: int


class Opened(Struct, frozen=True, tag="opened"):
    """The worker answers queries."""


class Upstream(Struct, array_like=True, frozen=True):
    """One upstream server, as a worker sees it. `latency`: smoothed, in seconds."""

    address: str
    up: bool
    latency: float
    answers: int
    failures: int


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    """Counters since the worker started, in the order of dnsd.worker.counters.names.

    `lag`: seconds by which the event loop was late for this heartbeat.
    """

    counters: tuple[int, ...]
    lag: float
    servers: tuple[Upstream, ...] = ()


class Drained(Struct, frozen=True, tag="drained"):
    """The worker has finished. `clean`: before the limit."""

    clean: bool


class Probed(Struct, frozen=True, tag="probed"):
    """The reply to a `Probe`. `reply`: None if the worker drops the packet."""

    id: int
    reply: bytes | None


class Flushed(Struct, frozen=True, tag="flushed"):
    """The reply to a `Flush`: how many replies were forgotten, -1 without a cache."""

    id: int
    count: int


class Peeked(Struct, frozen=True, tag="peeked"):
    """The reply to a `Peek`. `where`: None if the worker does not forward."""

    id: int
    where: Where | None


Up = Applied | Opened | Heartbeat | Drained | Samples | Probed | Peeked | Flushed

_encode = msgspec.msgpack.Encoder().encode
_down: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_up: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)
M = TypeVar("M")


def packed(message: Down | Up) -> bytes:
    """The bytes of a message, length included."""
    body = _encode(message)
    return pack("!I", len(body)) + body


class Assembler:
    """Splits a stream of bytes into messages of at most `limit` bytes."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit

    def take(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes, without their length. Raises BadMessage."""
        buffer = self._buffer
        buffer += data
        begin = 0
        try:
            while len(buffer) - begin >= _HEADER:
                (length,) = unpack_from("!I", buffer, begin)
                if length > self._limit:
                    raise BadMessage(f"a message of {length} bytes, the limit is {self._limit}")
                end = begin + _HEADER + length
                if len(buffer) < end:
                    break
                message = bytes(buffer[begin + _HEADER : end])
                begin = end
                yield message
        finally:
            del buffer[:begin]


def read_down(body: bytes) -> Down:
    """The message to a worker in these bytes. Raises BadMessage."""
    return _read(_down, body)


def read_up(body: bytes) -> Up:
    """The message from a worker in these bytes. Raises BadMessage."""
    return _read(_up, body)


def _read(decoder: msgspec.msgpack.Decoder[M], body: bytes) -> M:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise BadMessage(f"not a message: {error}") from error
