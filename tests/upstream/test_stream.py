"""Upstreams over TCP and TLS: certificates, shared connections, and connections that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from dnsd.dns.message import query
from dnsd.upstream.spec import BadUpstream, parse_server
from dnsd.upstream.stream import Stream, tls_context
from tests.certificates import Authority
from tests.helpers import eventually
from tests.upstream.building import errors, forwarding, rcode, texts
from tests.upstream.scripted import address, reply_to, unused_port, upstream


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


class TestTls:
    async def test_a_certificate_for_the_name_is_accepted(self, authority: Authority) -> None:
        async with (
            upstream(lambda q, _: address(q), authority.server("dns.example")) as up,
            forwarding(
                servers=(f"{up.over('tls')}#dns.example",), tls_ca=str(authority.ca)
            ) as server,
        ):
            assert texts(await server.query("www.example.")) == ["www.example. A 192.0.2.1"]
        assert {over for over, _, _ in up.received} == {"tls"}

    async def test_a_certificate_for_the_address_is_accepted(self, authority: Authority) -> None:
        async with (
            upstream(lambda q, _: address(q), authority.server("127.0.0.1")) as up,
            forwarding(servers=(up.over("tls"),), tls_ca=str(authority.ca)) as server,
        ):
            assert texts(await server.query("www.example."))

    @pytest.mark.parametrize("wrong", ["name", "address", "authority", "expired"])
    async def test_a_server_with_another_certificate_gets_no_query(
        self, authority: Authority, wrong: str, tmp_path: Path
    ) -> None:
        names = "dns.example" if wrong != "address" else "127.0.0.2"
        certificate = authority.server(names, days=-1 if wrong == "expired" else 10)
        trusted = Authority(tmp_path) if wrong == "authority" else authority
        async with upstream(lambda q, _: address(q), certificate) as up:
            expected = {"name": "#other.example", "address": ""}.get(wrong, "#dns.example")
            async with forwarding(
                servers=(up.over("tls") + expected,), tls_ca=str(trusted.ca)
            ) as server:
                reply = await server.query("www.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [23])
        assert not up.received

    async def test_queries_are_padded(self, authority: Authority) -> None:
        async with (
            upstream(lambda q, _: address(q), authority.server("127.0.0.1")) as up,
            forwarding(servers=(up.over("tls"),), tls_ca=str(authority.ca)) as server,
        ):
            for name in ("a.example.", "a-much-longer-name-than-that.example."):
                await server.query(name)
        assert {len(data) for _, data, _ in up.received} == {128}

    async def test_all_queries_share_one_connection(self, authority: Authority) -> None:
        async with (
            upstream(lambda q, _: address(q), authority.server("127.0.0.1")) as up,
            forwarding(servers=(up.over("tls"),), tls_ca=str(authority.ca)) as server,
        ):
            await asyncio.gather(*(server.query(f"n{n}.example.") for n in range(10)))
        assert up.connections == 1

    def test_an_authority_file_that_cannot_be_used(self, tmp_path: Path) -> None:
        path = tmp_path / "ca.pem"
        for content, why in ((None, "cannot be read: No such"), ("nothing", "has no certificates")):
            if content:
                path.write_text(content)
            with pytest.raises(BadUpstream, match=f"{path} {why}"):
                tls_context(str(path))


class TestTcp:
    async def test_a_query_on_a_connection_that_closes_is_sent_once_more(self) -> None:
        def script(query, _):
            return [b"close"] if len(up.received) == 2 else address(query, ttl=0)

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            assert texts(await server.query("a.example."))
            assert texts(await server.query("b.example."))
            assert server.resolver.servers()[0].health.failures == 0
        assert up.names() == ["a.example.", "b.example.", "b.example."]
        assert up.connections == 2

    async def test_a_new_connection_that_closes_is_a_failure(self) -> None:
        async with (
            upstream(lambda q, _: [b"close"]) as up,
            forwarding(servers=(up.over("tcp"),), timeout=0.5) as server,
        ):
            reply = await server.query("a.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [23])

    async def test_an_idle_connection_is_closed_and_opened_again(self) -> None:
        async with upstream(lambda q, _: address(q)) as up:
            stream = Stream(parse_server(up.over("tcp")), None, idle=0.02)
            question = b"\x01a\x07example\x00\x00\x01\x00\x01"

            def build(query_id: bytes) -> bytes:
                return query(query_id, question)

            await stream.query(build, question)
            await eventually(lambda: up.closed == 1)
            assert (await stream.query(build, question)).answer
            await stream.close()
        assert up.connections == 2

    async def test_a_malformed_reply_is_ignored(self) -> None:
        def script(query, _):
            return [address(query, "203.0.113.66")[0].to_wire() + b"\0", *address(query)]

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            assert texts(await server.query("www.example.")) == ["www.example. A 192.0.2.1"]

    async def test_too_many_mismatches_end_the_connection(self) -> None:
        def script(query, _):
            raw = bytearray(address(query, "203.0.113.66")[0].to_wire())
            raw[13] ^= 1
            return [bytes(raw)] * 200

        async with (
            upstream(script) as up,
            forwarding(servers=(up.over("tcp"),), timeout=1.0) as server,
        ):
            assert rcode(await server.query("www.example.")) == "SERVFAIL"

    async def test_a_refused_connection_is_a_failure(self) -> None:
        async with forwarding(servers=(f"tcp://127.0.0.1:{unused_port()}",)) as server:
            assert errors(await server.query("www.example.")) == [23]

    async def test_replies_in_any_order(self) -> None:
        others = asyncio.Event()

        async def script(query, _):
            name = str(query.question[0].name).lower()
            if name.startswith("slow"):
                await others.wait()
            return address(query, "192.0.2.9" if name.startswith("slow") else "192.0.2.1")

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            slow = asyncio.create_task(server.query("slow.example."))
            await eventually(lambda: up.received)
            assert texts(await server.query("fast.example.")) == ["fast.example. A 192.0.2.1"]
            others.set()
            assert texts(await slow) == ["slow.example. A 192.0.2.9"]

    async def test_replies_with_wrong_ids_and_questions_are_ignored(self) -> None:
        def script(query, _):
            wrong = reply_to(query, f"{query.question[0].name} 60 A 203.0.113.66")
            wrong.id ^= 1
            raw = bytearray(address(query, "203.0.113.66")[0].to_wire())
            raw[13] ^= 1
            return [wrong, bytes(raw), b"short", *address(query)]

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            assert texts(await server.query("www.example.")) == ["www.example. A 192.0.2.1"]

    async def test_a_connection_without_replies_is_given_up(self) -> None:
        def script(query, _):
            return [] if up.connections == 1 else address(query)

        async with (
            upstream(script) as up,
            forwarding(servers=(up.over("tcp"),), timeout=0.5, attempt_timeout=0.1) as server,
        ):
            await server.query("a.example.")
            assert texts(await server.query("b.example."))
        assert up.connections >= 2

    async def test_a_truncated_reply_and_a_silent_tcp_server_end_in_servfail(self) -> None:
        def script(query, over):
            return [reply_to(query, tc=True)] if over == "udp" else []

        async with upstream(script) as up, forwarding(servers=(up.url,), timeout=0.3) as server:
            reply = await server.query("www.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
