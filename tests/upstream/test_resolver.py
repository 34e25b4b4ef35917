"""The resolver as a client sees it: real sockets, a scripted upstream, a clock of the test."""

from __future__ import annotations

import asyncio
import socket

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest

from dnsd.answer.settings import EngineConfig
from dnsd.dns.names import name_from_text
from dnsd.transport.registry import TCP, UDP
from dnsd.upstream.forwarder import Forwarder
from dnsd.zone.frame import NOT_READY, compile_state
from tests.helpers import eventually
from tests.upstream.building import alias, errors, forwarding, rcode, service, texts
from tests.upstream.clock import SteppedLoop, run_stepped
from tests.upstream.scripted import SOA, address, reply_to, unused_port, upstream


class TestForwarding:
    async def test_an_external_name_is_forwarded(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("www.example.")
        assert texts(reply) == ["www.example. A 192.0.2.1"]
        assert rcode(reply) == "NOERROR"
        assert reply.flags & dns.flags.RA
        assert not reply.flags & (dns.flags.AA | dns.flags.AD)

    async def test_a_forwarded_query_has_rd_and_edns_size_1232(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            await server.query("www.example.", want_dnssec=True)
        (query,) = up.queries
        assert query.flags & dns.flags.RD
        assert (query.edns, query.payload) == (0, 1232)
        assert query.ednsflags & dns.flags.DO

    async def test_the_client_gets_its_own_case_back(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("wWw.eXample.")
        assert reply.question[0].name.to_text() == "wWw.eXample."
        assert reply.answer[0].name.to_text() == "wWw.eXample."

    async def test_a_client_without_edns_gets_no_opt_record(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            first = await server.query("www.example.", edns=False)
            again = await server.query("www.example.", edns=False)
        assert first.edns == again.edns == -1

    async def test_queries_to_a_tcp_upstream_share_one_connection(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.over("tcp"),)) as server,
        ):
            replies = await asyncio.gather(*(server.query(f"n{n}.example.") for n in range(20)))
        assert {rcode(reply) for reply in replies} == {"NOERROR"}
        assert {over for over, _, _ in up.received} == {"tcp"}
        assert up.connections == 1

    async def test_a_query_on_a_kept_connection_that_was_closed_is_sent_again(self) -> None:
        def script(query, _):
            return [*address(query, ttl=0), b"close"]

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            for _ in range(4):
                assert texts(await server.query("www.example."))
        assert up.connections >= 2

    async def test_only_records_on_the_chain_are_kept(self) -> None:
        def script(query, _):
            return [
                reply_to(
                    query,
                    "stranger.example. 60 A 203.0.113.9",
                    "www.example. 60 CNAME web.example.",
                    "web.example. 60 A 192.0.2.7",
                    "www.example. 60 TXT spam",
                    authority=("example. 60 NS ns.example.",),
                )
            ]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            first = await server.query("www.example.")
            kept = await server.query("www.example.")
        expected = ["www.example. CNAME web.example.", "web.example. A 192.0.2.7"]
        assert texts(first) == texts(kept) == expected
        assert not first.authority
        assert not kept.authority
        assert len(up.received) == 1

    @pytest.mark.parametrize("scheme", ["udp", "tcp"])
    async def test_an_upstream_with_an_ipv6_address(self, scheme: str) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("no IPv6 on loopback here")
        async with (
            upstream(lambda q, _: address(q), host="::1") as up,
            forwarding(servers=(f"{scheme}://[::1]:{up.port}",)) as server,
        ):
            assert texts(await server.query("www.example.")) == ["www.example. A 192.0.2.1"]

    async def test_no_upstream_for_a_name_is_refused_with_20(self) -> None:
        async with forwarding(forward={"corp.example": ("udp://127.0.0.1:1",)}) as server:
            reply = await server.query("www.example.")
        assert rcode(reply) == "REFUSED"
        assert errors(reply) == [20]


class TestDeadline:
    def test_one_deadline_for_a_chain_over_several_servers(self) -> None:
        async def test(loop: SteppedLoop) -> None:
            def slow_alias(query, _):
                loop.advance(15.0)
                return [reply_to(query, "www.example. 60 CNAME db.corp.example.")]

            def slow_address(query, _):
                loop.advance(15.0)
                return []

            async with (
                upstream(slow_alias) as world,
                upstream(slow_address) as corp,
                forwarding(
                    alias("ext", "www.example"),
                    servers=(world.url,),
                    forward={"corp.example": (corp.url,)},
                    timeout=20.0,
                    attempt_timeout=20.0,
                ) as server,
            ):
                reply = await server.query("www.example.")
                assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
                assert len(corp.received) == 1
                own = await server.query(
                    "ext.default.svc.cluster.local."
                )  # the alias is cached now
                assert texts(own)[0] == "ext.default.svc.cluster.local. CNAME www.example."
                assert rcode(own) == "NOERROR"

        run_stepped(test)

    async def test_servfail_after_the_timeout_if_no_server_replies(self) -> None:
        async with (
            upstream(lambda q, _: []) as up,
            forwarding(servers=(up.url,), timeout=0.3, attempt_timeout=0.1) as server,
        ):
            reply = await server.query("www.example.")
        assert rcode(reply) == "SERVFAIL"
        assert errors(reply) == [22]
        assert len(up.received) >= 2


class TestHostileReplies:
    async def test_a_huge_reply_over_tcp_is_passed_on(self) -> None:
        def script(query, over):
            name = query.question[0].name
            return [reply_to(query, *(f"{name} 60 TXT {'x' * 240}{n}" for n in range(240)))]

        async with upstream(script) as up, forwarding(servers=(up.over("tcp"),)) as server:
            reply = await server.query("huge.example.", "TXT", transport=TCP)
        assert len(texts(reply)) == 240

    async def test_a_cname_loop_is_servfail(self) -> None:
        def script(query, _):
            return [
                reply_to(query, "a.example. 60 CNAME b.example.", "b.example. 60 CNAME a.example.")
            ]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            assert rcode(await server.query("a.example.")) == "SERVFAIL"
        assert len(up.received) == 1

    async def test_a_loop_one_cname_at_a_time_is_servfail(self) -> None:
        def script(query, _):
            name = str(query.question[0].name).lower()
            other = {"a.example.": "b.example.", "b.example.": "a.example."}[name]
            return [reply_to(query, f"{name} 60 CNAME {other}")]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            assert rcode(await server.query("a.example.")) == "SERVFAIL"
        assert len(up.received) == 2

    @pytest.mark.parametrize(("length", "code"), [(10, "NOERROR"), (11, "SERVFAIL")])
    async def test_a_chain_has_ten_cnames_at_most(self, length: int, code: str) -> None:
        def script(query, _):
            links = [f"n{n}.example. 60 CNAME n{n + 1}.example." for n in range(length)]
            return [reply_to(query, *links, f"n{length}.example. 60 A 192.0.2.1")]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("n0.example.")
        assert rcode(reply) == code
        assert len(texts(reply)) == (length + 1 if code == "NOERROR" else 0)

    async def test_a_ttl_of_two_to_the_31_is_zero(self) -> None:
        def script(query, _):
            raw = bytearray(address(query, ttl=60)[0].to_wire())
            at = raw.index(b"\x00\x00\x00\x3c")
            raw[at : at + 4] = b"\x80\x00\x00\x00"
            return [bytes(raw)]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            reply = await server.query("www.example.")
            assert reply.answer[0].ttl == 0
            assert server.at_once("www.example.") is None
            await server.query("www.example.")
        assert len(up.received) == 2


class TestExternalName:
    async def test_cname_first_then_the_targets_addresses(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.")
        assert texts(reply) == [
            "ext.default.svc.cluster.local. CNAME www.example.",
            "www.example. A 192.0.2.1",
        ]
        assert reply.flags & dns.flags.AA
        assert reply.flags & dns.flags.RA

    @pytest.mark.parametrize("type_", ["AAAA", "TXT", "MX", "HTTPS", "SRV", "TYPE65000"])
    async def test_any_type_has_the_cname_and_the_targets_nodata(self, type_: str) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, authority=(SOA,))]) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.", type_)
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert rcode(reply) == "NOERROR"
        assert str(reply.authority[0].name) == "example."

    async def test_a_query_for_the_cname_itself_is_not_forwarded(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.", "CNAME")
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert not up.received

    async def test_an_nxdomain_target_is_the_cname_with_nxdomain(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="NXDOMAIN", authority=(SOA,))]) as up,
            forwarding(alias("ext", "nope.example"), servers=(up.url,)) as server,
        ):
            for _ in range(2):  # forwarded, then cached
                reply = await server.query("ext.default.svc.cluster.local.")
                assert rcode(reply) == "NXDOMAIN"
                assert texts(reply) == ["ext.default.svc.cluster.local. CNAME nope.example."]
        assert len(up.received) == 1

    @pytest.mark.parametrize(("how", "code"), [("silent", 22), ("refused", 22), ("closed", 23)])
    async def test_a_failed_target_leaves_the_cname_and_an_extended_error(
        self, how: str, code: int
    ) -> None:
        def script(query, _):
            return [] if how == "silent" else [reply_to(query, rcode="REFUSED")]

        async with upstream(script) as up:
            url = f"udp://127.0.0.1:{unused_port()}" if how == "closed" else up.url
            async with forwarding(
                alias("ext", "www.example"), servers=(url,), timeout=0.2
            ) as server:
                reply = await server.query("ext.default.svc.cluster.local.")
        assert rcode(reply) == "NOERROR"
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert errors(reply) == [code]

    async def test_a_chain_is_followed_through_local_zones_and_upstreams_and_back(self) -> None:
        def script(query, _):
            return [reply_to(query, "www.example. 60 CNAME web.default.svc.cluster.local.")]

        async with (
            upstream(script) as up,
            forwarding(
                service("web", "10.96.0.9"),
                alias("one", "two.default.svc.cluster.local"),
                alias("two", "www.example"),
                servers=(up.url,),
            ) as server,
        ):
            reply = await server.query("one.default.svc.cluster.local.")
        assert texts(reply) == [
            "one.default.svc.cluster.local. CNAME two.default.svc.cluster.local.",
            "two.default.svc.cluster.local. CNAME www.example.",
            "www.example. CNAME web.default.svc.cluster.local.",
            "web.default.svc.cluster.local. A 10.96.0.9",
        ]
        assert up.names() == ["www.example."]

    async def test_a_loop_through_an_upstream_is_servfail(self) -> None:
        def script(query, _):
            return [reply_to(query, "www.example. 60 CNAME ext.default.svc.cluster.local.")]

        async with (
            upstream(script) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.")
        assert rcode(reply) == "SERVFAIL"
        assert not reply.answer

    async def test_a_chain_of_over_ten_cnames_across_sources_is_servfail(self) -> None:
        aliases = [alias(f"a{n}", f"a{n + 1}.default.svc.cluster.local") for n in range(5)]

        def script(query, _):
            links = [f"n{n}.example. 60 CNAME n{n + 1}.example." for n in range(5)]
            return [reply_to(query, *links, "n5.example. 60 A 192.0.2.1")]

        async with (
            upstream(script) as up,
            forwarding(*aliases, alias("a5", "n0.example"), servers=(up.url,)) as server,
        ):
            long = await server.query("a0.default.svc.cluster.local.")
            fits = await server.query("a1.default.svc.cluster.local.")
        assert rcode(long) == "SERVFAIL"
        assert len(texts(fits)) == 11

    async def test_a_reply_too_big_for_udp_keeps_the_cname_and_has_tc(self) -> None:
        def script(query, over):
            name = query.question[0].name
            return [reply_to(query, *(f"{name} 60 A 192.0.2.{n}" for n in range(1, 101)))]

        async with (
            upstream(script) as up,
            forwarding(alias("ext", "www.example"), servers=(up.over("tcp"),)) as server,
        ):
            udp = await server.query("ext.default.svc.cluster.local.")
            tcp = await server.query("ext.default.svc.cluster.local.", transport=TCP)
        assert udp.flags & dns.flags.TC
        assert texts(udp) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert len(texts(tcp)) == 101

    async def test_records_of_local_zones_in_an_upstream_reply_are_ignored(self) -> None:
        def script(query, _):
            return [
                reply_to(
                    query,
                    "www.example. 60 CNAME web.default.svc.cluster.local.",
                    "web.default.svc.cluster.local. 60 A 203.0.113.66",
                )
            ]

        async with (
            upstream(script) as up,
            forwarding(service("web", "10.96.0.9"), servers=(up.url,)) as server,
        ):
            assert texts(await server.query("www.example."))[-1].endswith("A 10.96.0.9")
            assert texts(await server.query("www.example."))[-1].endswith("A 10.96.0.9")
        assert len(up.received) == 1

    async def test_a_target_without_a_route_leaves_the_cname_and_an_extended_error(self) -> None:
        async with forwarding(
            alias("ext", "www.example"), forward={"corp.example": ("udp://127.0.0.1:1",)}
        ) as server:
            reply = await server.query("ext.default.svc.cluster.local.")
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert (rcode(reply), errors(reply)) == ("NOERROR", [22])

    async def test_without_rd_the_cname_alone(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            reply = await server.query("ext.default.svc.cluster.local.", flags=0)
        assert texts(reply) == ["ext.default.svc.cluster.local. CNAME www.example."]
        assert not up.received


class TestLocalZones:
    async def test_not_ready_behind_an_upstream_cname_is_servfail(self) -> None:
        def script(query, _):
            return [reply_to(query, "www.example. 60 CNAME web.default.svc.cluster.local.")]

        async with upstream(script) as up, forwarding(service("web"), servers=(up.url,)) as server:
            server.engine.apply(compile_state(NOT_READY))
            reply = await server.query("www.example.")
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [14])

    async def test_a_service_created_now_is_answered_now(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="NXDOMAIN", authority=(SOA,))]) as up,
            forwarding(alias("ext", "www.example"), servers=(up.url,)) as server,
        ):
            assert rcode(await server.query("web.default.svc.cluster.local.")) == "NXDOMAIN"
            server.change(service("web", "10.96.0.9"))
            assert rcode(await server.query("web.default.svc.cluster.local.")) == "NOERROR"
        assert not up.received

    async def test_a_new_service_is_found_behind_a_cached_chain(self) -> None:
        def script(query, _):
            return [reply_to(query, "www.example. 3600 CNAME web.default.svc.cluster.local.")]

        async with (
            upstream(script) as up,
            forwarding(service("other"), servers=(up.url,)) as server,
        ):
            assert rcode(await server.query("www.example.")) == "NXDOMAIN"
            server.change(service("web", "10.96.0.9"))
            reply = await server.query("www.example.")
        assert texts(reply)[-1] == "web.default.svc.cluster.local. A 10.96.0.9"
        assert len(up.received) == 1


class TestOverload:
    async def test_queries_without_a_waiting_client_count_against_the_limit(self) -> None:
        def script(query, _):
            return address(query) if len(up.received) <= 3 else []

        async with (
            upstream(script) as up,
            forwarding(servers=(up.url,), max_in_flight=3, stale_after=0.01) as server,
        ):
            for number in range(3):
                await server.query(f"n{number}.example.")
            server.clock.now += 100
            for number in range(3):
                assert errors(await server.query(f"n{number}.example.")) == [3]
            assert server.resolver.active == 0
            reply = await server.query("new.example.")
            assert (rcode(reply), errors(reply)) == ("SERVFAIL", [23])
            assert "new.example." not in up.names()

    async def test_over_the_limit_in_flight_servfail_with_extended_error_23(self) -> None:
        async with (
            upstream(lambda q, _: []) as up,
            forwarding(alias("ext", "x.example"), servers=(up.url,), max_in_flight=5) as server,
        ):
            waiting = [asyncio.create_task(server.query(f"n{n}.example.")) for n in range(5)]
            await eventually(lambda: len(up.received) >= 5)
            reply = await server.query("one-too-many.example.")
            own = await server.query("ext.default.svc.cluster.local.")
            local = await server.query("cluster.local.", "SOA")
            late = [rcode(reply) for reply in await asyncio.gather(*waiting)]
        assert (rcode(reply), errors(reply)) == ("SERVFAIL", [23])
        assert (rcode(own), errors(own)) == ("NOERROR", [23])
        assert texts(own) == ["ext.default.svc.cluster.local. CNAME x.example."]
        assert rcode(local) == "NOERROR"
        assert late == ["SERVFAIL"] * 5
        assert server.resolver.counters()[6] == 2


class TestFastPath:
    """`Engine.kept` gives the octets that the complete path gives."""

    async def test_the_fast_path_gives_the_same_reply_as_the_complete_path(self) -> None:
        def script(query, _):
            if query.question[0].rdtype == 28:
                return [reply_to(query, rcode="NXDOMAIN", authority=(SOA,))]
            return [reply_to(query, "www.example. 60 CNAME b.example.", "b.example. 60 A 1.2.3.4")]

        async with upstream(script) as up, forwarding(servers=(up.url,), prefetch=False) as server:
            for type_ in ("A", "AAAA"):
                for want in ({}, {"use_edns": 0}, {"want_dnssec": True, "payload": 4096}):
                    for flags in (0x0100, 0x0110, 0x0130):
                        name = "www.Example."
                        query = dns.message.make_query(name, type_, flags=flags, **want)
                        await server.send(query.to_wire())
                        server.clock.now += 3
                        server.engine.shared.kept = None
                        complete = await server.send(query.to_wire())
                        server.engine.shared.kept = server.resolver.kept
                        short = server.engine.answer(query.to_wire(), b"\x7f\0\0\1", UDP)
                        assert short == complete
        assert len(up.received) == 8  # DO is set in no query without EDNS

    async def test_the_fast_path_needs_rd_and_permission_for_recursion(self) -> None:
        config = EngineConfig(forwarding=True, allow_recursion=("10.0.0.0/8",))
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.url,), engine=config) as server,
        ):
            server.engine.shared.kept = server.resolver.kept
            inside, external = b"\x0a\0\0\1", b"\xc6\x33\x64\x01"
            assert texts(await server.query("www.example.", client=inside))
            assert texts(await server.query("www.example.", client=inside))
            refused = await server.query("www.example.", client=external)
            assert (rcode(refused), errors(refused)) == ("REFUSED", [18])
            assert not refused.flags & dns.flags.RA
            no_rd = await server.query("www.example.", client=inside, flags=0)
            assert (rcode(no_rd), errors(no_rd)) == ("REFUSED", [20])

    async def test_a_cached_reply_over_the_limit_of_the_client_is_truncated(self) -> None:
        def script(query, _):
            return [reply_to(query, *(f"www.example. 60 A 192.0.2.{n}" for n in range(1, 60)))]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            server.engine.shared.kept = server.resolver.kept
            await server.query("www.example.")
            assert len(texts(await server.query("www.example."))) == 59
            assert (await server.query("www.example.", edns=False)).flags & dns.flags.TC

    async def test_a_new_zone_drops_its_names_from_the_cache(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="NXDOMAIN", authority=())]) as up,
            forwarding(servers=(up.url,), forward={"10.in-addr.arpa": (up.url,)}) as server,
        ):
            forwarder = Forwarder(server.resolver)
            forwarder.set_zones(server.engine.table.zone_refs.keys())
            server.engine.shared.kept = server.resolver.kept
            up.script = lambda q, _: [reply_to(q, rcode="NXDOMAIN", authority=(ARPA_SOA,))]
            name = "9.0.96.10.in-addr.arpa."
            assert rcode(await server.query(name, "PTR")) == "NXDOMAIN"
            assert len(server.resolver.cache) == 1
            forwarder.set_zones(server.engine.table.zone_refs.keys())
            assert len(server.resolver.cache) == 1
            up.script = lambda q, _: [reply_to(q, "www.example. 60 A 192.0.2.1")]
            await server.query("www.example.")
            assert len(server.resolver.cache) == 2
            server.change(service("web", "10.96.0.9"))
            forwarder.set_zones(server.engine.table.zone_refs.keys())
            assert [entry.key[:-5] for entry in server.resolver.cache.entries.values()] == [
                name_from_text("www.example.")
            ]
            assert texts(await server.query(name, "PTR"))
            server.change(service("web", "10.98.0.9"))
            forwarder.set_zones(server.engine.table.zone_refs.keys())
            assert len(server.resolver.cache) == 1


ARPA_SOA = "10.in-addr.arpa. 300 SOA ns.example. hostmaster.example. 1 7200 1800 86400 60"


class TestForwardRules:
    async def test_each_name_is_forwarded_to_the_servers_of_its_rule(self) -> None:
        async with (
            upstream(lambda q, _: address(q, "192.0.2.1")) as world,
            upstream(lambda q, _: address(q, "192.0.2.2")) as corp,
            forwarding(forward={"corp.example": (corp.url,), ".": (world.url,)}) as server,
        ):
            assert texts(await server.query("a.CORP.example.")) == ["a.CORP.example. A 192.0.2.2"]
            assert texts(await server.query("a.example.")) == ["a.example. A 192.0.2.1"]
        assert (corp.names(), world.names()) == (["a.corp.example."], ["a.example."])

    async def test_a_chain_is_followed_to_the_servers_of_its_target(self) -> None:
        def external(query, _):
            return [
                reply_to(
                    query,
                    "www.example. 60 CNAME db.corp.example.",
                    "db.corp.example. 60 A 203.0.113.66",
                )
            ]

        async with (
            upstream(external) as world,
            upstream(lambda q, _: address(q, "192.0.2.2")) as corp,
            forwarding(servers=(world.url,), forward={"corp.example": (corp.url,)}) as server,
        ):
            for _ in range(2):
                reply = await server.query("www.example.")
                assert texts(reply)[-1] == "db.corp.example. A 192.0.2.2"
        assert (len(world.received), len(corp.received)) == (1, 1)

    async def test_names_of_a_rule_without_servers_are_nxdomain(self) -> None:
        async with (
            upstream(lambda q, _: address(q)) as up,
            forwarding(servers=(up.url,), forward={"ads.example": ("none",)}) as server,
        ):
            assert rcode(await server.query("x.ads.example.")) == "NXDOMAIN"
        assert not up.received
