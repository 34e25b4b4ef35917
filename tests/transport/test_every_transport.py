"""The same queries over every transport get the same replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dnsd.dns.addresses import Address
from dnsd.transport import mmsg
from dnsd.transport.answering import Answering
from dnsd.transport.listener import bind_group
from dnsd.transport.registry import TCP, UDP
from dnsd.transport.tcp import Tcp
from dnsd.transport.udp import Udp
from tests.transport.engines import (
    Obedient,
    TcpClient,
    Upstream,
    query,
    receive,
    reply_to,
    udp_client,
)

Exchange = Callable[[bytes, bytes], Awaitable[bytes]]


class Prompt(Upstream):
    """An upstream that answers a moment later."""

    def __call__(self, deferred: object, reply: object) -> None:
        super().__call__(deferred, reply)
        asyncio.get_running_loop().call_later(0.001, self.answer_all)


@pytest.fixture(params=["udp mmsg", "udp plain", "tcp"])
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[Exchange]:
    """Sends two queries at once and returns the first reply that comes."""
    if request.param == "udp mmsg" and not mmsg.available():
        pytest.skip("this platform has no recvmmsg")
    ((udp_listener, tcp_listener),) = bind_group(Address("127.0.0.1", 0))
    batched = request.param == "udp mmsg"
    engine = Obedient(needs_client=True)
    udp = Udp(udp_listener.socket, Answering(UDP, engine, Prompt()), batched=batched)
    tcp = Tcp(tcp_listener.socket, Answering(TCP, engine, Prompt()))
    udp.start()
    tcp.start()
    datagrams = udp_client(udp_listener.socket.getsockname())
    stream = await TcpClient.connect(tcp_listener.address.port)

    async def over_udp(first: bytes, second: bytes) -> bytes:
        datagrams.send(first)
        datagrams.send(second)
        return await receive(datagrams)

    async def over_tcp(first: bytes, second: bytes) -> bytes:
        stream.send(first, second)
        return await stream.receive()

    yield over_tcp if request.param == "tcp" else over_udp
    datagrams.close()
    stream.close()
    udp.close()
    tcp.close()


@pytest.mark.parametrize("size", [12, 60, 511, 512, 513, 1232, 4095])
async def test_a_query_of_any_size_comes_back(exchange: Exchange, size: int) -> None:
    packet = query(b"", size=size)
    assert await exchange(packet, query(b"drop")) == reply_to(packet)


@pytest.mark.parametrize("size", [100, 512, 1232, 4096, 65_000])
async def test_a_reply_of_any_size_arrives(exchange: Exchange, size: int) -> None:
    packet = query(b"big %05d" % size)
    assert await exchange(packet, query(b"drop")) == reply_to(packet).ljust(size, b"+")


@pytest.mark.parametrize("order", [b"drop", b"raise"])
async def test_a_query_without_a_reply_does_not_affect_the_next(
    exchange: Exchange, order: bytes
) -> None:
    packet = query()
    assert await exchange(query(order), packet) == reply_to(packet)


async def test_a_response_gets_no_reply(exchange: Exchange) -> None:
    packet = query()
    assert await exchange(reply_to(query()), packet) == reply_to(packet)


async def test_a_deferred_query_is_answered_later(exchange: Exchange) -> None:
    packet = query(b"slow")
    assert await exchange(packet, query(b"drop")) == reply_to(packet)


async def test_a_deferred_query_does_not_delay_the_next(exchange: Exchange) -> None:
    packet = query()
    assert await exchange(query(b"slow"), packet) == reply_to(packet)
