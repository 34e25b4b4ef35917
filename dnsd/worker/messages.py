"""What the control process and a worker say to each other, and how it is framed.

Each message is four bytes of length (big-endian) and msgpack. The first one down is
`Setup`; then come `Table`s, one of which ends with `Open`. Rules:

* A `Table` is one step: the worker applies all its frames before it answers another query.
  The frames are opaque here (see zone/compile.py).
* Steps are numbered by the supervisor. The worker says `Applied` for each, so that the
  control process knows when a change is answered everywhere.
* A worker answers nothing before `Open`: it has no table yet, and its packets wait in the
  socket, which the control process holds open whatever happens to the worker.
* Up goes a `Heartbeat` every second, the worker's counters and its sign of life.
* `Watch` turns the query tap on and off, and `Samples` come back; `Probe`, `Peek` and
  `Flush` are answered with the same `id`.
* The end of the stream means that the other side is gone: a worker ends, a supervisor
  replaces it.

The control process trusts nothing a worker says, since the worker is what parses hostile
packets: messages up are small, of these types, and anything else ends the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from

import msgspec
from msgspec import Struct

from dnsd.answer.settings import EngineConfig
from dnsd.observe.tap import Samples, Watch
from dnsd.transport.limits import StreamLimits
from dnsd.upstream.settings import UpstreamConfig
from dnsd.upstream.status import Where

MAX_DOWN = 1 << 30  # bytes of one message to a worker; a frame is far below
MAX_UP = 1 << 18
HEARTBEAT = 1.0  # seconds between two signs of life
_HEADER = 4


class BadMessage(Exception):
    """The other side sent what is no message."""


# ---------------------------------------------------------------------------------------
# Down: control process -> worker.


class Socket(Struct, frozen=True):
    """An inherited socket: its file descriptor, and the name of its transport."""

    fd: int
    transport: str


class Setup(Struct, frozen=True, tag="setup"):
    """What a worker is told once. Durations in seconds. `upstream`: None asks nobody."""

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
    """A whole table was sent; after the first one: answer from now on."""


class Drain(Struct, frozen=True, tag="drain"):
    """Finish and exit.

    New TCP connections are not accepted any more. UDP is answered until no packet came for
    `quiet` seconds; at once over when `handover` (a successor reads the same sockets). All
    ends after `limit` seconds.
    """

    quiet: float
    limit: float
    handover: bool = False


class Probe(Struct, frozen=True, tag="probe"):
    """Answer this packet as if it had come from `client`, and say what you would have sent."""

    id: int
    packet: bytes
    client: bytes
    transport: int  # the index in the registry


class Flush(Struct, frozen=True, tag="flush"):
    """Forget replies of upstreams: those for `name`, or all (None)."""

    id: int
    name: bytes | None


class Peek(Struct, frozen=True, tag="peek"):
    """Say where a name that is not ours would be answered, without asking anybody."""

    id: int
    name: bytes
    qtype: int


Down = Setup | Table | Open | Drain | Watch | Probe | Peek | Flush

# ---------------------------------------------------------------------------------------
# Up: worker -> control process.


class Applied(Struct, frozen=True, tag="applied"):
    """The tables are at this step."""

    step: int


class Opened(Struct, frozen=True, tag="opened"):
    """Queries are answered."""


class Upstream(Struct, array_like=True, frozen=True):
    """One upstream server, as a worker knows it; `latency` smoothed, in seconds."""

    address: str
    up: bool
    latency: float
    answers: int
    failures: int


class Heartbeat(Struct, frozen=True, tag="pulse"):
    """Counters since the worker started, in the order of dnsd.worker.counters.names.

    `lag`: seconds the event loop was late for this pulse.
    """

    counters: tuple[int, ...]
    lag: float
    servers: tuple[Upstream, ...] = ()


class Drained(Struct, frozen=True, tag="drained"):
    """Everything is finished; `clean` when the limit was not needed."""

    clean: bool


class Probed(Struct, frozen=True, tag="probed"):
    """What a `Probe` is answered; None: nothing."""

    id: int
    reply: bytes | None


class Flushed(Struct, frozen=True, tag="flushed"):
    """How many replies were forgotten; -1: there is no cache."""

    id: int
    count: int


class Peeked(Struct, frozen=True, tag="peeked"):
    """The answer to a `Peek`; None: nothing is forwarded. See dnsd.upstream.status.Where."""

    id: int
    where: Where | None


Up = Applied | Opened | Heartbeat | Drained | Samples | Probed | Peeked | Flushed

_encode = msgspec.msgpack.Encoder().encode
_down: msgspec.msgpack.Decoder[Down] = msgspec.msgpack.Decoder(Down)
_up: msgspec.msgpack.Decoder[Up] = msgspec.msgpack.Decoder(Up)


def packed(message: Down | Up) -> bytes:
    """The bytes of a message, length included."""
    body = _encode(message)
    return pack("!I", len(body)) + body


class Assembler:
    """Cuts a stream of bytes into messages, none over `limit` bytes."""

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
    try:
        return _down.decode(body)
    except msgspec.DecodeError as error:
        raise BadMessage(f"not a message: {error}") from error


def read_up(body: bytes) -> Up:
    """The message from a worker in these bytes. Raises BadMessage."""
    try:
        return _up.decode(body)
    except msgspec.DecodeError as error:
        raise BadMessage(f"not a message: {error}") from error
