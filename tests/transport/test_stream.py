"""The rules of one connection: RFC 1035 section 4.2.2, RFC 7766, RFC 9210."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

import pytest

from dnsd.dns.addresses import Address
from dnsd.transport.answering import Answering
from dnsd.transport.limits import StreamLimits
from dnsd.transport.listener import bind
from dnsd.transport.registry import TCP
from dnsd.transport.tcp import Tcp
from tests.helpers import eventually
from tests.transport.engines import (
    Obedient,
    TcpClient,
    framed,
    messages_of,
    query,
    reply_to,
)
from tests.transport.served import ByHand, Served


class TestRfc1035Section422Framing:
    async def test_a_message_may_arrive_octet_by_octet(self, serve: type[Served]) -> None:
        client = await serve().client()
        packets = [query(), query()]
        for byte in framed(*packets):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]

    @pytest.mark.parametrize("cut", [1, 2, 3, 13, 30])
    async def test_a_message_may_be_cut_anywhere(self, serve: type[Served], cut: int) -> None:
        served = serve()
        client = await served.client()
        packets = [query(), query(size=40)]
        data = framed(*packets)
        client.writer.write(data[:cut])
        await eventually(lambda: len(served.tcp) == 1)
        client.writer.write(data[cut:])
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]

    @pytest.mark.parametrize("length", [0, 1, 11])
    async def test_a_length_shorter_than_a_header_closes_the_connection(
        self, serve: type[Served], length: int
    ) -> None:
        served = serve()
        client = await served.client()
        first, never = query(), query()
        client.writer.write(framed(first, bytes(length), never))
        assert await client.receive() == reply_to(first)
        assert await client.receive() == b""
        assert served.tcp.counters().malformed == 1
        assert served.tcp.counters().received == 1

    async def test_queries_before_an_invalid_length_are_answered(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.writer.write(framed(slow := query(b"slow"), b"") + bytes(100_000))
        await eventually(lambda: served.upstream.held)
        served.upstream.answer_all()
        assert await client.receive() == reply_to(slow)
        assert await client.receive() == b""
        assert served.tcp.counters().malformed == 1

    @pytest.mark.parametrize("seed", range(5))
    async def test_the_replies_do_not_depend_on_segments(
        self, serve: type[Served], seed: int
    ) -> None:
        dice = random.Random(seed)
        client = await serve().client()
        packets = [query(b"", size=dice.choice((12, 13, 300, 5000))) for _ in range(60)]
        data = framed(*packets)
        while data:
            n = dice.choice((1, 2, 3, 14, 100, 7000))
            client.writer.write(data[:n])
            data = data[n:]
            await asyncio.sleep(0)
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]

    @pytest.mark.parametrize("size", [12, 512, 65_535])
    async def test_queries_of_every_size_are_answered(self, serve: type[Served], size: int) -> None:
        client = await serve().client()
        packet = query(b"", size=size)
        assert await client.exchange(packet) == reply_to(packet)

    @pytest.mark.parametrize("size", [512, 65_535])
    async def test_replies_of_every_size_arrive(self, serve: type[Served], size: int) -> None:
        client = await serve().client()
        packets = [query(b"big %05d" % size), query()]
        client.send(*packets)
        assert await client.receive() == reply_to(packets[0]).ljust(size, b"+")
        assert await client.receive() == reply_to(packets[1])

    async def test_a_reply_over_65535_octets_is_dropped(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"big 65536"), packet := query())
        assert await client.receive() == reply_to(packet)
        assert served.tcp.counters().dropped == 1


class TestRfc7766Section62ConnectionHandling:
    async def test_100_pipelined_queries_in_one_segment_are_answered(
        self, serve: type[Served]
    ) -> None:
        client = await serve().client()
        packets = [query(b"echo %d" % i) for i in range(100)]
        client.send(*packets)
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]

    async def test_one_connection_serves_many_queries(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        for _ in range(20):
            assert await client.exchange(packet := query()) == reply_to(packet)
        assert served.tcp.counters().accepted == 1

    async def test_a_dropped_query_leaves_the_connection_open(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"drop"), reply_to(query()), packet := query())
        assert await client.receive() == reply_to(packet)
        assert served.tcp.counters().dropped == 2

    async def test_a_query_before_a_half_close_is_answered(self, serve: type[Served]) -> None:
        client = await serve().client()
        packets = [query() for _ in range(50)]
        client.send(*packets)
        client.writer.write_eof()
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]
        assert await client.receive() == b""

    async def test_a_deferred_query_before_a_half_close_is_answered(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        client = await served.client()
        client.send(slow := query(b"slow"))
        client.writer.write(b"\0")  # and the beginning of what never comes
        client.writer.write_eof()
        await eventually(lambda: served.upstream.held)
        served.upstream.answer_all()
        assert await client.receive() == reply_to(slow)
        assert await client.receive() == b""
        await eventually(lambda: len(served.tcp) == 0)

    async def test_a_reset_while_replies_leave_costs_that_connection_only(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        for order in (b"big 65535", b"slow"):
            client = await served.client()
            sock = client.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.send(*(query(order) for _ in range(50)))
            await eventually(lambda: served.tcp.counters().received)
            client.close()
        await eventually(lambda: len(served.tcp) == 0)
        served.upstream.answer_all()
        client = await served.client()
        assert await client.exchange(packet := query()) == reply_to(packet)
        assert served.tcp.counters().failures == 0

    async def test_the_engine_gets_the_client_and_the_transport(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client("127.0.0.5")
        await client.exchange(query())
        assert served.engine.clients == {socket.inet_aton("127.0.0.5")}
        assert served.engine.transports == {TCP}

    async def test_an_engine_that_raises_costs_that_query(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"raise"), packet := query())
        assert await client.receive() == reply_to(packet)
        assert served.tcp.counters().failures == 1


class TestRfc7766Section7ResponseReordering:
    async def test_a_slow_query_does_not_delay_a_fast_one_behind_it(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        client = await served.client()
        client.send(slow := query(b"slow"), fast := query())
        assert await client.receive() == reply_to(fast)
        served.upstream.answer_all()
        assert await client.receive() == reply_to(slow)

    async def test_deferred_replies_leave_in_the_order_in_which_they_are_ready(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        client = await served.client()
        packets = [query(b"slow %d" % i) for i in range(10)]
        client.send(*packets)
        await eventually(lambda: len(served.upstream.held) == 10)
        served.upstream.held.reverse()
        served.upstream.answer_all()
        replies = [await client.receive() for _ in packets]
        assert replies == [reply_to(p) for p in reversed(packets)]

    async def test_a_deferred_query_may_be_answered_at_once(self) -> None:
        def at_once(deferred: object, reply: object) -> None:
            reply(reply_to(deferred.packet))

        sock = bind(Address("127.0.0.1", 0), TCP).socket
        tcp = Tcp(sock, Answering(TCP, Obedient(), at_once))
        tcp.start()
        client = await TcpClient.connect(sock.getsockname()[1])
        packets = [query(b"slow"), query(), query(b"slow")]
        client.send(*packets)
        client.writer.write_eof()
        assert [await client.receive() for _ in packets] == [reply_to(p) for p in packets]
        assert await client.receive() == b""
        tcp.close()

    async def test_at_most_max_forwards_queries_are_deferred_at_a_time(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(max_forwards=4))
        client = await served.client()
        packets = [query(b"slow %d" % i) for i in range(10)]
        client.send(*packets)
        replies = []
        while len(replies) < 10:
            expected = min(4, 10 - len(replies))
            await eventually(lambda n=expected: len(served.upstream.held) == n)
            assert await still(lambda n=expected: len(served.upstream.held) == n)
            served.upstream.answer_all()
            replies += [await client.receive() for _ in range(expected)]
        assert replies == [reply_to(p) for p in packets]

    async def test_a_deferred_query_without_a_reply_frees_its_place(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(max_forwards=1))
        client = await served.client()
        client.send(query(b"slow"), packet := query())
        await eventually(lambda: served.upstream.held)
        served.upstream.held.pop()[1](None)
        assert await client.receive() == reply_to(packet)


class TestRfc9210Section44Timeouts:
    async def test_a_connection_without_a_query_is_closed(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(idle_timeout=0.1))
        client = await served.client()
        assert await client.receive() == b""
        assert served.tcp.counters().timeouts == 1

    async def test_an_idle_connection_is_closed_after_a_reply(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(idle_timeout=0.1))
        client = await served.client()
        assert await client.exchange(packet := query()) == reply_to(packet)
        assert await client.receive() == b""

    async def test_octets_that_trickle_in_do_not_extend_the_time_of_a_message(self) -> None:
        sock = bind(Address("127.0.0.1", 0), TCP).socket
        tcp = ByHand(sock, Answering(TCP, Obedient()))
        tcp.start()
        client = await TcpClient.connect(sock.getsockname()[1])
        client.writer.write(b"\xff\xff")
        for arrivals in range(1, 5):
            await eventually(lambda count=arrivals: tcp.arrivals == count)
            (connection,) = tcp.connections()
            assert connection.overdue(tcp.hand) is None
            tcp.hand += 0.3 * tcp.answering.limits.message_timeout
            client.writer.write(b"x")
        assert connection.overdue(tcp.hand) == connection.close
        client.close()
        tcp.close()

    async def test_each_message_has_its_own_time(self) -> None:
        sock = bind(Address("127.0.0.1", 0), TCP).socket
        tcp = ByHand(sock, Answering(TCP, Obedient()))
        tcp.start()
        client = await TcpClient.connect(sock.getsockname()[1])
        client.writer.write(b"\0")
        await eventually(lambda: any(c.partial() for c in tcp.connections()))
        (connection,) = tcp.connections()
        limit = tcp.answering.limits.message_timeout
        for _ in range(3):
            tcp.hand += 0.9 * limit
            assert connection.overdue(tcp.hand) is None
            client.writer.write(b"\x0c" + (packet := query(b"")) + b"\0")
            assert await client.receive() == reply_to(packet)
        tcp.hand += 1.1 * limit
        assert connection.overdue(tcp.hand) == connection.close
        client.close()
        tcp.close()

    async def test_a_client_that_does_not_read_is_cut_off(self, serve: type[Served]) -> None:
        served = serve(StreamLimits(write_timeout=0.2))
        client = await served.client()
        client.writer.transport.pause_reading()
        packet = query(b"big 65535")
        for _ in range(2_000):
            client.send(packet)
        await eventually(lambda: served.tcp.counters().timeouts == 1)
        await eventually(lambda: len(served.tcp) == 0)
        # The cost is bounded: most of the queries never reached the engine.
        assert served.tcp.counters().received < 2_000

    async def test_a_client_that_reads_late_gets_everything(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.writer.transport.pause_reading()
        packets = [query(b"big 60000") for _ in range(200)]
        client.send(*packets)
        await eventually(lambda: served.tcp.counters().received > 10)
        client.writer.transport.resume_reading()
        for packet in packets:
            assert await client.receive() == reply_to(packet).ljust(60_000, b"+")

    async def test_a_deferred_query_that_is_never_answered_ends_the_connection(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(deferred_timeout=0.1, idle_timeout=0.05))
        client = await served.client()
        client.send(query(b"slow"))
        assert await client.receive() == b""
        served.upstream.answer_all()
        assert served.tcp.counters().late == 0

    async def test_a_connection_with_a_deferred_query_is_not_idle(
        self, serve: type[Served]
    ) -> None:
        served = serve(StreamLimits(idle_timeout=0.05, message_timeout=0.05))
        client = await served.client()
        client.send(slow := query(b"slow"))
        await eventually(lambda: served.upstream.held)
        other = await served.client()
        assert await other.receive() == b""  # idle since later, and gone
        served.upstream.answer_all()
        assert await client.receive() == reply_to(slow)


class TestStreams:
    """A reply of many messages (RFC 5936 section 2.2)."""

    @pytest.mark.parametrize("order", [b"many 001 00100", b"many 005 00500", b"many 300 60000"])
    async def test_each_message_arrives_in_order_before_the_next_reply(
        self, serve: type[Served], order: bytes
    ) -> None:
        served = serve()
        client = await served.client()
        client.send(packet := query(order), after := query())
        for message in messages_of(packet):
            assert await client.receive() == message
        assert await client.receive() == reply_to(after)

    async def test_a_stream_without_messages_does_not_affect_the_next_query(
        self, serve: type[Served]
    ) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"none"), after := query())
        assert await client.receive() == reply_to(after)

    async def test_a_client_that_does_not_read_stops_the_stream(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.writer.transport.pause_reading()
        client.send(packet := query(b"many 999 60000"))
        await eventually(lambda: served.tcp.counters().sent)
        for _ in range(50):
            await asyncio.sleep(0)
        assert served.tcp.counters().sent < 999
        client.writer.transport.resume_reading()
        for message in messages_of(packet):
            assert await client.receive() == message

    async def test_a_stream_takes_turns_with_other_connections(self, serve: type[Served]) -> None:
        served = serve()
        busy, other = await served.client(), await served.client()
        busy.send(query(b"many 9999 60000"))
        assert await busy.receive()
        other.send(packet := query())
        assert await other.receive() == reply_to(packet)
        assert served.tcp.counters().sent < 9999

    async def test_a_stream_ends_before_the_connection_closes(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(packet := query(b"many 100 60000"))
        client.writer.write_eof()
        for message in messages_of(packet):
            assert await client.receive() == message
        assert await client.receive() == b""

    async def test_a_stream_that_raises_ends_the_connection(self, serve: type[Served]) -> None:
        served = serve()
        client = await served.client()
        client.send(query(b"broken"))
        received = [await client.receive() for _ in range(3)]
        assert received[-1] == b""
        assert served.tcp.counters().failures == 1


async def still(condition: object, turns: int = 20) -> bool:
    """Whether `condition` holds for some turns of the event loop on end."""
    for _ in range(turns):
        if not condition():
            return False
        await asyncio.sleep(0)
    return True
