"""Queries over UDP: random ID, port, and case; only the true reply ends the wait (RFC 5452)."""

from __future__ import annotations

import socket

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest

from dnsd.transport.registry import TCP
from tests.upstream.building import forwarding, texts
from tests.upstream.scripted import address, reply_to, upstream


class TestRfc5452:
    async def test_every_query_has_a_random_id_port_and_case(self) -> None:
        async with (
            upstream(lambda q, _: address(q, ttl=0)) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            for _ in range(12):
                await server.query("a-name-with-many-letters.example.")
        assert len({data[:2] for _, data, _ in up.received}) > 9
        assert len({peer[1] for _, _, peer in up.received}) > 9
        assert len({query.question[0].name.to_text() for query in up.queries}) > 9

    async def test_a_hundred_forged_replies_do_not_end_the_wait(self) -> None:
        def script(query, over):
            forged = []
            for n in range(100):
                reply = reply_to(query, f"{query.question[0].name} 60 A 203.0.113.66")
                reply.id = (query.id + 1 + n) % 65_536
                forged.append(reply)
            return [*forged, *address(query)]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.1"]
        assert [over for over, _, _ in up.received] == ["udp"]

    @pytest.mark.parametrize("wrong", ["question", "type", "opcode", "query", "short", "garbage"])
    async def test_a_reply_that_does_not_match_is_ignored(self, wrong: str) -> None:
        def script(query, _):
            bad = reply_to(query, f"{query.question[0].name} 60 A 203.0.113.66")
            raw = bytearray(bad.to_wire())
            if wrong == "question":
                raw[13] ^= 1
            elif wrong == "type":
                raw[12 + len(query.question[0].name.to_wire()) + 1] = 28
            elif wrong == "opcode":
                raw[2] |= 0x20
            elif wrong == "query":
                raw[2] &= 0x7F
            elif wrong == "short":
                del raw[-3:]
            else:
                raw = raw[:12] + bytes(range(60))
            return [bytes(raw), *address(query)]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.1"]
        assert len(up.received) == 1

    async def test_hundreds_of_mismatches_move_the_query_to_tcp(self) -> None:
        def script(query, over):
            if over == "tcp":
                return address(query)
            forged = reply_to(query, f"{query.question[0].name} 60 A 203.0.113.66")
            forged.id ^= 1
            return [forged] * 600

        async with (
            upstream(script) as up,
            forwarding(servers=(up.url,), attempt_timeout=2) as server,
        ):
            reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.1"]

    async def test_a_reply_from_another_port_is_ignored(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", 0))

            def script(query, _):
                forged = reply_to(query, f"{query.question[0].name} 60 A 203.0.113.66")
                stranger.sendto(forged.to_wire(), up.received[-1][2])
                return address(query)

            async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
                reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.1"]

    async def test_a_huge_datagram_is_ignored(self) -> None:
        def script(query, _):
            name = query.question[0].name
            huge = reply_to(query, *(f"{name} 60 TXT {'x' * 250}{n}" for n in range(40)))
            return [huge, *address(query)]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            assert texts(await server.query("www.example.")) == ["www.example. A 192.0.2.1"]

    async def test_a_truncated_reply_moves_the_query_to_tcp(self) -> None:
        def script(query, over):
            if over == "udp":
                return [reply_to(query, tc=True)]
            name = query.question[0].name
            return [reply_to(query, *(f"{name} 60 A 192.0.2.{n}" for n in range(1, 201)))]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            udp = await server.query("big.example.")
            tcp = await server.query("big.example.", transport=TCP)
        assert [over for over, _, _ in up.received] == ["udp", "tcp"]
        assert udp.flags & dns.flags.TC
        assert not udp.answer
        assert len(texts(tcp)) == 200
