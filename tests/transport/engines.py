"""An engine that obeys orders in its queries, and clients that send such queries.

A query has a DNS header of 12 octets, the first two of which are its id, and then an order:
`big 01234` for a reply of that many octets, `drop`, `raise`, `slow` (a deferred query),
`many 003 01234` for a stream of so many messages of so many octets, `none` for a stream without
messages, `broken` for a stream that raises after two of them, or any other text, which comes back
with QR set.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Iterator, Sequence
from typing import ClassVar

from dnsd.answer.outcome import Deferred, Outcome, Stream
from dnsd.answer.transport import Transport
from dnsd.transport.answering import LateReply

_ids = itertools.count(1)


def query(order: bytes = b"echo", *, size: int = 0) -> bytes:
    """A query with an id of its own, filled up to `size` bytes."""
    packet = (next(_ids) & 0xFFFF).to_bytes(2, "big") + b"\x01\0\0\1\0\0\0\0\0\0" + order
    return packet.ljust(size, b".")


def reply_to(packet: bytes) -> bytes:
    """What Obedient answers when nothing else is ordered."""
    return packet[:2] + b"\x85" + packet[3:]


def messages_of(packet: bytes) -> Iterator[bytes]:
    """What Obedient answers to `many`."""
    count, size = map(int, packet[17:].split()[:2])
    return ((reply_to(packet) + b"%d" % i).ljust(size, b"+") for i in range(count))


def truncated(packet: bytes) -> bytes:
    """What Obedient answers to `many` over a datagram transport: TC is set."""
    return packet[:2] + b"\x87" + packet[3:]


class Slow(Deferred, frozen=True):
    """A deferred query."""

    kind: ClassVar[str] = "slow"

    packet: bytes
    client: bytes


class Obedient:
    """See above. Records clients, transports, sizes of batches, and octets."""

    def __init__(self, *, needs_client: bool = False) -> None:
        self.needs_client = needs_client
        self.clients: set[bytes] = set()
        self.transports: set[Transport] = set()
        self.batches: list[int] = []
        self.octets = 0  # of all queries

    def answer(self, packet: bytes, client: bytes, transport: Transport) -> Outcome:
        self.clients.add(client)
        self.transports.add(transport)
        self.octets += len(packet)
        order = packet[12:]
        if len(packet) < 12 or packet[2] & 0x80 or order.startswith(b"drop"):
            return None
        if order.startswith(b"big "):
            return reply_to(packet).ljust(int(order[4:9]), b"+")
        if order.startswith(b"raise"):
            raise ValueError("as ordered")
        if order.startswith(b"slow"):
            return Slow(packet, client)
        if order.startswith(b"many"):
            return Stream(messages_of(packet), truncated(packet))
        if order.startswith(b"none"):
            return Stream(iter(()))
        if order.startswith(b"broken"):
            return Stream(map(reply_to, [packet, packet, 0]))  # type: ignore[list-item]
        return reply_to(packet)

    def answer_batch(
        self,
        blob: bytes,
        lengths: Sequence[int],
        stride: int,
        clients: Sequence[bytes] | None,
        transport: Transport,
    ) -> list[Outcome]:
        self.batches.append(len(lengths))
        return [
            self.answer(
                blob[i * stride : i * stride + n], clients[i] if clients else b"", transport
            )
            for i, n in enumerate(lengths)
        ]


class Upstream:
    """Takes deferred queries and answers them on command."""

    def __init__(self) -> None:
        self.held: list[tuple[Slow, LateReply]] = []

    def __call__(self, deferred: object, reply: LateReply) -> None:
        assert isinstance(deferred, Slow)
        self.held.append((deferred, reply))

    def answer_all(self) -> None:
        held, self.held = self.held, []
        for deferred, reply in held:
            reply(reply_to(deferred.packet))


def udp_client(address: tuple[object, ...], family: int = socket.AF_INET) -> socket.socket:
    """A non-blocking socket that only talks to `address`."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect(address)
    sock.setblocking(False)
    return sock


async def receive(sock: socket.socket) -> bytes:
    """The next datagram."""
    async with asyncio.timeout(20):
        return await asyncio.get_running_loop().sock_recv(sock, 65_535)


def framed(*messages: bytes) -> bytes:
    """Messages as they go over TCP (RFC 1035 section 4.2.2)."""
    return b"".join(len(m).to_bytes(2, "big") + m for m in messages)


class TcpClient:
    """A connection that speaks in messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, source: str = "127.0.0.1") -> TcpClient:
        opened = asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        return cls(*await opened)

    def send(self, *messages: bytes) -> None:
        self.writer.write(framed(*messages))

    async def receive(self) -> bytes:
        """The next message; b"" when the server closed instead."""
        async with asyncio.timeout(20):
            try:
                head = await self.reader.readexactly(2)
                return await self.reader.readexactly(int.from_bytes(head, "big"))
            except (asyncio.IncompleteReadError, ConnectionError):
                return b""

    async def exchange(self, packet: bytes) -> bytes:
        self.send(packet)
        return await self.receive()

    def close(self) -> None:
        self.writer.transport.abort()
