"""An upstream on loopback that replies by a script, over UDP, TCP, and TLS on one port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

# The replies to a query: messages (parsed or as octets), or a coroutine that returns them.
Replies = list[dns.message.Message | bytes]
Script = Callable[[dns.message.Message, str], Replies | Awaitable[Replies]]


class Upstream:
    """Its port, and the queries that it received: (transport, message as octets, peer)."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.received: list[tuple[str, bytes, tuple[str, int]]] = []
        self.connections = self.closed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"udp://127.0.0.1:{self.port}"

    def over(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def queries(self) -> list[dns.message.Message]:
        return [dns.message.from_wire(data) for _, data, _ in self.received]

    def names(self) -> list[str]:
        return [str(query.question[0].name).lower() for query in self.queries]

    async def replies(self, data: bytes, over: str, peer: tuple[str, int]) -> list[bytes]:
        self.received.append((over, data, peer))
        found = self.script(dns.message.from_wire(data), over)
        if isinstance(found, Awaitable):
            found = await found
        return [one if isinstance(one, bytes) else one.to_wire(max_size=65535) for one in found]

    def spawn(self, coroutine: Awaitable[None]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        self.upstream.spawn(self.reply(data, peer))

    async def reply(self, data: bytes, peer: tuple[str, int]) -> None:
        for number, one in enumerate(await self.upstream.replies(data, "udp", peer)):
            self.transport.sendto(one, peer)
            if number % 50 == 49:
                await asyncio.sleep(0)  # a socket's buffer holds some hundred of them


@asynccontextmanager
async def upstream(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Upstream]:
    """An upstream that follows `script`; with `tls`, its TCP side speaks TLS."""
    served = Upstream(script)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    loop = asyncio.get_running_loop()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1

        async def reply(data: bytes) -> None:
            over = "tls" if tls else "tcp"
            for one in await served.replies(data, over, writer.get_extra_info("peername")):
                if one == b"close":
                    writer.close()
                else:
                    writer.write(len(one).to_bytes(2, "big") + one)

        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = await reader.readexactly(2)
                served.spawn(reply(await reader.readexactly(int.from_bytes(size, "big"))))
        served.closed += 1
        writer.close()

    for _ in range(20):  # the same port has to be free for both
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        served.port = sock.getsockname()[1]
        try:
            server = await asyncio.start_server(connection, host, served.port, ssl=tls)
            break
        except OSError:
            sock.close()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(served), sock=sock)
    try:
        yield served
    finally:
        await served.stop()
        transport.close()
        server.close()


def reply_to(
    query: dns.message.Message,
    *records: str,
    rcode: str = "NOERROR",
    authority: tuple[str, ...] = (),
    tc: bool = False,
) -> dns.message.Message:
    """A reply with these records in zone-file text: `name ttl type rdata`."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(dns.rcode.from_text(rcode))
    if tc:
        reply.flags |= dns.flags.TC
    for section, texts in ((reply.answer, records), (reply.authority, authority)):
        for text in texts:
            name, ttl, type_, rdata = text.split(None, 3)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", type_, rdata))
    return reply


SOA = "example. 300 SOA ns.example. hostmaster.example. 1 7200 1800 86400 60"


def address(query: dns.message.Message, text: str = "192.0.2.1", ttl: int = 60) -> Replies:
    """The usual answer: one address for every name."""
    return [reply_to(query, f"{query.question[0].name} {ttl} A {text}")]


def unused_port() -> int:
    """A port without a listener."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
