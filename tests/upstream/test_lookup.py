"""Coalescing, prefetch, and stale answers, with scripted upstreams and virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.helpers import eventually
from tests.upstream.building import ForwardingServer, errors, forwarding, rcode, texts
from tests.upstream.scripted import SOA, Replies, address, reply_to, upstream


class TestCaching:
    async def test_ttls_are_counted_down_and_end(self) -> None:
        async with (
            upstream(lambda q, _: address(q, ttl=60)) as up,
            forwarding(servers=(up.url,), prefetch=False) as server,
        ):
            assert (await server.query("www.example.")).answer[0].ttl == 60
            server.clock.now += 25.5
            assert (await server.query("www.example.")).answer[0].ttl == 35
            server.clock.now += 34.4
            assert (await server.query("www.example.")).answer[0].ttl == 1
            assert len(up.received) == 1
            server.clock.now += 0.2
            assert (await server.query("www.example.")).answer[0].ttl == 60
        assert len(up.received) == 2

    async def test_a_query_in_any_case_hits_and_gets_its_case_back(self) -> None:
        async with upstream(lambda q, _: address(q)) as up, forwarding(servers=(up.url,)) as server:
            await server.query("www.example.")
            reply = await server.query("WWW.exAmple.")
        assert str(reply.answer[0].name) == "WWW.exAmple."
        assert len(up.received) == 1

    async def test_cache_entries_differ_by_name_type_do_and_cd(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="NXDOMAIN", authority=(SOA,))]) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            for name in ("a.example.", "b.example."):
                for type_ in ("A", "AAAA"):
                    for dnssec in (False, True):
                        for cd in (0, 0x10):
                            query = {"want_dnssec": dnssec, "flags": 0x0100 | cd}
                            await server.query(name, type_, **query)
                            await server.query(name, type_, **query)
        assert len(up.received) == 16
        sent = {
            (q.question[0].to_text().lower(), q.ednsflags & 0x8000, q.flags & 0x10)
            for q in up.queries
        }
        assert len(sent) == 16

    @pytest.mark.parametrize("code", ["NXDOMAIN", "NOERROR"])
    async def test_a_negative_answer_is_cached_for_the_lesser_of_soa_ttl_and_minimum(
        self, code: str
    ) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode=code, authority=(SOA,))]) as up,
            forwarding(servers=(up.url,), stale_for=0, prefetch=False) as server,
        ):
            first = await server.query("no.example.")
            assert (rcode(first), first.authority[0].ttl) == (code, 60)  # min(300, 60)
            server.clock.now += 59
            kept = await server.query("no.example.")
            assert (rcode(kept), kept.authority[0].ttl) == (code, 1)
            assert len(up.received) == 1
            server.clock.now += 2
            await server.query("no.example.")
        assert len(up.received) == 2

    async def test_a_negative_answer_without_an_soa_is_not_cached(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="NXDOMAIN")]) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            await server.query("no.example.")
            await server.query("no.example.")
        assert len(up.received) == 2

    async def test_ttls_are_clamped(self) -> None:
        async with (
            upstream(lambda q, _: address(q, ttl=0 if "low" in str(q).lower() else 900_000)) as up,
            forwarding(servers=(up.url,), min_ttl=5, max_ttl=100) as server,
        ):
            assert (await server.query("low.example.")).answer[0].ttl == 5
            assert (await server.query("high.example.")).answer[0].ttl == 100

    async def test_the_shortest_ttl_of_a_chain_decides(self) -> None:
        def script(query, _):
            return [
                reply_to(query, "www.example. 300 CNAME web.example.", "web.example. 7 A 192.0.2.1")
            ]

        async with (
            upstream(script) as up,
            forwarding(servers=(up.url,), stale_for=0, prefetch=False) as server,
        ):
            await server.query("www.example.")
            server.clock.now += 6
            assert [r.ttl for r in (await server.query("www.example.")).answer] == [294, 1]
            server.clock.now += 2
            await server.query("www.example.")
        assert len(up.received) == 2

    async def test_servfail_is_cached_for_five_seconds(self) -> None:
        async with (
            upstream(lambda q, _: [reply_to(q, rcode="SERVFAIL")]) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            for seconds in (0, 4.9):
                server.clock.now += seconds
                reply = await server.query("bad.example.")
                assert (rcode(reply), errors(reply)) == ("SERVFAIL", [22])
            assert len(up.received) == 1
            server.clock.now += 0.2
            await server.query("bad.example.")
        assert len(up.received) == 2


class TestCoalescing:
    async def test_identical_questions_in_flight_are_sent_once(self) -> None:
        go = asyncio.Event()

        async def script(query, _):
            await go.wait()
            return address(query)

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            waiting = [asyncio.create_task(server.query("www.example.")) for _ in range(50)]
            await eventually(lambda: server.resolver.active == 50)
            await eventually(lambda: up.received)
            go.set()
            replies = await asyncio.gather(*waiting)
        assert len(up.received) == 1
        assert {tuple(texts(reply)) for reply in replies} == {("www.example. A 192.0.2.1",)}
        assert len({reply.id for reply in replies}) > 40  # each client has its own ID

    async def test_a_cancelled_client_does_not_cancel_the_query_of_others(self) -> None:
        go = asyncio.Event()

        async def script(query, _):
            await go.wait()
            return address(query)

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            first = asyncio.create_task(server.query("www.example."))
            await eventually(lambda: up.received)
            second = asyncio.create_task(server.query("www.example."))
            await eventually(lambda: server.resolver.active == 2)
            first.cancel()
            go.set()
            assert texts(await second)
        assert len(up.received) == 1


class TestPrefetch:
    async def test_a_popular_entry_is_prefetched_in_the_last_tenth_of_its_ttl(self) -> None:
        async with (
            upstream(lambda q, _: address(q, f"192.0.2.{len(up.received)}", ttl=100)) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            for _ in range(3):
                await server.query("www.example.")
            server.clock.now += 91  # the last tenth
            reply = await server.query("www.example.")
            assert texts(reply) == ["www.example. A 192.0.2.1"]  # the cached one, at once
            await eventually(lambda: len(up.received) == 2)
            await eventually(lambda: server.at_once("www.example.") is not None)
            await eventually(lambda: server.resolver.in_flight == 0)
            renewed = await server.query("www.example.")
            assert texts(renewed) == ["www.example. A 192.0.2.2"]
            assert renewed.answer[0].ttl == 100
        assert len(up.received) == 2

    async def test_an_unpopular_entry_is_not_prefetched(self) -> None:
        async with (
            upstream(lambda q, _: address(q, ttl=100)) as up,
            forwarding(servers=(up.url,)) as server,
        ):
            await server.query("www.example.")
            server.clock.now += 91
            await server.query("www.example.")
            assert server.resolver.in_flight == 0
        assert len(up.received) == 1

    async def test_a_prefetch_that_fails_leaves_the_entry(self) -> None:
        def script(query, _):
            return address(query, ttl=100) if len(up.received) == 1 else []

        async with upstream(script) as up, forwarding(servers=(up.url,), timeout=0.1) as server:
            for _ in range(3):
                await server.query("www.example.")
            server.clock.now += 91
            await server.query("www.example.")
            await eventually(lambda: server.resolver.counters()[5] == 1)  # the failure
            assert (await server.query("www.example.")).answer[0].ttl == 9


class TestServeStale:
    """RFC 8767."""

    @staticmethod
    async def _cached(server: ForwardingServer, code: str = "NOERROR") -> None:
        assert rcode(await server.query("www.example.")) == code
        server.clock.now += 3_000

    async def test_a_stale_answer_has_extended_error_3(self) -> None:
        def script(query, _):
            return address(query) if len(up.received) == 1 else [reply_to(query, rcode="SERVFAIL")]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            await self._cached(server)
            reply = await server.query("www.example.")
            assert texts(reply) == ["www.example. A 192.0.2.1"]
            assert reply.answer[0].ttl == 30
            assert errors(reply) == [3]

    async def test_a_stale_nxdomain_has_extended_error_19(self) -> None:
        def script(query, _):
            if len(up.received) == 1:
                return [reply_to(query, rcode="NXDOMAIN", authority=(SOA,))]
            return [reply_to(query, rcode="REFUSED")]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            await self._cached(server, "NXDOMAIN")
            reply = await server.query("www.example.")
        assert (rcode(reply), errors(reply)) == ("NXDOMAIN", [19])

    async def test_no_client_waits_for_30_seconds_after_a_failure(self) -> None:
        def script(query, _):
            return address(query) if len(up.received) == 1 else [reply_to(query, rcode="SERVFAIL")]

        async with upstream(script) as up, forwarding(servers=(up.url,)) as server:
            await self._cached(server)
            await server.query("www.example.")
            received = len(up.received)
            server.clock.now += 29
            assert errors(await server.query("www.example.")) == [3]
            assert len(up.received) == received
            server.clock.now += 2
            await server.query("www.example.")
            assert len(up.received) > received

    async def test_a_slow_upstream_delays_a_stale_answer_and_fills_the_cache(self) -> None:
        go = asyncio.Event()

        async def script(query, _) -> Replies:
            if len(up.received) > 1:
                await go.wait()
            return address(query, f"192.0.2.{min(len(up.received), 2)}")

        async with (
            upstream(script) as up,
            forwarding(servers=(up.url,), stale_after=0.05, timeout=5) as server,
        ):
            await self._cached(server)
            stale = await server.query("www.example.")
            assert (texts(stale), errors(stale)) == (["www.example. A 192.0.2.1"], [3])
            go.set()
            await eventually(lambda: server.at_once("www.example.") is not None)
            fresh = await server.query("www.example.")
        assert (texts(fresh), errors(fresh)) == (["www.example. A 192.0.2.2"], [])

    async def test_serve_stale_ends_and_can_be_turned_off(self) -> None:
        def script(query, _):
            return address(query) if len(up.received) == 1 else [reply_to(query, rcode="SERVFAIL")]

        for settings in ({"stale_for": 0}, {"stale_for": 2_900}):
            async with upstream(script) as up, forwarding(servers=(up.url,), **settings) as server:
                await self._cached(server)
                assert rcode(await server.query("www.example.")) == "SERVFAIL"
