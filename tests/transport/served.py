"""A running TCP transport, with its engine, its upstream, and its clients."""

from __future__ import annotations

from dnsd.dns.addresses import Address
from dnsd.transport.answering import Answering
from dnsd.transport.limits import StreamLimits
from dnsd.transport.listener import bind
from dnsd.transport.registry import TCP
from dnsd.transport.stream import Connection
from dnsd.transport.tcp import Tcp
from tests.helpers import eventually
from tests.transport.engines import Obedient, TcpClient, Upstream

LIMITS = StreamLimits()


class Served:
    """A transport that runs, its engine, its upstream and its clients."""

    def __init__(self, limits: StreamLimits = LIMITS) -> None:
        self.engine = Obedient(needs_client=True)
        self.upstream = Upstream()
        self.sock = bind(Address("127.0.0.1", 0), TCP).socket
        self.port = self.sock.getsockname()[1]
        self.tcp = Tcp(self.sock, Answering(TCP, self.engine, self.upstream, limits))
        self.clients: list[TcpClient] = []
        self.tcp.start()

    async def client(self, source: str = "127.0.0.1") -> TcpClient:
        self.clients.append(await TcpClient.connect(self.port, source))
        return self.clients[-1]

    async def close(self) -> None:
        for client in self.clients:
            client.close()
        self.tcp.close()
        await eventually(lambda: len(self.tcp) == 0)


class ByHand(Tcp):
    """A server whose time passes by hand, and which counts how often octets arrive."""

    hand = 1000.0
    arrivals = 0

    def now(self) -> float:
        return self.hand

    def ready(self, connection: Connection) -> None:
        self.arrivals += 1
        super().ready(connection)
