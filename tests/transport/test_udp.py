"""The UDP transport as a whole: socket, event loop, engine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

from dnsd.dns.addresses import Address
from dnsd.transport import mmsg
from dnsd.transport.answering import Answering
from dnsd.transport.listener import bind
from dnsd.transport.mmsg import MAX_PACKET, SLOTS
from dnsd.transport.registry import UDP
from dnsd.transport.udp import BATCHES_PER_WAKEUP, Udp
from tests.helpers import eventually
from tests.transport.engines import (
    Obedient,
    Upstream,
    query,
    receive,
    reply_to,
    truncated,
    udp_client,
)

Serve = Callable[..., "Served"]


class Served:
    """A transport that runs, its engine and its upstream."""

    def __init__(
        self, batched: bool, host: str = "127.0.0.1", *, needs_client: bool = False
    ) -> None:
        self.engine = Obedient(needs_client=needs_client)
        self.upstream = Upstream()
        self.sock = bind(Address(host, 0), UDP).socket
        self.udp = Udp(self.sock, Answering(UDP, self.engine, self.upstream), batched=batched)
        self.clients: list[socket.socket] = []

    def client(self, to: str = "") -> socket.socket:
        name = self.sock.getsockname()
        self.clients.append(udp_client((to or name[0], *name[1:]), self.sock.family))
        return self.clients[-1]

    def close(self) -> None:
        self.udp.close()
        for client in self.clients:
            client.close()


@pytest.fixture(params=["mmsg", "plain"])
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    if request.param == "mmsg" and not mmsg.available():
        pytest.skip("this platform has no recvmmsg")
    made: list[Served] = []

    def make(*args: object, **options: bool) -> Served:
        made.append(Served(request.param == "mmsg", *args, **options))
        return made[-1]

    yield make
    for served in made:
        served.close()


class TestAnswering:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
    async def test_a_reply_leaves_from_the_queried_address(self, serve: Serve, host: str) -> None:
        served = serve(host)
        served.udp.start()
        client = served.client({"0.0.0.0": "127.0.0.7", "::": "::1"}.get(host, host))
        client.send(packet := query())
        assert await receive(client) == reply_to(packet)

    async def test_each_client_gets_its_own_reply(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        clients = [served.client() for _ in range(100)]
        packets = [query(b"echo %d" % i) for i in range(100)]
        for client, packet in zip(clients, packets, strict=True):
            client.send(packet)
        assert [await receive(client) for client in clients] == [reply_to(p) for p in packets]
        assert served.udp.counters().sent == 100

    @pytest.mark.parametrize("needs_client", [False, True])
    @pytest.mark.parametrize("size", [40, 1000])
    async def test_the_engine_gets_the_client_if_it_needs_it(
        self, serve: Serve, needs_client: bool, size: int
    ) -> None:
        served = serve(needs_client=needs_client)
        served.udp.start()
        client = served.client()
        client.send(query(size=size))
        await receive(client)
        expected = socket.inet_aton("127.0.0.1") if needs_client else b""
        assert served.engine.clients == {expected}

    async def test_a_flood_leaves_turns_to_the_event_loop(self, serve: Serve) -> None:
        served = serve()
        client = served.client()
        n = SLOTS * (BATCHES_PER_WAKEUP + 2)
        for _ in range(n):
            client.send(query(b"drop"))
        seen: list[int] = []
        served.udp.start()
        while served.udp.counters().received < n:
            await asyncio.sleep(0)
            seen.append(served.udp.counters().received)
        assert any(0 < count < n for count in seen)
        # Nothing is asserted about how many turns it took, only that there were some.


class TestDropping:
    async def test_a_client_that_has_gone_does_not_affect_others(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        for _ in range(5):
            with udp_client(served.sock.getsockname()) as gone:
                gone.send(query())
            client.send(packet := query())
            assert await receive(client) == reply_to(packet)

    async def test_a_dropped_query_gets_no_reply(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        for packet in (b"", b"short", query(b"drop"), reply_to(query())):
            client.send(packet)
        client.send(last := query())
        assert await receive(client) == reply_to(last)
        await eventually(lambda: served.udp.counters().received == 5)
        assert served.udp.counters().dropped == 4

    async def test_a_datagram_that_is_too_long_is_dropped_alone(self, serve: Serve) -> None:
        served = serve()
        client = served.client()
        first, last = query(size=MAX_PACKET - 1), query()
        for packet in (first, query(size=MAX_PACKET), query(size=65_507), last):
            client.send(packet)
        served.udp.start()
        assert await receive(client) == reply_to(first)
        assert await receive(client) == reply_to(last)
        counters = served.udp.counters()
        assert (counters.received, counters.truncated, counters.dropped) == (4, 2, 2)

    async def test_a_reply_larger_than_a_datagram_is_counted_as_an_error(
        self, serve: Serve
    ) -> None:
        served = serve()
        client = served.client()
        client.send(query(b"big 70000"))
        client.send(packet := query())
        served.udp.start()
        assert await receive(client) == reply_to(packet)
        counters = served.udp.counters()
        assert (counters.sent, counters.dropped, counters.errors) == (1, 0, 1)


class TestAnEngineThatRaises:
    async def test_only_the_packet_that_raised_is_lost(self, serve: Serve) -> None:
        served = serve()
        clients = [served.client() for _ in range(10)]
        packets = [query(b"raise" if i in (3, 7) else b"echo") for i in range(10)]
        for client, packet in zip(clients, packets, strict=True):
            client.send(packet)
        served.udp.start()
        for i in (0, 1, 2, 4, 5, 6, 8, 9):
            assert await receive(clients[i]) == reply_to(packets[i])
        counters = served.udp.counters()
        assert (counters.failures, counters.dropped, counters.sent) == (2, 2, 8)

    async def test_later_queries_are_answered(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        for _ in range(5):
            client.send(query(b"raise"))
            client.send(packet := query())
            assert await receive(client) == reply_to(packet)
        assert served.udp.counters().failures == 5


class TestStreams:
    """A datagram cannot carry a reply of many messages (RFC 5936 section 4.2)."""

    async def test_a_datagram_gets_the_one_message_for_it(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        client.send(packet := query(b"many 003 00100"))
        assert await receive(client) == truncated(packet)
        counters = served.udp.counters()
        assert (counters.received, counters.sent) == (1, 1)

    async def test_without_such_a_message_the_query_is_dropped(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        client.send(query(b"none"))
        client.send(packet := query())
        assert await receive(client) == reply_to(packet)
        counters = served.udp.counters()
        assert (counters.received, counters.sent, counters.dropped) == (2, 1, 1)


class TestDeferred:
    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
    async def test_a_late_reply_leaves_from_the_queried_address(
        self, serve: Serve, host: str
    ) -> None:
        served = serve(host, needs_client=True)
        served.udp.start()
        to = {"0.0.0.0": "127.0.0.9", "::": "::1"}.get(host, host)
        clients = [served.client(to) for _ in range(3)]
        packets = [query(b"slow %d" % i) for i in range(3)]
        for client, packet in zip(clients, packets, strict=True):
            client.send(packet)
        await eventually(lambda: len(served.upstream.held) == 3)
        clients[0].send(quick := query())
        assert await receive(clients[0]) == reply_to(quick)
        assert all(deferred.client for deferred, _ in served.upstream.held)
        served.upstream.answer_all()
        assert [await receive(client) for client in clients] == [reply_to(p) for p in packets]
        counters = served.udp.counters()
        assert (counters.deferred, counters.late, counters.errors) == (3, 3, 0)

    async def test_no_reply_and_a_second_reply_send_nothing(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        client.send(query(b"slow"))
        await eventually(lambda: served.upstream.held)
        ((_, reply),) = served.upstream.held
        reply(None)
        reply(b"too late")
        client.send(packet := query())
        assert await receive(client) == reply_to(packet)
        assert served.udp.counters().late == 0

    async def test_a_reply_after_close_is_dropped(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        served.client().send(query(b"slow"))
        await eventually(lambda: served.upstream.held)
        served.udp.close()
        served.upstream.answer_all()
        assert served.udp.counters().late == 0

    async def test_a_deferred_query_without_a_handler_is_dropped(self) -> None:
        with bind(Address("127.0.0.1", 0), UDP).socket as sock:
            udp = Udp(sock, Answering(UDP, Obedient()))
            udp.start()
            with udp_client(sock.getsockname()) as client:
                client.send(query(b"slow"))
                await eventually(lambda: udp.counters().dropped == 1)
            udp.close()

    async def test_a_handler_that_raises_costs_that_query(self) -> None:
        def refuse(deferred: object, reply: object) -> None:
            raise RuntimeError("as ordered")

        sock = bind(Address("127.0.0.1", 0), UDP).socket
        udp = Udp(sock, Answering(UDP, Obedient(), refuse))
        udp.start()
        with udp_client(sock.getsockname()) as client:
            client.send(query(b"slow"))
            client.send(packet := query())
            assert await receive(client) == reply_to(packet)
        assert udp.counters().failures == 1
        assert await udp.drain(0.01, 20.0)
        udp.close()


class TestDrain:
    async def test_queued_queries_are_answered(self, serve: Serve) -> None:
        served = serve()
        client = served.client()
        packets = [query() for _ in range(200)]
        for packet in packets:
            client.send(packet)
        served.udp.start()
        assert await served.udp.drain(0.05, 20.0)
        served.udp.close()
        assert [await receive(client) for _ in packets] == [reply_to(p) for p in packets]

    async def test_a_drain_waits_for_deferred_queries(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        client.send(packet := query(b"slow"))
        await eventually(lambda: served.upstream.held)
        draining = asyncio.ensure_future(served.udp.drain(0.01, 20.0))
        assert not await served.udp.drain(0.01, 0.05)
        assert not draining.done()
        served.upstream.answer_all()
        assert await draining
        assert await receive(client) == reply_to(packet)

    async def test_the_limit_ends_a_drain_under_load(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        client = served.client()
        stop = asyncio.Event()

        async def ask_on() -> None:
            while not stop.is_set():
                client.send(query(b"drop"))
                await asyncio.sleep(0)

        asking = asyncio.ensure_future(ask_on())
        assert not await served.udp.drain(10.0, 0.1)
        stop.set()
        await asking

    async def test_close_may_be_called_twice(self, serve: Serve) -> None:
        served = serve()
        served.udp.start()
        served.udp.close()
        served.udp.close()
        assert served.sock.fileno() == -1
