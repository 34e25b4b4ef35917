"""Limits of connections, errors of accept, fairness among connections, and the drain."""

from __future__ import annotations

import asyncio
import os
import resource
import socket

from dnsd.dns.addresses import Address
from dnsd.transport.answering import Answering
from dnsd.transport.limits import StreamLimits
from dnsd.transport.listener import bind
from dnsd.transport.registry import TCP, UDP
from dnsd.transport.stream import OCTETS_PER_QUERY
from dnsd.transport.tcp import (
    ACCEPTS_PER_TURN,
    CLOSED_PER_TURN,
    QUERIES_PER_PORTION,
    QUERIES_PER_TURN,
)
from dnsd.transport.udp import Udp
from tests.helpers import eventually
from tests.transport.engines import Obedient, TcpClient, query, receive, reply_to, udp_client
from tests.transport.served import ByHand, Served


class TestRfc9210Section43ConnectionLimits:
    async def test_at_the_limit_the_connection_idle_for_longest_is_closed(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(max_connections=3))
        clients = [await served.client() for _ in range(3)]
        for i in (1, 2, 0):  # so that the second has been idle for longest
            await clients[i].exchange(query())
        newcomer = await served.client()
        assert await newcomer.exchange(packet := query()) == reply_to(packet)
        assert await clients[1].receive() == b""
        for i in (0, 2):
            assert await clients[i].exchange(packet := query()) == reply_to(packet)
        assert served.tcp.counters().evicted == 1

    async def test_a_connection_with_half_a_message_is_closed_only_if_none_is_idle(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(max_connections=2))
        half, idle = await served.client(), await served.client()
        half.writer.write(b"\0")
        await idle.exchange(query())
        third = await served.client()
        await third.exchange(query())
        assert await idle.receive() == b""
        third.writer.write(b"\0")
        await eventually(lambda: sum(c.partial() for c in served.tcp.connections()) == 2)
        fourth = await served.client()
        assert await fourth.exchange(packet := query()) == reply_to(packet)
        assert await half.receive() == b""

    async def test_a_new_connection_is_refused_if_all_are_busy(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(max_connections=2))
        busy = [await served.client() for _ in range(2)]
        slow = [query(b"slow") for _ in busy]
        for client, packet in zip(busy, slow, strict=True):
            client.send(packet)
        await eventually(lambda: len(served.upstream.held) == 2)
        newcomer = await served.client()
        assert await newcomer.receive() == b""
        assert served.tcp.counters().refused == 1
        served.upstream.answer_all()
        assert [await client.receive() for client in busy] == [reply_to(p) for p in slow]

    async def test_a_client_has_at_most_its_share_of_connections(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(max_connections=10, per_client=2))
        neighbour = await served.client("127.0.0.2")
        await neighbour.exchange(query())
        greedy = [await served.client("127.0.0.3") for _ in range(5)]
        await greedy[-1].exchange(query())
        for client in greedy[:3]:
            assert await client.receive() == b""
        assert await greedy[3].exchange(packet := query()) == reply_to(packet)
        assert await neighbour.exchange(packet := query()) == reply_to(packet)
        assert len(served.tcp) == 3

    async def test_a_client_with_busy_connections_gets_no_more(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(per_client=1))
        (await served.client("127.0.0.3")).send(query(b"slow"))
        await eventually(lambda: served.upstream.held)
        assert await (await served.client("127.0.0.3")).receive() == b""
        neighbour = await served.client("127.0.0.2")
        assert await neighbour.exchange(packet := query()) == reply_to(packet)

    async def test_closed_connections_leave_nothing_behind(self, serve: type[Served]) -> None:
        served = serve()
        for _ in range(5):
            clients = [await served.client() for _ in range(40)]
            for client in clients:
                assert await client.exchange(packet := query()) == reply_to(packet)
                client.close()
        await eventually(lambda: len(served.tcp) == 0)
        assert served.tcp.counters().accepted == 200


class TestAcceptErrors:
    async def test_accepting_continues_after_file_descriptors_ran_out(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        idle = await served.client()
        await idle.exchange(query())
        early = socket.socket()
        early.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = os.dup(0)
        os.close(spare)
        # No descriptor from the lowest free one up may be used: none is left. The idle
        # connection is closed instead, and accepting pauses and has to resume.
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
        try:
            await asyncio.get_running_loop().sock_connect(early, ("127.0.0.1", served.port))
            await eventually(lambda: served.tcp.counters().errors > 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await idle.receive() == b""
        early.send(b"\0\x0c" + (packet := query(b"")))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            assert await loop.sock_recv(early, 100) == b"\0\x0c" + reply_to(packet)
        early.close()


async def most_a_turn(served: Served, n: int) -> int:
    """The most queries answered in one turn of the event loop, until n are answered."""
    most, seen = 0, served.tcp.counters().received
    while seen < n:
        await asyncio.sleep(0)
        most = max(most, served.tcp.counters().received - seen)
        seen = served.tcp.counters().received
    return most


class TestFairness:
    async def test_a_connection_gets_one_portion_per_turn(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(*(query() for _ in range(3_000)))
        # Twice, because a turn of this test may begin in the middle of a turn of the server.
        assert await most_a_turn(served, 3_000) <= 2 * QUERIES_PER_PORTION

    async def test_a_turn_is_bounded_for_all_connections_together(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        clients = [await served.client() for _ in range(20)]
        for client in clients:
            client.send(*(query() for _ in range(500)))
        assert await most_a_turn(served, 10_000) <= 2 * QUERIES_PER_TURN

    async def test_octets_count_as_work(self, serve: type[Served]) -> None:
        """A turn answers as many octets as its queries are worth, and one message more."""
        served = serve()
        clients = [await served.client() for _ in range(20)]
        for client in clients:
            client.send(*(query(b"drop", size=60_000) for _ in range(10)))
        most = seen = 0
        while served.tcp.counters().received < 200:
            await asyncio.sleep(0)
            most = max(most, served.engine.octets - seen)
            seen = served.engine.octets
        # Twice, as above.
        assert most <= 2 * (QUERIES_PER_TURN * OCTETS_PER_QUERY + 60_000)
        assert len(served.tcp) == 20

    async def test_a_connection_that_waits_for_its_turn_is_not_read(self) -> None:
        """After the first inbox of each, 20 clients are read as slowly as one would be."""
        sock = bind(Address("127.0.0.1", 0), TCP).socket
        tcp = ByHand(sock, Answering(TCP, Obedient()))
        tcp.start()
        clients = [await TcpClient.connect(sock.getsockname()[1]) for _ in range(20)]
        for client in clients:
            client.send(*(query(b"drop", size=60_000) for _ in range(10)))
        reads: list[int] = []
        seen = 0
        while tcp.counters().received < 200:
            await asyncio.sleep(0)
            reads.append(tcp.arrivals - seen)
            seen = tcp.arrivals
        # All at once would be 20 reads in many a turn.
        assert sum(one > 5 for one in reads) <= 2
        for client in clients:
            client.close()
        tcp.close()

    async def test_overdue_connections_are_closed_a_few_per_turn(self) -> None:
        sock = bind(Address("127.0.0.1", 0), TCP).socket
        limits = StreamLimits(per_client=300, message_timeout=0.04)
        tcp = ByHand(sock, Answering(TCP, Obedient(), limits=limits))
        tcp.start()
        port = sock.getsockname()[1]
        clients = [await TcpClient.connect(port) for _ in range(200)]
        for client in clients:
            client.writer.write(b"\0")
        await eventually(lambda: sum(one.partial() for one in tcp.connections()) == 200)
        tcp.hand += 10.0
        most, closed = 0, 0
        while closed < 200:
            await asyncio.sleep(0)
            now = tcp.counters().timeouts
            most, closed = max(most, now - closed), now
        assert 0 < most <= 2 * CLOSED_PER_TURN
        await eventually(lambda: len(tcp) == 0)
        # And there is a next time.
        late = await TcpClient.connect(port)
        late.writer.write(b"\0")
        await eventually(lambda: any(one.partial() for one in tcp.connections()))
        tcp.hand += 10.0
        assert await late.receive() == b""
        for client in (*clients, late):
            client.close()
        tcp.close()

    async def test_a_few_connections_are_accepted_per_turn(self, serve: type[Served]) -> None:
        served = serve()
        clients = [socket.socket() for _ in range(60)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", served.port))
        most = seen = 0
        while seen < len(clients):
            await asyncio.sleep(0)
            now = served.tcp.counters().accepted
            most, seen = max(most, now - seen), now
        assert most <= 2 * ACCEPTS_PER_TURN
        for client in clients:
            client.close()

    async def test_10_000_pipelined_queries_leave_udp_its_turns(self, serve: type[Served]) -> None:
        served = serve()
        sock = bind(Address("127.0.0.1", 0), UDP).socket
        udp = Udp(sock, Answering(UDP, Obedient()))
        udp.start()
        client = await served.client()
        packets = [query() for _ in range(10_000)]
        client.send(*packets)
        await eventually(lambda: served.tcp.counters().received)
        with udp_client(sock.getsockname()) as other:
            other.send(packet := query())
            assert await receive(other) == reply_to(packet)
        assert served.tcp.counters().received < 10_000
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]
        udp.close()

    async def test_a_long_pipeline_takes_turns_with_other_connections(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        greedy, modest = await served.client(), await served.client("127.0.0.2")
        greedy.send(*(query() for _ in range(10_000)))
        await eventually(lambda: served.tcp.counters().received)
        assert await modest.exchange(packet := query()) == reply_to(packet)
        assert served.tcp.counters().received < 10_000

    async def test_many_pipelines_at_once_are_all_answered(self, serve: type[Served]) -> None:
        served = serve()
        clients = [await served.client() for _ in range(20)]
        packets = [query() for _ in range(300)]
        for client in clients:
            client.send(*packets)
        for client in clients:
            assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]


class TestDrain:
    async def test_idle_connections_are_closed_and_none_is_accepted(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        client = await served.client()
        await client.exchange(query())
        assert await served.tcp.drain(0.0, 20.0)
        assert await client.receive() == b""
        newcomer = await served.client()  # waits in the kernel's queue
        newcomer.send(query())
        for _ in range(10):  # turns of the event loop, in which it would be accepted
            await asyncio.sleep(0)
        assert served.tcp.counters().accepted == 1

    async def test_queries_that_have_arrived_are_answered_first(self, serve: type[Served]) -> None:
        served = serve()
        quick, slow = await served.client(), await served.client()
        packets = [query() for _ in range(2_000)]
        quick.send(*packets)
        slow.send(late := query(b"slow"))
        await eventually(lambda: served.upstream.held and served.tcp.counters().received > 1)
        draining = asyncio.ensure_future(served.tcp.drain(0.0, 20.0))
        replies = [await quick.receive() for _ in packets]
        assert replies == [reply_to(p) for p in packets]
        assert not draining.done()
        served.upstream.answer_all()
        assert await slow.receive() == reply_to(late)
        assert await slow.receive() == b""
        assert await draining

    async def test_a_message_that_has_begun_may_complete(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        data = b"\0\x0c" + (packet := query(b""))
        client.writer.write(data[:6])
        await eventually(lambda: any(c.partial() for c in served.tcp.connections()))
        draining = asyncio.ensure_future(served.tcp.drain(0.0, 20.0))
        await eventually(lambda: served.tcp.draining)
        client.writer.write(data[6:])
        assert await client.receive() == reply_to(packet)
        assert await client.receive() == b""
        assert await draining

    async def test_the_limit_cuts_the_remaining_connections(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"slow"))
        await eventually(lambda: served.upstream.held)
        assert not await served.tcp.drain(0.0, 0.05)
        assert await client.receive() == b""
        served.upstream.answer_all()

    async def test_a_drain_without_connections_ends_at_once(self, serve: type[Served]) -> None:
        assert await serve().tcp.drain(0.0, 20.0)

    async def test_close_may_be_called_twice(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        await client.exchange(query())
        served.tcp.close()
        served.tcp.close()
        assert await client.receive() == b""
